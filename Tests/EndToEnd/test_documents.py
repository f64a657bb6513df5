"""Documents that something is wrong with: each is named for what it is, with evidence, and the others complete."""

import collections
import json
import os
import shutil
import subprocess
import unittest

from harness import MEND, Server
from test_incidents import Incident

NOBODY = 65534


class Documents(Incident):
    def failed(self, diagnosis, document):
        found = [d for d in diagnosis["failed_documents_sample"] if d["document_id"] == document]
        self.assertEqual(len(found), 1, json.dumps(diagnosis["failed_documents_sample"]))
        return found[0]["error"]

    def served_as_nobody(self):
        """A server of an account without rights, where the tests have all of them."""
        if os.geteuid() != 0:
            return self.server
        os.chmod(self.directory, 0o755)
        program = MEND
        try:
            subprocess.run([program, "version"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            # Its own directory may be closed to others.
            program = str(self.directory / "mend")
            shutil.copy(MEND, program)
            try:
                subprocess.run(
                    [program, "version"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                self.skipTest(f"the program cannot be run by another account here: {error}")
        home = self.directory / "nobody"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        self.server.stop()
        self.server = Server(home / "data", *self.serve_flags, user=NOBODY, program=program)
        return self.server.start()

    def test_a_file_that_may_not_be_read_is_named(self):
        self.served_as_nobody()
        good, closed = self.files(2)
        closed.chmod(0)
        batch = self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in (good, closed)],
            "tiers": [{"extractors": [{"extractor_name": "work", "document_command": 'cat "$MEND_PATH"'}]}]})
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], self.adds_up(batch)["completed"]), ("completed", 1))
        error = self.failed(diagnosis, closed.stem)
        self.assertEqual(error["code"], "permission_denied")
        self.assertIn("Permission denied", error["message"])
        self.assertEqual(self.cause(diagnosis, "bad_input")["category"], "pipeline")

    def test_a_directory_in_a_files_place_is_named(self):
        folder = self.directory / "folder"
        folder.mkdir()
        batch = self.submit_spec({
            "documents": [{"document_id": "folder", "uri": folder.as_uri()}],
            "tiers": [{"extractors": [{"extractor_name": "work", "document_command": 'cat "$MEND_PATH"'}]}]})
        diagnosis = self.final(batch)
        self.assertEqual(self.failed(diagnosis, "folder")["code"], "bad_input")
        self.assertIn("directory", json.dumps(self.cause(diagnosis, "bad_input")["evidence"]))

    def test_an_empty_file_that_the_command_refuses_is_named(self):
        files = self.files(3)
        files[1].write_text("")
        batch = self.ok("submit", "--tier", 'work=test -s "$MEND_PATH"', *files)
        diagnosis = self.final(batch)
        self.assertEqual(self.adds_up(batch)["completed"], 2)
        finding = self.cause(diagnosis, "bad_input")
        self.assertIn("empty", finding["message"])
        self.assertIn("0 bytes", json.dumps(finding["evidence"]))
        self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["details"]["size_bytes"], "0")

    def test_a_command_that_refuses_every_file_is_not_excused_by_an_empty_one(self):
        files = self.files(1)
        files[0].write_text("")
        diagnosis = self.final(self.ok("submit", "--tier", "work=exit 7", *files))
        self.assertIn("0 bytes", json.dumps(self.cause(diagnosis, "exit_code")["evidence"]))

    def of_a_huge_file(self, command):
        """What is said where the third of three files has 64 GiB, most of them holes."""
        files = self.files(3)
        with open(files[2], "wb") as huge:
            huge.truncate(64 << 30)
        diagnosis = self.final(self.ok("submit", "--memory", "96MiB", "--tier", f"work=perl -e '{command}'", *files))
        finding = self.cause(diagnosis, "oom")
        large = [e for e in finding["evidence"] if e.get("values", {}).get("size_bytes") == str(64 << 30)]
        self.assertTrue(large, json.dumps(finding["evidence"]))
        self.assertIn("64 GiB large", large[-1]["observed"])
        self.assertEqual(finding["category"], "infrastructure")
        return finding, self.failed(diagnosis, large[-1]["values"]["document_id"])

    def test_a_huge_file_that_takes_all_memory_is_named_with_its_size(self):
        finding, error = self.of_a_huge_file(
            "open F, q(<), $ENV{MEND_PATH} or die; my @x; while (read F, my $b, 1 << 20) { push @x, $b }")
        self.assertEqual((finding["confidence"], error["code"]), ("high", "oom"))

    def test_a_huge_file_for_which_there_is_no_memory_at_all_is_named_too(self):
        # It asks for all of it at once, and is refused.
        finding, error = self.of_a_huge_file(
            "open F, q(<), $ENV{MEND_PATH} or die; local $/; my $x = <F>; print length $x")
        self.assertEqual(finding["confidence"], "medium")
        self.assertIn("refused memory", json.dumps(finding["evidence"]))
        self.assertEqual((error["code"], error["message"]), ("exit_code", "Out of memory!"))

    def test_a_document_that_kills_its_attempts_is_found_in_halves_and_the_rest_completes(self):
        log = self.directory / "runs"
        files = self.files(12)
        poisoned = files[1].stem
        marks = self.directory / "marks"
        marks.mkdir()
        batch = self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in files],
            "tiers": [{"extractors": [{
                "extractor_name": "work", "num_cpus": 4,
                # It takes its worker with it, while three others are in process: they wait for that.
                "document_command":
                    f"cd {marks} && touch started.$MEND_DOCUMENT_ID; "
                    f"if [ $MEND_DOCUMENT_ID = {poisoned} ]; then "
                    "until [ $(ls | grep -c started) -ge 4 ]; do sleep 0.02; done; touch killed; kill -9 $PPID; exit; fi; "
                    f"until [ -e killed ]; do sleep 0.02; done; echo $MEND_DOCUMENT_ID >> {log}",
                "retry": [{"cause": "signal", "action": "retry", "max_attempts": 3, "backoff_seconds": 0.05}]}]}]})
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        progress = self.adds_up(batch)
        self.assertEqual((progress["completed"], progress["failed"]), (11, 1))
        self.assertTrue(diagnosis["has_failures"])
        self.assertEqual([d["document_id"] for d in diagnosis["failed_documents_sample"]], [poisoned])
        finding = next(f for f in diagnosis["findings"] if "quarantined" in f["message"])
        self.assertIn(poisoned, finding["message"])
        self.assertEqual((finding["cause"], finding["confidence"]), ("signal", "high"))
        self.assertIn("alone", json.dumps(finding["evidence"]))
        # All that were in process, a half of them, and what is left when it is found.
        self.assertGreaterEqual(len(self.attempts(diagnosis)), 3)
        counts = collections.Counter(log.read_text().split())
        self.assertEqual(set(counts), {f.stem for f in files} - {poisoned}, "all others were done")


class FullDisk(Incident):
    def test_a_disk_that_is_full_under_a_job_is_named(self):
        small = self.directory / "small"
        small.mkdir()
        probe = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"no mount namespace of its own: {probe.stderr.strip()}")
        self.server.stop()
        self.server.prefix = (
            "unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', str(small))
        self.server.start()
        batch = self.ok(
            "submit", "--tier", f'work=head -c "$(stat -c %s "$MEND_PATH")" "$MEND_PATH" > {small}/$MEND_DOCUMENT_ID',
            *self.files(1), self.sized("large", 4 << 20))
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], self.adds_up(batch)["completed"]), ("completed", 1))
        error = diagnosis["failed_documents_sample"][0]["error"]
        self.assertIn("No space left on device", error["message"])
        finding = self.cause(diagnosis, "environment_setup")
        self.assertEqual((finding["category"], finding["confidence"]), ("infrastructure", "medium"))
        self.assertEqual(diagnosis["failure_category"], "infrastructure")
        self.assertIn("ENOSPC", json.dumps(finding["evidence"]))
        self.assertIn("Make room", json.dumps(finding["remedy"]))

    def sized(self, name, size):
        path = self.directory / "files" / name
        path.write_bytes(b"x" * size)
        return path


if __name__ == "__main__":
    unittest.main()
