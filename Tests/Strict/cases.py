"""RFC 9113 and RFC 7541 to the letter, against a running `mend serve`: in clear text and over TLS.

    cases.py SUMMARY [SECTION ...]      the cases, or those of the sections named

Each case is one connection, which says what no client should; what has to come of it is the RFC's. A stream's error may be
made the connection's (RFC 9113 5.4.2), and who ends a connection need not say why (5.4.1): both are taken, a wrong code is
not, and neither is an answer.
"""

import os
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "EndToEnd"), str(HERE.parent / "Attacks")]

import hpack  # noqa: E402
from attacks import with_tls  # noqa: E402
from frames import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, Peer, call, fields, frame, headers, literal, message)
from harness import Server  # noqa: E402

GOAWAY = 7
PRIORITY_FLAG = 0x20
PROTOCOL, INTERNAL, FLOW_CONTROL, _, STREAM_CLOSED, FRAME_SIZE, REFUSED, _, COMPRESSION = range(1, 10)
CALM = 11
PATIENCE_SECONDS = 30
WATCH = "/grpc.health.v1.Health/Watch"


def setting(name, value):
    return struct.pack(">HI", name, value)


def word(value):
    return struct.pack(">I", value)


# What has to come of it: each takes the peer and answers what is wrong, or None.

def ends(*codes):
    """The connection, with one of the codes."""
    def check(peer):
        if not peer.until_ended(PATIENCE_SECONDS):
            return "the connection is open"
        if peer.goaway and peer.goaway[0] not in codes:
            return f"GOAWAY has {peer.goaway}, not {codes}"
    return check


def fails(*codes, stream=1):
    """The stream, or the connection, with one of the codes."""
    def check(peer):
        peer.until(lambda: stream in peer.resets or peer.goaway is not None or stream in peer.statuses, PATIENCE_SECONDS)
        if stream in peer.resets:
            if peer.resets[stream] not in codes:
                return f"RST_STREAM has {peer.resets[stream]}, not {codes}"
        elif stream in peer.statuses:
            return f"the call is answered: {peer.statuses[stream]} {peer.messages.get(stream)}"
        elif peer.goaway:
            if peer.goaway[0] not in codes:
                return f"GOAWAY has {peer.goaway}, not {codes}"
        elif not peer.ended:
            return "nothing happened"
    return check


def lives(peer):
    """The connection, which answers a PING."""
    peer.pongs.clear()
    peer.send(frame(PING, 0, 0, b"are you?"))
    if not peer.until(lambda: b"are you?" in peer.pongs, PATIENCE_SECONDS):
        return f"no answer to a PING: {peer.goaway}"


def answers(*statuses, stream=1):
    def check(peer):
        if not peer.until(lambda: stream in peer.statuses, PATIENCE_SECONDS):
            return f"no answer: GOAWAY {peer.goaway}, RST_STREAM {peer.resets}"
        if statuses and peer.statuses[stream] not in statuses:
            return f"the status is {peer.statuses[stream]}"
        return lives(peer)
    return check


class StrictPeer(Peer):
    """Knows the PINGs' answers and the sizes of DATA as well."""

    def __init__(self, *arguments, **options):
        self.pongs, self.data, self.first, self.acknowledged = [], [], None, 0
        super().__init__(*arguments, **options)

    def _parse(self):
        rest = self.buffer
        while len(rest) >= 9 and len(rest) >= 9 + int.from_bytes(rest[:3], "big"):
            length = int.from_bytes(rest[:3], "big")
            kind, flags, payload = rest[3], rest[4], rest[9:9 + length]
            self.first = kind if self.first is None else self.first
            if kind == PING and flags & ACK:
                self.pongs.append(payload)
            if kind == SETTINGS and flags & ACK:
                self.acknowledged += 1
            if kind == DATA:
                self.data.append(length)
            rest = rest[9 + length:]
        super()._parse()


class Case(NamedTuple):
    section: str
    name: str
    # Bytes, or what sends them to the peer.
    sends: object
    wanted: object
    # Payload of the peer's first SETTINGS; None for a peer that doesn't greet.
    settings: object = b""


OPEN = headers(1)
ENDED = headers(1, fields(WATCH)) + frame(DATA, END_STREAM, 1, message(b""))
TE = literal("te", "trailers") + literal("content-type", "application/grpc")
BEGIN = b"\x83\x86" + literal(":path", "/a/b") + literal(":authority", "localhost")


def request(block, body=message(), stream=1):
    """A call with this header list."""
    return headers(stream, block) + (frame(DATA, END_STREAM, stream, body) if body is not None else b"")


def bad_list(name, block):
    return Case("8", name, headers(1, block, end_stream=True), fails(PROTOCOL))


def closed(then):
    """A stream that was answered, then that."""
    def sends(peer):
        peer.send(call(1))
        assert peer.until(lambda: 1 in peer.statuses, PATIENCE_SECONDS), "no answer"
        peer.statuses.clear()
        peer.send(then)
    return sends


def first_frame(peer):
    peer.until(lambda: peer.first is not None, PATIENCE_SECONDS)
    if peer.first != SETTINGS:
        return f"the server's first frame has the type {peer.first}"


def acknowledges(peer):
    if not peer.until(lambda: peer.acknowledged >= 2, PATIENCE_SECONDS):
        return f"{peer.acknowledged} of 2 SETTINGS were acknowledged"


def pong(peer):
    if not peer.until(lambda: b"12345678" in peer.pongs, PATIENCE_SECONDS):
        return f"PING's answers have {peer.pongs}"


def one_byte(peer):
    if not peer.until(lambda: peer.data, PATIENCE_SECONDS):
        return "no DATA"
    if peer.data[0] != 1:
        return f"DATA of {peer.data[0]} bytes into a window of one"
    return lives(peer)


def no_data(peer):
    problem = lives(peer)
    return problem or (f"DATA of {peer.data} bytes without a window" if peer.data else None)


def negative_window(peer):
    # One byte is out; the window is then three less than that, and two more leave nothing.
    peer.send(call(1, WATCH, body=message(b"")))
    assert peer.until(lambda: peer.data == [1], PATIENCE_SECONDS), peer.data
    peer.send(frame(SETTINGS, 0, 0, setting(4, 0)) + frame(WINDOW_UPDATE, 0, 1, word(1)))
    assert not lives(peer) and peer.data == [1], peer.data
    peer.send(frame(WINDOW_UPDATE, 0, 1, word(1)))


def second_byte(peer):
    if not peer.until(lambda: len(peer.data) > 1, PATIENCE_SECONDS):
        return "no DATA into a window that is open again"
    return None if peer.data[1] == 1 else f"DATA of {peer.data[1]} bytes into a window of one"


HUFFMAN = b"\x00" + b"\x01x"

def field_of(size, huffman=True):
    """A call with one field of so many letters, in as few bytes as HPACK needs or in as many as it has."""
    block = fields() + hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple("x", "a" * size)], huffman=huffman)
    parts = [block[at:at + 16_000] for at in range(0, len(block), 16_000)]
    frames = headers(1, parts[0], end_headers=False)
    for number, part in enumerate(parts[1:], 2):
        frames += frame(CONTINUATION, END_HEADERS if number == len(parts) else 0, 1, part)
    return frames + frame(DATA, END_STREAM, 1, message())


CASES = [
    Case("3.4", "the server's first frame is SETTINGS", b"", first_frame),
    Case("3.4", "a preface that is wrong", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(SETTINGS), ends(PROTOCOL), None),
    Case("3.4", "a first line of no protocol", b"INVALID CONNECTION PREFACE\r\n\r\n", ends(PROTOCOL), None),
    Case("3.4", "a preface without SETTINGS after it", PREFACE + headers(1), ends(PROTOCOL), None),
    Case("4.1", "a frame of an unknown type", frame(0x16, 0, 0, bytes(8)), lives),
    Case("4.1", "flags that are not defined", frame(PING, 0xFE, 0, b"12345678"), pong),
    Case("4.1", "the reserved bit before the stream's id", frame(PING, 0, 0x80000000, b"12345678"), pong),
    Case("4.2", "DATA of 2^14 bytes", OPEN + frame(DATA, END_STREAM, 1, bytes(1 << 14)), answers()),
    Case("4.2", "DATA above SETTINGS_MAX_FRAME_SIZE", OPEN + frame(DATA, 0, 1, bytes((1 << 14) + 1)), fails(FRAME_SIZE)),
    Case("4.2", "HEADERS above SETTINGS_MAX_FRAME_SIZE", headers(1, fields() + literal("a", "b" * (1 << 14))), ends(FRAME_SIZE)),
    Case("4.3", "a header block that is none", headers(1, b"\x0f\xff\xff\xff\xff\xff\xff"), ends(COMPRESSION)),
    Case("4.3", "PRIORITY within a header block", headers(1, end_headers=False) + frame(PRIORITY, 0, 1, word(0) + b"\1"),
         ends(PROTOCOL)),
    Case("4.3", "another stream's HEADERS within a header block", headers(1, end_headers=False) + headers(3), ends(PROTOCOL)),
    Case("5.1", "DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), ends(PROTOCOL)),
    Case("5.1", "RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, word(8)), ends(PROTOCOL)),
    Case("5.1", "WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, word(100)), ends(PROTOCOL)),
    Case("5.1", "CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, fields()), ends(PROTOCOL)),
    Case("5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, 1, word(0) + b"\1") + call(1), answers()),
    Case("5.1", "DATA after END_STREAM", ENDED + frame(DATA, END_STREAM, 1, b"x"), fails(STREAM_CLOSED)),
    Case("5.1", "HEADERS after END_STREAM", ENDED + headers(1, end_stream=True), fails(STREAM_CLOSED)),
    Case("5.1", "CONTINUATION after END_STREAM", ENDED + frame(CONTINUATION, END_HEADERS, 1, TE), ends(STREAM_CLOSED, PROTOCOL)),
    Case("5.1", "WINDOW_UPDATE, PRIORITY and RST_STREAM after END_STREAM",
         ENDED + frame(WINDOW_UPDATE, 0, 1, word(9)) + frame(PRIORITY, 0, 1, word(0) + b"\1") + frame(RST_STREAM, 0, 1, word(8)),
         lives),
    Case("5.1", "DATA after the peer's own RST_STREAM", OPEN + frame(RST_STREAM, 0, 1, word(8)) + frame(DATA, 0, 1, b"x"),
         fails(STREAM_CLOSED)),
    Case("5.1", "HEADERS after the peer's own RST_STREAM", OPEN + frame(RST_STREAM, 0, 1, word(8)) + headers(1, end_stream=True),
         fails(STREAM_CLOSED)),
    Case("5.1", "CONTINUATION after the peer's own RST_STREAM",
         OPEN + frame(RST_STREAM, 0, 1, word(8)) + frame(CONTINUATION, END_HEADERS, 1, TE), ends(STREAM_CLOSED, PROTOCOL)),
    Case("5.1", "DATA on a stream that is closed", closed(frame(DATA, END_STREAM, 1, b"x")), fails(STREAM_CLOSED)),
    Case("5.1", "HEADERS on a stream that is closed", closed(headers(1, end_stream=True)), fails(STREAM_CLOSED)),
    Case("5.1", "CONTINUATION on a stream that is closed", closed(frame(CONTINUATION, END_HEADERS, 1, TE)),
         ends(STREAM_CLOSED, PROTOCOL)),
    Case("5.1", "WINDOW_UPDATE, PRIORITY and RST_STREAM on a stream that is closed",
         closed(frame(WINDOW_UPDATE, 0, 1, word(9)) + frame(PRIORITY, 0, 1, word(0) + b"\1") + frame(RST_STREAM, 0, 1, word(8))),
         lives),
    Case("5.1.1", "an even stream id", headers(2, end_stream=True), ends(PROTOCOL)),
    Case("5.1.1", "a stream id that runs back", call(5) + headers(3, end_stream=True), ends(PROTOCOL)),
    Case("5.1.2", "more streams than were announced", b"".join(headers(2 * n + 1) for n in range(1_001)),
         fails(PROTOCOL, REFUSED, stream=2_001)),
    Case("5.3.1", "HEADERS that depend on their own stream",
         frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FLAG, 1, word(1) + b"\xff" + fields()), fails(PROTOCOL)),
    Case("5.3.1", "PRIORITY that depends on its own stream", frame(PRIORITY, 0, 1, word(1) + b"\xff"), fails(PROTOCOL)),
    Case("5.3.1", "HEADERS that depend on an idle stream",
         frame(HEADERS, END_HEADERS | PRIORITY_FLAG, 1, word(3) + b"\xff" + fields()) + frame(DATA, END_STREAM, 1, message()),
         answers()),
    Case("5.5", "an unknown frame within a header block", headers(1, end_headers=False) + frame(0x16, 0, 0, bytes(8)),
         ends(PROTOCOL)),
    Case("6.1", "DATA on stream 0", frame(DATA, END_STREAM, 0, b"x"), ends(PROTOCOL)),
    Case("6.1", "DATA of more padding than payload", OPEN + frame(DATA, PADDED | END_STREAM, 1, b"\x06test"), ends(PROTOCOL)),
    Case("6.1", "DATA with padding", headers(1) + frame(DATA, PADDED | END_STREAM, 1, b"\x04" + message() + bytes(4)), answers(5)),
    Case("6.2", "HEADERS on stream 0", headers(0, end_stream=True), ends(PROTOCOL)),
    Case("6.2", "HEADERS of more padding than payload", frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\xff" + fields()),
         ends(PROTOCOL)),
    Case("6.2", "HEADERS with padding and priority",
         frame(HEADERS, PADDED | END_HEADERS | PRIORITY_FLAG, 1, b"\x03" + word(0) + b"\1" + fields() + bytes(3))
         + frame(DATA, END_STREAM, 1, message()), answers(5)),
    Case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, word(1) + b"\1"), ends(PROTOCOL)),
    Case("6.3", "PRIORITY of four bytes", OPEN + frame(PRIORITY, 0, 1, word(0)), fails(FRAME_SIZE)),
    Case("6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, word(8)), ends(PROTOCOL)),
    Case("6.4", "RST_STREAM of three bytes", OPEN + frame(RST_STREAM, 0, 1, bytes(3)), ends(FRAME_SIZE)),
    Case("6.5", "SETTINGS are acknowledged", frame(SETTINGS, 0, 0, setting(3, 100)), acknowledges),
    Case("6.5", "an acknowledgement of SETTINGS with a payload", frame(SETTINGS, ACK, 0, b"x"), ends(FRAME_SIZE)),
    Case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, setting(3, 100)), ends(PROTOCOL)),
    Case("6.5", "SETTINGS of three bytes", frame(SETTINGS, 0, 0, bytes(3)), ends(FRAME_SIZE)),
    Case("6.5.2", "ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, setting(2, 2)), ends(PROTOCOL)),
    Case("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", frame(SETTINGS, 0, 0, setting(4, 1 << 31)), ends(FLOW_CONTROL)),
    Case("6.5.2", "MAX_FRAME_SIZE of 2^14 - 1", frame(SETTINGS, 0, 0, setting(5, (1 << 14) - 1)), ends(PROTOCOL)),
    Case("6.5.2", "MAX_FRAME_SIZE of 2^24", frame(SETTINGS, 0, 0, setting(5, 1 << 24)), ends(PROTOCOL)),
    Case("6.5.2", "a setting that nobody knows", frame(SETTINGS, 0, 0, setting(0xFF, 1)), lives),
    Case("6.5.3", "a setting that is given twice: the last counts",
         frame(SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)) + call(1, WATCH, body=message(b"")), one_byte),
    Case("6.6", "PUSH_PROMISE of a client", OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, word(2) + fields()), ends(PROTOCOL)),
    Case("6.7", "PING is answered with its payload", frame(PING, 0, 0, b"12345678"), pong),
    Case("6.7", "an answer to no PING", frame(PING, ACK, 0, b"12345678"), lives),
    Case("6.7", "PING on a stream", frame(PING, 0, 1, bytes(8)), ends(PROTOCOL)),
    Case("6.7", "PING of six bytes", frame(PING, 0, 0, bytes(6)), ends(FRAME_SIZE)),
    Case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), ends(PROTOCOL)),
    Case("6.9", "a window of no bytes more, of the connection", frame(WINDOW_UPDATE, 0, 0, word(0)), ends(PROTOCOL)),
    Case("6.9", "a window of no bytes more, of a stream", OPEN + frame(WINDOW_UPDATE, 0, 1, word(0)), fails(PROTOCOL)),
    Case("6.9", "WINDOW_UPDATE of three bytes", frame(WINDOW_UPDATE, 0, 0, bytes(3)), ends(FRAME_SIZE)),
    Case("6.9.1", "DATA no larger than the window", call(1, WATCH, body=message(b"")), one_byte, setting(4, 1)),
    Case("6.9.1", "a window above 2^31 - 1, of the connection", frame(WINDOW_UPDATE, 0, 0, word(0x7FFFFFFF)) * 2,
         ends(FLOW_CONTROL)),
    Case("6.9.1", "a window above 2^31 - 1, of a stream", OPEN + frame(WINDOW_UPDATE, 0, 1, word(0x7FFFFFFF)),
         fails(FLOW_CONTROL)),
    Case("6.9.2", "no DATA without a window", call(1, WATCH, body=message(b"")), no_data, setting(4, 0)),
    Case("6.9.2", "a window that SETTINGS make negative", negative_window, second_byte, setting(4, 1)),
    Case("6.9.2", "a window that SETTINGS make too large",
         OPEN + frame(WINDOW_UPDATE, 0, 1, word(1)) + frame(SETTINGS, 0, 0, setting(4, 0x7FFFFFFF)), ends(FLOW_CONTROL)),
    Case("6.9.2", "a window that SETTINGS make as large as it may be",
         OPEN + frame(SETTINGS, 0, 0, setting(4, 0x7FFFFFFF)) + call(3), answers(5, stream=3)),
    Case("6.10", "CONTINUATION on stream 0", headers(1, end_headers=False) + frame(CONTINUATION, END_HEADERS, 0, TE),
         ends(PROTOCOL)),
    Case("6.10", "CONTINUATION after END_HEADERS", OPEN + frame(CONTINUATION, END_HEADERS, 1, TE), ends(PROTOCOL)),
    Case("6.10", "CONTINUATION after CONTINUATION with END_HEADERS",
         headers(1, BEGIN, end_headers=False) + frame(CONTINUATION, END_HEADERS, 1, TE) * 2, ends(PROTOCOL)),
    Case("6.10", "DATA instead of CONTINUATION", headers(1, end_headers=False) + frame(DATA, END_STREAM, 1, b"x"), ends(PROTOCOL)),
    Case("6.10", "several CONTINUATION frames",
         headers(1, BEGIN, end_headers=False) + frame(CONTINUATION, 0, 1, literal("te", "trailers"))
         + frame(CONTINUATION, END_HEADERS, 1, literal("content-type", "application/grpc")) + frame(DATA, END_STREAM, 1, message()),
         answers(12)),
    Case("8.1", "trailers without END_STREAM", OPEN + headers(1, literal("a", "b")), fails(PROTOCOL)),
    Case("8.1.1", "content-length below what comes", request(fields(extra=[("content-length", "1")])), fails(PROTOCOL)),
    Case("8.1.1", "content-length above what comes", request(fields(extra=[("content-length", "99")])), fails(PROTOCOL)),
    Case("8.1.1", "content-length of several frames together",
         headers(1, fields(extra=[("content-length", "1")])) + frame(DATA, 0, 1, b"\0") + frame(DATA, END_STREAM, 1, b"\0"),
         fails(PROTOCOL)),
    # Not the RFC's, but PROTOCOL.md's: lists that are too large, by their size and by what they take on the wire.
    Case("6.5.2", "a header list of 60 KiB is told", field_of(60_000), answers(8)),
    Case("6.5.2", "a header list of 70 KiB costs its stream", field_of(70_000), fails(INTERNAL)),
    Case("6.5.2", "a header list of 70 KiB on the wire", field_of(70_000, huffman=False), ends(COMPRESSION, CALM)),
    bad_list("a name in capitals", BEGIN + literal("Te", "trailers")),
    bad_list("a name with a space", BEGIN + literal("a b", "c")),
    bad_list("a value with a line feed", BEGIN + literal("a", "b\nc")),
    bad_list("a pseudo-header that nobody knows", BEGIN + literal(":test", "ok")),
    bad_list("a response's pseudo-header", BEGIN + literal(":status", "200")),
    bad_list("a pseudo-header after the others", BEGIN[:2] + TE + literal(":path", "/a/b")),
    bad_list("connection: keep-alive", BEGIN + TE + literal("connection", "keep-alive")),
    bad_list("transfer-encoding: chunked", BEGIN + TE + literal("transfer-encoding", "chunked")),
    bad_list("te: what is not trailers", BEGIN + literal("te", "trailers, deflate")),
    bad_list("an empty :path", b"\x83\x86" + literal(":path", "") + TE),
    bad_list("no :method", b"\x86" + literal(":path", "/a/b") + TE),
    bad_list("no :scheme", b"\x83" + literal(":path", "/a/b") + TE),
    bad_list("no :path", b"\x83\x86" + TE),
    bad_list(":method twice", b"\x83" + BEGIN + TE),
    bad_list(":scheme twice", b"\x86" + BEGIN + TE),
    bad_list(":path twice", BEGIN + literal(":path", "/a/c") + TE),
    Case("8.3", "a pseudo-header in trailers", OPEN + headers(1, literal(":path", "/"), end_stream=True), fails(PROTOCOL)),
    Case("RFC 7541 2.3.3", "the index 0", headers(1, fields() + b"\x80", end_stream=True), ends(COMPRESSION)),
    Case("RFC 7541 2.3.3", "an index beyond the tables", headers(1, fields() + b"\xc6", end_stream=True), ends(COMPRESSION)),
    Case("RFC 7541 4.2", "a table's size at the end of a block", headers(1, fields() + b"\x3f\xe1\x1f", end_stream=True),
         ends(COMPRESSION)),
    Case("RFC 7541 5.1", "an integer without end", headers(1, fields() + b"\x7f" + b"\xff" * 20, end_stream=True),
         ends(COMPRESSION)),
    Case("RFC 7541 5.2", "Huffman padding of eight bits", headers(1, fields() + HUFFMAN + b"\x82\x1f\xff", end_stream=True),
         ends(COMPRESSION)),
    Case("RFC 7541 5.2", "Huffman padding of zeros", headers(1, fields() + HUFFMAN + b"\x81\x18", end_stream=True),
         ends(COMPRESSION)),
    Case("RFC 7541 5.2", "Huffman's EOS within a text", headers(1, fields() + HUFFMAN + b"\x84\xff\xff\xff\xff", end_stream=True),
         ends(COMPRESSION)),
    Case("RFC 7541 6.3", "a table larger than SETTINGS_HEADER_TABLE_SIZE",
         headers(1, b"\x3f\xe2\x1f" + fields(), end_stream=True), ends(COMPRESSION)),
]


def run(case, address, tls):
    peer = StrictPeer(address, case.settings or b"", tls=tls, greet=case.settings is not None, timeout=PATIENCE_SECONDS)
    try:
        if callable(case.sends):
            case.sends(peer)
        else:
            peer.send(case.sends)
        return case.wanted(peer)
    finally:
        peer.close()


def h2spec(program, address, *flags):
    host, port = address.rsplit(":", 1)
    done = subprocess.run([program, "--strict", "-h", host, "-p", port, *flags], capture_output=True, text=True, timeout=600)
    last = (done.stdout.strip().splitlines() or ["nothing was said"])[-1]
    return last.endswith(" 0 failed"), last


def main(summary, chosen):
    tally = {True: 0, False: 0, None: 0}
    begin = time.monotonic()

    def report(holds, line):
        print(f"{'skip' if holds is None else 'ok  ' if holds else 'FAIL'} {line}", flush=True)
        tally[holds] += 1

    directory = Path(tempfile.mkdtemp(prefix="mend-strict-"))
    server = Server(directory / "data").start()
    server.tls = None
    try:
        server.tls = with_tls(directory, [])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        places = [("clear text", server.address, None)]
        if server.tls:
            places.append(("TLS", server.tls.address, context))
        else:
            report(None, "TLS: openssl makes no certificate")
        for case in CASES:
            if chosen and case.section not in chosen:
                continue
            problems = []
            for place, address, tls in places:
                try:
                    problem = run(case, address, tls)
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
                if problem:
                    problems.append(f"{place}: {problem}")
            report(not problems, f"{case.section} {case.name}{': ' if problems else ''}{'; '.join(problems)}")
        program = shutil.which(os.environ.get("MEND_H2SPEC", "h2spec"))
        if not program:
            report(None, "h2spec --strict: there is no h2spec on PATH, and no Debian or PyPI package has it (MEND_H2SPEC names one)")
        elif not chosen:
            for place, address, tls in places:
                holds, said = h2spec(program, address, *(["--tls", "--insecure"] if tls else []))
                report(holds, f"h2spec --strict, {place}: {said}")
    finally:
        if server.tls:
            server.tls.kill()
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"strict: {tally[True]} passed, {tally[False]} failed, {tally[None]} skipped ({time.monotonic() - begin:.0f} s)")
    Path(summary).write_text(f"{tally[True]} {tally[False]} {tally[None]}\n")
    return not tally[False]


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1], sys.argv[2:]) else 1)
