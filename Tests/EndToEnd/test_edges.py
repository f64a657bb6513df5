"""Where people and their programs meet the server: what is said when it is away, when a token is gone, and by the help."""

import os
import re
import subprocess
import unittest
from pathlib import Path

from harness import EndToEndCase, MEND, wait_for


class Away(EndToEndCase):
    def test_a_watch_says_once_that_the_server_is_away_and_goes_on_when_it_is_back(self):
        gate = self.directory / "gate"
        batch = self.ok("submit", "--tier", f"one=until [ -e {gate} ]; do sleep 0.05; done", *self.files(3))
        process = subprocess.Popen(
            [MEND, "watch", batch], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "MEND_SERVER": self.server.address})
        self.addCleanup(process.kill)
        self.assertIn("running", process.stdout.readline())
        self.server.kill()
        self.assertRegex(process.stderr.readline(), r"^mend: the server does not answer \(.+\); waiting for it$")
        self.server.start()
        gate.write_text("")
        out, err = process.communicate(timeout=90)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertIn("completed", out.splitlines()[-1])


class TakenBack(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.server.stop()
        self.tokens = str(self.directory / "tokens.jsonl")
        make = ("token", "create", "--tokens", self.tokens, "--namespace", "default", "--role")
        self.token = self.ok(*make, "operator", "--name", "ci")
        self.environment = {"MEND_TOKEN": self.token}
        self.server.flags = ("--tokens", self.tokens)
        self.server.start()

    def test_what_a_token_opened_ends_when_it_is_taken_back(self):
        batch = self.ok("submit", "--tier", "one=echo begun; sleep 1000", *self.files(1), environment=self.environment)
        environment = {**os.environ, "MEND_SERVER": self.server.address, "MEND_TOKEN": self.token}
        readers = [
            subprocess.Popen([MEND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            for words in (["watch", batch], ["logs", batch, "--follow"])]
        for reader in readers:
            self.addCleanup(reader.kill)
            self.assertTrue(reader.stdout.readline())
        self.ok("token", "revoke", "--tokens", self.tokens, "ci")
        for reader in readers:
            _, err = reader.communicate(timeout=30)
            self.assertEqual(reader.returncode, 1, err)
            self.assertIn("revoked", err)

    def test_a_name_that_a_terminal_would_obey_is_refused(self):
        make = ("token", "create", "--tokens", self.tokens, "--namespace", "default", "--role", "viewer", "--name")
        for name in ("a\nb", "a\x1b[2J", "a\u009b", "a\u202eb", "x" * 65):
            answer = self.mend(*make, name)
            self.assertEqual((answer.status, answer.out), (2, ""), name)
        for name in ("auto_heal", "scheduler"):
            answer = self.mend(*make, name)
            self.assertEqual((answer.status, answer.out), (2, ""), name)
            self.assertIn("histories", answer.err)
        self.ok(*make, "Größe 1")


class Help(EndToEndCase):
    def test_the_examples_of_submit_run_as_they_are_printed(self):
        text = self.ok("help", "submit").split("EXAMPLES")[1]
        text = re.sub(r"\\\n\s*", "", text)
        examples = [line.strip() for line in text.splitlines() if re.match(r"\s+mend submit .*\.txt$", line)]
        self.assertEqual(len(examples), 2, text)
        folder = self.directory / "where"
        (folder / "data").mkdir(parents=True)
        for name in ("a.txt", "b.txt", "data/c.txt"):
            (folder / name).write_text(f"the words of {name}\n")
        path = f"{Path(MEND).parent}:{os.environ['PATH']}"
        for example in examples:
            ran = subprocess.run(
                ["sh", "-c", example], cwd=folder, capture_output=True, text=True, timeout=90,
                env={**os.environ, "PATH": path, "MEND_SERVER": self.server.address})
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertEqual(self.final(ran.stdout.strip())["status"], "completed")
        self.assertEqual((folder / "a.txt.words").read_text().strip(), "4")
        self.assertTrue((folder / "data" / "c.txt.sha").read_text())

    def test_a_count_beyond_the_bound_is_wrong_usage_and_says_the_bound(self):
        for count in ("-1", "9007199254740993", "9223372036854775807", "1e3", "x"):
            answer = self.mend("report", "--written", f"texts={count}")
            self.assertEqual(answer.status, 2, answer.err)
            self.assertIn("0 to 9007199254740992", answer.err)


class Numbers(EndToEndCase):
    def test_options_of_serve_have_bounds_and_say_them(self):
        for flags, says in (
                (("--memory", "8192000TiB"), "up to 65536TiB"), (("--cpus", "1e300"), "at most 1000000"),
                (("--cpus", "nan"), "at most 1000000"), (("--gpus", "9223372036854775807"), "0 to 1000000"),
                (("--limit", "request-bytes=8388607TiB"), "at most 1TiB"),
                (("--quota", "team=memory:8388607TiB"), "65536TiB"), (("--capacity", "local=cpus:inf"), "1000000 CPUs")):
            answer = self.mend(
                "serve", "--data", self.directory / "other", "--listen", "127.0.0.1:0", "--admin", "none", *flags)
            self.assertEqual(answer.status, 2, f"{flags}: {answer.err}")
            self.assertIn(says, answer.err, flags)


if __name__ == "__main__":
    unittest.main()
