"""Who may call and what they are told: certificates that change while the server runs, reflection, health and tokens, as
stock tools meet them."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import unittest
import urllib.request

from harness import EndToEndCase, wait_for

try:
    import grpc
except ImportError as error:
    raise unittest.SkipTest(f"grpcio is not there: {error}")


def package(name, module):
    """Imports a package of PyPI, which is installed by name where it is missing, or skips."""
    try:
        return __import__(module)
    except ImportError:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", name], capture_output=True, timeout=300)
    try:
        return __import__(module)
    except ImportError as error:
        raise unittest.SkipTest(f"{name} is not there: {error}")


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class Certificates(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.server.stop()
        for authority in ("ours", "theirs"):
            self.openssl("req", "-x509", *self.curve, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-days",
                         "2", "-subj", f"/CN={authority}")
        (self.directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def sign(self, name, authority, days=2):
        self.openssl("req", *self.curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")
        return name

    def use(self, name):
        """Puts a certificate where the server's is, as tools that renew them do."""
        for kind in ("key", "pem"):
            shutil.copy(self.directory / f"{name}.{kind}", self.directory / f"new.{kind}")
            os.replace(self.directory / f"new.{kind}", self.directory / f"used.{kind}")

    def serve(self, *flags):
        self.server.flags = ("--tls-cert", str(self.directory / "used.pem"), "--tls-key", str(self.directory / "used.key"),
                             *flags)
        self.server.start()

    def read(self, name):
        return (self.directory / name).read_bytes()

    def channel(self, authority, caller=None):
        credentials = grpc.ssl_channel_credentials(
            self.read(f"{authority}.pem"), *((self.read(f"{caller}.key"), self.read(f"{caller}.pem")) if caller else ()))
        channel = grpc.secure_channel(self.server.address, credentials, [("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def check(self, channel):
        """A call of the health service, by bytes: its status code."""
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def served(self):
        """The serial number of the certificate that new connections get."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        host, port = self.server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 30) as plain:
            with context.wrap_socket(plain) as secure:
                return secure.getpeercert(binary_form=True)

    def der(self, name):
        return ssl.PEM_cert_to_DER_cert(self.read(f"{name}.pem").decode())

    def metrics(self):
        return urllib.request.urlopen(f"http://{self.server.admin}/metrics", timeout=30).read().decode()

    def test_a_renewed_certificate_is_served_without_a_restart_and_a_broken_one_is_not(self):
        self.sign("first", "ours"), self.sign("second", "theirs"), self.sign("third", "ours")
        self.use("first")
        self.serve()
        held = self.channel("ours")
        self.assertEqual(self.check(held), grpc.StatusCode.OK)
        # Nobody tells the server: it looks by itself.
        self.use("second")
        wait_for(lambda: self.served() == self.der("second"), "the second certificate")
        self.assertEqual(self.check(self.channel("theirs")), grpc.StatusCode.OK)
        self.assertEqual(self.check(held), grpc.StatusCode.OK, "the open connection lives on")
        self.assertIn('mend_tls_reloads_total{outcome="taken"} 1', self.metrics())

        (self.directory / "used.pem").write_text("not a certificate\n")
        self.server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the earlier one stays in use" in self.server.log.read_text(), "the refusal in the log")
        self.assertIn("used.pem", self.server.log.read_text())
        self.assertEqual(self.served(), self.der("second"))
        self.assertNotIn('mend_tls_reloads_total{outcome="refused"} 0', self.metrics())

        self.use("third")
        self.server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.served() == self.der("third"), "the third certificate")
        self.assertIn("mend_tls_certificate_expiry_seconds{certificate=", self.metrics())
        self.assertEqual(self.server.stop(), 0)

    def test_callers_without_the_right_certificate_are_named_in_the_log(self):
        self.sign("server", "ours"), self.sign("caller", "ours"), self.sign("stranger", "theirs")
        self.sign("late", "ours", days=-1)
        self.use("server")
        self.serve("--tls-client-ca", str(self.directory / "ours.pem"))
        self.assertEqual(self.check(self.channel("ours", "caller")), grpc.StatusCode.OK)
        for caller, reason, words in (
                (None, "no_certificate", "sent no certificate"), ("stranger", "unknown_authority", "is not signed by"),
                ("late", "expired", "expired")):
            self.assertEqual(self.check(self.channel("ours", caller)), grpc.StatusCode.UNAVAILABLE, reason)
            wait_for(lambda: f"reason={reason}" in self.server.log.read_text(), f"{reason} in the log")
            lines = [line for line in self.server.log.read_text().splitlines() if f"reason={reason}" in line]
            self.assertIn(words, lines[0])
            self.assertIn("peer=127.0.0.1:", lines[0])
            self.assertNotIn(f'mend_tls_handshake_failures_total{{reason="{reason}"}} 0', self.metrics())

    def test_an_attempt_on_another_machine_trusts_the_authority_whose_text_it_was_given(self):
        self.use(self.sign("server", "ours"))
        self.serve()

        def report(authority):
            return self.mend("report", "--stage", "load", timeout=60, environment={
                "MEND_ENDPOINT": self.server.address, "MEND_ATTEMPT_TOKEN": "no-such-token",
                "MEND_TLS_CA": self.read(f"{authority}.pem").decode()})

        trusting, distrusting = report("ours"), report("theirs")
        self.assertEqual(trusting.status, 1, trusting.err)
        self.assertIn("attempt token", trusting.err.lower(), "the server was reached, and refused the token")
        self.assertNotEqual(distrusting.status, 0)
        self.assertIn("certificate", distrusting.err.lower())
        self.assertNotIn("attempt token", distrusting.err.lower())


class StandardServices(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.channel = grpc.insecure_channel(self.server.address)
        self.addCleanup(self.channel.close)

    def test_grpcios_reflection_client_finds_every_service_and_what_it_needs(self):
        package("grpcio-reflection", "grpc_reflection.v1alpha.proto_reflection_descriptor_database")
        from google.protobuf.descriptor_pool import DescriptorPool
        from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

        database = ProtoReflectionDescriptorDatabase(self.channel)
        services = set(database.get_services())
        self.assertEqual(services, {
            "mend.v1.Batches", "mend.v1.Worker", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"})
        pool = DescriptorPool(database)
        for name in services:
            for method in pool.FindServiceByName(name).methods:
                self.assertTrue(method.input_type.full_name and method.output_type.full_name)
        request = pool.FindMessageTypeByName("mend.v1.GetBatchRequest")
        self.assertIn("batch_id", request.fields_by_name)
        self.assertEqual(list(database.FindAllExtensionNumbers("mend.v1.Document")), [])
        with self.assertRaises(KeyError):
            database.FindFileContainingSymbol("mend.v1.JournalEntry")
        with self.assertRaises(KeyError):
            database.FindFileByName("nothing.proto")

    def test_grpcios_health_client_sees_the_services_and_the_drain(self):
        package("grpcio-health-checking", "grpc_health.v1.health_pb2")
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        stub = health_pb2_grpc.HealthStub(self.channel)
        kinds = health_pb2.HealthCheckResponse
        for service in ("", "mend.v1.Batches", "mend.v1.Worker"):
            self.assertEqual(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status, kinds.SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="nobody.Knows"), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        watches = {service: stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=60)
                   for service in ("", "mend.v1.Batches", "nobody.Knows")}
        for service, watch in watches.items():
            expected = kinds.SERVICE_UNKNOWN if service == "nobody.Knows" else kinds.SERVING
            self.assertEqual(next(watch).status, expected)
        self.server.process.terminate()
        self.assertEqual(next(watches[""]).status, kinds.NOT_SERVING)
        self.assertEqual(next(watches["mend.v1.Batches"]).status, kinds.NOT_SERVING)
        for watch in watches.values():
            with self.assertRaises(grpc.RpcError) as caught:
                next(watch)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(self.server.stop(), 0)


class Tokens(EndToEndCase):
    def test_tokens_are_listed_and_taken_back_while_the_server_runs(self):
        file = self.directory / "tokens.jsonl"

        def create(name, role="viewer"):
            return self.ok("token", "create", "--tokens", file, "--namespace", "default", "--role", role, "--name", name)

        secrets = {name: create(name) for name in ("ci", "phone")}
        self.server.stop()
        self.server.flags = ("--tokens", str(file))
        self.server.start()
        for secret in secrets.values():
            self.ok("list", "--token", secret)
        listed = json.loads(self.ok("token", "list", "--tokens", file, "-o", "json"))["tokens"]
        self.assertEqual([(entry["name"], entry["role"]) for entry in listed], [("ci", "viewer"), ("phone", "viewer")])
        table = self.ok("token", "list", "--tokens", file)
        self.assertTrue(listed[0]["id"] in table and "NAMESPACE" in table)
        self.assertFalse(any(secret in table for secret in secrets.values()))
        self.assertEqual(self.ok("token", "revoke", "--tokens", file, "ci"), listed[0]["id"])
        wait_for(lambda: self.mend("list", "--token", secrets["ci"]).status == 1, "the end of what was taken back")
        self.ok("list", "--token", secrets["phone"])
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        again = self.mend("token", "revoke", "--tokens", file, "ci")
        self.assertEqual(again.status, 1)
        self.assertIn("mend token list", again.err)
        # Who can write the file can let anybody in.
        file.chmod(0o666)
        self.server.stop()
        with self.assertRaises(AssertionError):
            self.server.start()
        self.assertIn("chmod 600", self.server.log.read_text())


if __name__ == "__main__":
    unittest.main()
