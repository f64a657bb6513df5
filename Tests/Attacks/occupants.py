"""Callers that take what there is a number of (connections, streams, running calls, time), and those that speak nonsense."""

import socket
import time

from frames import (
    ACK, DATA, PREFACE, RST_STREAM, SETTINGS, Peer, call, frame, headers, message)
from harness import wait_for


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
    assert peers["no acknowledgement"].goaway == (4, "SETTINGS were not acknowledged"), peers["no acknowledgement"].goaway
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
    assert peer.until(lambda: 2_001 in peer.resets, 20), f"more streams than were announced; {peer.goaway}"
    assert peer.resets == {2_001: 7}, peer.resets
    # The thousand that were opened are of use still.
    peer.send(frame(DATA, 1, 1, message(b"")))
    assert peer.until(lambda: 1 in peer.statuses, 20) and not peer.goaway, peer.goaway
    peer.close()
    return "the 1,001st stream is refused, and the others live"


def running_calls(server):
    # Watches do not end; their server allows a hundred to run, and a thousand streams.
    peer = Peer(server.address)
    streams = [2 * n + 1 for n in range(300)]
    peer.send(b"".join(call(stream, "/grpc.health.v1.Health/Watch", body=message(b"")) for stream in streams))
    assert peer.until(lambda: len(peer.statuses) == 200, 20), f"{len(peer.statuses)} of 300 were refused: {peer.goaway}"
    assert set(peer.statuses.values()) == {8}, peer.statuses
    # Those that run are of use still, and make room when they end.
    peer.send(frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
    told = []

    def again():
        stream = 601 + 2 * len(told)
        told.append(stream)
        peer.send(call(stream, "/grpc.health.v1.Health/Check", body=message(b"")))
        peer.until(lambda: stream in peer.statuses, 20)
        return peer.statuses.get(stream) == 0

    wait_for(again, "room for a call once one has ended", 20)
    peer.close()
    return f"100 of 300 run: {peer.messages[streams[-1]]}"


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
    assert peer.buffer.startswith(b"HTTP/1.1 505 "), peer.buffer[:40]
    peer.close()
    noise = Peer(server.address, greet=False)
    noise.send(bytes(range(256)))
    assert noise.until_ended(20), "noise is still being waited for"
    noise.close()
    return "HTTP/1.1 is told so and closed at once, noise is closed"
