"""What a doctor does: tells a hung job from a slow one, ends whole trees, heals, refuses stale plans."""

import json
import os
import signal
import unittest

from harness import EndToEndCase, alive, processes_with, wait_for


class Repair(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def one(self, command, documents=3, **extractor):
        files = self.files(documents)
        return self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in files],
            "tiers": [{"extractors": [{"extractor_name": "work", "document_command": command, **extractor}]}]})

    def test_a_hung_job_is_stuck_and_a_slow_one_is_not(self):
        timers = {"progress_seconds": 3, "heartbeat_seconds": 60}
        slow = self.one("sleep 1", documents=12, timers=timers)
        hung = self.one('case "$MEND_DOCUMENT_ID" in *1) exec sleep 1000;; esac', timers=timers)
        seen = []

        def is_stuck():
            seen.append(self.diagnose(slow)["health"])
            diagnosis = self.diagnose(hung)
            return diagnosis if diagnosis["health"] == "stuck" else None

        diagnosis = wait_for(is_stuck, "the hung job to be called stuck", interval=0.2)
        self.assertEqual(diagnosis["health_reason"], "no_progress")
        self.assertTrue(diagnosis["blocked_reason"])
        self.assertGreaterEqual(diagnosis["stuck_seconds"], 3)
        finding = next(f for f in diagnosis["findings"] if f["cause"] == "no_progress" or f["cause"] == "progress_timeout")
        self.assertTrue(finding["evidence"])
        self.assertEqual(finding["remedy"]["heal"]["action"], "detect_stuck")

        def looked():
            evidence = [e for f in self.diagnose(hung)["findings"] for e in f["evidence"] if "newest_command" in e.get("values", {})]
            return next((e for e in evidence if "recent_seconds" in e["values"]), None)

        look = wait_for(looked, "what its processes do")
        self.assertEqual(look["values"]["process_state"], "waiting")
        self.assertEqual(look["values"]["newest_command"], "sleep 1000")
        self.assertIn("of processor time in the last", look["observed"])

        plan = self.mend("heal", hung, "--action", "detect-stuck", "--dry-run", "-o", "json").json
        self.assertTrue(plan["dry_run"])
        self.assertEqual(len(plan["steps"]), 1, plan)
        self.assertEqual(self.diagnose(hung)["health"], "stuck", "a dry run changes nothing")
        applied = self.mend("heal", hung, "--action", "detect-stuck", "--generation", plan["generation"], "-o", "json")
        self.assertEqual(applied.status, 0, applied.err)
        again = self.mend("heal", hung, "--action", "detect-stuck", "--generation", plan["generation"])
        self.assertEqual(again.status, 1, "yesterday's patient")
        diagnosis = self.final(hung)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        self.assertEqual(diagnosis["failed_document_count"], 1)
        self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["code"], "progress_timeout")

        self.assertEqual(self.final(slow)["status"], "completed")
        self.assertNotIn("stuck", seen, "a slow job is not stuck")

    def test_a_stopped_process_tree_is_stuck_for_want_of_a_heartbeat(self):
        marker = f"mend-test-{os.getpid()}-stop"
        batch = self.one("sleep 0.2", documents=200, env={"MARKER": marker},
                         timers={"heartbeat_seconds": 2, "progress_seconds": 600})
        pids = wait_for(lambda: processes_with(f"MARKER={marker}"), "its processes")
        worker = wait_for(lambda: [p for p in processes_with(f"MARKER={marker}")
                                   if b"worker" in open(f"/proc/{p}/cmdline", "rb").read()], "its worker")[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            diagnosis = wait_for(
                lambda: (lambda d: d if d["health"] == "stuck" else None)(self.diagnose(batch)), "stuck")
            self.assertEqual(diagnosis["health_reason"], "no_heartbeat")
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_for(lambda: self.diagnose(batch)["health"] != "stuck", "its recovery once it runs again")
        self.ok("cancel", batch, "--grace", "0")

    def test_a_tree_that_ignores_term_and_leaves_its_session_is_ended_by_cancel(self):
        marker = f"mend-test-{os.getpid()}-tree"
        command = ("trap '' TERM; setsid sh -c \"trap '' TERM; sleep 1000 & sleep 1000\" & "
                   "(setsid setsid sleep 1000 &); sleep 1000 & wait; wait; sleep 1000")
        batch = self.one(command, documents=1, env={"MARKER": marker})
        wait_for(lambda: len([p for p in processes_with(f"MARKER={marker}")]) >= 6, "the tree to be up")
        tree = processes_with(f"MARKER={marker}")
        answer = self.mend("cancel", batch, "--grace", "1", "-o", "json")
        self.assertEqual(answer.status, 0, answer.err)
        receipt = answer.json
        self.assertEqual(receipt["status"], "cancelled")
        self.assertEqual(len(receipt["ended"]), 1)
        self.assertGreaterEqual(receipt["ended"][0]["processes"], 4)
        self.assertIn("KILL", receipt["ended"][0]["how"])
        self.assertEqual([pid for pid in tree if alive(pid)], [], "the receipt is proof")
        self.assertEqual(processes_with(f"MARKER={marker}"), [])
        self.assertEqual(self.diagnose(batch)["status"], "cancelled")
        self.adds_up(batch)

    def test_one_job_of_a_tier_is_cancelled_and_the_other_goes_on(self):
        files = self.files(3)
        batch = self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in files],
            "tiers": [{"extractors": [{"extractor_name": "good", "document_command": "sleep 0.5"},
                                      {"extractor_name": "bad", "document_command": "sleep 1000"}]}]})
        wait_for(lambda: [j["status"] for j in self.diagnose(batch)["tiers"][0]["jobs"]].count("running") == 2, "both jobs to run")
        jobs = {j["extractor_name"]: j["job_id"] for j in self.diagnose(batch)["tiers"][0]["jobs"]}
        answer = self.mend("cancel", batch, "--tier", "0", "--job", jobs["bad"], "--grace", "0", "-o", "json")
        self.assertEqual(answer.status, 0, answer.err)
        diagnosis = self.final(batch)
        statuses = {j["extractor_name"]: j["status"] for j in diagnosis["tiers"][0]["jobs"]}
        self.assertEqual(statuses, {"good": "succeeded", "bad": "cancelled"})
        self.adds_up(batch)

    def test_a_tier_that_failed_is_retried_and_later_tiers_follow(self):
        flag = self.directory / "repaired"
        files = self.files(4)
        batch = self.ok("submit", "--tier", f"fragile=test -e {flag} || {{ echo 'store is down' >&2; exit 3; }}",
                        "--tier", "after=true", *files)
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "pipeline"))
        self.assertEqual(diagnosis["tiers"][1]["status"], "pending")
        self.assertIn("store is down", json.dumps(diagnosis))
        flag.write_text("")
        self.ok("retry", batch, "--tier", "0")
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual(self.adds_up(batch)["completed"], 4)

    def test_an_attempt_past_its_run_timer_ends_as_run_timeout(self):
        batch = self.one("sleep 1000", documents=2, timers={"run_seconds": 1})
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "timeout"))
        self.assertIn("run_timeout", [f["cause"] for f in diagnosis["findings"]])

    def test_a_rule_of_its_own_raises_memory_by_itself(self):
        batch = self.one("perl -e 'my $x = \"a\" x (120*1024*1024); sleep 1'", documents=1, memory_bytes=64 << 20, retry=[
            {"category": "infrastructure", "cause": "oom", "action": "retry", "memory_factor": 4, "max_attempts": 3,
             "backoff_seconds": 0.1}])
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        attempts = diagnosis["tiers"][0]["jobs"][0]["attempts"]
        self.assertEqual(len(attempts), 2)
        self.assertGreaterEqual(attempts[1]["submission_params"]["memory_bytes"], 256 << 20)


if __name__ == "__main__":
    unittest.main()
