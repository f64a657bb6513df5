"""Every row of the attack table against a running `mend serve`, with a stock client beside it.

A row passes when the attacker was limited or cut off as the row says, the server's resident memory stayed within its bound,
and the other client was answered all the while.

    attacks.py SUMMARY [NAME ...]                       the rows, or those named
    attacks.py SUMMARY --without-defences [NAME ...]    each against a server whose limits against it are switched off: a row
                                                        that passes there shows nothing, and fails
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "EndToEnd"))

import floods  # noqa: E402
import hoards  # noqa: E402
import occupants  # noqa: E402
from bystander import Bystander, p99  # noqa: E402
from harness import PATIENCE_SECONDS, Server, wait_for  # noqa: E402

MIB = 1 << 20
# Short enough for a test, long enough for a loaded machine.
LIMITS = ["handshake-time=3", "headers-time=3", "request-time=4", "stall-time=4", "connections-per-address=300",
          "running-calls=100", "held-bytes=64M"]
# What switches a counter or a time limit off.
NONE = 1_000_000_000


class Row(NamedTuple):
    name: str
    attack: object
    # What switches off every defence that stands in the attack's way; nothing where that is no limit but how it is done.
    without: list = []
    # MiB that it may make the server take.
    memory: int = 64


CONTROL = [f"control-frame-burst={NONE}"]
RESETS = [f"cancel-burst={NONE}"]
FAULTS = [f"fault-burst={NONE}"]
PINGS = [f"ping-strikes={NONE}"]
CONTINUATIONS = CONTROL + [f"continuation-frames={NONE}", f"headers-time={NONE}"]

ROWS = [
    # The first: memory that another row had made the server take before would not be seen again.
    Row("metadata of ended calls", hoards.metadata_of_ended_calls, ["kept-metadata-bytes=1G"], 64),
    Row("rapid reset", floods.rapid_reset, RESETS),
    Row("rapid reset of whole calls", floods.rapid_reset_of_calls, RESETS),
    Row("MadeYouReset by a window", floods.made_you_reset_by_window, FAULTS),
    Row("MadeYouReset by a length", floods.made_you_reset_by_length, FAULTS),
    Row("MadeYouReset by trailers", floods.made_you_reset_by_trailers, FAULTS),
    Row("MadeYouReset by a stream that was ended", floods.made_you_reset_by_ended_stream, FAULTS),
    Row("broken header lists", floods.broken_header_lists, FAULTS),
    Row("resets of ended streams", floods.resets_of_ended_streams, RESETS),
    Row("CONTINUATION without end", floods.continuation_flood, CONTINUATIONS),
    Row("CONTINUATION with fields", floods.continuation_bytes, CONTINUATIONS + ["metadata-bytes=1G"]),
    Row("a request byte by byte", floods.byte_by_byte),
    Row("PING flood", floods.ping_flood, PINGS + CONTROL),
    Row("PING flood between calls", floods.ping_flood_between_calls, CONTROL),
    Row("keepalive abuse", floods.keepalive_abuse, PINGS),
    Row("SETTINGS flood", floods.settings_flood, CONTROL),
    Row("SETTINGS that move every window", floods.window_settings_flood, CONTROL),
    Row("answers to no PING", floods.ping_answers, CONTROL),
    Row("PRIORITY flood", floods.priority_flood, CONTROL),
    Row("unknown frames", floods.unknown_flood, CONTROL),
    Row("empty DATA", floods.empty_data_flood, CONTROL),
    Row("DATA of padding", floods.padding_flood, CONTROL),
    Row("WINDOW_UPDATE flood", floods.window_update_flood, [f"spare-window-updates={NONE}"]),
    Row("answers nobody reads", floods.unread_answers,
        [f"stall-time={NONE}", f"unsent-frames={NONE}", *PINGS, *CONTROL]),
    Row("errors nobody reads", floods.unread_errors, [f"stall-time={NONE}", f"unsent-frames={NONE}"]),
    Row("HPACK bomb", hoards.hpack_bomb, ["metadata-bytes=1G"]),
    Row("HPACK bomb of blanks", hoards.hpack_bomb_of_blanks, ["metadata-bytes=1G"]),
    Row("HPACK bomb behind a fault", hoards.hpack_bomb_behind_a_fault, ["metadata-bytes=1G"]),
    Row("a large header list", hoards.large_header_list, ["metadata-bytes=1G"]),
    Row("a long path", hoards.long_path),
    Row("zero window", hoards.zero_window, [f"stall-time={NONE}"], 128),
    Row("slow read", hoards.slow_read, [f"stall-time={NONE}"], 128),
    Row("a byte of window at a time", hoards.drip_read, ["held-bytes=100G"], 128),
    Row("length-prefix bombs", hoards.length_prefix_bomb, ["request-bytes=8G"]),
    Row("gzip bomb", hoards.gzip_bomb, ["request-bytes=1G"]),
    Row("gzip bombs on and on", hoards.gzip_bombs, FAULTS),
    Row("gzip of nothing", hoards.empty_gzip),
    Row("nested groups", hoards.nested_groups),
    Row("unknown fields", hoards.unknown_fields),
    Row("halves of requests", hoards.half_requests, ["buffered-request-bytes=1G"], 96),
    Row("a request after its answer", hoards.request_after_its_answer),
    Row("halves of requests on many connections", hoards.half_requests_everywhere, ["held-bytes=100G"], 160),
    Row("slowloris", occupants.slowloris,
        [f"{name}-time={NONE}" for name in ("handshake", "headers", "request", "stall")]),
    Row("connections of one address", occupants.too_many_connections, [f"connections-per-address={NONE}"]),
    Row("streams above the limit", occupants.too_many_streams, ["streams=1000000"]),
    Row("calls that run on", occupants.running_calls, [f"running-calls={NONE}"]),
    Row("bad -bin metadata", occupants.bad_binary_metadata),
    Row("no HTTP/2", occupants.not_http2),
]


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

    @property
    def grown(self):
        return max(0, self.peak - self.before) / MIB


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


class Bench:
    """A server that is attacked, one with TLS where that can be had, and the client beside."""

    def __init__(self, limits=()):
        self.directory = Path(tempfile.mkdtemp(prefix="mend-attacks-"))
        self.limits = [*LIMITS, *limits, *os.environ.get("MEND_LIMITS", "").split()]
        self.server = self.other = None

    def __enter__(self):
        try:
            flags = [part for limit in self.limits for part in ("--limit", limit)]
            self.server = Server(self.directory / "data", *flags).start()
            self.server.tls = with_tls(self.directory, flags)
            self.other = Bystander(self.server.address, self.directory / "bystander")
            wait_for(lambda: len(self.other.calls(0, time.monotonic())) > 50, "the other client's first calls", PATIENCE_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.other:
            self.other.stop()
        if self.server:
            if getattr(self.server, "tls", None):
                self.server.tls.kill()
            self.server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def quiet(self):
        since = time.monotonic()
        wait_for(lambda: time.monotonic() - since > 2, "a while without an attack")
        return p99(self.other.calls(since, time.monotonic()))

    def run(self, row):
        """What the row says of itself; asserts what it claims."""
        since = time.monotonic()
        with Memory(self.server.process.pid) as memory:
            said = row.attack(self.server)
        # Whoever was served before is served now.
        now = time.monotonic()
        wait_for(lambda: self.other.calls(now, time.monotonic()), "an answer for the other client", 30)
        calls = self.other.calls(since, time.monotonic())
        bad = [status for _, status in calls if status != "OK"]
        assert not bad, f"the other client got {bad[:3]}"
        assert memory.grown <= row.memory, f"the server took {memory.grown:.0f} MiB more; {row.memory} were to be enough"
        assert self.server.process.poll() is None, "the server has ended"
        return f"{said}; +{memory.grown:.0f} MiB, p99 {p99(calls):.1f} ms of {len(calls)} calls"


def with_defences(rows, report):
    with Bench() as bench:
        print(f"the other client's p99 without an attack: {bench.quiet():.1f} ms")
        for row in rows:
            try:
                report(True, f"{row.name}: {bench.run(row)}")
            except Exception as error:
                report(False, f"{row.name}: {type(error).__name__}: {error}")


def without_defences(rows, report):
    for row in rows:
        if not row.without:
            continue
        limits = " ".join(row.without)
        with Bench(row.without) as bench:
            try:
                said = bench.run(row)
            except Exception as error:
                report(True, f"{row.name} fails without {limits}: {type(error).__name__}: {error}")
            else:
                report(False, f"{row.name} passes without {limits}: {said}")


def main(summary, chosen):
    tally = {True: 0, False: 0}
    begin = time.monotonic()

    def report(holds, line):
        print(f"{'ok  ' if holds else 'FAIL'} {line}", flush=True)
        tally[holds] += 1

    check = with_defences
    if chosen[:1] == ["--without-defences"]:
        check, chosen = without_defences, chosen[1:]
    unknown = set(chosen) - {row.name for row in ROWS}
    for name in sorted(unknown):
        report(False, f"there is no attack '{name}'")
    check([row for row in ROWS if not chosen or row.name in chosen], report)
    print(f"attacks: {tally[True]} passed, {tally[False]} failed ({time.monotonic() - begin:.0f} s)")
    Path(summary).write_text(f"{tally[True]} {tally[False]} 0\n")
    return not tally[False]


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1], sys.argv[2:]) else 1)
