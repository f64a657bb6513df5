"""Rates on a release build: no-op jobs against xargs -P, and documents through a persistent worker's claims and reports.

    python Tests/EndToEnd/rates.py          needs .build/release/mend, or MEND_BINARY; grpcio and grpcio-tools

Launches are measured in turn with xargs -P of the same parallelism spawning the same command, and medians are compared.
Everything counted is durable. Exits 1 where a promise does not hold.
"""

import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from grpc_tools import protoc

import harness

harness.MEND = os.environ.get("MEND_BINARY", str(harness.ROOT / ".build" / "release" / "mend"))
ROUNDS = 3
PARALLEL = 4
JOBS = 200
# No-op jobs a second, of what xargs -P starts.
LAUNCHES_AT_LEAST = 0.4
DOCUMENTS = 1_000_000
# Through claim and report, a second.
DOCUMENTS_AT_LEAST = 100_000
CLAIM = 10_000


def call(server, *arguments, input=None):
    return subprocess.run(
        [harness.MEND, *arguments], check=True, capture_output=True, text=True, input=input,
        env={**os.environ, "MEND_SERVER": server.address}).stdout.strip()


def jobs(server):
    """Jobs a second, from the first one's launch to the last one's end by the server's own clock."""
    batch = call(server, "submit", "--spec", "-", input=json.dumps({
        "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/d{n}"} for n in range(JOBS)],
        "tiers": [{"extractors": [{"extractor_name": "no-op", "entrypoint": "true", "shards": JOBS}]}]}))

    def took():
        status = json.loads(call(server, "status", batch, "-o", "json"))
        if status["status"] in ("failed", "cancelled"):
            raise SystemExit(f"no-op jobs: {status}")
        return status if status["status"] == "completed" else None

    # Each look is a process of its own, on the same processors; the time is the server's.
    timing = harness.wait_for(took, "the jobs to end", interval=1)["timing"]
    return JOBS / timing["elapsed_time"]


def spawns():
    began = time.monotonic()
    subprocess.run(
        ["xargs", "-P", str(PARALLEL), "-n", "1", "sh", "-c", "true"], check=True,
        input="\n".join(str(n) for n in range(JOBS)), text=True)
    return JOBS / (time.monotonic() - began)


def launches(server):
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(spawns())
        ours.append(jobs(server))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"launches, {PARALLEL} at once: {statistics.median(ours):.0f} jobs/s, xargs -P {statistics.median(theirs):.0f}/s: "
          f"{ratio:.3f} (at least {LAUNCHES_AT_LEAST})")
    return ratio >= LAUNCHES_AT_LEAST


def stubs(directory):
    proto = harness.ROOT / "proto"
    names = [str(p) for p in sorted((proto / "mend").rglob("*.proto"))]
    if protoc.main(["protoc", f"-I{proto}", f"--python_out={directory}", f"--grpc_python_out={directory}", *names]):
        raise SystemExit("no stubs")
    sys.path.insert(0, str(directory))
    return importlib.import_module("mend.v1.worker_pb2"), importlib.import_module("mend.v1.worker_pb2_grpc")


def documents(server, directory):
    messages, services = stubs(directory)
    mark = directory / "token"
    batch = call(server, "submit", "--spec", "-", input=json.dumps({
        "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/d{n}"} for n in range(DOCUMENTS)],
        "tiers": [{"extractors": [{
            "extractor_name": "work",
            "entrypoint": f'echo "$MEND_ATTEMPT_TOKEN" > {mark}.new && mv {mark}.new {mark}; exec sleep 1000'}]}]}))
    harness.wait_for(mark.exists, "the attempt")
    token = mark.read_text().strip()
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    with grpc.insecure_channel(f"unix:{server.data}/mend.sock", options=options) as channel:
        worker = services.WorkerStub(channel)
        worker.StartAttempt(messages.StartAttemptRequest(attempt_token=token))
        began = time.monotonic()
        done, reports = 0, []
        claim = worker.ClaimDocuments.future(messages.ClaimDocumentsRequest(attempt_token=token, max_documents=CLAIM))
        while done < DOCUMENTS:
            claimed = claim.result()
            if not claimed.documents:
                raise SystemExit(f"nothing claimed after {done} documents: {claimed}")
            claim = worker.ClaimDocuments.future(
                messages.ClaimDocumentsRequest(attempt_token=token, max_documents=CLAIM))
            reports.append(worker.Report.future(messages.ReportRequest(
                attempt_token=token, completed=[document.document_id for document in claimed.documents])))
            done += len(claimed.documents)
            if len(reports) > 1:
                reports.pop(0).result()
        for report in reports:
            report.result()
        rate = done / (time.monotonic() - began)
    call(server, "cancel", batch, "--grace", "0")
    print(f"a persistent worker: {rate:.0f} documents/s through claims and reports of {CLAIM}, durable "
          f"(at least {DOCUMENTS_AT_LEAST})")
    return rate >= DOCUMENTS_AT_LEAST


def main():
    directory = Path(tempfile.mkdtemp(prefix="mend-rates-"))
    server = harness.Server(directory / "data", "--cpus", str(PARALLEL))
    try:
        server.start()
        held = [launches(server), documents(server, directory)]
    finally:
        server.kill()
        for pid in harness.processes_with(str(directory)):
            os.kill(pid, 9)
        shutil.rmtree(directory, ignore_errors=True)
    return all(held)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
