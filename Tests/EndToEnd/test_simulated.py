"""The real program with attempts that are no processes: their ends, diagnoses and cancels are those of real ones."""

import json
import time

from harness import EndToEndCase, processes_with, wait_for


class Simulated(EndToEndCase):
    serve_flags = ("--executor", "simulated")

    def submit(self, words, documents=100, tiers=1, **extractor):
        return self.submit_spec({
            "documents": [{"document_id": f"d{n}", "uri": f"file:///nowhere/d{n}"} for n in range(documents)],
            "tiers": [
                {"extractors": [{"extractor_name": f"t{tier}", "document_command": f"simulate {words}", **extractor}]}
                for tier in range(tiers)]})

    def test_a_batch_over_files_runs_to_its_end(self):
        batch = self.ok("submit", "--tier", "text=simulate", "--tier", "index=simulate claim=3", *self.files(40))
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual(self.adds_up(batch)["completed"], 40)
        # No process bears its name: nothing was started.
        self.assertEqual([p for p in processes_with(batch) if p != self.server.process.pid], [])

    def test_documents_fail_as_they_are_told_to_and_again_the_same(self):
        first, second = (self.submit("fail=10%:corrupt seed=7", documents=500) for _ in range(2))
        failed = []
        for batch in (first, second):
            self.assertEqual(self.final(batch)["status"], "completed")
            self.assertTrue(self.diagnose(batch)["has_failures"])
            errors = self.status(batch)["error_summary"]
            self.assertEqual([e["error_type"] for e in errors], ["corrupt"])
            failed.append(self.adds_up(batch)["failed"])
        self.assertEqual(failed[0], failed[1])
        self.assertTrue(20 <= failed[0] <= 90, failed)

    def test_out_of_memory_is_diagnosed_and_more_memory_repairs_it(self):
        batch = self.submit("oom_at=57 memory=300000000", memory_bytes=200_000_000)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "failed")
        self.assertEqual(diagnosis["failure_category"], "infrastructure")
        finding = diagnosis["findings"][0]
        self.assertEqual((finding["category"], finding["cause"], finding["confidence"]), ("infrastructure", "oom", "high"))
        self.assertTrue(finding["evidence"])
        self.ok("heal", batch, "--action", "auto")
        self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual(self.adds_up(batch)["completed"], 100)

    def test_exit_codes_and_signals_are_named(self):
        for words, cause in (("exit=3", "exit_code"), ("signal_at=5:11", "signal"), ("exit_at=5:3", "exit_code")):
            diagnosis = self.final(self.submit(words, documents=10))
            self.assertEqual(diagnosis["status"], "failed", words)
            self.assertEqual(diagnosis["findings"][0]["cause"], cause, words)

    def test_what_does_not_go_on_is_stuck_and_healed(self):
        for words in ("hang_at=5 times=1", "silence_at=5 times=1"):
            batch = self.submit(
                words, documents=20,
                timers={"heartbeat_seconds": 2, "progress_seconds": 3, "start_seconds": 5})
            found = wait_for(
                lambda: (lambda d: d if d["health"] == "stuck" else None)(self.diagnose(batch)), "stuck")
            self.assertEqual(found["health_reason"], "no_progress" if "hang" in words else "no_heartbeat")
            self.ok("heal", batch, "--action", "detect-stuck")
            self.assertIn(self.final(batch)["status"], ("completed", "failed"))
            self.adds_up(batch)

    def test_a_cancel_ends_it_and_says_how(self):
        batch = self.submit("document_seconds=3600 ignore_term")
        wait_for(lambda: self.status(batch)["progress"]["processing"], "a document in process")
        answer = json.loads(self.ok("cancel", batch, "--grace", "0.2", "-o", "json"))
        self.assertEqual(answer["status"], "cancelled")
        self.assertEqual([(e["processes"], e["how"]) for e in answer["ended"]], [(1, "SIGKILL after 0.2 s")])
        self.assertEqual(self.final(batch)["status"], "cancelled")

    def test_after_kill_nine_they_are_orphaned_and_the_batch_ends(self):
        batch = self.submit("document_seconds=0.02 claim=4", documents=200, tiers=2)
        wait_for(lambda: self.status(batch)["progress"]["processing"], "a document in process")
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["progress"]["processed_documents"], "a document done")
        self.server.kill()
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", diagnosis.get("findings"))
        attempts = [a for t in diagnosis["tiers"] for j in t["jobs"] for a in j["attempts"]]
        self.assertIn("orphaned", json.dumps(attempts))
        self.assertEqual(self.adds_up(batch)["completed"], 200)

    def test_a_duplicate_is_found_and_killed(self):
        batch = self.submit("duplicate document_seconds=3600")
        plan = wait_for(
            lambda: json.loads(self.ok("heal", batch, "--action", "kill-duplicates", "--dry-run", "-o", "json"))["steps"],
            "a plan against the duplicate")
        self.assertIn(":again", json.dumps(plan))
        self.ok("heal", batch, "--action", "kill-duplicates")
        self.ok("cancel", batch)

    def test_words_that_are_not_understood_are_named(self):
        batch = self.submit("fial=3%", documents=3)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "failed")
        self.assertIn("fial", json.dumps(diagnosis))

    def test_hundreds_of_jobs_run_at_once(self):
        began = time.monotonic()
        batch = self.submit("document_seconds=0.05", documents=10_000, shards=250)
        self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual(self.adds_up(batch)["completed"], 10_000)
        print(f"     10,000 documents of 0.05 s over 250 jobs: {time.monotonic() - began:.1f} s", flush=True)
