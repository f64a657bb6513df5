"""What a batch or a namespace was given beforehand: to heal itself, and how much it may have at once."""

import json
import os
import signal
import unittest

from harness import wait_for
from test_incidents import Incident


class AutoHeal(Incident):
    def healing(self, command, **extractor):
        return self.submit_spec({
            "auto_heal": {"enabled": True, "max_heals": 3},
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in self.files(2)],
            "tiers": [{"extractors": [{"extractor_name": "work", "document_command": command, **extractor}]}]})

    def healed(self, batch):
        """What was done to it, and by whom, as its history has it."""
        events = [json.loads(line) for line in self.ok("history", batch, "-o", "jsonl").splitlines()]
        return [e for e in events if e["kind"] == "healed"]

    def test_too_little_memory_is_mended_without_being_asked(self):
        # 96 MiB, held long enough to be seen.
        command = "perl -e 'my $x = q(a) x (96 << 20); select(undef, undef, undef, 0.7)'"
        batch = self.healing(command, memory_bytes=64 << 20)
        diagnosis = wait_for(
            lambda: (lambda d: d if d["status"] == "completed" else None)(self.diagnose(batch)), "it to heal")
        self.assertEqual(self.adds_up(batch)["completed"], 2)
        attempts = self.attempts(diagnosis)
        self.assertEqual(attempts[0]["failure_cause"], "oom")
        self.assertGreater(attempts[-1]["submission_params"]["memory_bytes"], 96 << 20)
        healed = self.healed(batch)
        self.assertTrue(healed)
        self.assertEqual({e["actor"] for e in healed}, {"auto_heal"})

    def test_a_stopped_worker_is_ended_and_its_work_done_by_another(self):
        gate = self.directory / "gate"
        batch = self.healing(
            f"[ -e {gate} ] || exec sleep 1008", timers={"heartbeat_seconds": 2, "progress_seconds": 600})
        self.up("1008")
        gate.write_text("")
        for pid in self.running("worker"):
            os.kill(pid, signal.SIGSTOP)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        self.assertEqual(self.attempts(diagnosis)[0]["failure_cause"], "heartbeat_timeout")
        self.assertEqual({e["actor"] for e in self.healed(batch)}, {"auto_heal"})
        self.assertEqual(self.running("1008"), [])


class Quotas(Incident):
    serve_flags = ("--cpus", "4", "--quota", "small=cpus:1")

    def test_who_has_used_up_its_quota_waits_and_nobody_else_does(self):
        gate = self.directory / "gate"
        files = self.files(1)
        until = f"work=until [ -e {gate} ]; do sleep 0.05; done"
        small = {"MEND_NAMESPACE": "small"}

        def diagnose(batch):
            return json.loads(self.ok("diagnose", batch, "-o", "json", environment=small))

        first, second = (self.ok("submit", "--tier", until, *files, environment=small) for _ in range(2))
        wait_for(lambda: diagnose(first)["status"] == "running", "the first to run")
        # Three CPUs are idle, and others have them.
        other = self.ok("submit", "--tier", "work=true", *files)
        self.assertEqual(self.final(other)["status"], "completed")
        waiting = diagnose(second)
        self.assertEqual((waiting["status"], waiting["health_reason"]), ("queued", "quota"), json.dumps(waiting["findings"]))
        refused = self.mend("submit", "--cpus", "2", "--tier", "work=true", *files, environment=small)
        self.assertEqual(refused.status, 1)
        self.assertIn("quota", refused.err)
        gate.write_text("")
        for batch in (first, second):
            wait_for(lambda batch=batch: diagnose(batch)["status"] == "completed", f"{batch} to complete")


if __name__ == "__main__":
    unittest.main()
