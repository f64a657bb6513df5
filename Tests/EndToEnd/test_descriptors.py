"""A server that has no descriptors left while attempts end: what it cannot look at it does not call gone."""

import os
import signal
import subprocess
import threading
import unittest

from harness import EndToEndCase, alive, processes_with, wait_for
from test_crashes import supervisors


class Descriptors(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.runs, self.gate = self.directory / "runs", self.directory / "gate"

    def limit(self, count):
        subprocess.run(["prlimit", "--pid", str(self.server.process.pid), f"--nofile={count}:"], check=True)

    def submit(self, entrypoint):
        batch = self.submit_spec({
            "documents": [{"document_id": "d", "uri": "file:///d"}],
            "tiers": [{"extractors": [{"extractor_name": "work", "env": {"LIMITED": str(self.directory)}, "entrypoint": entrypoint}]}]})
        wait_for(lambda: self.runs.exists() and self.runs.read_text(), "the job to run")
        return batch

    def attempts(self, batch):
        return self.diagnose(batch)["tiers"][0]["jobs"][0]["attempts"]

    def logged(self, words):
        wait_for(lambda: words in self.server.log.read_text(), f"{words!r} in the log")

    def hold(self):
        """Less than the server has open: nothing can be opened."""
        self.limit(8)
        self.addCleanup(lambda: self.server.process and self.limit(4096))

    def test_an_attempt_that_ends_meanwhile_is_not_run_again(self):
        for adopted in (False, True):
            with self.subTest(adopted=adopted):
                batch = self.submit(f"echo run >> {self.runs}; until [ -e {self.gate} ]; do sleep 0.05; done")
                if adopted:
                    self.server.kill()
                    self.server.start()
                    wait_for(lambda: self.attempts(batch)[0]["state"] == "running", "the attempt to be adopted")
                self.hold()
                self.gate.write_text("")
                records = next((self.server.data / "attempts").glob(f"*/*.{batch}.*/records.jsonl"))
                wait_for(lambda: '"exit":' in records.read_text(), "the attempt to end")
                if adopted:
                    self.logged("an attempt cannot be examined")
                self.limit(4096)
                self.assertEqual(self.final(batch)["status"], "completed")
                self.assertEqual(len(self.attempts(batch)), 1)
                self.assertEqual(self.runs.read_text(), "run\n")
                self.runs.unlink()
                self.gate.unlink()

    def test_what_a_killed_supervisor_left_does_not_run_beside_the_next_attempt(self):
        batch = self.submit(
            f"setsid sh -c 'until [ -e {self.gate} ]; do echo $MEND_ATTEMPT $$ >> {self.runs}; sleep 0.05; done' & wait")
        first = int(self.runs.read_text().split()[1])
        self.hold()
        for pid in supervisors(self.server.data):
            os.kill(pid, signal.SIGKILL)
        self.logged("an attempt cannot be examined")
        self.assertTrue(alive(first))
        self.assertEqual({line.split()[0] for line in self.runs.read_text().splitlines()}, {"1"})
        self.limit(4096)
        wait_for(lambda: not alive(first), "what was left to be ended")
        wait_for(lambda: any(line.startswith("2 ") for line in self.runs.read_text().splitlines()), "the next attempt")
        lines = [line.split()[0] for line in self.runs.read_text().splitlines()]
        self.assertEqual(lines, sorted(lines), "both ran at once")
        self.ok("cancel", batch, "--grace", "0")
        self.assertEqual(processes_with(f"LIMITED={self.directory}"), [])

    def test_a_cancel_is_not_answered_before_the_tree_is_seen_to_be_gone(self):
        batch = self.submit(f"trap '' TERM; echo $$ >> {self.runs}; while :; do sleep 0.1; done")
        pid = int(self.runs.read_text())
        self.server.kill()
        self.server.start()
        wait_for(lambda: self.attempts(batch)[0]["state"] == "running", "the attempt to be adopted")
        for supervisor in supervisors(self.server.data):
            os.kill(supervisor, signal.SIGSTOP)
        answers = []
        caller = threading.Thread(target=lambda: answers.append(self.mend("cancel", batch, "--grace", "1")))
        caller.start()
        wait_for(lambda: self.attempts(batch)[0]["state"] != "running", "the cancel to be under way")
        self.hold()
        self.logged("an attempt cannot be examined")
        self.assertEqual(answers, [])
        self.assertTrue(alive(pid))
        self.limit(4096)
        caller.join(90)
        self.assertEqual(answers[0].status, 0, answers[0].err)
        self.assertFalse(alive(pid))


if __name__ == "__main__":
    unittest.main()
