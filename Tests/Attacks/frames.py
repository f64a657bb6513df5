"""HTTP/2 frames written by hand, as no client would write them (RFC 9113)."""

import socket
import ssl
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
DIAGNOSE = "/mend.v1.Batches/Diagnose"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman."""
    def text(item):
        raw = item if isinstance(item, bytes) else item.encode()
        if len(raw) < 127:
            return bytes([len(raw)]) + raw
        rest, length = len(raw) - 127, b"\x7f"
        while rest >= 128:
            length += bytes([rest & 127 | 128])
            rest >>= 7
        return length + bytes([rest]) + raw
    return b"\x00" + text(name) + text(value)


def indexed(name, value):
    """A header field that enters the table (RFC 7541 6.2.1); \\xbe names the one that entered last."""
    return b"\x40" + literal(name, value)[1:]


def fields(path=DIAGNOSE, extra=()):
    block = b"\x83\x86" + literal(":path", path) + literal(":authority", "localhost")
    block += literal("te", "trailers") + literal("content-type", "application/grpc")
    return block + b"".join(literal(name, value) for name, value in extra)


def headers(stream, block=None, end_stream=False, end_headers=True):
    flags = (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0)
    return frame(HEADERS, flags, stream, fields() if block is None else block)


def message(payload=b"\x0a\x01x"):
    """One gRPC message: by default field 1, the text "x"."""
    return struct.pack(">BI", 0, len(payload)) + payload


def call(stream, path=DIAGNOSE, extra=(), body=None):
    return headers(stream, fields(path, extra)) + frame(
        DATA, END_STREAM, stream, message() if body is None else body)


class Peer:
    """A connection that says what it likes and sees frames, resets, statuses and the end."""

    def __init__(self, address, settings=b"", tls=None, greet=True, timeout=30):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""
        self.block = b""
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.statuses = {}
        self.messages = {}
        self.resets = {}
        self.counts = {}
        self.goaway = None
        self.ended = False
        self.initial_window = 65_535
        self.raised = {}
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK))

    def send(self, data):
        """False once the server has ended the connection or takes nothing more."""
        try:
            self.socket.sendall(data)
            return True
        except (OSError, ssl.SSLError):
            self.ended = self.ended or True
            return False

    def read(self, wait=0.0):
        """Takes what has arrived, waiting up to `wait` for something; false at the connection's end."""
        try:
            self.socket.settimeout(max(wait, 0.000001))
            data = self.socket.recv(1 << 18)
        except (TimeoutError, socket.timeout, ssl.SSLWantReadError, BlockingIOError):
            return True
        except (OSError, ssl.SSLError):
            data = b""
        finally:
            try:
                self.socket.settimeout(30)
            except OSError:
                pass
        if not data:
            self.ended = True
            return False
        self.buffer += data
        self._parse()
        return True

    def _parse(self):
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload = self.buffer[9:9 + length]
            self.buffer = self.buffer[9 + length:]
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind in (HEADERS, CONTINUATION):
                self.block += payload
                if not flags & END_HEADERS:
                    continue
                block, self.block = self.block, b""
                for name, value in self.decoder.decode(block):
                    name = name if isinstance(name, str) else name.decode()
                    value = value if isinstance(value, str) else value.decode()
                    if name == "grpc-status":
                        self.statuses[stream] = int(value)
                    if name == "grpc-message":
                        self.messages[stream] = value
            elif kind == SETTINGS and not flags & ACK:
                for at in range(0, length, 6):
                    name, value = struct.unpack(">HI", payload[at:at + 6])
                    if name == 4:
                        self.initial_window = value
            elif kind == WINDOW_UPDATE:
                self.raised[stream] = self.raised.get(stream, 0) + int.from_bytes(payload, "big")
            elif kind == RST_STREAM:
                self.resets[stream] = int.from_bytes(payload, "big")
            elif kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
                if self.goaway is None or not self.goaway[1]:
                    self.goaway = (code, payload[8:].decode(errors="replace"))

    def window(self, stream):
        """Bytes that may be sent on a stream, or on all of them together (0), from the connection's first on."""
        return (self.initial_window if stream else 65_535) + self.raised.get(stream, 0)

    def until(self, condition, seconds):
        """Reads until `condition()` or the end; whether it came true."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or not self.read(0.05):
                return condition()
        return True

    def until_ended(self, seconds):
        return self.until(lambda: self.ended, seconds) or self.ended

    def close(self):
        self.socket.close()
