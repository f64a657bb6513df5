"""gRPC's interop cases against interop-server: by gRPC's own Python and C++ clients, each case in a process of its own, in
plain text and over TLS; and by grpcio's API for what must not depend on the C++ client being there. The other way around, this
library's client runs the cases against gRPC's Python server."""

import argparse
import concurrent.futures
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

PYTHON_CASES = """
empty_unary large_unary client_streaming server_streaming ping_pong empty_stream cancel_after_begin
cancel_after_first_response timeout_on_sleeping_server status_code_and_message special_status_message custom_metadata
unimplemented_method unimplemented_service
""".split()

CPP_CASES = PYTHON_CASES + """
half_duplex pick_first_unary client_compressed_unary client_compressed_streaming server_compressed_unary
server_compressed_streaming rpc_soak channel_soak
""".split()

SOAK = ["--soak_iterations=200", "--soak_per_iteration_max_acceptable_latency_ms=10000", "--soak_overall_timeout_seconds=60"]

# Only a fault waits this long.
PATIENCE_SECONDS = 120


class Server:
    """interop-server, which ends when its standard input does."""

    def __init__(self, binary, certificate, key):
        self.folder = tempfile.TemporaryDirectory(prefix="mend-interop-")
        self.socket = f"{self.folder.name}/s"
        files = [certificate, key] if certificate else []
        self.process = subprocess.Popen(
            [binary, self.socket, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.match(r"ready plain=(\d+) tls=(\d+)", line)
        if not match:
            raise SystemExit(f"interop-server did not start: {line!r}")
        self.plain, self.tls = int(match[1]), int(match[2])

    def stop(self):
        self.process.stdin.close()
        status = self.process.wait(PATIENCE_SECONDS)
        self.folder.cleanup()
        return status


class Results:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, name, error, seconds):
        if error is None:
            self.passed += 1
            print(f"ok   {name} ({seconds:.1f} s)", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {name} ({seconds:.1f} s)\n{error}", flush=True)


def run(command, environment):
    """None when it succeeded, else the end of what it said."""
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no end after {PATIENCE_SECONDS} s"
    if done.returncode == 0:
        return None
    return f"status {done.returncode}\n" + "\n".join(done.stdout.splitlines()[-12:])


def jobs(arguments, server):
    """Name, command and environment of every case of the stock clients."""
    host = "--server_host_override=foo.test.google.fr"
    for security, port in (("plain", server.plain), ("TLS", server.tls)):
        if not port:
            continue
        tls = "true" if security == "TLS" else "false"
        common = ["--server_host=127.0.0.1", f"--server_port={port}", f"--use_tls={tls}"]
        if tls == "true":
            common += ["--use_test_ca=true", host]
        if arguments.cpp_client:
            # The longest first: it waits 20 ms after each of 2,000 messages.
            if security == "plain":
                yield ("C++ plain slow_consumer", [arguments.cpp_client, *common, "--test_case=slow_consumer"], {})
            for case in CPP_CASES:
                # It makes its own channel, in plain text whatever it is told.
                if case == "pick_first_unary" and security == "TLS":
                    continue
                soak = SOAK if case.endswith("soak") else []
                yield (f"C++ {security} {case}", [arguments.cpp_client, *common, f"--test_case={case}", *soak], {})
        if arguments.python_client:
            for case in PYTHON_CASES:
                command = [sys.executable, "-m", "tests.interop.client", *common, f"--test_case={case}"]
                yield (f"Python {security} {case}", command, {"PYTHONPATH": arguments.python_client})


class PythonServer:
    """gRPC's own interop server, from the same modules as its client."""

    def __init__(self, modules, tls):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.interop.server", f"--port={self.port}", f"--use_tls={tls}"],
            env={**os.environ, "PYTHONPATH": modules}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                threading.Event().wait(0.1)
        self.stop()
        raise RuntimeError("gRPC's Python interop server does not listen")

    def stop(self):
        self.process.kill()
        self.process.wait()


def own_client(arguments, credentials, results):
    """This library's client against gRPC's interop server, each case a line of its own."""
    for security in ("plain", "TLS"):
        begin = time.monotonic()
        try:
            server = PythonServer(arguments.python_client, str(security == "TLS").lower())
        except RuntimeError as error:
            results.add(f"own client {security}", str(error), time.monotonic() - begin)
            continue
        try:
            tls = [str(credentials / "ca.pem"), "foo.test.google.fr"] if security == "TLS" else []
            done = subprocess.run(
                [arguments.server, "client", str(server.port), *tls], capture_output=True, text=True,
                timeout=PATIENCE_SECONDS)
            lines = done.stdout.splitlines()
            for line in lines:
                verdict, name, *why = line.split(" ", 2)
                results.add(
                    f"own client {security} {name}", None if verdict == "ok" else " ".join(why), time.monotonic() - begin)
                begin = time.monotonic()
            if not lines or done.returncode not in (0, 1):
                results.add(f"own client {security}", f"status {done.returncode}: {done.stderr[-500:]}", 0)
        except subprocess.TimeoutExpired as error:
            results.add(f"own client {security}", f"no end: {error.stdout}", time.monotonic() - begin)
        finally:
            server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--source", default="")
    parser.add_argument("--summary", required=True)
    parser.add_argument("--python-client")
    parser.add_argument("--cpp-client")
    parser.add_argument("--only", default="", help="cases whose name has this")
    arguments = parser.parse_args()

    results = Results()
    # The certificate that the clients' own test authority signed; only they have that authority.
    credentials = Path(arguments.source) / "src/python/grpcio_tests/tests/interop/credentials"
    files = [str(credentials / "server1.pem"), str(credentials / "server1.key")]
    if not (arguments.source and all(Path(file).exists() for file in files)):
        files = ["", ""]
    server = Server(arguments.server, *files)
    try:
        def timed(job):
            name, command, environment = job
            begin = time.monotonic()
            return name, run(command, {**os.environ, **environment}), time.monotonic() - begin

        wanted = [job for job in jobs(arguments, server) if arguments.only in job[0]]
        # Two at a time: one of them is the case that mostly waits.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, error, seconds in pool.map(timed, wanted):
                results.add(name, error, seconds)

        if arguments.python_client and arguments.only in "own client":
            own_client(arguments, credentials, results)

        import grpcio_cases
        for name, case in grpcio_cases.cases():
            if arguments.only not in name:
                continue
            begin = time.monotonic()
            try:
                case(server)
                error = None
            except Exception:
                error = traceback.format_exc()
            results.add(name, error, time.monotonic() - begin)
    finally:
        status = server.stop()
    results.add("the server ends when it is asked to", None if status == 0 else f"status {status}", 0)
    Path(arguments.summary).write_text(f"{results.passed} {results.failed} {results.skipped}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
