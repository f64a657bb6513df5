"""A copy of a data directory beside the live server: looked at, never at work on what is the original's."""

import shutil
import sqlite3
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from harness import MEND, EndToEndCase, Server, alive, wait_for


class Copies(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.runs, self.gate = self.directory / "runs", self.directory / "gate"
        self.batch = self.submit_spec({
            "documents": [{"document_id": "d", "uri": "file:///d"}],
            "tiers": [{"extractors": [{
                "extractor_name": "work",
                "entrypoint": f'echo "$PWD $$" >> {self.runs}; until [ -e {self.gate} ]; do sleep 0.05; done'}]}]})
        wait_for(lambda: self.attempts()[0]["state"] == "running" and self.lines(), "the job to run")
        self.pid = int(self.lines()[0].split()[1])

    def attempts(self):
        return self.diagnose(self.batch)["tiers"][0]["jobs"][0]["attempts"]

    def lines(self):
        return self.runs.read_text().splitlines() if self.runs.exists() else []

    def backup(self):
        copy = self.directory / "backup"
        copy.mkdir()
        source, target = (sqlite3.connect(path / "journal.sqlite") for path in (self.server.data, copy))
        source.backup(target)
        source.close()
        target.close()
        return copy

    def whole(self):
        copy = self.directory / "whole"
        shutil.copytree(self.server.data, copy, ignore=lambda _, names: [name for name in names if name.endswith(".sock")])
        return copy

    def serve(self, copy, *flags):
        server = Server(copy, *flags)
        server.log = self.directory / f"{copy.name}.log"
        self.addCleanup(server.kill)
        return server.start()

    def at(self, server, *arguments):
        return self.mend(*arguments, environment={"MEND_SERVER": server.address})

    def page(self, server, path):
        try:
            with urllib.request.urlopen(f"http://{server.admin}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_original_well(self):
        self.assertTrue(alive(self.pid))
        attempts = self.attempts()
        self.assertEqual([attempt["state"] for attempt in attempts], ["running"])

    def look(self, copy):
        server = self.serve(copy)
        self.assertIn("is a copy", server.log.read_text())
        status, page = self.page(server, "/readyz")
        self.assertEqual(status, 503)
        self.assertTrue(page.startswith("read_only: ") and str(self.server.data) in page and "--adopt-copy" in page, page)
        self.assertIn("\nmend_ready 0", self.page(server, "/metrics")[1])
        self.assertEqual(self.page(server, "/healthz")[0], 200)
        self.assertEqual(self.at(server, "diagnose", self.batch, "-o", "json").json["batch_id"], self.batch)
        # What became of it is not known here: nothing is called well, estimated, or advised but what helps.
        shown = self.at(server, "diagnose", self.batch, "-o", "json").json
        self.assertEqual((shown["health"], shown["health_reason"]), ("stuck", "copy"))
        self.assertNotIn("estimated_completion", shown)
        self.assertIn("--adopt-copy", shown["next_actions"][0])
        line, = self.at(server, "list", "-o", "json").json["batches"]
        self.assertEqual((line["batch_id"], line["health"]), (self.batch, "stuck"))
        self.assertEqual(self.at(server, "status", self.batch, "-o", "json").json["health"], "stuck")
        for command in (["cancel", self.batch, "--grace", "0"], ["pause", self.batch], ["submit", "--tier", "a=true", "/etc/hostname"]):
            refused = self.at(server, *command)
            self.assertEqual(refused.status, 1, refused.out)
            self.assertIn("--adopt-copy", refused.err)
        server.kill()
        server.address = None
        self.is_original_well()

    def adopt(self, copy):
        server = self.serve(copy, "--adopt-copy")
        self.assertEqual(self.page(server, "/readyz")[0], 200)
        def jobs():
            return self.at(server, "diagnose", self.batch, "-o", "json").json["tiers"][0]["jobs"][0]["attempts"]
        wait_for(lambda: len(jobs()) == 2 and len(self.lines()) == 2, "the copy to run it again")
        first = jobs()[0]
        self.assertEqual(first["failure_category"], "orphaned")
        told = self.at(server, "history", self.batch, "-o", "jsonl").out + self.at(server, "diagnose", self.batch).out
        self.assertIn("this one is a copy of", told)
        self.assertTrue(self.lines()[1].startswith(str(copy)))
        self.is_original_well()
        # A data directory of its own: it goes on after a kill, without being told again.
        server.kill()
        server.flags, server.address = (), None
        server.start()
        wait_for(lambda: [attempt["state"] for attempt in jobs()] == ["ended", "running"], "its attempt to be adopted")
        self.at(server, "cancel", self.batch, "--grace", "0")
        self.is_original_well()

    def ends(self):
        self.gate.write_text("")
        self.assertEqual(self.final(self.batch)["status"], "completed")
        self.assertEqual(len(self.attempts()), 1)

    def test_a_backup_that_is_served_beside_the_live_server_touches_nothing(self):
        copy = self.backup()
        self.look(copy)
        self.adopt(copy)
        self.ends()

    def test_a_copied_directory_does_so_with_the_attempts_files_in_it(self):
        copy = self.whole()
        self.look(copy)
        self.adopt(copy)
        self.ends()

    def test_a_data_directory_that_is_renamed_carries_on(self):
        self.server.kill()
        moved = self.directory / "moved"
        self.server.data.rename(moved)
        self.server.data = moved
        self.server.start()
        wait_for(lambda: self.attempts()[0]["state"] == "running", "the attempt to be adopted")
        self.is_original_well()
        self.ends()
        self.assertEqual(len(self.lines()), 1)

    def test_the_workers_of_a_directory_that_is_renamed_find_the_next_server(self):
        ran, gate = self.directory / "ran", self.directory / "workers-gate"
        batch = self.submit_spec({
            "documents": [{"document_id": f"d{n}", "uri": "file:///d"} for n in range(3)],
            "tiers": [{"extractors": [{
                "extractor_name": "work",
                "document_command": f'echo "$MEND_DOCUMENT_ID" >> {ran}; until [ -e {gate} ]; do sleep 0.05; done'}]}]})
        wait_for(lambda: ran.exists(), "the first document to be begun")
        self.server.kill()
        earlier, moved = self.server.data, self.directory / "moved"
        earlier.rename(moved)
        self.server.data = moved
        self.server.start()
        gate.write_text("")
        self.assertEqual(self.final(batch)["status"], "completed")
        attempts = self.diagnose(batch)["tiers"][0]["jobs"][0]["attempts"]
        self.assertEqual([attempt["state"] for attempt in attempts], ["ended"])
        self.assertEqual(sorted(ran.read_text().split()), ["d0", "d1", "d2"])
        self.assertEqual(earlier.readlink(), moved)
        self.ends()


class Disks(unittest.TestCase):
    """File systems in files."""

    def run_mounted(self, script):
        """Runs it with a mount namespace of its own, in a directory with `disk` and `image`, and gives what it said."""
        with tempfile.TemporaryDirectory(prefix="mend-") as directory:
            begin = f"""
                set -e
                serve() {{ rm -f ready; {MEND} serve --data $1 --listen 127.0.0.1:0 --admin none > ready 2>> log & server=$!
                    until grep -qs ready ready; do kill -0 $server; sleep 0.05; done; }}
                cd {directory}; mkdir disk; truncate -s 64M image; mkfs.ext4 -q image"""
            probe = subprocess.run(
                ["unshare", "-m", "sh", "-c", "mkfs.ext4 -V && losetup -f"], capture_output=True, text=True)
            if probe.returncode != 0:
                self.skipTest(f"no disks of its own: {probe.stderr.strip()}")
            told = subprocess.run(
                ["unshare", "-m", "sh", "-c", f"{begin}\n{script}\ncat log"], capture_output=True, text=True, timeout=60)
            self.assertEqual(told.returncode, 0, told.stderr)
            return told.stdout

    def test_a_disk_that_is_attached_again_is_no_copy(self):
        """By one loop device and then by another: its device number is another, too."""
        log = self.run_mounted("""
                first=$(losetup -f --show image); trap 'losetup -d $first' EXIT; mount $first disk; mkdir disk/data
                serve disk/data; kill -9 $server; wait $server || true
                umount disk; second=$(losetup -f --show image); losetup -d $first; trap 'losetup -d $second' EXIT
                mount $second disk
                serve disk/data; kill $server; wait $server; umount disk""")
        self.assertNotIn("is a copy", log)

    def test_a_disk_with_copied_files_in_the_place_of_the_first_is_a_copy(self):
        """The same path, device number and inode; and the first, attached again, is the original as ever."""
        log = self.run_mounted("""
                device=$(losetup -f --show image); trap 'losetup -d $device' EXIT; mount $device disk
                serve disk; kill -9 $server; wait $server || true
                mkdir other; truncate -s 64M copied; mkfs.ext4 -q copied; mount -o loop copied other
                rm -f disk/*.sock; cp -a disk/. other/; stat -c '%d %i' disk > numbers; umount disk other
                attach() { losetup -d $device; losetup $device $1; mount $device disk; stat -c '%d %i' disk | cmp - numbers; }
                attach copied
                serve disk; kill $server; wait $server; umount disk; echo the original >> log
                attach image
                serve disk; kill $server; wait $server; umount disk""")
        copy, original = log.split("the original\n")
        self.assertIn("is a copy", copy)
        self.assertNotIn("is a copy", original)


if __name__ == "__main__":
    unittest.main()
