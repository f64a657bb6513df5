"""What one attempt may take, and whom it runs as: held against real processes, named by Diagnose."""

import json
import os
import pwd
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import EndToEndCase, MEND, processes_with


class LimitCase(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def one(self, limits=None, documents=1, **extractor):
        return self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in self.files(documents)],
            "tiers": [{"extractors": [{"extractor_name": "work", "limits": limits or {}, **extractor}]}]})


class Limits(LimitCase):
    def ended_at_its_limit(self, batch, words):
        diagnosis = self.final(batch)
        finding = next(f for f in diagnosis["findings"] if f["cause"] == "resource_limit")
        self.assertEqual((diagnosis["failure_category"], finding["confidence"]), ("pipeline", "high"))
        self.assertIn(words, json.dumps(finding["evidence"]))
        self.assertIn("retry", finding["remedy"])
        return diagnosis

    def test_a_fork_bomb_is_ended_at_its_limit_of_processes(self):
        mark = self.directory / "mark"
        bomb = f": {mark}; b() {{ [ $1 -gt 9 ] && exec sleep 1008; b $(($1 + 1)) & b $(($1 + 1)) & wait; }}; b 0"
        batch = self.one({"processes": 12}, document_command=bomb)
        diagnosis = self.ended_at_its_limit(batch, "is its limit")
        parameters = diagnosis["tiers"][0]["jobs"][0]["attempts"][0]["submission_params"]
        self.assertEqual(parameters["limits"]["processes"], 12)
        self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["code"], "resource_limit")
        self.assertEqual(processes_with(str(mark)), [])

    def test_processor_time_is_held_to_its_limit_across_a_crash(self):
        self.server.kill()
        self.server.start()
        batch = self.one({"cpu_seconds": 0.5}, entrypoint="while :; do :; done")
        self.server.kill()
        self.server.start()
        self.ended_at_its_limit(batch, "0.5 s is its limit")

    def test_limits_that_make_no_sense_are_refused_with_their_field(self):
        for limits, field in (({"processes": -1}, "limits.processes"), ({"open_files": 3}, "limits.open_files"),
                              ({"cpu_seconds": -0.1}, "limits.cpu_seconds"), ({"log_bytes": -1}, "limits.log_bytes")):
            answer = self.mend("submit", "--spec", "-", input=json.dumps(
                {"documents": [], "tiers": [{"extractors": [{
                    "extractor_name": "a", "entrypoint": "true", "limits": limits}]}]}))
            self.assertEqual(answer.status, 1)
            self.assertIn(f"tiers[0].extractors[0].{field}", answer.err)


@unittest.skipUnless(os.geteuid() == 0, "only root can start processes as somebody else")
class AttemptUser(LimitCase):
    serve_flags = ("--cpus", "4", "--attempt-user", "nobody")

    def setUp(self):
        def may_run():
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)

        try:
            subprocess.run([MEND, "version"], preexec_fn=may_run, capture_output=True, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            self.skipTest(f"the user nobody cannot run {MEND}: {error}")
        super().setUp()
        self.directory.chmod(0o711)

    def test_commands_run_as_it_and_read_nothing_of_the_servers(self):
        data = self.server.data
        files = self.files(3)
        command = (f'id -u >&2; [ "$(id -u)" != 0 ] && cat "$MEND_PATH" > /dev/null && ! cat {data}/journal.sqlite '
                   f'&& ! ls {data}/attempts && ! cat ../records.jsonl && touch here && touch "$TMPDIR/there"')
        batch = self.one(documents=len(files), document_command=command)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["failed_documents_sample"]))
        self.assertEqual(self.adds_up(batch)["completed"], 3)
        batch = self.one(entrypoint="trap '' TERM; setsid sleep 1009 & sleep 1009")
        self.ok("cancel", batch, "--grace", "0")
        self.assertEqual([p for p in processes_with("1009") if str(data).encode() in
                          Path(f"/proc/{p}/environ").read_bytes()], [])

    def test_a_user_that_is_not_there_is_refused_at_the_start(self):
        with tempfile.TemporaryDirectory() as data:
            answer = subprocess.run(
                [MEND, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "none", "--attempt-user", "no-one"],
                capture_output=True, text=True, timeout=60)
        self.assertEqual((answer.returncode, answer.stdout), (1, ""))
        self.assertIn("no-one", answer.stderr)


if __name__ == "__main__":
    unittest.main()
