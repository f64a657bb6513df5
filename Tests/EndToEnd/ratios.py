"""Promises that are ratios within one run, on release builds: group commit's gain, Diagnose on a large batch, what TLS adds.

    python Tests/EndToEnd/ratios.py          needs .build/release/mend, .build/release/mend-bench, h2load and openssl

Each pair is measured in turn, several times, and the medians are compared: the machine may be noisy, the ratio is not.
Exits 1 where a promise does not hold.
"""

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import harness

RELEASE = harness.ROOT / ".build" / "release"
harness.MEND = str(RELEASE / "mend")
ROUNDS = 3
# A submit from 64 callers against one caller's, in durable answers a second.
GROUP_COMMIT_AT_LEAST = 10
# Diagnose on 100,000 documents against one on 100, in median latency.
LARGE_BATCH_AT_MOST = 1.5
# The server's processor time for a call over TLS against one in plaintext, 8 connections with 32 streams.
TLS_AT_MOST = 1.3
TLS_CALLS = 100_000


def bench(server, call, connections, streams, *flags):
    run = subprocess.run(
        [RELEASE / "mend-bench", "--server", server.address, "--call", call, "--connections", str(connections),
         "--streams", str(streams), "-o", "json", *flags],
        capture_output=True, text=True, timeout=300)
    if run.returncode != 0:
        raise SystemExit(f"mend-bench {call}: {run.stderr}")
    result = json.loads(run.stdout)
    if result["errors"]:
        raise SystemExit(f"mend-bench {call}: {result['errors']}")
    return result


def specification(count):
    return json.dumps({
        "batch_id": f"docs-{count}", "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/d{n}"} for n in range(count)],
        "tiers": [{"extractors": [{"extractor_name": "wait", "entrypoint": "sleep 1000"}]}]})


def processor_seconds(server):
    """What the server's process has used, of its own and in the kernel for it."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def group_commit(server):
    """Rates of durable answers, one caller's and 64 callers': always the same number of rounds."""
    request = json.dumps({"batch": {"tiers": [{"extractors": [{"extractor_name": "a", "document_command": "true"}]}]},
                          "documents": [{"document_id": "d", "uri": "file:///etc/hostname"}]})
    one, many = [], []
    for _ in range(ROUNDS):
        one.append(bench(server, "CreateBatch", 1, 1, "--count", "2000", "--request", request)["calls_per_second"])
        many.append(bench(server, "CreateBatch", 8, 8, "--count", "20000", "--request", request)["calls_per_second"])
    gain = statistics.median(many) / statistics.median(one)
    print(f"durable CreateBatch: {statistics.median(one):.0f}/s by 1 caller, {statistics.median(many):.0f}/s by 64: "
          f"{gain:.1f} times (at least {GROUP_COMMIT_AT_LEAST})")
    return gain >= GROUP_COMMIT_AT_LEAST


def tls(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem",
         "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"], cwd=directory, check=True, capture_output=True)
    secure = ("--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem"))
    body = directory / "body"
    body.write_bytes(struct.pack(">BI", 0, 8) + b"\x0a\x06docs-1")
    servers = {}
    try:
        for scheme, flags in (("http", ()), ("https", secure)):
            (directory / scheme).mkdir()
            servers[scheme] = harness.Server(directory / scheme / "data", "--cpus", "1", *flags).start()
            unix = f"unix:{servers[scheme].data}/mend.sock"
            subprocess.run([harness.MEND, "submit", "--server", unix, "--spec", "-"], input=specification(1), text=True,
                           check=True, stdout=subprocess.DEVNULL)
        ratios, used = [], {"http": [], "https": []}
        for _ in range(ROUNDS + 2):
            for scheme, server in servers.items():
                before = processor_seconds(server)
                run = subprocess.run(
                    ["h2load", "-n", str(TLS_CALLS), "-c", "8", "-m", "32", "-d", body, "-H", "te: trailers", "-H",
                     "content-type: application/grpc", f"{scheme}://{server.address}/mend.v1.Batches/Diagnose"],
                    capture_output=True, text=True, timeout=300)
                if f"{TLS_CALLS} succeeded" not in run.stdout:
                    raise SystemExit(f"h2load {scheme}: {run.stdout}{run.stderr}")
                used[scheme].append((processor_seconds(server) - before) / TLS_CALLS * 1e6)
            ratios.append(used["https"][-1] / used["http"][-1])
        for server in servers.values():
            subprocess.run([harness.MEND, "cancel", "docs-1", "--grace", "0", "--server", f"unix:{server.data}/mend.sock"],
                           check=True, stdout=subprocess.DEVNULL)
    finally:
        for server in servers.values():
            server.kill()
    ratio = statistics.median(ratios)
    print(f"Diagnose over TLS: {statistics.median(used['https']):.2f} µs of processor time a call, "
          f"{statistics.median(used['http']):.2f} µs in plaintext: {ratio:.2f} times (at most {TLS_AT_MOST})")
    return ratio <= TLS_AT_MOST


def main():
    directory = Path(tempfile.mkdtemp(prefix="mend-ratios-"))
    server = harness.Server(directory / "data", "--cpus", "4").start()
    kept = True
    try:
        kept &= group_commit(server)

        environment = {**os.environ, "MEND_SERVER": server.address}
        for count in (100, 100_000):
            subprocess.run([harness.MEND, "submit", "--spec", "-"], input=specification(count), text=True, check=True,
                           stdout=subprocess.DEVNULL, env=environment)
        small, large = [], []
        for _ in range(ROUNDS):
            for count, latencies in ((100, small), (100_000, large)):
                result = bench(server, "Diagnose", 1, 1, "--batch", f"docs-{count}", "--duration", "2")
                latencies.append(result["latency_microseconds"]["p50"])
        slower = statistics.median(large) / statistics.median(small)
        print(f"Diagnose, median: {statistics.median(small):.0f} µs with 100 documents, {statistics.median(large):.0f} µs "
              f"with 100,000: {slower:.2f} times (at most {LARGE_BATCH_AT_MOST})")
        kept &= slower <= LARGE_BATCH_AT_MOST
        for count in (100, 100_000):
            subprocess.run([harness.MEND, "cancel", f"docs-{count}", "--grace", "0"], check=True,
                           stdout=subprocess.DEVNULL, env=environment)
        server.kill()
        kept &= tls(directory)
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
