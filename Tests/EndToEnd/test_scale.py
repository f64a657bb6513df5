"""A large batch costs what it costs to send, and Diagnose answers as fast as on a small one."""

import json
import os
import resource
import unittest
import urllib.request
from pathlib import Path

from harness import EndToEndCase, wait_for


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

    def resident_bytes(self):
        for line in Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def test_a_batch_of_two_hundred_thousand_documents_takes_little_memory(self):
        count = 200_000
        self.diagnose(self.ok("submit", "--spec", "-", input=self.spec(1)))
        empty = self.resident_bytes()
        batch = self.ok("submit", "--spec", "-", input=self.spec(count), timeout=180)
        self.assertEqual(self.diagnose(batch)["total_objects"], count)
        # 64 MiB are the bound for a million. What passes through is given back after the snapshot.
        limit = (64 << 20) * count // 1_000_000 + (24 << 20)
        wait_for(
            lambda: self.resident_bytes() - empty <= limit,
            f"at most {limit} bytes over {empty}", seconds=60, interval=1)

    def test_a_full_disk_refuses_changes_and_all_goes_on_when_there_is_room(self):
        batch = self.ok("submit", "--tier", "quick=:", *self.files(2))
        self.final(batch)
        pid = self.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        # No file of the server's may grow any more: as a full disk or a quota has it.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
        refused = wait_for(
            lambda: (lambda a: a if a.status == 1 else None)(self.mend("submit", "--tier", "quick=:", *self.files(1))),
            "a refused change")
        self.assertIn("disk is full", refused.err)
        self.assertEqual(self.diagnose(batch)["status"], "completed")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        again = wait_for(
            lambda: (lambda a: a.out.strip() if a.status == 0 else None)(
                self.mend("submit", "--tier", "quick=:", *self.files(1))),
            "a change that is taken")
        self.assertEqual(self.final(again)["status"], "completed")
        self.assertEqual(self.server.process.pid, pid)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.diagnose(again)["status"], "completed")

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
