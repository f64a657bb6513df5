"""Every row of the attack table against a running `mend serve`, with a stock client beside it.

A row passes when the attacker was limited or cut off as the row says, the server's resident memory stayed within its bound,
and the other client was answered all the while.
"""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "EndToEnd"))

from frames import *  # noqa: E402,F403
from harness import PATIENCE_SECONDS, Server, wait_for  # noqa: E402

CALM = 11
MIB = 1 << 20
# Short enough for a test, long enough for a loaded machine.
LIMITS = ["handshake-time=3", "headers-time=3", "request-time=4", "stall-time=4", "connections-per-address=300"]
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# file_containing_symbol "mend.v1.Batches": an answer of many kilobytes for a request of a few bytes.
LARGE_ANSWER = message(b"\x22\x0fmend.v1.Batches")


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Memory:
    """The most that the server had resident while this was entered."""

    def __init__(self, pid):
        self.pid, self.before, self.peak, self.done = pid, resident(pid), 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def _sample(self):
        while not self.done.wait(0.02):
            self.peak = max(self.peak, resident(self.pid))

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.peak = max(self.peak, resident(self.pid))


class Bystander:
    """A stock grpcio client in a process of its own, which calls one call after another."""

    def __init__(self, address, log):
        self.log = Path(log)
        self.log.touch()
        self.process = subprocess.Popen([sys.executable, __file__, "--bystander", address, str(self.log)])

    def calls(self, since, until):
        found = []
        for line in self.log.read_text().splitlines():
            parts = line.split()
            if len(parts) == 3 and since <= float(parts[0]) <= until:
                found.append((float(parts[1]), parts[2]))
        return found

    def stop(self):
        self.process.kill()
        self.process.wait()


def bystander(address, log):
    import grpc
    channel = grpc.insecure_channel(address)
    check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda item: item, lambda item: item)
    pause = threading.Event()
    with open(log, "a", buffering=1) as out:
        while os.getppid() != 1:
            begin = time.monotonic()
            try:
                check(b"", timeout=20)
                status = "OK"
            except grpc.RpcError as error:
                status = error.code().name
            end = time.monotonic()
            out.write(f"{end:.6f} {end - begin:.6f} {status}\n")
            pause.wait(0.003)


def p99(calls):
    times = sorted(took for took, _ in calls)
    return times[min(len(times) - 1, len(times) * 99 // 100)] * 1000 if times else float("nan")


# The rows. Each takes the server and says what the attacker got; what it asserts is the row's claim.


def cut_off(peer, frames, most, batch=50, code=CALM, seconds=60):
    """Sends `frames(number)` until the server ends the connection, reading all the while; how many were sent."""
    sent, deadline = 0, time.monotonic() + seconds
    while sent < most and not peer.ended and not peer.goaway and time.monotonic() < deadline:
        peer.send(b"".join(frames(number) for number in range(sent, sent + batch)))
        sent += batch
        peer.read()
    peer.until(lambda: peer.goaway is not None or peer.ended, 20)
    assert peer.goaway or peer.ended, f"{sent} were taken and nothing happened"
    if peer.goaway:
        assert peer.goaway[0] == code, f"GOAWAY {peer.goaway}"
    assert peer.until_ended(20), "the connection stayed open after its GOAWAY"
    why = peer.goaway[1] if peer.goaway else "closed"
    peer.close()
    return f"cut off after {sent}: {why}"


def rapid_reset(server):
    return cut_off(Peer(server.address), lambda n: headers(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"), 50_000)


def rapid_reset_of_calls(server):
    return cut_off(Peer(server.address), lambda n: call(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"), 50_000)


def made_you_reset_by_window(server):
    return cut_off(
        Peer(server.address),
        lambda n: headers(2 * n + 1) + frame(WINDOW_UPDATE, 0, 2 * n + 1, b"\x7f\xff\xff\xff"), 5_000)


def made_you_reset_by_length(server):
    return cut_off(
        Peer(server.address),
        lambda n: headers(2 * n + 1, fields(extra=[("content-length", "1")])) + frame(DATA, 0, 2 * n + 1, b"1234"), 5_000)


def made_you_reset_by_trailers(server):
    return cut_off(
        Peer(server.address),
        lambda n: headers(2 * n + 1) + headers(2 * n + 1, literal(":path", "/"), end_stream=True), 5_000)


def continuation_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1, end_headers=False))
    return cut_off(peer, lambda n: frame(CONTINUATION, 0, 1), 100_000)


def continuation_bytes(server):
    peer = Peer(server.address)
    peer.send(headers(1, end_headers=False))
    field = literal("x", b"a" * 8000)
    return cut_off(peer, lambda n: frame(CONTINUATION, 0, 1, field), 10_000, batch=1)


def byte_by_byte(server):
    peer = Peer(server.address)
    block = fields()
    step = len(block) // 20 + 1
    parts = [block[at:at + step] for at in range(0, len(block), step)]
    whole = frame(HEADERS, 0, 1)
    for index, part in enumerate(parts):
        whole += frame(CONTINUATION, END_HEADERS if index == len(parts) - 1 else 0, 1, part)
    whole += frame(DATA, END_STREAM, 1, message())
    for index in range(len(whole)):
        peer.send(whole[index:index + 1])
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 5, peer.statuses
    peer.close()
    return f"a valid request in {len(whole)} reads and {len(parts)} CONTINUATION frames is answered"


def ping_flood(server):
    return cut_off(Peer(server.address), lambda n: frame(PING, 0, 0, n.to_bytes(8, "big")), 200_000)


def settings_flood(server):
    return cut_off(Peer(server.address), lambda n: frame(SETTINGS), 200_000)


def priority_flood(server):
    return cut_off(Peer(server.address), lambda n: frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\x10"), 200_000)


def unknown_flood(server):
    return cut_off(Peer(server.address), lambda n: frame(0xEE, 0, 0, b"what"), 200_000)


def empty_data_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1))
    return cut_off(peer, lambda n: frame(DATA, 0, 1), 200_000)


def padding_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1))
    return cut_off(peer, lambda n: frame(DATA, PADDED, 1, b"\3\0\0\0"), 200_000)


def window_update_flood(server):
    return cut_off(Peer(server.address), lambda n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), 200_000)


def unread_answers(server):
    peer = Peer(server.address, timeout=5)
    sent = 0
    while sent < 400_000 and peer.send(b"".join(frame(PING, 0, 0, b"unread!!") for _ in range(500))):
        sent += 500
    assert peer.ended, f"{sent} pings were taken from a peer that reads nothing"
    peer.close()
    return f"cut off after {sent} pings whose answers nobody read"


def hpack_bomb(server):
    peer = Peer(server.address)
    entry = b"\x40" + literal("x", b"a" * 4000)[1:]
    first = headers(1, fields() + entry + b"\xbe" * 10_000, end_stream=True)
    peer.send(first)
    assert peer.until(lambda: 1 in peer.resets or peer.ended, 20) and not peer.ended, "the first was not reset"
    return cut_off(peer, lambda n: headers(2 * n + 3, fields() + b"\xbe" * 12_000, end_stream=True), 20_000, batch=1)


def large_header_list(server):
    peer = Peer(server.address)
    block = fields(extra=[(f"x-{n}", "a" * 3000) for n in range(10)])
    peer.send(frame(HEADERS, 0, 1, block[:16000]) + frame(CONTINUATION, END_HEADERS, 1, block[16000:]))
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 8, peer.statuses
    peer.send(call(3))
    assert peer.until(lambda: 3 in peer.statuses, 20), "the connection is of no more use"
    peer.close()
    return f"told: {peer.messages[1]}"


def long_path(server):
    peer = Peer(server.address)
    peer.send(call(1, "/" + "%" * 12_000))
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 12 and len(peer.messages[1]) < 1_000, len(peer.messages[1])
    peer.close()
    return f"12,000 bytes of path are quoted in {len(peer.messages[1])}"


def zero_window(server):
    peer = Peer(server.address, settings=b"\0\4\0\0\0\0")
    for number in range(900):
        peer.send(call(2 * number + 1, REFLECTION, body=LARGE_ANSWER))
        peer.read()
    begin = time.monotonic()
    # What else it says doesn't make it one that reads.
    while not peer.ended and time.monotonic() - begin < 40:
        peer.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))
        peer.read(0.5)
    assert peer.ended, "held for 40 s without any window"
    assert peer.goaway and peer.goaway[0] == CALM, peer.goaway
    peer.close()
    return f"900 answers without a window: ended after {time.monotonic() - begin:.0f} s"


def slow_read(server):
    peer = Peer(server.address, settings=b"\0\4\x7f\xff\xff\xff")
    peer.send(frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0"))
    begin = time.monotonic()
    number = 0
    while time.monotonic() - begin < 60 and number < 20_000:
        if not peer.send(b"".join(call(2 * (number + n) + 1, REFLECTION, body=LARGE_ANSWER) for n in range(20))):
            break
        number += 20
        if number >= 900:
            break
    # Nothing is read from here on; the server's socket fills.
    try:
        wait_for(lambda: not peer.send(frame(PING, 0, 0, b"unread!!")), "the end of a connection that reads nothing", 40, 0.25)
    finally:
        peer.close()
    return f"{number} answers that nobody reads: ended after {time.monotonic() - begin:.0f} s"


def slowloris(server):
    peers = {
        "nothing": Peer(server.address, greet=False),
        "half a preface": Peer(server.address, greet=False),
        "no SETTINGS": Peer(server.address, greet=False),
        "no acknowledgement": Peer(server.address, greet=False),
        "headers": Peer(server.address),
        "headers frame": Peer(server.address),
        "request": Peer(server.address),
    }
    if server.tls:
        peers["TLS"] = Peer(server.tls.address, greet=False)
    peers["half a preface"].send(PREFACE[:10])
    peers["no SETTINGS"].send(PREFACE)
    peers["no acknowledgement"].send(PREFACE + frame(SETTINGS))
    peers["headers"].send(headers(1, end_headers=False))
    peers["headers frame"].send(headers(1)[:40])
    peers["request"].send(headers(1) + frame(DATA, 0, 1, b"\0"))
    begin = time.monotonic()
    waiting = dict(peers)
    while waiting and time.monotonic() - begin < 40:
        for name, peer in list(waiting.items()):
            # Says something now and then, as the attack does, but never enough.
            if name == "headers frame" and time.monotonic() - begin < 8:
                peer.send(b"a")
            peer.read(0.05)
            if peer.ended or (name == "request" and 1 in peer.statuses):
                del waiting[name]
    assert not waiting, f"still open after 40 s: {', '.join(waiting)}"
    assert peers["no acknowledgement"].goaway == (4, ""), peers["no acknowledgement"].goaway
    assert peers["request"].statuses[1] == 1, peers["request"].statuses
    for peer in peers.values():
        peer.close()
    return f"{len(peers)} kinds of slow callers ended after {time.monotonic() - begin:.0f} s"


def too_many_connections(server):
    host, port = server.address.rsplit(":", 1)
    # From another address of this machine, so that the other client's is not the one that is used up.
    open_ones = []
    refused = 0
    try:
        for _ in range(400):
            one = socket.create_connection((host, int(port)), timeout=20, source_address=("127.0.0.2", 0))
            open_ones.append(one)
            one.sendall(PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK))
        for one in open_ones:
            try:
                if not one.recv(100):
                    refused += 1
            except OSError:
                refused += 1
    finally:
        for one in open_ones:
            one.close()
    assert refused == 100, f"{400 - refused} of 400 connections of one address were taken"
    def again():
        try:
            with socket.create_connection((host, int(port)), timeout=20, source_address=("127.0.0.2", 0)) as one:
                return bool(one.recv(100))
        except OSError:
            return False
    wait_for(again, "room for a connection after all were closed", 20)
    return "300 of 400 connections of one address were taken"


def too_many_streams(server):
    peer = Peer(server.address)
    peer.until(lambda: SETTINGS in peer.counts, 20)
    peer.send(b"".join(headers(2 * n + 1) for n in range(1_001)))
    assert peer.until_ended(20), "more streams than were announced"
    peer.close()
    return f"the 1,001st stream ends the connection: {peer.goaway}"


def length_prefix_bomb(server):
    peer = Peer(server.address)
    for stream, body, status in (
        (1, b"\0\xff\xff\xff\xff", 8), (3, b"\0\x7f\xff\xff\xff" + b"a" * 100, 8), (5, b"\x09\0\0\0\1a", 13),
        (7, b"\0\0\0\0\x09a", 13), (9, b"", 13),
    ):
        peer.send(call(stream, body=body))
        assert peer.until(lambda: stream in peer.statuses, 20), f"no answer to {body[:8]!r}: {peer.goaway}"
        assert peer.statuses[stream] == status, (body[:8], peer.statuses)
    peer.close()
    return "lengths of 4 GiB, 2 GiB, an unknown flag, a cut message, none: each fails its call"


def half_requests(server):
    peer = Peer(server.address)
    streams = [2 * n + 1 for n in range(60)]
    for stream in streams:
        peer.send(headers(stream) + frame(DATA, 0, stream, b"\0\0\x3f\xff\xff"))
    sent = 0
    # Each gets a million bytes of its four, unless it is told before: sixty million in all, against a bound of sixteen.
    for _ in range(60):
        for stream in streams:
            if stream not in peer.statuses and peer.send(frame(DATA, 0, stream, b"a" * 16_000)):
                sent += 16_000
        peer.read(0.01)
    peer.until(lambda: len(peer.statuses) == len(streams), 40)
    assert not peer.ended, f"the connection ended: {peer.goaway}"
    held = len(streams) - len(peer.statuses)
    assert not held, f"{held} half requests are held"
    told = list(peer.statuses.values())
    assert 8 in told, f"{sent // MIB} MiB of halves were taken: {told}"
    peer.close()
    return f"{sent // MIB} MiB of halves of requests: {told.count(8)} were told at once, {told.count(1)} after their time"


def keepalive_abuse(server):
    peer = Peer(server.address)
    pings = 0
    while not peer.goaway and pings < 50:
        peer.send(frame(PING, 0, 0, b"hello???"))
        pings += 1
        peer.until(lambda: peer.counts.get(PING, 0) >= pings or peer.goaway is not None, 20)
    assert peer.goaway == (CALM, "too_many_pings"), peer.goaway
    assert peer.until_ended(20)
    peer.close()
    return f"GOAWAY at ping {pings}: {peer.goaway[1]}"


def bad_binary_metadata(server):
    peer = Peer(server.address)
    peer.send(call(1, extra=[("a-bin", "%%%")]))
    assert peer.until(lambda: 1 in peer.statuses, 20) and peer.statuses[1] == 13, (peer.statuses, peer.goaway)
    peer.send(call(3))
    assert peer.until(lambda: 3 in peer.statuses, 20) and peer.statuses[3] == 5, (peer.statuses, peer.goaway)
    peer.close()
    return f"fails its call: {peer.messages[1]}"


def not_http2(server):
    peer = Peer(server.address, greet=False)
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert peer.until_ended(20), "HTTP/1.1 is still being waited for"
    peer.close()
    return "HTTP/1.1 is closed at once"


# Name, attack, and how much memory it may make the server take.
ROWS = [
    ("rapid reset", rapid_reset, 64), ("rapid reset of whole calls", rapid_reset_of_calls, 64),
    ("MadeYouReset by a window", made_you_reset_by_window, 64), ("MadeYouReset by a length", made_you_reset_by_length, 64),
    ("MadeYouReset by trailers", made_you_reset_by_trailers, 64), ("CONTINUATION without end", continuation_flood, 64),
    ("CONTINUATION with fields", continuation_bytes, 64), ("a request byte by byte", byte_by_byte, 64),
    ("PING flood", ping_flood, 64), ("SETTINGS flood", settings_flood, 64), ("PRIORITY flood", priority_flood, 64),
    ("unknown frames", unknown_flood, 64), ("empty DATA", empty_data_flood, 64), ("DATA of padding", padding_flood, 64),
    ("WINDOW_UPDATE flood", window_update_flood, 64), ("answers nobody reads", unread_answers, 64),
    ("HPACK bomb", hpack_bomb, 64), ("a large header list", large_header_list, 64), ("a long path", long_path, 64),
    ("zero window", zero_window, 128), ("slow read", slow_read, 128), ("slowloris", slowloris, 64),
    ("connections of one address", too_many_connections, 64), ("streams above the limit", too_many_streams, 64),
    ("length-prefix bombs", length_prefix_bomb, 64), ("halves of requests", half_requests, 96),
    ("keepalive abuse", keepalive_abuse, 64), ("bad -bin metadata", bad_binary_metadata, 64), ("no HTTP/2", not_http2, 64),
]


def with_tls(directory, flags):
    """A second server that speaks TLS, or None where openssl is missing."""
    if not shutil.which("openssl"):
        return None
    certificate, key = directory / "cert.pem", directory / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)], capture_output=True)
    if made.returncode:
        return None
    (directory / "second").mkdir()
    return Server(directory / "second" / "data", *flags, "--tls-cert", str(certificate), "--tls-key", str(key)).start()


def main(summary, chosen):
    directory = Path(tempfile.mkdtemp(prefix="mend-attacks-"))
    limits = LIMITS + os.environ.get("MEND_LIMITS", "").split()
    flags = [part for limit in limits for part in ("--limit", limit)]
    passed = failed = 0
    begin = time.monotonic()
    server = other = None
    try:
        server = Server(directory / "data", *flags).start()
        server.tls = with_tls(directory, flags)
        other = Bystander(server.address, directory / "bystander")
        wait_for(lambda: len(other.calls(0, time.monotonic())) > 50, "the other client's first calls", PATIENCE_SECONDS)
        quiet_since = time.monotonic()
        wait_for(lambda: time.monotonic() - quiet_since > 2, "a while without an attack")
        quiet = p99(other.calls(quiet_since, time.monotonic()))
        print(f"the other client's p99 without an attack: {quiet:.1f} ms")
        for name, attack, bound in ROWS:
            if chosen and name not in chosen:
                continue
            since = time.monotonic()
            try:
                with Memory(server.process.pid) as memory:
                    said = attack(server)
                # Whoever was served before is served now.
                now = time.monotonic()
                wait_for(lambda: other.calls(now, time.monotonic()), "an answer for the other client", 30)
                calls = other.calls(since, time.monotonic())
                bad = [status for _, status in calls if status != "OK"]
                assert not bad, f"the other client got {bad[:3]}"
                grown = (memory.peak - memory.before) / MIB
                assert grown <= bound, f"the server took {grown:.0f} MiB more; {bound} were to be enough"
                assert server.process.poll() is None, "the server has ended"
                print(f"ok   {name}: {said}; +{max(0, grown):.0f} MiB, p99 {p99(calls):.1f} ms of {len(calls)} calls", flush=True)
                passed += 1
            except Exception as error:
                print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
                failed += 1
    finally:
        if other:
            other.stop()
        if server:
            if getattr(server, "tls", None):
                server.tls.kill()
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"attacks: {passed} passed, {failed} failed ({time.monotonic() - begin:.0f} s)")
    Path(summary).write_text(f"{passed} {failed} 0\n")
    return failed == 0


if __name__ == "__main__":
    if sys.argv[1] == "--bystander":
        bystander(sys.argv[2], sys.argv[3])
    else:
        sys.exit(0 if main(sys.argv[1], sys.argv[2:]) else 1)
