"""What attempts wrote: read, followed over a restart of the server, bounded, and told by job, attempt and stream."""

import base64
import json
import subprocess
import unittest

from harness import MEND, EndToEndCase, wait_for


class Logs(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def run_entrypoint(self, *commands):
        file = self.files(1)[0]
        return self.submit_spec({
            "documents": [{"document_id": file.stem, "uri": file.as_uri()}],
            "tiers": [{"extractors": [
                {"extractor_name": f"e{number}", "entrypoint": command} for number, command in enumerate(commands)]}]})

    def pieces(self, *arguments):
        return [json.loads(line) for line in self.ok("logs", *arguments, "-o", "jsonl").splitlines()]

    def test_each_log_by_job_attempt_and_stream(self):
        batch = self.run_entrypoint("echo one; echo bad >&2; exit 3", "echo two")
        self.final(batch)
        everything = self.ok("logs", batch)
        for part in ("==> t0-j0.1 stdout <==\none\n", "==> t0-j0.1 stderr <==\nbad\n", "==> t0-j1.1 stdout <==\ntwo"):
            self.assertIn(part, everything)
        self.ok("retry", batch, "--tier", 0)
        wait_for(lambda: len(self.diagnose(batch)["tiers"][0]["jobs"][0]["attempts"]) == 2, "a second attempt")
        self.final(batch)
        first = self.pieces(batch, "--job", "t0-j0", "--attempt", 1, "--stream", "stderr")
        self.assertEqual([(p["job_id"], p["attempt"], p["stream"]) for p in first], [("t0-j0", 1, "stderr")])
        self.assertEqual(base64.b64decode(first[0]["data"]), b"bad\n")
        self.assertEqual({p["attempt"] for p in self.pieces(batch, "--job", "t0-j0")}, {2})
        whole = json.loads(self.ok("logs", batch, "-o", "json"))
        self.assertEqual(whole, {"batch_id": batch, "pieces": self.pieces(batch)})
        # A refusal is no half of a document.
        self.assertEqual(self.mend("logs", "none", "-o", "json").out, "")

    def test_a_flood_is_bounded_and_says_what_is_left_out(self):
        batch = self.run_entrypoint("echo first; head -c 40000000 /dev/zero | tr '\\0' 'x'; echo; echo last")
        self.final(batch)
        text = self.ok("logs", batch, "--stream", "stdout")
        self.assertTrue(text.startswith("==> t0-j0.1 stdout <==\nfirst\n"))
        self.assertTrue(text.endswith("\nlast"))
        self.assertRegex(text, r"\[mend: \d+ bytes left out here\]")
        self.assertLess(len(text), 9 << 20)
        gap = sum(int(p.get("left_out_bytes", 0)) for p in self.pieces(batch))
        kept = sum(len(base64.b64decode(p["data"])) for p in self.pieces(batch))
        self.assertEqual(gap + kept, len("first\n\nlast\n") + 40_000_000)

    def test_a_log_is_followed_over_a_restart_of_the_server(self):
        gate = self.directory / "gate"
        batch = self.run_entrypoint(f"echo before; while [ ! -e {gate} ]; do sleep 0.05; done; echo after")
        reader = subprocess.Popen(
            [MEND, "logs", batch, "--follow", "--server", self.server.address], stdout=subprocess.PIPE, text=True)
        self.addCleanup(reader.kill)
        seen = [reader.stdout.readline(), reader.stdout.readline()]
        self.assertEqual(seen, ["==> t0-j0.1 stdout <==\n", "before\n"])
        self.server.kill()
        self.server.start()
        gate.touch()
        rest, _ = reader.communicate(timeout=90)
        self.assertEqual((rest, reader.returncode), ("after\n", 0))

    def test_what_is_not_there_is_named(self):
        batch = self.run_entrypoint("true")
        self.final(batch)
        for arguments, words in (
                (("nobody",), "nobody"), ((batch, "--job", "t0-j9"), "t0-j9"), ((batch, "--attempt", 7), "7")):
            answer = self.mend("logs", *arguments)
            self.assertEqual(answer.status, 1, arguments)
            self.assertIn(words, answer.err)
        self.assertEqual(self.mend("logs", batch, "--attempt", 0).status, 2)


if __name__ == "__main__":
    unittest.main()
