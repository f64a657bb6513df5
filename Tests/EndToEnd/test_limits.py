"""What one attempt may take, and whom it runs as: held against real processes, named by Diagnose."""

import json
import os
import pwd
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import EndToEndCase, MEND, processes_with, wait_for


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
        diagnosis = self.ended_at_its_limit(batch, "beyond its limit of")
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
        self.ended_at_its_limit(batch, "limit of 0.5 s")

    def test_time_of_processes_that_nobody_waits_for_counts(self):
        # One after the other: no two of them live at once, and none is collected.
        burn = ("for (1..8) { pipe(my $r, my $w); unless (fork) { my @t; do { @t = times } while $t[0] + $t[1] < 0.3; exit } "
                "close $w; readline $r } sleep 1000")
        batch = self.one({"cpu_seconds": 1}, entrypoint=f"exec perl -e '{burn}'")
        self.ended_at_its_limit(batch, "limit of 1.0 s")

    def test_memory_that_is_shared_counts_once(self):
        batch = self.sharing(300)
        diagnosis = self.final(batch)
        self.assertIn("oom", [finding["cause"] for finding in diagnosis["findings"]])
        # It ignores SIGTERM, so that it is looked at for as long as the grace lasts.
        batch = self.sharing(100)
        wait_for(lambda: (self.directory / "up100").exists(), "all to share it")
        self.ok("cancel", batch, "--grace", "1")
        exit = self.final(batch)["tiers"][0]["jobs"][0]["attempts"][0]["exit"]
        self.assertFalse(exit["memory_limit_exceeded"], json.dumps(exit))
        self.assertGreater(exit["peak_memory_bytes"], 100 << 20)

    def sharing(self, mebibytes):
        """Four processes that share so much, under a limit of 200 MiB, until they are killed."""
        code = (f"import mmap, os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); m = mmap.mmap(-1, {mebibytes} << 20); "
                "[m.write(b'x' * 4096) for _ in range(len(m) >> 12)]; os.fork(); os.fork(); sum(m[::4096]); "
                f"open('{self.directory}/up{mebibytes}', 'w'); signal.pause()")
        return self.one(entrypoint=f'exec {sys.executable} -c "{code}"', memory_bytes=200 << 20)

    def test_a_process_whose_first_thread_is_over_is_ended_with_the_tree(self):
        mark = self.directory / "pid"
        code = ("import ctypes, os, signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
                "threading.Thread(target=threading.Event().wait).start(); "
                f"open('{mark}', 'w').write(str(os.getpid())); ctypes.CDLL(None).pthread_exit(None)")
        batch = self.one(entrypoint=f'{sys.executable} -c "{code}" & wait')
        wait_for(lambda: mark.exists() and mark.read_text(), "it to run")
        pid = mark.read_text()
        wait_for(lambda: "State:\tZ" in Path(f"/proc/{pid}/status").read_text(), "its first thread to be over")
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        self.ok("cancel", batch, "--grace", "1")
        self.assertFalse(os.path.exists(f"/proc/{pid}"), "cancelled is gone")

    def test_limits_that_make_no_sense_are_refused_with_their_field(self):
        for limits, field in (({"processes": -1}, "limits.processes"), ({"open_files": 3}, "limits.open_files"),
                              ({"cpu_seconds": -0.1}, "limits.cpu_seconds"), ({"log_bytes": -1}, "limits.log_bytes"), ({"log_bytes": 4095}, "limits.log_bytes")):
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
