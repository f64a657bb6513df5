"""What is to make the server hold memory: header lists, lengths, halves of messages, answers that nobody reads."""

import gzip
import time

from floods import CALM, WATCH, cut_off
from frames import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, Peer, call, fields, frame, headers,
    indexed, literal, message)
from harness import wait_for

MIB = 1 << 20
INTERNAL_ERROR = 2
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# file_containing_symbol "mend.v1.Batches": an answer of many kilobytes for a request of a few bytes.
LARGE_ANSWER = message(b"\x22\x0fmend.v1.Batches")


def hpack_bomb(server):
    peer = Peer(server.address)
    entry = b"\x40" + literal("x", b"a" * 4000)[1:]
    first = headers(1, fields() + entry + b"\xbe" * 10_000, end_stream=True)
    peer.send(first)
    assert peer.until(lambda: 1 in peer.resets or peer.ended, 20) and not peer.ended, "the first was not reset"
    return cut_off(
        peer, "too many broken frames",
        lambda n: headers(2 * n + 3, fields() + b"\xbe" * 12_000, end_stream=True), 20_000, batch=1)


def hpack_bomb_of_blanks(server):
    # A byte names a value of nothing but blanks, which belong to no value.
    return cut_off(
        with_entry(server, b" " * 3900), "too many broken frames",
        lambda n: headers(2 * n + 3, fields() + b"\xbe" * 1900, end_stream=True), 20_000, batch=1)


def hpack_bomb_behind_a_fault(server):
    # What is refused already is not read to its end.
    peer = with_entry(server, b"a" * 3900)
    block = literal(":bad", "x") + b"\xbe" * 15_000
    peer.send(headers(3, block, end_stream=True))
    assert peer.until(lambda: 3 in peer.resets or peer.ended, 20) and not peer.ended, "the first was not reset"
    assert peer.resets[3] == INTERNAL_ERROR, f"sixty megabytes were read, then {peer.resets[3]}"
    return cut_off(
        peer, "too many broken frames", lambda n: headers(2 * n + 5, block, end_stream=True), 20_000, batch=1)


def with_entry(server, value):
    """A connection whose table has an entry of this value, which \\xbe names."""
    peer = Peer(server.address)
    peer.send(headers(1, fields() + indexed("a", value), end_stream=True))
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway} {peer.resets}"
    return peer


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


# Twelve kilobytes of metadata, in three bytes once the first call has named them.
METADATA = indexed("x", "a" * 3900)
AGAIN = b"\xbe" * 3


def metadata_of_ended_calls(server):
    # What a connection keeps for its next calls must not be what the longest ones took.
    peers = [Peer(server.address) for _ in range(250)]
    for peer in peers:
        peer.send(headers(1, fields(WATCH) + METADATA + AGAIN[1:]))
        peer.send(b"".join(headers(2 * n + 1, fields(WATCH) + AGAIN) for n in range(1, 64)))
        peer.send(b"".join(frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(64)))
        peer.send(call(201))
        assert peer.until(lambda: 201 in peer.statuses, 20), f"no answer: {peer.goaway}"
    for peer in peers:
        peer.close()
    return "64 calls with 12 KB of metadata on each of 250 connections, ended"


def drip_read(server):
    # A byte of window a time: the connection takes something, as an honest slow reader does, and holds the rest.
    peers = [Peer(server.address, settings=b"\0\4\0\0\0\0") for _ in range(12)]
    for peer in peers:
        for number in range(900):
            peer.send(call(2 * number + 1, REFLECTION, body=LARGE_ANSWER))
            if number % 20 == 0:
                peer.read()
    begin = time.monotonic()
    while time.monotonic() - begin < 8:
        for peer in peers:
            peer.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
            peer.read(0.02)
    told = [text for peer in peers for stream, text in peer.messages.items() if peer.statuses.get(stream) == 8]
    for peer in peers:
        peer.close()
    assert any("the server holds" in text for text in told), f"{len(told)} were told: {told[:1]}"
    return f"{len(told)} of 10,800 answers a byte at a time were refused: {told[0]}"


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


def gzip_bomb(server):
    peer = Peer(server.address)
    packed = gzip.compress(bytes(64 * MIB), 9)
    peer.send(headers(1, fields(extra=[("grpc-encoding", "gzip")])))
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    pieces = [body[at:at + 16_000] for at in range(0, len(body), 16_000)]
    for number, piece in enumerate(pieces):
        peer.send(frame(DATA, END_STREAM if number == len(pieces) - 1 else 0, 1, piece))
        peer.read()
    assert peer.until(lambda: 1 in peer.statuses, 40), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 8, (peer.statuses, peer.messages)
    peer.close()
    return f"{len(packed) // 1024} KiB that are 64 MiB: {peer.messages[1]}"


def gzip_bombs(server):
    # Four kilobytes that are four megabytes, again and again: what they take is time.
    packed = gzip.compress(bytes(4 * MIB - 10), 9)
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: call(2 * n + 1, "/mend.v1.Batches/GetBatch", [("grpc-encoding", "gzip")], body), 600, batch=1)


def empty_gzip(server):
    # Two hundred thousand members that hold nothing: little to read, nothing to keep, and each is a beginning.
    peer = Peer(server.address)
    member = gzip.compress(b"")
    packed = member * (4_000_000 // len(member))
    body = b"\1" + len(packed).to_bytes(4, "big") + packed
    peer.send(headers(1, fields("/mend.v1.Batches/GetBatch", [("grpc-encoding", "gzip")])))
    for at in range(0, len(body), 16_000):
        peer.send(frame(DATA, END_STREAM if at + 16_000 >= len(body) else 0, 1, body[at:at + 16_000]))
        peer.read()
    assert peer.until(lambda: 1 in peer.statuses, 40), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 3, (peer.statuses, peer.messages)
    peer.close()
    return f"{len(packed) // len(member):,} gzip members that hold nothing are an empty request"


def nested_groups(server):
    peer = Peer(server.address)
    # Starts of groups, each in the one before: field 15, wire type 3.
    peer.send(call(1, body=message(b"\x7b" * 15_000)))
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway} {peer.resets}"
    assert peer.statuses[1] == 3, (peer.statuses, peer.messages)
    peer.close()
    return f"15,000 groups, one in the other: {peer.messages[1]}"


def unknown_fields(server):
    peer = Peer(server.address)
    streams = [2 * n + 1 for n in range(8)]
    # Two million fields a message that no schema has (15, a varint), two bytes each.
    body = message(b"\x0a\x01x" + b"\x78\x01" * (2 * MIB - 100))
    for stream in streams:
        peer.send(headers(stream, fields("/mend.v1.Batches/GetBatch")))
        for at in range(0, len(body), 16_000):
            peer.send(frame(DATA, END_STREAM if at + 16_000 >= len(body) else 0, stream, body[at:at + 16_000]))
            peer.read()
        assert peer.until(lambda: stream in peer.statuses, 40), f"no answer: {peer.goaway} {peer.resets}"
    peer.close()
    assert set(peer.statuses.values()) <= {3, 5, 8}, peer.statuses
    return f"16 million fields that nobody knows: {peer.messages[1]}"


def request_after_its_answer(server):
    # A call that failed, whose end cannot be sent: what it was asked before is answered, and nobody takes that.
    peer = Peer(server.address, settings=b"\0\4\0\0\0\0")
    peer.send(headers(1, fields(REFLECTION)) + frame(DATA, 0, 1, LARGE_ANSWER))
    peer.until(lambda: peer.counts.get(HEADERS), 20)
    peer.send(frame(DATA, 0, 1, b"\x02\0\0\0\x01x"))
    window, sent, deadline = peer.window(1), 1_000, time.monotonic() + 20
    while sent < 400 * MIB and time.monotonic() < deadline:
        # A byte of window now and then makes it one that reads.
        if not peer.until(lambda: min(peer.window(0), peer.window(1)) - sent > 16_000, 2):
            break
        if not peer.send(frame(DATA, 0, 1, b"a" * 16_000) + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")):
            break
        sent += 16_000
    assert peer.window(1) == window, f"{sent // MIB} MiB were taken of a request that was answered"
    peer.close()
    return f"{sent // 1024} KiB behind the end of a call: its window is not given back"


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


def half_requests_everywhere(server):
    # Twelve million bytes on each connection, of the sixteen that one may hold; all of them may hold 64 MiB.
    peers = [Peer(server.address) for _ in range(10)]
    for peer in peers:
        peer.send(b"".join(headers(stream) + frame(DATA, 0, stream, b"\0\0\x3f\xff\xff") for stream in range(1, 25, 2)))
    for _ in range(60):
        for peer in peers:
            for stream in range(1, 25, 2):
                if stream not in peer.statuses:
                    peer.send(frame(DATA, 0, stream, b"a" * 16_000))
            peer.read()
    told = [peer.messages[stream] for peer in peers for stream, status in peer.statuses.items() if status == 8]
    for peer in peers:
        peer.close()
    assert any("the server holds" in text for text in told), f"{len(told)} were told: {told[:1]}"
    return f"{len(told)} of 120 half requests were told: {told[0]}"
