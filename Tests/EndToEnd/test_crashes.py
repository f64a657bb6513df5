"""kill -9 of whatever Mend is made of: nothing acknowledged is lost, nothing runs twice."""

import collections
import json
import os
import signal
import unittest
from pathlib import Path

from harness import EndToEndCase, MEND, alive, processes_with, wait_for


def supervisors(data):
    """Pids of the supervisors that work below a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"supervise" in words and any(str(data).encode() in word for word in words) and alive(int(entry.name)):
                found.append(int(entry.name))
    return found


class Crashes(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def test_six_kills_of_the_server_during_two_batches_leave_every_document_done_once(self):
        files = self.files(60)
        logs = [self.directory / f"runs{number}.log" for number in (0, 1)]
        batches = [
            self.ok("submit", "--name", f"batch {number}",
                    "--tier", f'one=echo "one $MEND_DOCUMENT_ID" >> {log}; sleep 0.15',
                    "--tier", f'two=echo "two $MEND_DOCUMENT_ID" >> {log}; sleep 0.05', *files)
            for number, log in enumerate(logs)]
        for kill in range(6):
            reached = (kill + 1) * 12
            wait_for(lambda: sum(len(log.read_text().splitlines()) for log in logs if log.exists()) >= reached,
                     f"{reached} commands to have run")
            self.server.kill()
            self.server.start()
        for batch, log in zip(batches, logs):
            diagnosis = self.final(batch)
            self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
            self.assertEqual(self.adds_up(batch)["completed"], 60)
            counts = collections.Counter(log.read_text().splitlines())
            self.assertEqual(len(counts), 120)
            self.assertEqual({line: n for line, n in counts.items() if n != 1}, {}, "work that was done twice")
            for tier in diagnosis["tiers"]:
                self.assertEqual([len(job["attempts"]) for job in tier["jobs"]], [1], "the attempt was adopted")

    def test_an_attempt_that_ended_while_the_server_was_away_is_taken_once(self):
        gate = self.directory / "gate"
        ended = self.directory / "ended"
        batch = self.submit_spec({
            "documents": [{"document_id": "a", "uri": "file:///etc/hostname"}],
            "tiers": [{"extractors": [{"extractor_name": "opaque",
                                       "entrypoint": f"until [ -e {gate} ]; do sleep 0.05; done; echo x >> {ended}"}]}]})
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["jobs"][0]["status"] == "running", "the job to run")
        self.server.kill()
        gate.write_text("")
        wait_for(lambda: ended.exists() and not supervisors(self.server.data), "the attempt to end by itself")
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual(len(diagnosis["tiers"][0]["jobs"][0]["attempts"]), 1)
        self.assertEqual(ended.read_text(), "x\n")

    def test_a_killed_supervisor_is_orphaned_its_tree_ended_and_the_job_run_again(self):
        marker = f"mend-test-{os.getpid()}-{id(self)}"
        gate = self.directory / "gate"
        batch = self.submit_spec({
            "documents": [{"document_id": "a", "uri": "file:///etc/hostname"}],
            "tiers": [{"extractors": [{"extractor_name": "opaque", "env": {"MARKER": marker},
                                       "entrypoint": f"setsid sh -c 'until [ -e {gate} ]; do sleep 0.05; done'"}]}]})
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["jobs"][0]["status"] == "running", "the job to run")
        first = wait_for(lambda: processes_with(f"MARKER={marker}"), "its processes")
        for pid in supervisors(self.server.data):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(alive(pid) for pid in first), "the first attempt's tree to be ended")
        wait_for(lambda: len(self.diagnose(batch)["tiers"][0]["jobs"][0]["attempts"]) == 2, "a second attempt")
        gate.write_text("")
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        attempts = diagnosis["tiers"][0]["jobs"][0]["attempts"]
        self.assertEqual(attempts[0]["failure_category"], "orphaned")
        self.assertIn("orphaned", [event["type"] for event in diagnosis["infrastructure_events"]])

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        files = self.files(3)
        batches = []
        for number in range(5):
            batches.append(self.ok("submit", "--tier", "ok=true", *files))
            self.server.kill()
            self.server.start()
        for batch in batches:
            self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual({b["batch_id"] for b in self.mend("list", "-o", "json").json["batches"]}, set(batches))

    def test_a_second_server_on_the_same_data_is_refused(self):
        import subprocess
        second = subprocess.run(
            [MEND, "serve", "--data", str(self.server.data), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn(str(self.server.data), second.stderr)
        self.assertEqual(second.stdout, "")

    def test_a_server_that_is_told_to_stop_drains_and_exits_0(self):
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.mend("list").status, 0)


if __name__ == "__main__":
    unittest.main()
