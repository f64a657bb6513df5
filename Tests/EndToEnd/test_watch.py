"""Watching: a snapshot, deltas, one terminal message; cut and resumed without gap or repeat."""

import json
import os
import signal
import subprocess
import unittest

from harness import EndToEndCase, MEND, wait_for


class Watch(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def watcher(self, batch, *flags):
        return subprocess.Popen(
            [MEND, "watch", batch, "-o", "jsonl", *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "MEND_SERVER": self.server.address})

    def messages(self, batch, *flags):
        process = self.watcher(batch, *flags)
        out, err = process.communicate(timeout=90)
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def check_chain(self, messages):
        """No gap, no repeat, terminal once and last."""
        self.assertTrue(messages)
        self.assertEqual([m["terminal"] for m in messages], [False] * (len(messages) - 1) + [True])
        for before, after in zip(messages, messages[1:]):
            self.assertFalse(after["snapshot"])
            self.assertEqual(after["previous_sequence"], before["sequence"])
            self.assertGreaterEqual(after["sequence"], before["sequence"])
        for message in messages:
            p = message["progress"]
            self.assertEqual(p["completed"] + p["failed"] + p["pending"] + p["processing"], p["total"])

    def changes(self, messages):
        return [(c["sequence"], c["subject"], c["to"]) for m in messages if not m["snapshot"] for c in m["changes"]]

    def test_a_watch_starts_with_a_snapshot_and_ends_with_the_terminal_message(self):
        batch = self.ok("submit", "--tier", "one=sleep 0.1", "--tier", "two=true", *self.files(12))
        status, messages, err = self.messages(batch)
        self.assertEqual(status, 0, err)
        self.assertTrue(messages[0]["snapshot"])
        self.check_chain(messages)
        self.assertEqual((messages[-1]["status"], messages[-1]["overall_progress"]), ("completed", 100))
        self.assertGreater(len(messages), 3)
        # The end can be asked for again.
        status, again, _ = self.messages(batch)
        self.assertEqual((status, again[-1]["terminal"], again[-1]["status"]), (0, True, "completed"))

    def test_a_cut_watch_resumes_where_it_was_also_after_a_kill_of_the_server(self):
        batch = self.ok("submit", "--tier", "one=sleep 0.1", "--tier", "two=sleep 0.05", *self.files(40))
        whole = self.watcher(batch)
        seen = []
        after = 0
        for cut in range(3):
            process = self.watcher(batch, "--after", after)
            for line in process.stdout:
                message = json.loads(line)
                if seen:
                    self.assertFalse(message["snapshot"], message.get("snapshot_reason"))
                    self.assertEqual(message["previous_sequence"], after)
                    self.assertGreaterEqual(message["sequence"], after)
                seen.append(message)
                after = message["sequence"]
                if message["terminal"] or len(seen) >= (cut + 1) * 4:
                    break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if cut == 1:
                whole.send_signal(signal.SIGKILL)
                whole.communicate()
                self.server.kill()
                self.server.start()
        status, rest, err = self.messages(batch, "--after", after)
        self.assertEqual(status, 0, err)
        self.assertEqual(rest[0]["previous_sequence"], after)
        seen += rest
        self.check_chain(seen)
        self.assertEqual(seen[-1]["status"], "completed")
        # The same changes in the same order as one who asks for all of them at the end.
        status, complete, err = self.messages(batch, "--after", seen[0]["sequence"])
        self.assertEqual(status, 0, err)
        self.assertEqual(self.changes(seen), self.changes(complete))
        sequences = [c[0] for c in self.changes(seen)]
        self.assertEqual(sequences, sorted(sequences))

    def test_a_watch_survives_a_restart_of_the_server_by_itself(self):
        batch = self.ok("submit", "--tier", "one=sleep 0.1", *self.files(40))
        process = self.watcher(batch)
        first = json.loads(process.stdout.readline())
        self.assertTrue(first["snapshot"])
        wait_for(lambda: self.status(batch)["progress"]["completed"] >= 5, "some documents")
        self.server.kill()
        self.server.start()
        rest = [json.loads(line) for line in process.stdout]
        self.assertEqual(process.wait(), 0, process.stderr.read())
        process.stdout.close(), process.stderr.close()
        self.check_chain([first] + rest)

    def test_a_sequence_from_the_future_is_refused(self):
        batch = self.ok("submit", "--tier", "ok=true", *self.files(1))
        self.final(batch)
        status, messages, err = self.messages(batch, "--after", 10_000_000)
        self.assertEqual((status, messages), (1, []))
        self.assertIn("10000000", err)


if __name__ == "__main__":
    unittest.main()
