"""Stock grpcio, unmodified, with stubs made from proto/ by grpc_tools, is a client of Mend; and what bad bytes get."""

import importlib
import os
import socket
import struct
import sys
import tempfile
import unittest
from pathlib import Path

from harness import ROOT, EndToEndCase, wait_for

try:
    import grpc
    from google.protobuf import json_format
    from grpc_tools import protoc
except ImportError as error:
    raise unittest.SkipTest(f"grpcio and grpcio-tools are not there: {error}")

import atexit
import shutil

_stubs = tempfile.mkdtemp(prefix="mend-stubs-")
atexit.register(shutil.rmtree, _stubs, True)
_proto = ROOT / "proto"
_schemas = [str(p) for p in sorted((_proto / "mend").rglob("*.proto")) + sorted((_proto / "grpc").rglob("*.proto"))]
assert protoc.main(["protoc", f"-I{_proto}", f"--python_out={_stubs}", f"--grpc_python_out={_stubs}", *_schemas]) == 0
sys.path.insert(0, _stubs)
batches_pb2 = importlib.import_module("mend.v1.batches_pb2")
types_pb2 = importlib.import_module("mend.v1.types_pb2")
batches_grpc = importlib.import_module("mend.v1.batches_pb2_grpc")


class StockClient(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.channel = grpc.insecure_channel(self.server.address)
        self.addCleanup(self.channel.close)
        self.stub = batches_grpc.BatchesStub(self.channel)

    def create(self, batch_id="", documents=5, command="true"):
        request = batches_pb2.CreateBatchRequest(
            batch_id=batch_id, idempotency_key=f"create-{batch_id}",
            batch=types_pb2.BatchSpecification(
                batch_name="from python",
                tiers=[types_pb2.TierSpecification(extractors=[
                    types_pb2.ExtractorSpecification(extractor_name="work", document_command=command)])]),
            documents=[types_pb2.Document(document_id=f.stem, uri=f.as_uri()) for f in self.files(documents)])
        return self.stub.CreateBatch(request)

    def test_grpcio_creates_submits_watches_and_diagnoses(self):
        created = self.create("py-1", command="sleep 0.05")
        self.assertEqual((created.batch_id, created.total_objects), ("py-1", 5))
        self.stub.SubmitBatch(batches_pb2.SubmitBatchRequest(batch_id="py-1", idempotency_key="s"))
        messages = list(self.stub.WatchProgress(batches_pb2.WatchProgressRequest(batch_id="py-1")))
        self.assertTrue(messages[0].snapshot)
        self.assertTrue(messages[-1].terminal)
        self.assertEqual(messages[-1].status, types_pb2.BATCH_STATUS_COMPLETED)
        diagnosis = self.stub.Diagnose(batches_pb2.DiagnoseRequest(batch_id="py-1"))
        self.assertEqual(diagnosis.status, types_pb2.BATCH_STATUS_COMPLETED)
        self.assertEqual(diagnosis.health, types_pb2.HEALTH_OK)
        self.assertEqual(diagnosis.total_objects, 5)
        self.assertEqual(diagnosis.overall_progress, 100)
        # Python's protobuf and ours read the same bytes.
        again = batches_pb2.DiagnoseResponse.FromString(diagnosis.SerializeToString())
        self.assertEqual(json_format.MessageToDict(again), json_format.MessageToDict(diagnosis))

    def test_an_idempotency_key_answers_the_same_and_is_refused_for_another_request(self):
        first = self.create("py-2")
        self.assertEqual(self.create("py-2"), first)
        with self.assertRaises(grpc.RpcError) as caught:
            self.create("py-2", documents=4)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.ABORTED)

    def test_errors_carry_status_text_and_details(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.Diagnose(batches_pb2.DiagnoseRequest(batch_id="nowhere"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertIn("nowhere", caught.exception.details())
        details = dict(caught.exception.trailing_metadata())["grpc-status-details-bin"]
        self.assertIn(b"google.rpc.ResourceInfo", details)
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.GetBatch(batches_pb2.GetBatchRequest(batch_id="batch@123"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("alphanumeric with hyphens only", caught.exception.details())
        self.assertIn(b"google.rpc.BadRequest", dict(caught.exception.trailing_metadata())["grpc-status-details-bin"])

    def test_a_watch_that_the_client_cancels_and_a_deadline_that_passes(self):
        self.create("py-3", command="sleep 30")
        self.stub.SubmitBatch(batches_pb2.SubmitBatchRequest(batch_id="py-3"))
        call = self.stub.WatchProgress(batches_pb2.WatchProgressRequest(batch_id="py-3"))
        self.assertTrue(next(call).snapshot)
        call.cancel()
        with self.assertRaises(grpc.RpcError) as caught:
            list(self.stub.WatchProgress(batches_pb2.WatchProgressRequest(batch_id="py-3"), timeout=0.5))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(self.stub.Diagnose(batches_pb2.DiagnoseRequest(batch_id="py-3")).status,
                         types_pb2.BATCH_STATUS_RUNNING)

    def test_a_message_over_4_mib_and_one_cut_short_are_refused_and_the_connection_lives(self):
        raw = self.channel.unary_unary("/mend.v1.Batches/Diagnose", request_serializer=bytes, response_deserializer=bytes)
        with self.assertRaises(grpc.RpcError) as caught:
            raw(b"\n\x01a" + b"\x1a\x84\x80\x80\x02" + b"x" * (4 << 20))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertIn("4194304", caught.exception.details())
        with self.assertRaises(grpc.RpcError) as caught:
            raw(b"\n\x20abc")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.create("py-4")
        self.assertEqual(self.stub.GetBatch(batches_pb2.GetBatchRequest(batch_id="py-4")).progress.total, 5)

    def test_an_unknown_method_is_unimplemented_and_health_serves(self):
        raw = self.channel.unary_unary("/mend.v1.Batches/Cure", request_serializer=bytes, response_deserializer=bytes)
        with self.assertRaises(grpc.RpcError) as caught:
            raw(b"")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        health = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
        self.assertEqual(health(b""), b"\x08\x01")


if __name__ == "__main__":
    unittest.main()
