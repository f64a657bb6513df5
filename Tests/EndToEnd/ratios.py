"""Two promises that are ratios within one run, on release builds: group commit's gain, and Diagnose on a large batch.

    python Tests/EndToEnd/ratios.py          needs .build/release/mend and .build/release/mend-bench

Each pair is measured in turn, several times, and the medians are compared: the machine may be noisy, the ratio is not.
Exits 1 where a promise does not hold.
"""

import json
import os
import shutil
import statistics
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


def main():
    directory = Path(tempfile.mkdtemp(prefix="mend-ratios-"))
    server = harness.Server(directory / "data", "--cpus", "4").start()
    kept = True
    try:
        request = json.dumps({"batch": {"tiers": [{"extractors": [{"extractor_name": "a", "document_command": "true"}]}]},
                              "documents": [{"document_id": "d", "uri": "file:///etc/hostname"}]})
        one, many = [], []
        for _ in range(ROUNDS):
            one.append(bench(server, "CreateBatch", 1, 1, "--count", "2000", "--request", request)["calls_per_second"])
            many.append(bench(server, "CreateBatch", 8, 8, "--count", "20000", "--request", request)["calls_per_second"])
        gain = statistics.median(many) / statistics.median(one)
        print(f"durable CreateBatch: {statistics.median(one):.0f}/s by 1 caller, {statistics.median(many):.0f}/s by 64: "
              f"{gain:.1f} times (at least {GROUP_COMMIT_AT_LEAST})")
        kept &= gain >= GROUP_COMMIT_AT_LEAST

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
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
