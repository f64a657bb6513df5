"""The main job: real files through tiers, out of memory and back, counts that add up."""

import json
import unittest
from pathlib import Path

from harness import EndToEndCase, real_texts, wait_for


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


class MainJob(EndToEndCase):
    def test_three_hundred_real_files_pass_two_tiers_and_the_counts_add_up(self):
        files = real_texts(300)
        done = self.directory / "done.log"
        answer = self.mend(
            "submit", "--name", "texts", "--wait", "--cpus", "2",
            "--tier", f'count=wc -c < "$MEND_PATH" >> {done}',
            "--tier", 'check=sha256sum "$MEND_PATH"', *files)
        self.assertEqual(answer.status, 0, answer.err)
        batch = answer.out.strip()
        self.assertRegex(batch, r"^[A-Za-z0-9-]{1,64}$")
        self.assertEqual(len(lines_of(done)), 300)
        progress = self.adds_up(batch)
        self.assertEqual((progress["completed"], progress["total"]), (300, 300))
        self.assertEqual(progress["percentage"], 100)
        diagnosis = self.diagnose(batch)
        self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"))
        self.assertEqual(diagnosis["overall_progress"], 100)
        self.assertEqual([tier["status"] for tier in diagnosis["tiers"]], ["completed", "completed"])
        self.assertEqual([tier["progress"]["processed_documents"] for tier in diagnosis["tiers"]], [300, 300])
        self.assertEqual({c["collection_id"]: c["document_count"] for c in diagnosis["collections"]},
                         {"count": 300, "check": 300})

    def test_two_extractors_run_side_by_side_and_both_must_commit(self):
        files = self.files(20)
        specification = {
            "bucket_id": "reports", "batch_name": "side by side",
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in files],
            "tiers": [{"extractors": [
                {"extractor_name": "size", "document_command": 'test -s "$MEND_PATH"', "collection_id": "sizes", "shards": 2},
                {"extractor_name": "odd", "collection_id": "odds",
                 "document_command": 'case "$MEND_DOCUMENT_ID" in *7) echo "ends in seven" >&2; exit 9;; esac'}]}]}
        batch = self.submit_spec(specification)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual((diagnosis["health"], diagnosis["has_failures"]), ("degraded", True))
        self.assertEqual(diagnosis["failed_document_count"], 2)
        self.assertEqual([d["error"]["message"] for d in diagnosis["failed_documents_sample"]], ["ends in seven"] * 2)
        jobs = {job["job_id"]: job for job in diagnosis["tiers"][0]["jobs"]}
        self.assertEqual(len(jobs), 3)
        progress = self.adds_up(batch)
        self.assertEqual((progress["completed"], progress["failed"]), (18, 2))
        summary = self.status(batch)["error_summary"]
        self.assertEqual([(s["error_type"], s["count"]) for s in summary], [("exit_code", 2)])

    def test_out_of_memory_is_named_with_evidence_and_healed_by_more_memory(self):
        runs = self.directory / "runs.log"
        files = self.files(30)
        greedy = files[12]
        command = (f'echo "$MEND_DOCUMENT_ID" >> {runs}; '
                   f'if [ "$MEND_PATH" = "{greedy}" ]; then exec perl -e \'my $x = "a" x (150*1024*1024); sleep 1\'; fi')
        batch = self.ok("submit", "--memory", "96MiB", "--tier", f"read={command}", *files)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "failed")
        self.assertEqual(diagnosis["failure_category"], "infrastructure")
        self.assertIn("oom", [event["type"] for event in diagnosis["infrastructure_events"]])
        finding = next(f for f in diagnosis["findings"] if f["cause"] == "oom")
        self.assertEqual(finding["category"], "infrastructure")
        self.assertEqual(finding["confidence"], "high")
        self.assertTrue(finding["evidence"])
        exit_record = diagnosis["tiers"][0]["jobs"][0]["attempts"][-1]["exit"]
        self.assertTrue(exit_record["memory_limit_exceeded"])
        self.assertEqual(exit_record["memory_limit_bytes"], 96 * 1024 * 1024)
        self.assertGreater(exit_record["peak_memory_bytes"], 96 * 1024 * 1024)
        self.assertTrue(any("--memory" in text for text in diagnosis["recommendations"] + diagnosis["next_actions"]),
                        diagnosis["recommendations"])
        sample = diagnosis["failed_documents_sample"]
        self.assertEqual([Path(d["file_path"]).name for d in sample], [greedy.name], "only what was in process failed")
        before = self.adds_up(batch)
        first_runs = lines_of(runs)

        self.ok("retry", batch, "--tier", "0", "--memory", "400MiB")
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        progress = self.adds_up(batch)
        self.assertEqual((progress["completed"], progress["failed"]), (30, 0))
        again = lines_of(runs)[len(first_runs):]
        self.assertEqual(len(again), 30 - before["completed"], "only what was left is done again")
        self.assertEqual(len(set(again)), len(again))

    def test_an_entrypoint_reports_by_mend_report_and_one_that_never_does_is_opaque(self):
        files = self.files(6)
        from harness import MEND
        script = self.directory / "entry.sh"
        script.write_text(f"""#!/bin/sh
set -e
{MEND} report --stage loading
while read -r line; do
  id=$(printf '%s' "$line" | sed 's/.*"document_id" *: *"\\([^"]*\\)".*/\\1/')
  case "$id" in
    *3) {MEND} report --failed "$id=format_error:unsupported format" ;;
    *) {MEND} report --done "$id" ;;
  esac
done < "$MEND_MANIFEST"
{MEND} report --stage writing --written texts=5
""")
        batch = self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in files],
            "tiers": [{"extractors": [{"extractor_name": "script", "entrypoint": f"sh {script}", "collection_id": "texts"}]},
                      {"extractors": [{"extractor_name": "opaque", "entrypoint": "test -s \"$MEND_MANIFEST\""}]}]})
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis, indent=1)[:4000])
        self.assertEqual(diagnosis["failed_document_count"], 1)
        self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["code"], "format_error")
        self.assertEqual(diagnosis["tiers"][1]["progress"]["processed_documents"], 5)
        names = [stage["name"] for stage in diagnosis["tiers"][0]["progress"]["stage_history"]]
        self.assertIn("loading", names)
        self.assertEqual({c["collection_id"]: c["document_count"] for c in diagnosis["collections"]}["texts"], 5)

    def test_status_shows_pages_of_documents_and_only_the_fields_asked_for(self):
        files = self.files(5)
        batch = self.ok("submit", "--tier", "ok=true", *files)
        self.final(batch)
        detailed = self.status(batch, "--include-job-details")
        self.assertEqual(len(detailed["job_details"]), 5)
        self.assertTrue(all(d["status"] == "completed" and d["progress"] == 100 for d in detailed["job_details"]))
        metrics = self.status(batch, "--metrics-only")
        self.assertEqual(metrics["progress"]["completed"], 5)
        self.assertFalse(metrics.get("job_details"))
        masked = self.status(batch, "--fields", "progress")
        self.assertIn("progress", masked)
        self.assertNotIn("timing", {k for k, v in masked.items() if v})
        listed = self.mend("list", "--status", "completed", "-o", "json").json["batches"]
        self.assertEqual([b["batch_id"] for b in listed], [batch])

    def test_pause_stops_new_claims_and_resume_goes_on(self):
        gate = self.directory / "gate"
        files = self.files(10)
        batch = self.ok("submit", "--tier", f"wait=until [ -e {gate} ]; do sleep 0.05; done", *files)
        wait_for(lambda: self.status(batch)["progress"]["processing"] > 0, "a document in process")
        self.ok("pause", batch)
        self.assertEqual(self.status(batch)["status"], "paused")
        gate.write_text("")
        # What was claimed runs to its end; nothing new is started.
        wait_for(lambda: self.status(batch)["progress"]["processing"] == 0, "documents in process to end")
        held = self.adds_up(batch)
        self.assertGreater(held["pending"], 0)
        self.ok("resume", batch)
        self.assertEqual(self.final(batch)["status"], "completed")


if __name__ == "__main__":
    unittest.main()
