"""A large batch costs what it costs to send, and Diagnose answers as fast as on a small one."""

import json
import os
import statistics
import subprocess
import unittest
import urllib.request

from harness import EndToEndCase, MEND, wait_for


class Scale(EndToEndCase):
    def spec(self, count):
        return json.dumps({
            "batch_id": f"docs-{count}",
            "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/d{n}.txt"} for n in range(count)],
            "tiers": [{"extractors": [{"extractor_name": "wait", "entrypoint": "sleep 1000"}]}]})

    def test_a_hundred_thousand_documents_are_submitted_in_one_go_and_survive_a_kill(self):
        batch = self.ok("submit", "--spec", "-", input=self.spec(100_000), timeout=180)
        self.assertEqual(self.diagnose(batch)["total_objects"], 100_000)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.adds_up(batch)["total"], 100_000)
        self.ok("cancel", batch, "--grace", "0")
        self.assertEqual(self.diagnose(batch)["status"], "cancelled")

    def test_a_worker_commits_each_document_once_through_claim_and_report(self):
        count = 500
        batch = self.ok("submit", "--tier", "quick=:", *self.files(count))
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual(self.adds_up(batch)["completed"], count)
        self.assertEqual(diagnosis["repeated_work_count"], 0)

    def test_the_admin_port_answers_machines(self):
        def get(path):
            with urllib.request.urlopen(f"http://{self.server.admin}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        self.assertEqual(get("/healthz")[0], 200)
        self.assertEqual(get("/readyz")[0], 200)
        self.mend("list")
        status, text = get("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("mend_rpc_calls_total", text)
        self.assertRegex(text, r"(?m)^# TYPE ")


if __name__ == "__main__":
    unittest.main()
