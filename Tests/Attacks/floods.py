"""Frames that cost the sender little and the server something, as many as it takes: each flood is cut off."""

import select
import socket
import time

from frames import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    Peer, call, fields, frame, headers, literal, message)

CALM = 11
WATCH = "/grpc.health.v1.Health/Watch"


def cut_off(peer, why, frames, most, batch=50, seconds=60):
    """Sends `frames(number)` until the server ends the connection because of `why`, reading all the while."""
    sent, deadline = 0, time.monotonic() + seconds
    while sent < most and not peer.ended and not peer.goaway and time.monotonic() < deadline:
        peer.send(b"".join(frames(number) for number in range(sent, sent + batch)))
        sent += batch
        peer.read()
    peer.until(lambda: peer.goaway is not None or peer.ended, 20)
    assert peer.goaway or peer.ended, f"{sent} were taken and nothing happened"
    if peer.goaway:
        assert peer.goaway == (CALM, why), f"GOAWAY {peer.goaway} after {sent}"
    assert peer.until_ended(20), "the connection stayed open after its GOAWAY"
    peer.close()
    return f"cut off after {sent}: {why if peer.goaway else 'closed'}"


def rapid_reset(server):
    return cut_off(
        Peer(server.address), "too many resets",
        lambda n: headers(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"), 50_000)


def rapid_reset_of_calls(server):
    return cut_off(
        Peer(server.address), "too many resets",
        lambda n: call(2 * n + 1) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"), 50_000)


def made_you_reset_by_window(server):
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: headers(2 * n + 1) + frame(WINDOW_UPDATE, 0, 2 * n + 1, b"\x7f\xff\xff\xff"), 5_000)


def made_you_reset_by_length(server):
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: headers(2 * n + 1, fields(extra=[("content-length", "1")])) + frame(DATA, 0, 2 * n + 1, b"1234"), 5_000)


def made_you_reset_by_trailers(server):
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: headers(2 * n + 1) + headers(2 * n + 1, literal(":path", "/"), end_stream=True), 5_000)


def made_you_reset_by_ended_stream(server):
    # The caller has ended its half and the call goes on: a window that overflows is the stream's fault only.
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: call(2 * n + 1, WATCH, body=message(b"")) + frame(WINDOW_UPDATE, 0, 2 * n + 1, b"\x7f\xff\xff\xff"), 5_000)


def broken_header_lists(server):
    return cut_off(
        Peer(server.address), "too many broken frames",
        lambda n: headers(2 * n + 1, fields(extra=[("Upper", "case")]), end_stream=True), 5_000)


def resets_of_ended_streams(server):
    peer = Peer(server.address)
    peer.send(call(1))
    assert peer.until(lambda: 1 in peer.statuses, 20), f"no answer: {peer.goaway}"
    return cut_off(peer, "too many resets", lambda n: frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), 50_000)


def continuation_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1, end_headers=False))
    return cut_off(peer, "too many CONTINUATION frames", lambda n: frame(CONTINUATION, 0, 1), 20_000)


def continuation_bytes(server):
    peer = Peer(server.address)
    peer.send(headers(1, end_headers=False))
    field = literal("x", b"a" * 8000)
    return cut_off(peer, "too many bytes of headers", lambda n: frame(CONTINUATION, 0, 1, field), 10_000, batch=1)


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
    return cut_off(Peer(server.address), "too_many_pings", lambda n: frame(PING, 0, 0, n.to_bytes(8, "big")), 50_000)


def ping_flood_between_calls(server):
    # Each answer allows for three pings again, as gRPC's clients measure their line: what is left is the bound on frames.
    peer = Peer(server.address)
    calls = 0
    while calls < 20_000 and not peer.goaway and not peer.ended:
        stream = 2 * calls + 1
        peer.send(frame(PING, 0, 0, b"measured") * 3 + call(stream))
        calls += 1
        peer.until(lambda: stream in peer.statuses or peer.goaway is not None, 20)
    assert peer.goaway == (CALM, "too many control frames"), f"after {calls} calls: {peer.goaway}"
    assert peer.until_ended(20), "the connection stayed open after its GOAWAY"
    peer.close()
    return f"cut off after {3 * calls} pings: {peer.goaway[1]}"


def ping_answers(server):
    return cut_off(
        Peer(server.address), "too many control frames", lambda n: frame(PING, ACK, 0, n.to_bytes(8, "big")), 50_000)


def window_settings_flood(server):
    # Each changes the windows of all open streams.
    peer = Peer(server.address)
    peer.send(b"".join(headers(2 * n + 1) for n in range(900)))
    return cut_off(
        peer, "too many control frames",
        lambda n: frame(SETTINGS, 0, 0, b"\0\4" + (1 + n % 2 * 60_000).to_bytes(4, "big")), 50_000)


def settings_flood(server):
    return cut_off(Peer(server.address), "too many control frames", lambda n: frame(SETTINGS), 50_000)


def priority_flood(server):
    return cut_off(
        Peer(server.address), "too many control frames",
        lambda n: frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\x10"), 50_000)


def unknown_flood(server):
    return cut_off(Peer(server.address), "too many control frames", lambda n: frame(0xEE, 0, 0, b"what"), 50_000)


def empty_data_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1))
    return cut_off(peer, "too many control frames", lambda n: frame(DATA, 0, 1), 50_000)


def padding_flood(server):
    peer = Peer(server.address)
    peer.send(headers(1))
    return cut_off(peer, "too many control frames", lambda n: frame(DATA, PADDED, 1, b"\3\0\0\0"), 50_000)


def window_update_flood(server):
    return cut_off(
        Peer(server.address), "too many WINDOW_UPDATE frames",
        lambda n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), 50_000)


def never_read(server, frames):
    """Sends `frames(number)` until the server takes no more, and waits, without a look at what came, until it hangs up."""
    peer = Peer(server.address)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    peer.socket.setblocking(False)
    rest, number, begin = b"", 0, time.monotonic()
    line = select.poll()
    line.register(peer.socket, select.POLLOUT)
    while not any(what & (select.POLLERR | select.POLLHUP) for _, what in line.poll(1000)):
        assert number < 400_000, "the server takes them without end"
        assert time.monotonic() < begin + 40, f"{number} were taken, and the connection is open"
        rest = rest or b"".join(frames(number + n) for n in range(100))
        try:
            rest = rest[peer.socket.send(rest):]
        except OSError:
            # Full, or ended: the next look tells.
            continue
        number += 0 if rest else 100
    peer.close()
    return number, time.monotonic() - begin


def unread_answers(server):
    sent, seconds = never_read(server, lambda n: frame(PING, 0, 0, b"unread!!"))
    return f"{sent} pings whose answers nobody read: ended after {seconds:.0f} s"


def unread_errors(server):
    # Each answer is a header list, which no window holds back; its text differs, so that none is a reference.
    sent, seconds = never_read(server, lambda n: call(2 * n + 1, f"/{n:08d}{'%' * 800}/x"))
    return f"{sent} calls whose errors nobody read: ended after {seconds:.0f} s"


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
