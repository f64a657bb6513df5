"""Stock clients on the real `mend serve`: what grpcio-status reads from its errors, grpclib, and buf curl by reflection."""

import argparse
import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "EndToEnd"))

import grpc
from grpc_tools import protoc

from harness import MEND, EndToEndCase

# Before Mend's own modules: whichever google.rpc is loaded first is everybody's.
try:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status
except ImportError:
    rpc_status = None
try:
    import grpclib.client
    import grpclib.exceptions
except ImportError:
    grpclib = None

_stubs = tempfile.TemporaryDirectory(prefix="mend-interop-stubs-")
_proto = ROOT / "proto"
_schemas = [str(path) for path in sorted((_proto / "mend").rglob("*.proto"))]
assert protoc.main(
    ["protoc", f"-I{_proto}", f"--python_out={_stubs.name}", f"--grpc_python_out={_stubs.name}", *_schemas]) == 0
sys.path.insert(0, _stubs.name)
m = importlib.import_module("mend.v1.batches_pb2")
types = importlib.import_module("mend.v1.types_pb2")
worker = importlib.import_module("mend.v1.worker_pb2")
batches = importlib.import_module("mend.v1.batches_pb2_grpc")
workers = importlib.import_module("mend.v1.worker_pb2_grpc")

TIMEOUT_SECONDS = 60


class StockCase(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.channel = grpc.insecure_channel(
            self.server.address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)])
        self.addCleanup(self.channel.close)
        self.stub = batches.BatchesStub(self.channel)

    def create(self, batch_id, command="true"):
        file = self.files(1)[0]
        return self.stub.CreateBatch(m.CreateBatchRequest(
            batch_id=batch_id,
            batch=types.BatchSpecification(batch_name="n", tiers=[types.TierSpecification(extractors=[
                types.ExtractorSpecification(extractor_name="work", document_command=command)])]),
            documents=[types.Document(document_id="d", uri=file.as_uri())]), timeout=TIMEOUT_SECONDS)


    def error(self, code, reason, call):
        """The details by type, of a call that must end with `code` and an ErrorInfo with `reason`."""
        with self.assertRaises(grpc.RpcError) as caught:
            result = call()
            if hasattr(result, "__next__"):
                list(result)
        error = caught.exception
        self.assertEqual(error.code(), code, error)
        status = rpc_status.from_call(error)
        self.assertIsNotNone(status, f"no google.rpc.Status: {error}")
        self.assertEqual((status.code, status.message), (code.value[0], error.details()))
        details = {}
        for packed in status.details:
            name = packed.TypeName().removeprefix("google.rpc.")
            message = getattr(error_details_pb2, name)()
            self.assertTrue(packed.Unpack(message))
            details[name] = message
        self.assertEqual((details["ErrorInfo"].reason, details["ErrorInfo"].domain), (reason, "mend"))
        trailers = dict(error.trailing_metadata())
        self.assertRegex(details["RequestInfo"].request_id, r"^req-[0-9a-f]{8}-[0-9a-f]+$")
        self.assertEqual(details["RequestInfo"].request_id, trailers["mend-request-id"])
        return details, error


@unittest.skipIf(rpc_status is None, "grpcio-status is not there")
class ErrorDetails(StockCase):
    """Every error carries a google.rpc.Status that a stock library reads, with the same code and text."""

    def test_a_broken_rule_names_its_field(self):
        details, _ = self.error(
            grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR",
            lambda: self.stub.GetBatch(m.GetBatchRequest(batch_id="batch@123"), timeout=TIMEOUT_SECONDS))
        violation = details["BadRequest"].field_violations[0]
        self.assertEqual(violation.field, "batch_id")
        self.assertIn("alphanumeric with hyphens only", violation.description)

    def test_what_is_not_there_names_its_resource(self):
        for call in (lambda: self.stub.GetBatch(m.GetBatchRequest(batch_id="nowhere"), timeout=TIMEOUT_SECONDS),
                     lambda: self.stub.Diagnose(m.DiagnoseRequest(batch_id="nowhere"), timeout=TIMEOUT_SECONDS),
                     lambda: self.stub.WatchProgress(m.WatchProgressRequest(batch_id="nowhere"), timeout=TIMEOUT_SECONDS)):
            details, _ = self.error(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", call)
            self.assertEqual(
                (details["ResourceInfo"].resource_type, details["ResourceInfo"].resource_name), ("batch", "nowhere"))

    def test_an_id_that_is_taken_names_its_resource(self):
        self.create("taken")
        details, _ = self.error(grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS", lambda: self.create("taken"))
        self.assertEqual(details["ResourceInfo"].resource_name, "taken")

    def test_a_state_that_forbids_it_says_what_to_do_first(self):
        self.create("early")
        details, _ = self.error(
            grpc.StatusCode.FAILED_PRECONDITION, "PRECONDITION_FAILED",
            lambda: self.stub.PauseBatch(m.PauseBatchRequest(batch_id="early"), timeout=TIMEOUT_SECONDS))
        self.assertTrue(details["PreconditionFailure"].violations[0].description)

    def test_a_sequence_beyond_the_batchs_names_its_field(self):
        self.create("young")
        details, _ = self.error(
            grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE",
            lambda: self.stub.WatchProgress(
                m.WatchProgressRequest(batch_id="young", after_sequence=10**9), timeout=TIMEOUT_SECONDS))
        self.assertEqual(details["BadRequest"].field_violations[0].field, "after_sequence")

    def test_a_key_used_for_something_else_is_aborted(self):
        self.create("keyed")
        request = lambda batch: m.SubmitBatchRequest(batch_id=batch, idempotency_key="k")
        self.stub.SubmitBatch(request("keyed"), timeout=TIMEOUT_SECONDS)
        self.error(grpc.StatusCode.ABORTED, "ABORTED",
                   lambda: self.stub.SubmitBatch(request("other"), timeout=TIMEOUT_SECONDS))

    def test_an_attempt_token_that_never_was(self):
        stub = workers.WorkerStub(self.channel)
        self.error(
            grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN_ATTEMPT_TOKEN",
            lambda: stub.StartAttempt(worker.StartAttemptRequest(attempt_token="x"), timeout=TIMEOUT_SECONDS))

    def test_bytes_that_are_no_message_are_a_bad_request(self):
        raw = self.channel.unary_unary("/mend.v1.Batches/GetBatch", request_serializer=bytes, response_deserializer=bytes)
        details, _ = self.error(
            grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR", lambda: raw(b"\n\x20abc", timeout=TIMEOUT_SECONDS))
        self.assertTrue(details["BadRequest"].field_violations[0].description)

    def test_a_message_over_the_limit_names_the_limit(self):
        raw = self.channel.unary_unary("/mend.v1.Batches/GetBatch", request_serializer=bytes, response_deserializer=bytes)
        details, _ = self.error(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED", lambda: raw(bytes(5 << 20), timeout=TIMEOUT_SECONDS))
        self.assertNotIn("RetryInfo", details, "waiting does not make it smaller")

    def test_a_method_and_a_service_that_are_not_there(self):
        for path in ("/mend.v1.Batches/Cure", "/mend.v1.Nothing/AtAll"):
            raw = self.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
            self.error(grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED", lambda: raw(b"", timeout=TIMEOUT_SECONDS))

    def test_a_service_that_health_does_not_know(self):
        raw = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
        details, _ = self.error(
            grpc.StatusCode.NOT_FOUND, "NOT_FOUND", lambda: raw(b"\n\x04nope", timeout=TIMEOUT_SECONDS))
        self.assertEqual(
            (details["ResourceInfo"].resource_type, details["ResourceInfo"].resource_name), ("service", "nope"))

    def test_a_server_that_stops_says_when_to_come_back_and_where_to_resume(self):
        self.create("watched", command="sleep 30")
        self.stub.SubmitBatch(m.SubmitBatchRequest(batch_id="watched"), timeout=TIMEOUT_SECONDS)
        call = self.stub.WatchProgress(m.WatchProgressRequest(batch_id="watched"), timeout=TIMEOUT_SECONDS)
        last = next(call).sequence
        self.server.process.terminate()

        def rest():
            nonlocal last
            for message in call:
                last = message.sequence

        details, error = self.error(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", rest)
        self.assertEqual(dict(error.trailing_metadata())["mend-resume-sequence"], str(last))
        self.assertGreater(details["RetryInfo"].retry_delay.seconds, 0)
        self.assertEqual(self.server.process.wait(TIMEOUT_SECONDS), 0)
        self.server.start()


@unittest.skipIf(rpc_status is None, "grpcio-status is not there")
class TokenErrors(StockCase):
    """With tokens: who may not do something is told what is missing."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mend-tokens-")
        self.addCleanup(folder.cleanup)
        tokens = f"{folder.name}/tokens.jsonl"
        self.viewer = subprocess.run(
            [MEND, "token", "create", "--tokens", tokens, "--namespace", "default", "--role", "viewer"],
            capture_output=True, text=True, check=True).stdout.split()[-1]
        self.serve_flags = ("--tokens", tokens)
        super().setUp()

    def _end_everything(self):
        self.server.kill()

    def test_no_token_one_that_is_unknown_a_low_role_and_a_closed_namespace(self):
        def call(*metadata, change=False):
            if change:
                request = m.CancelBatchRequest(batch_id="b")
                return lambda: self.stub.CancelBatch(request, metadata=metadata, timeout=TIMEOUT_SECONDS)
            return lambda: self.stub.Diagnose(
                m.DiagnoseRequest(batch_id="b"), metadata=metadata, timeout=TIMEOUT_SECONDS)

        viewer = ("authorization", f"Bearer {self.viewer}")
        self.error(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", call())
        self.error(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", call(("authorization", "Bearer mend_no")))
        details, _ = self.error(grpc.StatusCode.PERMISSION_DENIED, "ROLE_TOO_LOW", call(viewer, change=True))
        self.assertEqual(details["ErrorInfo"].metadata["needed"], "operator")
        self.error(grpc.StatusCode.PERMISSION_DENIED, "NAMESPACE_CLOSED", call(viewer, ("mend-namespace", "other")))
        self.error(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", call(viewer))


class Grpclib(StockCase):
    @unittest.skipIf(grpclib is None, "grpclib is not there")
    def test_unary_calls_streams_and_errors(self):
        self.create("lib", command="sleep 0.05")
        host, port = self.server.address.rsplit(":", 1)

        async def go():
            channel = grpclib.client.Channel(host, int(port))
            try:
                submit = grpclib.client.UnaryUnaryMethod(
                    channel, "/mend.v1.Batches/SubmitBatch", m.SubmitBatchRequest, m.SubmitBatchResponse)
                await submit(m.SubmitBatchRequest(batch_id="lib"), timeout=TIMEOUT_SECONDS)
                watch = grpclib.client.UnaryStreamMethod(
                    channel, "/mend.v1.Batches/WatchProgress", m.WatchProgressRequest, m.WatchProgressResponse)
                async with watch.open(timeout=TIMEOUT_SECONDS) as stream:
                    await stream.send_message(m.WatchProgressRequest(batch_id="lib"), end=True)
                    messages = [message async for message in stream]
                self.assertTrue(messages[0].snapshot)
                self.assertTrue(messages[-1].terminal)
                diagnose = grpclib.client.UnaryUnaryMethod(
                    channel, "/mend.v1.Batches/Diagnose", m.DiagnoseRequest, m.DiagnoseResponse)
                answers = await asyncio.gather(
                    *(diagnose(m.DiagnoseRequest(batch_id="lib"), timeout=TIMEOUT_SECONDS) for _ in range(200)))
                self.assertEqual({answer.status for answer in answers}, {types.BATCH_STATUS_COMPLETED})
                with self.assertRaises(grpclib.exceptions.GRPCError) as caught:
                    await diagnose(m.DiagnoseRequest(batch_id="nowhere"), timeout=TIMEOUT_SECONDS)
                self.assertEqual(caught.exception.status.name, "NOT_FOUND")
                # Read with google.rpc's own types where grpclib finds them.
                self.assertTrue(caught.exception.details is None or len(caught.exception.details) >= 2)
            finally:
                channel.close()

        asyncio.run(go())


class BufCurl(StockCase):
    """A client without any schema: it asks the server for it."""

    buf = Path(sys.executable).parent / "buf"

    def setUp(self):
        if not self.buf.exists():
            self.skipTest("buf is not there")
        super().setUp()

    def curl(self, *arguments):
        done = subprocess.run(
            [str(self.buf), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments],
            capture_output=True, text=True, timeout=TIMEOUT_SECONDS,
            env={**os.environ, "HOME": str(self.directory), "BUF_CACHE_DIR": str(self.directory)})
        return done.returncode, done.stdout, done.stderr

    def url(self, path=""):
        return f"http://{self.server.address}{path}"

    def test_it_finds_every_method_by_reflection(self):
        for version in ("grpc-v1", "grpc-v1alpha"):
            status, out, err = self.curl("--list-methods", "--reflect-protocol", version, self.url())
            self.assertEqual(status, 0, err)
            methods = out.split()
            for method in ("mend.v1.Batches/Diagnose", "mend.v1.Worker/Report", "grpc.health.v1.Health/Watch"):
                self.assertIn(method, methods)

    def test_it_calls_and_is_told_what_is_wrong(self):
        self.create("curled")
        status, out, err = self.curl("-d", '{"batch_id": "curled"}', self.url("/mend.v1.Batches/Diagnose"))
        self.assertEqual(status, 0, err)
        self.assertEqual(json.loads(out)["batchId"], "curled")
        status, out, err = self.curl("-d", '{"batch_id": "nowhere"}', self.url("/mend.v1.Batches/Diagnose"))
        self.assertNotEqual(status, 0)
        failure = json.loads(err)
        self.assertEqual(failure["code"], "not_found")
        self.assertIn("google.rpc.ResourceInfo", [detail["type"] for detail in failure["details"]])

    def test_it_reads_a_stream(self):
        self.create("streamed", command="true")
        self.stub.SubmitBatch(m.SubmitBatchRequest(batch_id="streamed"), timeout=TIMEOUT_SECONDS)
        status, out, err = self.curl("-d", '{"batch_id": "streamed"}', self.url("/mend.v1.Batches/WatchProgress"))
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r'"terminal":\s*true')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--summary", required=True)
    parser.add_argument("--only", default="")
    arguments, _ = parser.parse_known_args()
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    chosen = unittest.TestSuite(
        test for group in suite for test in group if re.search(arguments.only, test.id()))
    result = unittest.TextTestRunner(verbosity=2).run(chosen)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    Path(arguments.summary).write_text(f"{passed} {failed} {len(result.skipped)}\n")


if __name__ == "__main__":
    main()
