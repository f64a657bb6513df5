"""Connections opened and dropped, a million calls, idle connections: what they leave in the server's resident memory.

    python Tests/Churn/churn.py SUMMARY          needs .build/release/mend and h2load

Flat means: every round does the same work; after the rounds in which pools and caches fill up, the median of the last three
rounds is at most GROWTH_AT_MOST above that of the first three. What every connection left behind would show from 150 bytes
on, what every call did from 3.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "EndToEnd"))

import harness  # noqa: E402
from peer import DATA, END_STREAM, GOAWAY, PREFACE, RST_STREAM, Peer, client_tls, frame, message  # noqa: E402

harness.MEND = os.environ.get("MEND_BINARY", str(ROOT / ".build" / "release" / "mend"))
CONNECTIONS = int(os.environ.get("MEND_CHURN_CONNECTIONS", 20_000))
CALLS = int(os.environ.get("MEND_CHURN_CALLS", 1_000_000))
ROUNDS = 10
# Pools are as large as what was in use at once, loop by loop: chance decides how soon each has seen its most.
WARM_UP_ROUNDS = 8
GROWTH_AT_MOST = 2 << 20
IDLE = 2_000
IDLE_AT_MOST = 20 << 10
BATCH = "churn"


def resident(server):
    """Bytes, in the server's own pages: what files it maps is none of it."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def gauge(server, name):
    with urllib.request.urlopen(f"http://{server.admin}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no {name}")


def wait_until_gone(server):
    harness.wait_for(lambda: gauge(server, "mend_rpc_connections") == 0, "all connections to be forgotten")


# Each way in which a connection comes and goes. `tcp` is TLS, `unix` is plaintext.

def silent(tcp, unix, tls):
    Peer(unix).close()


def half_a_preface(tcp, unix, tls):
    Peer(unix).send(PREFACE[:11]).close()


def one_call(tcp, unix, tls):
    peer = Peer(unix).greet().call(1, "Diagnose", BATCH)
    peer.send(frame(GOAWAY, 0, 0, bytes(8)))
    peer.close()


def call_cut_in_its_request(tcp, unix, tls):
    peer = Peer(unix).greet().begin(1, "Diagnose")
    peer.send(frame(DATA, 0, 1, message(BATCH)[:7]))
    peer.abort()


def watch_left(tcp, unix, tls):
    peer = Peer(unix).greet().begin(1, "WatchProgress")
    peer.send(frame(DATA, END_STREAM, 1, message(BATCH)))
    peer.read(lambda kind, flags, id: kind == DATA)
    peer.abort()


def watch_cancelled(tcp, unix, tls):
    peer = Peer(unix).greet().begin(1, "WatchProgress")
    peer.send(frame(DATA, END_STREAM, 1, message(BATCH)))
    peer.read(lambda kind, flags, id: kind == DATA)
    peer.send(frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
    peer.call(3, "GetBatch", BATCH).close()


def broken(tcp, unix, tls):
    # DATA on stream 0 is a connection error: the server says GOAWAY and closes.
    peer = Peer(unix).greet().call(1, "GetBatch", BATCH)
    peer.send(frame(DATA, 0, 0, b"x"))
    peer.read(lambda kind, flags, id: kind == GOAWAY)
    peer.drain().close()


def half_a_client_hello(tcp, unix, tls):
    Peer(tcp).send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20)).close()


def tls_call(tcp, unix, tls):
    Peer(tcp, tls).greet().call(1, "Diagnose", BATCH).abort()


def tls_silent(tcp, unix, tls):
    Peer(tcp).abort()


WAYS = [silent, half_a_preface, one_call, call_cut_in_its_request, watch_left, watch_cancelled, broken, half_a_client_hello,
        tls_call, tls_silent]


def certificates(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem",
         "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"], cwd=directory, check=True, capture_output=True)
    return "--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem")


def started(directory, name, *flags):
    (directory / name).mkdir()
    return harness.Server(directory / name / "data", "--cpus", "1", *flags).start()


def submit(address, environment):
    subprocess.run(
        [harness.MEND, "submit", "--server", address, "--spec", "-"], check=True, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, **environment},
        input='{"batch_id": "%s", "documents": [{"document_id": "d", "uri": "file:///srv/d"}], "tiers": [{"extractors": '
              '[{"extractor_name": "wait", "entrypoint": "sleep 100000"}]}]}' % BATCH)


def cancel(address):
    subprocess.run([harness.MEND, "cancel", BATCH, "--server", address, "--grace", "0"], stdout=subprocess.DEVNULL)


def load(directory, url, method, count):
    body = directory / "body"
    body.write_bytes(message(BATCH))
    run = subprocess.run(
        ["h2load", "-n", str(count), "-c", "8", "-m", "32", "-d", body, "-H", "content-type: application/grpc", "-H",
         "te: trailers", f"{url}/mend.v1.Batches/{method}"], capture_output=True, text=True, timeout=600)
    if f"{count} succeeded" not in run.stdout:
        raise AssertionError(f"not every call was answered:\n{run.stdout}{run.stderr}")


def churn(directory):
    """Connections over TLS and Unix sockets, calls over TLS, in rounds."""
    tls = client_tls()
    server = started(directory, "churn", *certificates(directory))
    try:
        unix = str(server.data / "mend.sock")
        host, port = server.address.split(":")
        tcp = (host, int(port))
        submit(f"unix:{unix}", {})
        readings = []
        for number in range(-WARM_UP_ROUNDS, ROUNDS):
            for index in range(CONNECTIONS // ROUNDS):
                WAYS[index % len(WAYS)](tcp, unix, tls)
            wait_until_gone(server)
            share = CALLS // ROUNDS
            load(directory, f"https://{server.address}", "Diagnose", share // 2)
            load(directory, f"https://{server.address}", "GetBatch", share - share // 2)
            wait_until_gone(server)
            readings.append(resident(server))
            print(f"  {f'round {number + 1}' if number >= 0 else 'warm-up'}: {readings[-1] / 1e6:.1f} MB", flush=True)
        cancel(f"unix:{unix}")
        return statistics.median(readings[-3:]) - statistics.median(readings[WARM_UP_ROUNDS : WARM_UP_ROUNDS + 3])
    finally:
        server.kill()


def idle(directory, warm_calls):
    """What 2,000 connections cost each that made a call and then wait."""
    server = started(directory, "idle")
    try:
        host, port = server.address.split(":")
        submit(server.address, {})
        load(directory, f"http://{server.address}", "Diagnose", warm_calls)
        wait_until_gone(server)
        before = resident(server)
        peers = [Peer((host, int(port))).greet().call(1, "Diagnose", BATCH) for _ in range(IDLE)]
        harness.wait_for(lambda: gauge(server, "mend_rpc_connections") == IDLE, "all connections to be open")
        each = (resident(server) - before) / IDLE
        # Still there and still served.
        for peer in peers[:: IDLE // 20]:
            peer.call(3, "Diagnose", BATCH)
        for peer in peers:
            peer.close()
        cancel(server.address)
        return each
    finally:
        server.kill()


def main():
    results = []

    def check(name, holds):
        results.append(holds)
        print(f"{'ok  ' if holds else 'FAIL'} {name}", flush=True)

    directory = Path(tempfile.mkdtemp(prefix="mend-churn-"))
    try:
        each = idle(directory, 2000)
        check(f"{IDLE} idle connections: {each / 1024:.1f} KiB each (at most {IDLE_AT_MOST >> 10})", each <= IDLE_AT_MOST)
        growth = churn(directory)
        check(f"{CONNECTIONS} connections and {CALLS} calls: {growth / 1024:.0f} KiB more after the last rounds than after the "
              f"first (at most {GROWTH_AT_MOST >> 10})", growth <= GROWTH_AT_MOST)
    except AssertionError as fault:
        check(f"churn: {fault}", False)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    Path(sys.argv[1]).write_text(f"{sum(results)} {len(results) - sum(results)} 0\n")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
