"""The Python worker of tools/ray as an entrypoint of local attempts: whatever an extractor says, the batch ends."""

import json
import os
import sys
import textwrap

from harness import ROOT
from test_incidents import Incident


class PythonWorker(Incident):
    def work(self, script, documents=2, **extractor):
        """A batch whose one job runs `script`, which finds `worker`; its diagnosis at the end."""
        program = self.directory / "work.py"
        program.write_text("from mend_ray_worker import Worker, Document, _run_command\nimport os, sys\n"
                           + textwrap.dedent(script))
        path = f"PYTHONDONTWRITEBYTECODE=1 MEND_PROTO={ROOT}/proto PYTHONPATH={ROOT}/tools/ray"
        return self.final(self.one(entrypoint=f"{path} exec {sys.executable} {program}", documents=documents, **extractor))

    def errors(self, diagnosis):
        return [d["error"] for d in diagnosis["failed_documents_sample"]]

    def test_words_that_are_no_text_are_reported_all_the_same(self):
        diagnosis = self.work(r"""
            with Worker() as worker:
                documents = worker.documents()
                first, second = next(documents), next(documents)
                worker.failed(first.id, 7, os.fsdecode(b"caf\xe9.pdf is no PDF"), {"pages": 5, 1: None})
                worker.failed(second.id, "bad", ValueError("x" * 10_000), {"y": "z" * 10_000})
            """)
        first, second = sorted(self.errors(diagnosis), key=lambda error: error["code"])
        self.assertEqual((first["code"], first["message"]), ("7", r"caf\udce9.pdf is no PDF"))
        self.assertEqual(first["details"]["pages"], "5")
        self.assertEqual(second["code"], "bad")
        self.assertTrue(second["message"].startswith("xxx"))

    def test_a_report_that_cannot_be_made_ends_the_worker(self):
        diagnosis = self.work(r"""
            with Worker() as worker:
                for document in worker.documents():
                    worker._hold("completed", [object()])
            """)
        self.assertEqual(diagnosis["status"], "failed")
        self.assertIn("TypeError", json.dumps(diagnosis["findings"]))

    def test_many_long_failures_go_in_several_reports(self):
        diagnosis = self.work(r"""
            with Worker(claim=500) as worker:
                for document in worker.documents():
                    worker.failed(document.id, "bad", "\U0001f480" * 4_000, {str(n): "\U0001f480" * 1_000 for n in range(16)})
            """, documents=500)
        self.assertEqual(diagnosis["failed_document_count"], 500)

    def test_a_busy_server_is_asked_again_and_only_what_is_too_large_goes_in_halves(self):
        diagnosis = self.work(r"""
            import grpc

            class Busy(grpc.RpcError):
                def code(self):
                    return grpc.StatusCode.RESOURCE_EXHAUSTED
                def details(self):
                    return "unanswered_calls"
                def trailing_metadata(self):
                    return (("grpc-status-details-bin", b"\x1a(\n&type.googleapis.com/google.rpc.RetryInfo"),)

            class TooLarge(Busy):
                def trailing_metadata(self):
                    return ()

            refusals, sizes = [Busy, Busy, TooLarge], []
            with Worker(claim=8) as worker:
                once = worker._calls.once
                def refused_at_first(method, request):
                    if method == "Report" and request.completed:
                        sizes.append(len(request.completed))
                        if refusals:
                            raise refusals.pop(0)()
                    return once(method, request)
                worker._calls.once = refused_at_first
                documents = worker.documents()
                worker._report("", [("completed", next(documents).id) for _ in range(8)])
                for document in documents:
                    worker.done(document.id)
            assert sizes == [8, 8, 8, 4, 4], sizes
            """, documents=8)
        self.assertEqual(diagnosis["status"], "completed", diagnosis)

    def test_what_a_command_leaves_behind_holds_no_document(self):
        diagnosis = self.work(r"""
            with Worker() as worker:
                worker.assignment.document_command = (
                    '(while echo beat >&2; do :; done) & sleep 1000 2>&1 & echo "the last word" >&2; exit 3')
                for document in worker.documents():
                    _run_command(worker, document)
            """)
        for error in self.errors(diagnosis):
            self.assertEqual((error["code"], error["details"]), ("exit_code", {"exit_code": "3"}))

    def test_a_worker_that_is_refused_for_good_says_no_more_than_it_knows(self):
        diagnosis = self.work("""
            import uuid
            same = uuid.uuid4()
            uuid.uuid4 = lambda: same
            with Worker() as worker:
                for document in worker.documents():
                    worker.done(document.id)
                    worker._flush()
            """)
        said = self.ok("logs", diagnosis["batch_id"], "--job", "t0-j0", "--attempt", 1, "--stream", "stderr")
        self.assertIn("mend_ray_worker: this attempt is over: ", said)

    def test_a_name_is_bytes(self):
        name = os.fsencode(self.directory) + b"/caf\xe9 #1.txt"
        with open(name, "w", encoding="utf-8") as file:
            file.write("text")
        self.ok("submit", "--batch-id", "latin", "--tier", 'read=cat "$MEND_PATH"', "--wait", name)
        document = self.status("latin", "--include-job-details")["job_details"][0]
        self.assertEqual(document["status"], "completed")
        self.assertTrue(document["file_path"].endswith("/caf%E9%20%231.txt"), document)
