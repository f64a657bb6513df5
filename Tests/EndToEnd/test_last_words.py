"""Real programs that end badly in known ways: what their words and signals mean is named, with no more certainty than they bear."""

import json
import shutil
import unittest

from test_incidents import Incident

# Name: entrypoint, category, cause, confidence, a word of the remedy.
ENDS = {
    "memory": ("ulimit -v 500000; exec python3 -c 'x = bytearray(8 << 30)'", "infrastructure", "oom", "medium", "memory"),
    "module": ("exec python3 -c 'import no_such_module'", "infrastructure", "environment_setup", "medium", "Install"),
    "refused": ("exec python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 1))'", "infrastructure",
                "environment_setup", "low", "answers"),
    "input": ("exec python3 -c 'import json; json.loads(\"{\")'", "pipeline", "exit_code", "high", "Look at the input"),
    "encoding": ("exec python3 -c 'b\"\\xff\".decode()'", "pipeline", "exit_code", "high", "Look at the input"),
    "missing": ("exec python3 -c 'open(\"/no/such/file\")'", "pipeline", "exit_code", "high", "there"),
    "stack": ("exec python3 -c 'f = lambda: f(); f()'", "pipeline", "exit_code", "high", "recursion"),
    "files": ("ulimit -n 40; exec python3 -c 'x = [open(\"/dev/null\") for _ in range(99)]'", "pipeline",
              "resource_limit", "medium", "closes"),
    "size": ("ulimit -f 8; exec head -c 999999 /dev/zero > size.out", "pipeline", "resource_limit", "medium", "file"),
    "time": ("ulimit -S -t 1; while :; do :; done", "pipeline", "resource_limit", "medium", "processor time"),
    "abort": ("exec python3 -c 'import os; os.abort()'", "pipeline", "signal", "high", "by hand"),
    "crash": ("exec python3 -X faulthandler -c 'import ctypes; ctypes.string_at(1)'", "pipeline", "signal", "high", "by hand"),
    "told": ("kill -TERM $$", "pipeline", "signal", "high", "who sent it"),
    "child": ("sh -c 'kill -TERM $$'; exit $?", "pipeline", "signal", "medium", "who sent it"),
    "nothing": ("exec ./no-such-program", "pipeline", "entrypoint_not_found", "medium", "Install the command"),
    "script": ("echo '#!/no/such/interpreter' > s; chmod +x s; exec ./s", "pipeline", "entrypoint_not_found", "medium",
               "interpreter"),
    "rights": ("echo true > p; exec ./p", "pipeline", "entrypoint_not_found", "medium", "right"),
}


class LastWords(Incident):
    @unittest.skipUnless(shutil.which("python3"), "no python3 on the PATH")
    def test_each_end_is_named(self):
        batch = self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in self.files(1)],
            "tiers": [{"extractors": [
                {"extractor_name": name, "entrypoint": entrypoint, "num_cpus": 0.5}
                for name, (entrypoint, *_) in ENDS.items()]}]})
        diagnosis = self.final(batch)
        jobs = {job["job_id"]: job["extractor_name"] for job in diagnosis["tiers"][0]["jobs"]}
        found = {}
        for finding in diagnosis["findings"]:
            if "attempt" in finding:
                found.setdefault(jobs[finding["job_id"]], finding)
        for name, (_, category, cause, confidence, word) in ENDS.items():
            with self.subTest(name):
                finding = found[name]
                text = json.dumps(finding)
                self.assertEqual(
                    (finding["category"], finding["cause"], finding["confidence"]), (category, cause, confidence), text)
                self.assertIn(word, finding["remedy"]["description"], text)
                self.assertTrue(finding["evidence"])
        # A trace ends with a frame; what is shown is what it is a trace of.
        self.assertIn("Fatal Python error: Segmentation fault", found["crash"]["message"])

    def test_words_of_a_documents_command_are_read_too(self):
        batch = self.one(
            "echo 'x: error while loading shared libraries: liby.so.1: cannot open shared object file' >&2; exit 127",
            documents=1)
        finding = self.cause(self.final(batch), "environment_setup")
        self.assertEqual((finding["category"], finding["confidence"]), ("infrastructure", "medium"))
        self.assertIn("shared library", finding["remedy"]["description"])


if __name__ == "__main__":
    unittest.main()
