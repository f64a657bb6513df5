"""A machine that runs out of room under jobs: what waits goes on when there is some, and nothing is run again."""

import contextlib
import json
import os
import resource
import socket
import subprocess
import time
import unittest
from pathlib import Path

from harness import EndToEndCase, wait_for


class Shortage(EndToEndCase):
    """A server whose data lies on a small file system of its own."""

    serve_flags = ("--cpus", "4")
    size = "size=64m"

    def setUp(self):
        super().setUp()
        self.small = self.directory / "small"
        self.small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", self.size, "tmpfs", str(self.small)]
        probe = subprocess.run(["unshare", "-m", *mount], capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"no mount namespace of its own: {probe.stderr.strip()}")
        self.server.stop()
        self.server.data = self.small / "data"
        self.server.prefix = ("unshare", "-m", "sh", "-c", f'{" ".join(mount)} && exec "$@"', "sh")
        self.server.start()
        # As the server sees it.
        self.seen = Path(f"/proc/{self.server.process.pid}/root{self.small}")
        self.runs, self.gate = self.directory / "runs", self.directory / "gate"

    def jobs(self, count, padding=""):
        return self.submit_spec({
            "documents": [{"document_id": f"d{n}", "uri": f"file:///d{n}"} for n in range(count)],
            "tiers": [{"extractors": [{
                "extractor_name": "work", "shards": count,
                "entrypoint": f'echo "$MEND_JOB_ID" >> {self.runs}; until [ -e {self.gate} ]; do sleep 0.05; done #{padding}',
            }]}]})

    def ran_once(self, batch, count):
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        attempts = [len(job["attempts"]) for job in diagnosis["tiers"][0]["jobs"]]
        self.assertEqual(attempts, [1] * count)
        self.assertEqual(len(self.runs.read_text().split()), count)

    def logged(self, words):
        wait_for(lambda: words in self.server.log.read_text(), f"{words!r} in the log")


class FullDisk(Shortage):
    def fill(self):
        with open(self.seen / "fill", "wb", 0) as fill:
            try:
                while True:
                    fill.write(b"x" * 4096)
            except OSError:
                pass

    def test_what_ends_while_the_disk_is_full_is_not_run_again(self):
        # A record that fits into the last block of its file needs no room: the account is to begin a new one.
        self.gate.write_text("")
        first = self.jobs(1)
        self.ran_once(first, 1)
        records = next((self.seen / "data" / "attempts").glob("*/*/records.jsonl")).read_bytes()
        self.runs.unlink()
        self.gate.unlink()
        padding = "x" * ((4096 - 40 - records.index(b'{"exit":')) % 4096)
        batch = self.jobs(4, padding)
        wait_for(lambda: self.runs.exists() and len(self.runs.read_text().split()) == 4, "all to run")
        self.fill()
        self.gate.write_text("")
        self.logged("no space for an exit record")
        (self.seen / "fill").unlink()
        self.ran_once(batch, 4)


class NoInodes(Shortage):
    size = "size=64m,nr_inodes=300"

    def waiting(self):
        """A batch of which four jobs ended and four launches wait."""
        batch = self.jobs(8)
        wait_for(lambda: self.runs.exists() and len(self.runs.read_text().split()) == 4, "the first to run")
        self.taken = 0
        try:
            while True:
                (self.seen / f"taken{self.taken}").touch()
                self.taken += 1
        except OSError:
            pass
        self.gate.write_text("")
        self.logged("No space left on device")
        finding = wait_for(
            lambda: next((f for f in self.diagnose(batch)["findings"] if f["cause"] == "cold_start"), None),
            "a finding about the launches")
        self.assertIn("its launch waits for resources: ", finding["message"])
        self.assertIn("No space left on device", finding["evidence"][0]["observed"])
        return batch

    def make_room(self):
        for number in range(self.taken):
            (self.seen / f"taken{number}").unlink()

    def test_launches_wait_for_room(self):
        batch = self.waiting()
        self.make_room()
        self.ran_once(batch, 8)
        self.assertEqual(self.diagnose(batch)["findings"], [])

    def test_a_launch_that_waits_is_cancelled_and_never_comes(self):
        batch = self.waiting()
        self.ok("cancel", batch)
        self.assertEqual(self.final(batch)["status"], "cancelled")
        self.make_room()
        self.assertEqual(self.final(self.jobs(1))["status"], "completed")
        self.assertEqual(len(self.runs.read_text().split()), 5)


class NoMemory(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def test_a_server_without_memory_says_so_and_the_next_repeats_nothing(self):
        # A trace of the stack takes longer than all of the rest.
        self.server.environment = {"SWIFT_BACKTRACE": "enable=no"}
        self.server.stop()
        self.server.start()
        runs, gate = self.directory / "runs", self.directory / "gate"
        batch = self.submit_spec({
            "documents": [{"document_id": f"d{n}", "uri": f"file:///d{n}"} for n in range(6)],
            "tiers": [{"extractors": [{
                "extractor_name": "work", "shards": 6,
                "entrypoint": f'echo "$MEND_JOB_ID" >> {runs}; until [ -e {gate} ]; do sleep 0.05; done'}]}]})
        wait_for(lambda: runs.exists() and len(runs.read_text().split()) == 4, "the first to run")
        pid = self.server.process.pid
        size = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmSize"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, ((int(size.split()[1]) + 1024) * 1024, hard))
        gate.write_text("")
        large = json.dumps({
            "documents": [{"document_id": f"d{n}", "uri": f"file:///{n}/{'x' * 200}"} for n in range(150_000)],
            "tiers": [{"extractors": [{"extractor_name": "work", "entrypoint": "true"}]}]})

        def has_ended():
            self.mend("submit", "--spec", "-", input=large)
            return self.server.process.poll() is not None

        wait_for(has_ended, "the server to end")
        self.assertIn("failed to allocate", self.server.log.read_text(errors="replace"))
        self.server.kill()
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual([len(job["attempts"]) for job in diagnosis["tiers"][0]["jobs"]], [1] * 6)
        self.assertEqual(len(runs.read_text().split()), 6)


class NoDescriptors(EndToEndCase):
    serve_flags = ("--cpus", "1")

    def processor_seconds(self):
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_callers_that_find_no_descriptor_wait_and_cost_nothing(self):
        for port in ("address", "admin"):
            pid, address = self.server.process.pid, getattr(self.server, port)
            with self.subTest(port), contextlib.ExitStack() as connections:
                opened = len(os.listdir(f"/proc/{pid}/fd"))
                _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                host, _, number = address.rpartition(":")
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + 5, hard))
                for _ in range(30):
                    connections.enter_context(socket.create_connection((host, int(number))))
                wait_for(lambda: "none can be accepted" in self.server.log.read_text(), "a warning")
                before, start = self.processor_seconds(), time.monotonic()
                # The time is what is measured: a loop that asks at once takes all of it.
                time.sleep(2)
                used, passed = self.processor_seconds() - before, time.monotonic() - start
                self.assertLess(used, passed / 4)
                self.assertEqual(self.server.log.read_text().count("none can be accepted"), 1)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
            self.ok("list")
            # Of one server a minute is between two warnings.
            self.server.kill()
            self.server.log.unlink()
            self.server.start()


if __name__ == "__main__":
    unittest.main()
