"""The contract of the calls: tokens and TLS, idempotency keys and refusals, as a stock client meets them."""

import importlib.util
import json
import shutil
import subprocess
import unittest
from pathlib import Path

from test_contract import ContractCase, run


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class Guarded(ContractCase):
    def test_tokens_open_a_namespace_to_a_role_over_tls_with_client_certificates(self):
        tls = self.directory

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=tls, check=True, capture_output=True)

        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
        (tls / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        for name in ("server", "client"):
            openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-days", "2", "-extfile", "names", "-out", f"{name}.pem")
        tokens = tls / "tokens.jsonl"

        def token(role, namespace):
            return self.ok("token", "create", "--tokens", tokens, "--namespace", namespace, "--role", role)

        roles = {role: token(role, "reports") for role in ("viewer", "operator", "worker")}
        roles["admin"] = token("admin", "*")
        self.assertFalse(any(secret in tokens.read_text() for secret in roles.values()), "the file keeps hashes")
        self.server.stop()
        wrong = run("serve", "--data", tls / "x", "--tls-cert", tls / "none.pem", "--tls-key", tls / "server.key")
        self.assertEqual((wrong.returncode, "none.pem" in wrong.stderr), (2, True))
        self.server.flags = ("--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server.key"),
                             "--tls-client-ca", str(tls / "ca.pem"), "--tokens", str(tokens))
        self.server.start()
        connecting = ["--tls-ca", tls / "ca.pem", "--tls-cert", tls / "client.pem", "--tls-key", tls / "client.key"]
        self.assertEqual(self.mend("list").status, 3, "no TLS")
        self.assertEqual(self.mend("list", "--tls-ca", tls / "ca.pem").status, 3, "no certificate")
        self.assertEqual(self.mend("list", *connecting).status, 1, "no token")
        self.assertEqual(self.mend("list", *connecting, "--token", "guess", "--namespace", "reports").status, 1)

        def ask(role, *arguments, namespace="reports"):
            return self.mend(*arguments, *connecting, "--token", roles[role], "--namespace", namespace)

        file = self.files(1)[0]
        self.assertEqual(ask("viewer", "submit", "--tier", "a=true", file).status, 1)
        submitted = ask("operator", "submit", "--wait", "--tier", "a=true", file)
        self.assertEqual(submitted.status, 0, submitted.err)
        batch = submitted.out.strip()
        self.assertEqual(ask("viewer", "diagnose", batch).status, 0)
        self.assertEqual(ask("viewer", "cancel", batch).status, 1)
        self.assertEqual(ask("worker", "status", batch).status, 1)
        self.assertEqual(ask("operator", "list", namespace="default").status, 1)
        self.assertEqual(ask("admin", "status", batch).status, 0)
        self.assertIn("not found", ask("admin", "status", batch, namespace="other").err)
        surroundings = {"MEND_TLS_CA": str(tls / "ca.pem"), "MEND_TLS_CERT": str(tls / "client.pem"),
                        "MEND_TLS_KEY": str(tls / "client.key"), "MEND_TOKEN": roles["viewer"], "MEND_NAMESPACE": "reports"}
        self.assertEqual(json.loads(self.ok("status", batch, "-o", "json", environment=surroundings))["status"], "completed")
        self.assertEqual(self.server.stop(), 0)


try:
    import test_stock_client as stock
except unittest.SkipTest:
    stock = None


@unittest.skipIf(stock is None, "grpcio and grpcio-tools are not there")
class StockCalls(ContractCase):
    def setUp(self):
        super().setUp()
        self.pb, self.types = stock.batches_pb2, stock.types_pb2
        self.channel = stock.grpc.insecure_channel(self.server.address)
        self.addCleanup(self.channel.close)
        self.stub = stock.batches_grpc.BatchesStub(self.channel)

    def create(self, batch_id, command, count, **keywords):
        return self.stub.CreateBatch(self.pb.CreateBatchRequest(
            batch_id=batch_id, idempotency_key=f"create-{batch_id}",
            batch=self.types.BatchSpecification(tiers=[self.types.TierSpecification(extractors=[
                self.types.ExtractorSpecification(extractor_name="work", document_command=command, **keywords)])]),
            documents=[self.types.Document(document_id=f.stem, uri=f.as_uri()) for f in self.files(count)]))

    def refused(self, code, call, request, **keywords):
        with self.assertRaises(stock.grpc.RpcError) as caught:
            call(request, **keywords)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertTrue(dict(caught.exception.trailing_metadata()).get("mend-request-id"))
        return caught.exception.details()

    def test_a_stock_client_may_measure_a_long_watch_with_pings(self):
        self.create("watched", "sleep 0.02", 60)
        self.stub.SubmitBatch(self.pb.SubmitBatchRequest(batch_id="watched"))
        messages = list(self.stub.WatchProgress(self.pb.WatchProgressRequest(batch_id="watched", min_interval_seconds=0)))
        self.assertGreater(len(messages), 12)
        self.assertTrue(messages[-1].terminal)

    def test_each_changing_call_answers_its_key_the_same_and_refuses_it_for_another_request(self):
        pb, code = self.pb, stock.grpc.StatusCode
        self.create("keyed", self.hold, 2)
        document = self.types.Document(document_id="more", uri="file:///etc/hosts")
        other = self.types.Document(document_id="other", uri="file:///etc/hosts")
        calls = [
            (self.stub.AddDocuments, pb.AddDocumentsRequest, dict(documents=[document]), dict(documents=[other])),
            (self.stub.SubmitBatch, pb.SubmitBatchRequest, {}, None),
            (self.stub.PauseBatch, pb.PauseBatchRequest, {}, None),
            (self.stub.ResumeBatch, pb.ResumeBatchRequest, {}, None),
            (self.stub.Heal, pb.HealRequest, dict(action=3), dict(action=2)),
            (self.stub.CancelJob, pb.CancelJobRequest, dict(job_id="t0-j0", grace_seconds=0), dict(job_id="t0-j0")),
            (self.stub.Retry, pb.RetryRequest, dict(tier=0), dict(tier=0, scope=2)),
            (self.stub.CancelTier, pb.CancelTierRequest, dict(tier=0, grace_seconds=0), dict(tier=0)),
            (self.stub.Retry, pb.RetryRequest, dict(tier=0), None),
            (self.stub.CancelBatch, pb.CancelBatchRequest, dict(grace_seconds=0), dict(grace_seconds=1)),
        ]
        for number, (call, request, fields, others) in enumerate(calls):
            key = f"key-{number}"
            first = call(request(batch_id="keyed", idempotency_key=key, **fields))
            self.assertEqual(call(request(batch_id="keyed", idempotency_key=key, **fields)), first, request)
            if others is not None:
                self.refused(code.ABORTED, call, request(batch_id="keyed", idempotency_key=key, **others))
        self.assertEqual(self.stub.GetBatch(pb.GetBatchRequest(batch_id="keyed")).progress.total, 3)

    def test_reflection_tells_a_tool_that_has_no_schema_what_can_be_called(self):
        from google.protobuf import descriptor_pb2, descriptor_pool
        # By its file: the package grpc is grpcio's.
        path = Path(stock._stubs) / "grpc" / "reflection" / "v1" / "reflection_pb2.py"
        specification = importlib.util.spec_from_file_location("reflection_pb2", path)
        reflection = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(reflection)
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection.ServerReflectionResponse.FromString)
        asked = [dict(list_services=""), dict(file_containing_symbol="mend.v1.Batches.Diagnose"),
                 dict(file_by_filename="mend/v1/worker.proto"), dict(file_by_filename="mend/v1/journal.proto"),
                 dict(file_containing_symbol="mend.v1.HEALTH_STUCK"), dict(file_containing_symbol="mend.v1.Nothing"),
                 dict(all_extension_numbers_of_type="mend.v1.Progress"), {}]
        answers = list(call(iter([reflection.ServerReflectionRequest(**a) for a in asked])))
        services = [s.name for s in answers[0].list_services_response.service]
        self.assertEqual(services, ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                    "grpc.reflection.v1alpha.ServerReflection", "mend.v1.Batches", "mend.v1.Worker"])
        files = {}
        for answer in (answers[1], answers[2]):
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                files[file.name] = file
        pool = descriptor_pool.DescriptorPool()

        def add(name):
            if name in files:
                file = files.pop(name)
                for needed in file.dependency:
                    add(needed)
                pool.Add(file)

        for name in list(files):
            add(name)
        methods = pool.FindServiceByName("mend.v1.Batches").methods_by_name
        self.assertEqual(methods["Diagnose"].output_type.fields_by_name["tiers"].message_type.full_name,
                         "mend.v1.TierDiagnostic")
        pool.FindServiceByName("mend.v1.Worker")
        self.assertEqual(answers[3].error_response.error_code, 5, "what the server keeps for itself is not shown")
        self.assertTrue(answers[4].file_descriptor_response.file_descriptor_proto)
        self.assertEqual([a.error_response.error_code for a in answers[5:]], [5, 0, 3])

    def test_refusals_name_the_field_its_rule_or_what_to_do_first(self):
        pb, code = self.pb, stock.grpc.StatusCode
        self.create("here", "true", 1)
        for call, request, field in (
                (self.stub.GetBatch, pb.GetBatchRequest(batch_id="a_b"), "alphanumeric with hyphens only"),
                (self.stub.GetBatch, pb.GetBatchRequest(batch_id="here", page_size=-1), "page_size"),
                (self.stub.GetBatch, pb.GetBatchRequest(batch_id="here", page_token="zz"), "page_token"),
                (self.stub.Retry, pb.RetryRequest(batch_id="here"), "tier"),
                (self.stub.Heal, pb.HealRequest(batch_id="here"), "action"),
                (self.stub.CancelJob, pb.CancelJobRequest(batch_id="here"), "job_id"),
                (self.stub.CreateBatch, pb.CreateBatchRequest(batch_id="x"), "batch")):
            self.assertIn(field, self.refused(code.INVALID_ARGUMENT, call, request))
        self.refused(code.ALREADY_EXISTS, self.stub.CreateBatch, pb.CreateBatchRequest(
            batch_id="here", idempotency_key="another", batch=self.types.BatchSpecification()))
        self.assertIn("submit", self.refused(code.FAILED_PRECONDITION, self.stub.Retry, pb.RetryRequest(batch_id="here", tier=0)))
        self.refused(code.NOT_FOUND, self.stub.CancelTier, pb.CancelTierRequest(batch_id="here", tier=7))
        for call in (self.stub.GetBatch, self.stub.Diagnose):
            request = pb.GetBatchRequest if call is self.stub.GetBatch else pb.DiagnoseRequest
            foreign = self.refused(code.NOT_FOUND, call, request(batch_id="here"), metadata=[("mend-namespace", "other")])
            unknown = self.refused(code.NOT_FOUND, call, request(batch_id="none"), metadata=[("mend-namespace", "other")])
            self.assertEqual(foreign, unknown.replace("none", "here"))


if __name__ == "__main__":
    unittest.main()
