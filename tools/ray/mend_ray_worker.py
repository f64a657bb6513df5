"""A worker for extractors that run as Ray jobs: it claims a job's documents and reports their results.

    from mend_ray_worker import Worker

    with Worker() as worker:
        for document in worker.documents():
            try:
                text = extract(document.path)
            except ValueError as error:
                worker.failed(document.id, "format_error", str(error))
            else:
                worker.done(document.id)

Inside an attempt, `python -m mend_ray_worker` is the built-in worker: it runs the job's document_command for each document,
as `mend worker` does on nodes that have that program.

It needs grpcio, protobuf and the schema. MEND_PROTO names the directory `proto`, which grpcio-tools compiles at the start. On
nodes without grpcio-tools, MEND_DESCRIPTORS names a file that `python mend_ray_worker.py --descriptors FILE` has made.

Reports are sent in the background. While the server cannot be reached, they are kept in memory, up to a limit; at the limit,
`done` and `failed` wait. If the server says that this attempt is over, the process sends itself SIGTERM.

A server with TLS or tokens gives its attempts two variables: MEND_TLS_CA (PEM text, a file, or `system`), the authorities
that the server's certificate is verified by, and MEND_TOKEN, the token that calls are made with.
"""

import argparse
import collections
import concurrent.futures
import itertools
import os
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# The most results that wait for the server. At the limit the worker waits; it drops none.
HELD_REPORTS_MAX = 10_000
# The most documents of one report, and about the most bytes: the server accepts 4 MiB.
REPORT_DOCUMENTS_MAX = 1_000
REPORT_BYTES_MAX = 1 << 20
# The most bytes (UTF-8) of a failure's message and of each detail, and the most details.
MESSAGE_BYTES_MAX, DETAIL_BYTES_MAX, DETAILS_MAX = 4_000, 1_000, 16
CALL_SECONDS = 20
# The end of a command's stderr that is kept to find the last line in.
STDERR_BYTES_KEPT = 64 << 10
# How much of stderr is read after the shell has ended: as much as a pipe holds.
STDERR_BYTES_AFTER_END = 64 << 10
BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MAX = 0.2, 10.0

Document = collections.namedtuple("Document", "id uri path media_type size_bytes")


class Fenced(Exception):
    """This attempt is over, or a report's id was used twice; results are not accepted any more."""


class Refused(Exception):
    """The server refuses a call, and would refuse it again."""


class _TooLarge(Exception):
    """The request is too large for the server."""


def compile_schema(directory, target):
    """Writes the descriptors of the Worker service and of its imports to the file `target`."""
    from grpc_tools import protoc

    arguments = ["protoc", f"-I{directory}", "--include_imports", f"--descriptor_set_out={target}", "mend/v1/worker.proto"]
    if protoc.main(arguments) != 0:
        raise SystemExit(f"mend_ray_worker: the schema in {directory} could not be compiled")


class Calls:
    """The calls of the Worker service, with the messages of the schema."""

    def __init__(self, channel, metadata):
        pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet()
        files.ParseFromString(self._descriptors())
        for file in files.file:
            pool.Add(file)
        self._methods = {}
        for method in pool.FindServiceByName("mend.v1.Worker").methods:
            request = message_factory.GetMessageClass(method.input_type)
            response = message_factory.GetMessageClass(method.output_type)
            stub = channel.unary_unary(
                f"/mend.v1.Worker/{method.name}", request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString)
            self._methods[method.name] = (stub, request)
        self._metadata = metadata

    @staticmethod
    def _descriptors():
        path = os.environ.get("MEND_DESCRIPTORS")
        if path:
            with open(path, "rb") as file:
                return file.read()
        default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto")
        with tempfile.TemporaryDirectory() as directory:
            target = os.path.join(directory, "worker.descriptors")
            compile_schema(os.environ.get("MEND_PROTO", default), target)
            with open(target, "rb") as file:
                return file.read()

    def request(self, method, **fields):
        return self._methods[method][1](**fields)

    def once(self, method, request):
        """Makes a call once. Raises Fenced, Refused, or grpc.RpcError if the call may succeed later."""
        try:
            return self._methods[method][0](request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if code == grpc.StatusCode.ABORTED:
                raise Fenced(details) from None
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
                        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED):
                raise
            raise Refused(f"{method}: {code.name}: {details}") from None


class Worker:
    """An attempt's connection to its server.

    `claim` is how many documents it asks for at once, `patience_seconds` how long it waits for a server that it cannot reach.
    """

    def __init__(self, claim=8, patience_seconds=1800):
        self._token = _required("MEND_ATTEMPT_TOKEN")
        self._claim, self._patience = claim, patience_seconds
        self._lock = threading.Condition()
        self._results = collections.deque()
        self._stage = ""
        self._sending = False
        self._stopping = False
        self._closed = False
        self._fault = None
        self._channel = self._connect(_required("MEND_ENDPOINT"))
        metadata = [("authorization", f"Bearer {os.environ['MEND_TOKEN']}")] if os.environ.get("MEND_TOKEN") else []
        self._calls = Calls(self._channel, metadata)
        self.assignment = self._patiently("StartAttempt")
        self._reporter = threading.Thread(target=self._report_all, name="mend-reports", daemon=True)
        self._reporter.start()

    @staticmethod
    def _connect(endpoint):
        # Reconnects soon after the server has come back.
        options = [("grpc.max_reconnect_backoff_ms", 2_000), ("grpc.enable_http_proxy", 0)]
        authority = os.environ.get("MEND_TLS_CA")
        if not authority:
            return grpc.insecure_channel(endpoint, options)
        roots = None
        if authority.startswith("-----BEGIN "):
            roots = authority.encode()
        elif authority != "system":
            try:
                with open(authority, "rb") as file:
                    roots = file.read()
            except OSError as error:
                raise SystemExit(f"mend_ray_worker: MEND_TLS_CA: {error}") from None
        return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(roots), options)

    # -- what an extractor uses

    def documents(self):
        """Yields the job's documents until none is left or the attempt is to end. Report a result for each of them."""
        worker = uuid.uuid4().hex
        for number in itertools.count():
            self._check()
            if self._stopping:
                return
            # The id makes a repeated claim return the same documents.
            answer = self._patiently("ClaimDocuments", max_documents=self._claim, claim_id=f"{worker}-{number}")
            for place, document in enumerate(answer.documents):
                if self._stopping:
                    self._hold("released", [left.document_id for left in answer.documents[place:]])
                    return
                yield Document(document.document_id, document.uri, _path(document.uri), document.media_type,
                               document.size_bytes)
                self._check()
            if answer.finished:
                return
            if not answer.documents:
                self._flush()
                with self._lock:
                    self._lock.wait(max(0.05, answer.retry_after_seconds))

    def done(self, document_id):
        self._hold("completed", [_text(document_id)])

    def failed(self, document_id, code, message, details=None):
        """Reports a document as failed. `code` is a word of your own, such as format_error.

        Message and details may be any objects. They are converted to text, and long texts are cut.
        """
        kept = list((details or {}).items())[:DETAILS_MAX]
        self._hold("failed", [{
            "document_id": _text(document_id), "code": _text(code, DETAIL_BYTES_MAX),
            "message": _text(message, MESSAGE_BYTES_MAX),
            "details": {_text(name, DETAIL_BYTES_MAX): _text(value, DETAIL_BYTES_MAX) for name, value in kept}}])

    def stage(self, name):
        """Reports that the job has entered a stage, which ends the stage before."""
        with self._lock:
            self._stage = _text(name, DETAIL_BYTES_MAX)
            self._lock.notify_all()

    def close(self):
        """Sends all results that wait; returns when the server has accepted them."""
        self._flush()
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._reporter.join()
        self._channel.close()
        self._check()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()

    # -- reports

    def _hold(self, kind, entries):
        with self._lock:
            while len(self._results) >= HELD_REPORTS_MAX and not self._fault:
                self._lock.wait(1)
            self._results.extend((kind, entry) for entry in entries)
            self._lock.notify_all()
        self._check()

    def _flush(self):
        with self._lock:
            while (self._results or self._sending) and not self._fault:
                self._lock.wait(1)
        self._check()

    def _check(self):
        if self._fault:
            raise self._fault

    def _report_all(self):
        beat = max(0.1, self.assignment.heartbeat_seconds)
        try:
            while self._report_next(beat):
                pass
        except Exception as error:  # pylint: disable=broad-except
            # This thread sends nothing any more, so the threads that wait for it raise the error.
            with self._lock:
                self._fault = error
                self._lock.notify_all()
            if isinstance(error, Fenced):
                print(f"mend_ray_worker: this attempt is over: {error}", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)

    def _report_next(self, beat):
        """Waits for results, a stage or the next heartbeat, and reports it. Returns False when nothing is left after `close`."""
        with self._lock:
            if not self._results and not self._stage and not self._closed:
                self._lock.wait(beat)
            if self._closed and not self._results:
                return False
            batch = self._next_batch()
            stage, self._stage = self._stage, ""
            self._sending = True
        self._report(stage, batch)
        with self._lock:
            self._sending = False
            self._lock.notify_all()
        return True

    def _next_batch(self):
        """Returns the oldest results that fit into one report. The caller holds the lock."""
        batch, size = [], 0
        while self._results and len(batch) < REPORT_DOCUMENTS_MAX:
            size += _size(self._results[0][1])
            if batch and size > REPORT_BYTES_MAX:
                break
            batch.append(self._results.popleft())
        return batch

    def _report(self, stage, batch):
        """Sends results, in halves if they are too large for the server."""
        # The id makes a repeated report count once.
        fields = {"report_id": uuid.uuid4().hex, "stage": stage, "completed": [], "failed": [], "released": []}
        for kind, entry in batch:
            fields[kind].append(entry)
        try:
            answer = self._patiently("Report", halves=len(batch) > 1, **fields)
        except _TooLarge:
            middle = len(batch) // 2
            self._report(stage, batch[:middle])
            return self._report("", batch[middle:])
        if answer.stop:
            self._stopping = True

    def _patiently(self, method, halves=False, **fields):
        """Repeats a call until the server answers. All calls of the service may be repeated.

        With `halves`, a request that is too large raises _TooLarge and is not repeated.
        """
        request = self._calls.request(method, attempt_token=self._token, **fields)
        deadline = time.monotonic() + self._patience
        backoff = BACKOFF_SECONDS_FIRST
        said = None
        while True:
            try:
                return self._calls.once(method, request)
            except grpc.RpcError as error:
                details = error.details() or ""
                if "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification Check failed" in details:
                    raise Refused(
                        f"{method}: the certificate of {os.environ['MEND_ENDPOINT']} is not trusted by MEND_TLS_CA "
                        f"(mend serve --worker-tls-ca): {details}") from None
                if halves and error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and not _passes(error):
                    raise _TooLarge from None
                if time.monotonic() > deadline:
                    raise
                if error.code() != said:
                    said = error.code()
                    print(f"mend_ray_worker: {method}: {said.name}: {details}; trying again", file=sys.stderr, flush=True)
            # The lock is not held, so `done` and `failed` go on.
            time.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)


def _passes(error):
    """Returns whether the server is busy and says when to try again; a smaller request would not help."""
    metadata = dict(error.trailing_metadata() or ())
    return b"google.rpc.RetryInfo" in metadata.get("grpc-status-details-bin", b"")


def _required(name):
    value = os.environ.get(name)
    if not value:
        raise SystemExit(f"mend_ray_worker: {name} is not set; this runs in an attempt that `mend serve` has started")
    return value


def _text(value, bytes_max=None):
    """Converts any object to text that protobuf accepts, cut between characters."""
    encoded = str(value).encode(errors="backslashreplace")
    return encoded[:bytes_max].decode(errors="ignore")


def _size(entry):
    """Returns about how many bytes a result takes in a report."""
    if isinstance(entry, str):
        return len(entry) + 8
    texts = [entry["document_id"], entry["code"], entry["message"], *entry["details"], *entry["details"].values()]
    return sum(len(text.encode()) + 8 for text in texts)


def _path(uri):
    """Returns the path of a file URI on this node (RFC 8089), with undecodable bytes as `os` has them; empty for other URIs."""
    if uri.startswith("/"):
        return uri
    match = re.fullmatch(r"file:(?://(?:localhost)?)?(/.*)", uri, re.IGNORECASE | re.DOTALL)
    if not match or re.search(r"%(?![0-9A-Fa-f]{2})|%00", match[1]):
        return ""
    return os.fsdecode(urllib.parse.unquote_to_bytes(match[1]))


def _follow_errors(command):
    """Copies a command's stderr to this process's until the shell has ended, and returns the end of it.

    Processes that outlive the shell may keep the pipe open and write to it.
    """
    kept = b""
    pipe = command.stderr.fileno()
    os.set_blocking(pipe, False)

    def take():
        nonlocal kept
        try:
            part = os.read(pipe, 4096)
        except BlockingIOError:
            return None
        os.write(2, part)
        kept = (kept + part)[-STDERR_BYTES_KEPT:]
        return len(part)

    try:
        shell = os.pidfd_open(command.pid)
    except (AttributeError, OSError):
        # An old Python or kernel, or no descriptor left: poll the shell.
        shell = None
    try:
        watch = select.poll()
        for descriptor in [pipe] if shell is None else [pipe, shell]:
            watch.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in watch.poll(100 if shell is None else None)]
            has_ended = command.poll() is not None if shell is None else shell in ready
            if has_ended:
                left = STDERR_BYTES_AFTER_END
                while left > 0 and (count := take()):
                    left -= count
                return kept
            if pipe in ready and take() == 0:
                return kept
    finally:
        if shell is not None:
            os.close(shell)


def _run_command(worker, document):
    """Runs the job's command for one document with /bin/sh and reports the result."""
    variables = {**os.environ, "MEND_PATH": document.path, "MEND_URI": document.uri, "MEND_DOCUMENT_ID": document.id}
    try:
        # The command stays in the job's session, so Ray ends it with the job.
        with subprocess.Popen(
                ["/bin/sh", "-c", worker.assignment.document_command], env=variables, stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE) as command:
            kept = _follow_errors(command)
    except (OSError, ValueError) as error:
        return worker.failed(document.id, "entrypoint_not_found", f"/bin/sh could not be started: {error}")
    lines = [line for line in kept.decode(errors="replace").splitlines() if line.strip()]
    line, code = (lines[-1].rstrip()[:1024] if lines else ""), command.returncode
    if code == 0:
        worker.done(document.id)
    elif code < 0:
        worker.failed(document.id, "signal", line or f"ended by signal {-code}", {"signal": str(-code)})
    elif document.path and not os.access(document.path, os.R_OK):
        kind = "permission_denied" if os.path.exists(document.path) else "file_not_found"
        worker.failed(document.id, kind, line or "the file cannot be read", {"exit_code": str(code)})
    else:
        kind = "entrypoint_not_found" if code in (126, 127) else "exit_code"
        worker.failed(document.id, kind, line or f"exit code {code}", {"exit_code": str(code)})


def _end_session(number, frame):
    """Ends the commands of a worker whose attempt is over. Ray gives each job a session of its own."""
    signal.signal(number, signal.SIG_DFL)
    if os.getpgrp() == os.getsid(0):
        os.killpg(0, number)
    os.kill(os.getpid(), number)


def run_document_commands():
    """Runs the built-in worker, with as many commands at once as the job has CPUs."""
    signal.signal(signal.SIGTERM, _end_session)
    with Worker() as worker:
        if not worker.assignment.document_command:
            raise SystemExit("mend_ray_worker: this job has no document_command, only an entrypoint")
        at_once = max(1, int(worker.assignment.num_cpus))
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            running = set()
            for document in worker.documents():
                running.add(pool.submit(_run_command, worker, document))
                if len(running) >= at_once:
                    ended, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                    for command in ended:
                        command.result()
            for command in running:
                command.result()


def main():
    if len(sys.argv) == 1 and os.environ.get("MEND_ATTEMPT_TOKEN"):
        try:
            return run_document_commands()
        except (Fenced, Refused) as error:
            raise SystemExit(f"mend_ray_worker: {error}") from None
    arguments = argparse.ArgumentParser(
        description="Runs the built-in worker in an attempt, if there are no options. With options, it compiles the schema for "
        "nodes without grpcio-tools.")
    arguments.add_argument("--descriptors", required=True, metavar="FILE")
    arguments.add_argument("--proto", metavar="DIRECTORY")
    options = arguments.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    compile_schema(options.proto or os.environ.get("MEND_PROTO", os.path.join(here, "..", "..", "proto")), options.descriptors)


if __name__ == "__main__":
    main()
