"""A large batch, and many: what they cost a server, against the bounds that are promised.

    MEND_BINARY=... MEND_BENCH=... python Tests/Scale/scale.py [--summary FILE]      release builds, grpcio-tools

Each line is a promise, what was measured, and its bound. Exits 1 where one does not hold.
"""

import argparse
import collections
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "EndToEnd"))
import harness

import grpc
from grpc_tools import protoc

DOCUMENTS = int(os.environ.get("MEND_SCALE_DOCUMENTS", 1_000_000))
LIVE = int(os.environ.get("MEND_SCALE_LIVE", 10_000))
FINISHED = int(os.environ.get("MEND_SCALE_FINISHED", 100_000))
# Attempts at one Ray cluster, in batches of so many.
RAY_JOBS = int(os.environ.get("MEND_SCALE_RAY_JOBS", 10_000))
RAY_SHARDS = 250
# What a head is asked while they run, and what the server takes for it; from their ends to the last batch's.
RAY_REQUESTS_AT_MOST = 20
RAY_CORES_AT_MOST = 0.25
RAY_END_SECONDS_AT_MOST = 60
# Over an empty server, once what passed through was given back.
MEMORY_AT_MOST = 64 << 20
# Diagnose on the large batch against one of 1,000 documents, medians.
DIAGNOSE_AT_MOST = 1.5
# From the start of the process after kill -9 to a Diagnose of the large batch.
RECOVERY_SECONDS_AT_MOST = 5
ROUNDS = 3
# Calls that are under way at once.
WINDOW = 256
# Batches that are created before they are submitted: a server takes 100,000 that have not ended.
PORTION = 5_000


class Lines:
    passed = failed = 0

    @classmethod
    def say(cls, holds, text):
        print(("ok   " if holds else "FAIL ") + text, flush=True)
        if holds:
            cls.passed += 1
        else:
            cls.failed += 1


def stubs(directory):
    proto = harness.ROOT / "proto"
    schemas = [str(p) for p in sorted((proto / "mend").rglob("*.proto"))]
    if protoc.main(["protoc", f"-I{proto}", f"--python_out={directory}", f"--grpc_python_out={directory}", *schemas]) != 0:
        raise SystemExit("the schema does not compile")
    sys.path.insert(0, str(directory))
    return tuple(importlib.import_module(f"mend.v1.{name}") for name in ("batches_pb2", "types_pb2", "batches_pb2_grpc"))


def resident(server):
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def mend(server, *arguments, input=None):
    return subprocess.run(
        [harness.MEND, *arguments], check=True, text=True, input=input, stdout=subprocess.PIPE,
        env={**os.environ, "MEND_SERVER": server.address}).stdout


def diagnose_microseconds(server, batch):
    run = subprocess.run(
        [os.environ["MEND_BENCH"], "--server", server.address, "--call", "Diagnose", "--connections", "1", "--streams", "1",
         "-o", "json", "--batch", batch, "--duration", "2"], capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        raise SystemExit(f"mend-bench: {run.stderr}")
    return json.loads(run.stdout)["latency_microseconds"]["p50"]


def restart_seconds(server, batch):
    """kill -9, and the time until the next server has answered for this batch."""
    server.kill()
    began = time.monotonic()
    server.start()
    mend(server, "diagnose", batch, "-o", "json")
    return time.monotonic() - began


def mebibytes(count):
    return f"{count / (1 << 20):.0f} MiB"


def large_batch(directory):
    def specification(count):
        return json.dumps({
            "batch_id": f"docs-{count}",
            "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/documents/d{n}.pdf"} for n in range(count)],
            "tiers": [{"extractors": [{"extractor_name": "wait", "entrypoint": "sleep 1000"}]}]})

    server = harness.Server(directory / "large", "--cpus", "4").start()
    try:
        for count in (1, 1000):
            mend(server, "submit", "--spec", "-", input=specification(count))
        mend(server, "diagnose", "docs-1")
        empty = resident(server)
        began = time.monotonic()
        mend(server, "submit", "--spec", "-", input=specification(DOCUMENTS))
        print(f"     {DOCUMENTS} documents submitted in {time.monotonic() - began:.1f} s", flush=True)
        large = f"docs-{DOCUMENTS}"
        try:
            harness.wait_for(lambda: resident(server) - empty <= MEMORY_AT_MOST, "the memory", seconds=90, interval=1)
        except AssertionError:
            pass
        taken = resident(server) - empty
        Lines.say(
            taken <= MEMORY_AT_MOST,
            f"memory for {DOCUMENTS} documents: {mebibytes(taken)} over {mebibytes(empty)} (at most {mebibytes(MEMORY_AT_MOST)})")
        latencies = {"docs-1000": [], large: []}
        for _ in range(ROUNDS):
            for batch, found in latencies.items():
                found.append(diagnose_microseconds(server, batch))
        small, slow = (statistics.median(found) for found in latencies.values())
        Lines.say(
            slow / small <= DIAGNOSE_AT_MOST,
            f"Diagnose: {slow:.0f} µs, {small:.0f} µs with 1,000 documents: {slow / small:.2f} times (at most {DIAGNOSE_AT_MOST})")
        seconds = [restart_seconds(server, large) for _ in range(ROUNDS)]
        Lines.say(
            statistics.median(seconds) <= RECOVERY_SECONDS_AT_MOST,
            f"recovery after kill -9: {statistics.median(seconds):.2f} s (at most {RECOVERY_SECONDS_AT_MOST} s)")
        for count in (1, 1000, DOCUMENTS):
            mend(server, "cancel", f"docs-{count}", "--grace", "0")
    finally:
        server.kill()


def median_diagnose_microseconds(server, batch):
    return statistics.median(diagnose_microseconds(server, batch) for _ in range(ROUNDS))


def many_batches(directory, batches, types, service):
    """Batches that run, and as many more that have ended, in one server of simulated attempts."""
    server = harness.Server(directory / "many", "--executor", "simulated", "--cpus", str(LIVE + 64)).start()
    channel = grpc.insecure_channel(server.address)
    stub = service.BatchesStub(channel)

    def submit(prefix, count, command):
        """Creates and submits so many, in a window of calls that are under way."""
        under_way = collections.deque()

        def one(call, request):
            under_way.append(call.future(request, timeout=120))
            while len(under_way) >= WINDOW:
                under_way.popleft().result()

        def portion(numbers):
            for number in numbers:
                create(number)
            while under_way:
                under_way.popleft().result()
            for number in numbers:
                one(stub.SubmitBatch, batches.SubmitBatchRequest(batch_id=f"{prefix}-{number}"))
            while under_way:
                under_way.popleft().result()

        def create(number):
            specification = types.BatchSpecification(tiers=[types.TierSpecification(extractors=[
                types.ExtractorSpecification(extractor_name="text", document_command=command)])])
            one(stub.CreateBatch, batches.CreateBatchRequest(
                batch_id=f"{prefix}-{number}", batch=specification,
                documents=[types.Document(document_id="d", uri="file:///srv/d")]))

        began = time.monotonic()
        for first in range(0, count, PORTION):
            portion(range(first, min(first + PORTION, count)))
        print(f"     {count} batches submitted in {time.monotonic() - began:.1f} s", flush=True)

    def status(batch):
        return stub.GetBatch(batches.GetBatchRequest(batch_id=batch), timeout=60).status

    try:
        submit("first", 1, "simulate document_seconds=100000")
        alone = median_diagnose_microseconds(server, "first-0")
        empty = resident(server)
        submit("live", LIVE, "simulate document_seconds=100000")
        last = f"live-{LIVE - 1}"
        harness.wait_for(lambda: status(last) == types.BATCH_STATUS_RUNNING, f"{last} to run")
        print(f"     {LIVE} live batches take {mebibytes(resident(server) - empty)}", flush=True)
        among = median_diagnose_microseconds(server, last)
        Lines.say(
            among / alone <= DIAGNOSE_AT_MOST,
            f"Diagnose among {LIVE} live batches: {among:.0f} µs, {alone:.0f} µs alone: {among / alone:.2f} times "
            f"(at most {DIAGNOSE_AT_MOST})")
        submit("done", FINISHED, "simulate")
        last = f"done-{FINISHED - 1}"
        harness.wait_for(lambda: status(last) == types.BATCH_STATUS_COMPLETED, f"{last} to complete")
        unfinished = [n for n in range(0, FINISHED, max(1, FINISHED // 1000)) if status(f"done-{n}") != types.BATCH_STATUS_COMPLETED]
        Lines.say(not unfinished, f"{FINISHED} batches have completed beside {LIVE} that run, as far as a thousand of them tell")
        print(f"     the server takes {mebibytes(resident(server) - empty)}", flush=True)
        among = median_diagnose_microseconds(server, f"live-{LIVE - 1}")
        Lines.say(
            among / alone <= DIAGNOSE_AT_MOST,
            f"Diagnose beside {FINISHED} finished batches: {among:.0f} µs, {alone:.0f} µs alone: {among / alone:.2f} times "
            f"(at most {DIAGNOSE_AT_MOST})")
        seconds = restart_seconds(server, "live-0")
        print(f"     recovery of {LIVE} live and {FINISHED} finished batches: {seconds:.2f} s", flush=True)
        answer = json.loads(mend(server, "diagnose", "done-0", "-o", "json"))
        Lines.say(answer["status"] == "completed", "a batch that ended before the kill is answered for after it")
    finally:
        channel.close()
        server.kill()


def processor_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ray_jobs(directory):
    """Attempts of which a cluster has more than one machine can run: its head is one that only answers."""
    head = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("ray_head.py"), "0"], stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{head.stdout.readline().strip()}"

    def head_is(path, method="GET"):
        return json.load(urllib.request.urlopen(urllib.request.Request(url + path, method=method), timeout=60))

    server = harness.Server(directory / "ray", "--executor", "ray", "--ray", url, "--no-local", "--worker-endpoint",
        "127.0.0.1:7443").start()
    try:
        batches = [f"ray-{number}" for number in range(RAY_JOBS // RAY_SHARDS)]
        began = time.monotonic()
        for batch in batches:
            mend(server, "submit", "--spec", "-", input=json.dumps({
                "batch_id": batch, "documents": [
                    {"document_id": f"d{n}", "uri": f"file:///srv/documents/d{n}.pdf"} for n in range(RAY_SHARDS)],
                "tiers": [{"extractors": [
                    {"extractor_name": "wait", "entrypoint": "sleep 1000", "shards": RAY_SHARDS, "num_cpus": 1}]}]}))

        def statuses():
            found = json.loads(mend(server, "list", "--limit", "1000", "-o", "json"))["batches"]
            return [batch["status"] for batch in found]

        harness.wait_for(lambda: head_is("/running") == RAY_JOBS, f"{RAY_JOBS} attempts to run", seconds=600, interval=1)
        print(f"     {RAY_JOBS} attempts run at Ray after {time.monotonic() - began:.1f} s, "
              f"the server takes {mebibytes(resident(server))}", flush=True)
        head_is("/asked")
        began, before = time.monotonic(), processor_seconds(server.process)
        harness.wait_for(lambda: time.monotonic() - began > 30, "half a minute of it", seconds=60, interval=1)
        seconds = time.monotonic() - began
        cores = (processor_seconds(server.process) - before) / seconds
        asked = head_is("/asked")
        requests = sum(asked.values()) / seconds
        Lines.say(
            requests <= RAY_REQUESTS_AT_MOST,
            f"{RAY_JOBS} attempts at Ray: {requests:.1f} requests a second (at most {RAY_REQUESTS_AT_MOST}): {asked}")
        Lines.say(cores <= RAY_CORES_AT_MOST, f"... and {cores:.2f} of a core (at most {RAY_CORES_AT_MOST})")
        began = time.monotonic()
        head_is("/end", "POST")
        harness.wait_for(lambda: set(statuses()) == {"completed"}, "all batches to complete", seconds=600, interval=1)
        seconds = time.monotonic() - began
        Lines.say(
            seconds <= RAY_END_SECONDS_AT_MOST,
            f"all of them ended at once: the last is told after {seconds:.1f} s (at most {RAY_END_SECONDS_AT_MOST} s)")
    finally:
        server.kill()
        head.kill()
        head.wait()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--summary")
    options = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="mend-scale-"))
    try:
        modules = stubs(directory)
        ray_jobs(directory)
        large_batch(directory)
        many_batches(directory, *modules)
    except (AssertionError, grpc.RpcError, subprocess.CalledProcessError) as error:
        Lines.say(False, f"{error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.summary:
        Path(options.summary).write_text(f"{Lines.passed} {Lines.failed} 0\n")
    return 1 if Lines.failed or not Lines.passed else 0


if __name__ == "__main__":
    sys.exit(main())
