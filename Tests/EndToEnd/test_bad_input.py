"""Bad input gets an error that says what was wrong, where, and what to do; nothing is lost, nothing half done."""

import json
import os
import subprocess
import unittest

from harness import MEND, EndToEndCase, wait_for


class BadInput(EndToEndCase):
    def refused(self, *arguments, status=1, says=(), input=None):
        answer = self.mend(*arguments, input=input)
        self.assertEqual(answer.status, status, f"{arguments}: {answer.out}{answer.err}")
        self.assertEqual(answer.out.strip(), "" if status != 0 else answer.out)
        for text in says:
            self.assertIn(text.lower(), answer.err.lower())
        return answer.err

    def test_ids_that_break_the_rule_and_batches_that_are_not_there(self):
        self.refused("status", "batch@123", says=["batch@123", "hyphens"])
        for command in (["status"], ["diagnose"], ["pause"], ["resume"], ["cancel"], ["watch"],
                        ["retry", "--tier", "0"], ["heal", "--action", "auto"]):
            self.refused(command[0], "no-such-batch", *command[1:], says=["no-such-batch", "not found"])

    def test_another_namespace_answers_exactly_as_an_unknown_batch(self):
        batch = self.ok("submit", "--tier", "ok=true", *self.files(1))
        foreign = self.refused("diagnose", batch, "--namespace", "other", says=["not found"])
        unknown = self.refused("diagnose", "x" * len(batch), "--namespace", "other", says=["not found"])
        self.assertEqual(foreign.replace(batch, "ID"), unknown.replace("x" * len(batch), "ID"))

    def test_an_empty_batch_a_duplicate_document_and_a_fault_in_the_specification(self):
        tier = {"extractors": [{"extractor_name": "a", "document_command": "true"}]}
        document = {"document_id": "d", "uri": "file:///etc/hostname"}
        self.refused("submit", "--spec", "-", says=["document"], input=json.dumps({"documents": [], "tiers": [tier]}))
        self.refused("submit", "--spec", "-", says=["d", "duplicate"],
                     input=json.dumps({"documents": [document, document], "tiers": [tier]}))
        self.refused("submit", "--spec", "-", says=["tier"], input=json.dumps({"documents": [document], "tiers": []}))
        self.refused("submit", "--spec", "-", says=["priority"],
                     input=json.dumps({"priority": 500, "documents": [document], "tiers": [tier]}))
        error = self.refused("submit", "--spec", "-", status=2, says=["prioritty"],
                             input=json.dumps({"prioritty": 5, "documents": [document], "tiers": [tier]}))
        self.assertIn("priority", error)
        self.refused("submit", "--spec", "-", status=2, input='{"tiers": [')
        # Nothing of them was left running or queued.
        self.assertEqual([b for b in self.mend("list", "-o", "json").json["batches"] if b["status"] != "created"], [])

    def test_a_tier_that_does_not_exist_and_a_retry_of_a_running_tier(self):
        gate = self.directory / "gate"
        batch = self.ok("submit", "--tier", f"wait=until [ -e {gate} ]; do sleep 0.05; done", *self.files(2))
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["status"] == "running", "the tier to run")
        self.refused("retry", batch, "--tier", "7", says=["tier", "7"])
        self.refused("retry", batch, "--tier", "0", says=["running", "cancel"])
        self.refused("cancel", batch, "--tier", "0", "--job", "t0-j9", says=["t0-j9"])
        gate.write_text("")
        self.assertEqual(self.final(batch)["status"], "completed")
        self.refused("retry", batch, "--tier", "0", says=["nothing"])

    def test_a_command_that_is_not_there_is_named(self):
        batch = self.ok("submit", "--tier", "gone=no-such-command-here", *self.files(2))
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "pipeline"))
        self.assertIn("no-such-command-here", json.dumps(diagnosis))
        batch = self.submit_spec({"documents": [{"document_id": "d", "uri": "file:///etc/hostname"}],
                                  "tiers": [{"extractors": [{"extractor_name": "a", "entrypoint": "/no/such/program"}]}]})
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "pipeline"))
        self.assertIn("entrypoint_not_found", [f["cause"] for f in diagnosis["findings"]])

    def test_a_job_that_no_capacity_can_ever_hold_is_said_at_submit(self):
        error = self.refused("submit", "--cpus", "4000", "--tier", "big=true", *self.files(1), says=["4000", "never"])
        self.assertIn("cpu", error.lower())
        error = self.refused("submit", "--memory", "64TiB", "--tier", "big=true", *self.files(1), says=["64 tib", "never"])
        self.assertIn("GiB", error.split("executor has")[1])

    def test_wrong_usage_exits_2_and_no_server_exits_3(self):
        self.refused("submit", status=2)
        self.refused("submit", "--tier", "noequals", str(self.files(1)[0]), status=2, says=["noequals"])
        self.refused("submit", "--tier", "a=true", "/no/such/file", status=2, says=["/no/such/file"])
        self.refused("submit", "--memory", "lots", "--tier", "a=true", str(self.files(1)[0]), status=2, says=["lots"])
        self.refused("heal", "b", "--action", "wish", status=2, says=["wish"])
        answer = self.mend("status", "b", "--server", "127.0.0.1:1")
        self.assertEqual(answer.status, 3, answer.err)
        self.assertIn("127.0.0.1:1", answer.err)

    def test_wrong_usage_is_said_in_the_words_of_the_command_line(self):
        for option in ("--timeout", "--priority", "--max-concurrent"):
            self.refused("submit", option, "-1", "--tier", "a=true", *self.files(1), says=["must be"])
        self.refused("submit", "--cpus", "-1", "--tier", "a=true", *self.files(1), status=2, says=["must be above 0"])
        self.refused("submit", "--memory", "-5", "--tier", "a=true", *self.files(1), status=2, says=["invalid size '-5'"])
        self.refused("cancle", "b", status=2, says=["unknown command 'cancle'", "did you mean cancel"])
        self.refused("list", "--server", "http://127.0.0.1:7443", status=2, says=["is a url", "host:port"])

    def test_output_that_cannot_be_written_is_an_error(self):
        batch = self.ok("submit", "--tier", "ok=echo hello", *self.files(1))
        self.assertEqual(self.final(batch)["status"], "completed")
        history = ["history", batch, "--export", "-"]
        for command in (["list"], ["status", batch, "-o", "json"], ["diagnose", batch], ["logs", batch], history,
                        ["help"], ["version"]):
            answer = self.written_to("/dev/full", *command)
            self.assertEqual(answer.returncode, 1, f"{command}: {answer.stderr}")
            self.assertIn("No space left on device", answer.stderr)
            # A stream that the caller closed is not another file by mistake.
            answer = self.written_to(None, *command)
            self.assertEqual(answer.returncode, 1, f"{command}: {answer.stderr}")
            self.assertIn("Bad file descriptor", answer.stderr)
        answer = self.written_to("/dev/full", "submit", "--tier", "ok=true", *self.files(1))
        self.assertIn("is submitted", answer.stderr)
        tokens = self.directory / "tokens.jsonl"
        answer = self.written_to("/dev/full", "token", "create", "--tokens", tokens, "--namespace", "a", "--role", "viewer")
        self.assertEqual((answer.returncode, tokens.exists()), (1, False), answer.stderr)
        # Who reads no more has what it wanted.
        reader, writer = os.pipe()
        os.close(reader)
        try:
            self.assertEqual(self.written_to(writer, "list").returncode, 0)
        finally:
            os.close(writer)

    def written_to(self, target, *command):
        """Runs a command whose standard output is a file, a descriptor, or closed."""
        environment = {**os.environ, "MEND_SERVER": self.server.address}
        keywords = {"stderr": subprocess.PIPE, "text": True, "timeout": 60, "env": environment}
        command = [MEND, *map(str, command)]
        if target is None:
            return subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], **keywords)
        if isinstance(target, int):
            return subprocess.run(command, stdout=target, **keywords)
        with open(target, "wb") as output:
            return subprocess.run(command, stdout=output, **keywords)


if __name__ == "__main__":
    unittest.main()
