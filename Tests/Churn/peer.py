"""HTTP/2 by hand, as far as a peer needs it that opens a connection, calls, and leaves in some rude way."""

import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PATIENCE_SECONDS = 60


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(path):
    """A request's header list as literals that enter no table (RFC 7541 6.2.2)."""
    out = b""
    for name, value in [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "churn"),
                        ("content-type", "application/grpc"), ("te", "trailers")]:
        out += b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return out


def message(batch):
    """One gRPC message whose field 1 is the batch's id."""
    payload = b"\x0a" + bytes([len(batch)]) + batch.encode()
    return struct.pack(">BI", 0, len(payload)) + payload


class Peer:
    def __init__(self, address, tls=None):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket(socket.AF_INET)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.connect(address)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, data):
        self.socket.sendall(data)
        return self

    def greet(self):
        return self.send(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))

    def begin(self, stream, method, flags=END_HEADERS):
        return self.send(frame(HEADERS, flags, stream, headers(f"/mend.v1.Batches/{method}")))

    def call(self, stream, method, batch):
        """A whole call; returns when its trailers came."""
        self.send(frame(HEADERS, END_HEADERS, stream, headers(f"/mend.v1.Batches/{method}"))
                  + frame(DATA, END_STREAM, stream, message(batch)))
        self.read(lambda kind, flags, id: id == stream and kind == HEADERS and flags & END_STREAM)
        return self

    def read(self, until):
        """Reads frames until one fits; returns its payload."""
        while True:
            head = self.exactly(9)
            kind, flags = head[3], head[4]
            id = struct.unpack(">I", head[5:])[0] & 0x7FFFFFFF
            payload = self.exactly(int.from_bytes(head[:3], "big"))
            if until(kind, flags, id):
                return payload

    def exactly(self, count):
        out = b""
        while len(out) < count:
            more = self.socket.recv(count - len(out))
            if not more:
                raise ConnectionError("the server closed the connection")
            out += more
        return out

    def drain(self):
        """Reads until the server closed."""
        try:
            while self.socket.recv(65536):
                pass
        except OSError:
            pass
        return self

    def close(self):
        self.socket.close()

    def abort(self):
        """Closes with a TCP reset."""
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def client_tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
