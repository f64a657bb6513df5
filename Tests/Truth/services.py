"""Services on loopback that really answer as services do when they fail. The sample's name spaces end them."""

import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens at {port}")


def said(error, **more):
    return {"error": {"message": error, **more}}


# What a hosted model says, by the name in the address: /NAME/v1/...
REFUSED = "invalid_request_error"
LIMIT = "Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 2s."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
LONG = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 15231 tokens."
    " Please reduce the length of the messages."
)
MISSING = "The model `embed-9` does not exist or you do not have access to it."
FAULT = "The server had an error while processing your request. Sorry about that!"
MODEL = {
    "throttled": (429, {"Retry-After": "2"}, said(LIMIT, type="requests", param=None, code="rate_limit_exceeded")),
    "quota": (429, {}, said(QUOTA, type="insufficient_quota", param=None, code="insufficient_quota")),
    "key": (401, {}, said("Incorrect API key provided: sk-1234****abcd.", type=REFUSED, param=None, code="invalid_api_key")),
    "long": (400, {}, said(LONG, type=REFUSED, param="messages", code="context_length_exceeded")),
    "missing": (404, {}, said(MISSING, type=REFUSED, param=None, code="model_not_found")),
    "error": (500, {}, said(FAULT, type="server_error", param=None, code=None)),
    "overloaded": (529, {}, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "busy": (503, {}, said("That model is currently overloaded with other requests.", type="server_error", param=None, code=None)),
}
# What S3 says, by the bucket's name.
FORGED = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
BUCKET = {
    "locked": (403, "AccessDenied", "Access Denied"),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "stranger": (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    "forged": (403, "SignatureDoesNotMatch", FORGED),
    "skewed": (403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    "hurried": (503, "SlowDown", "Please reduce your request rate."),
    "broken": (500, "InternalError", "We encountered an internal error. Please try again."),
    "nowhere": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "archive": (404, "NoSuchKey", "The specified key does not exist."),
    "frozen": (403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
}
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{text}</Message>'
    "<Resource>{path}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
)
REASONS = {529: "Overloaded"}


class Answer(BaseHTTPRequestHandler):
    """By the address: /status/N, /stall, /reset, /close, /half, /garbage, /slow, /loop, /NAME/v1/..., or a bucket."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        parts = self.path.split("?")[0].strip("/").split("/")
        act = getattr(self, "do_" + parts[0].replace("-", "_"), None)
        if act:
            act(*parts[1:2])
        elif parts[0] in MODEL:
            status, headers, body = MODEL[parts[0]]
            self.say(status, json.dumps(body), {"Content-Type": "application/json", **headers})
        elif parts[0] in BUCKET:
            status, code, text = BUCKET[parts[0]]
            self.say(status, ERROR.format(code=code, text=text, path="/" + "/".join(parts)), {"Content-Type": "application/xml"})
        else:
            self.say(404, "no such page\n")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def say(self, status, body, headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status, REASONS.get(status))
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_status(self, status):
        more = {
            "401": {"WWW-Authenticate": 'Bearer realm="api"'},
            "429": {"Retry-After": "30"},
            "503": {"Retry-After": "120"},
        }
        body = json.dumps({"status": int(status), "detail": "see the service's log"}) + "\n"
        self.say(int(status), body, {"Content-Type": "application/json", **more.get(status, {})})

    def do_stall(self, *_):
        time.sleep(600)

    def do_close(self, *_):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_reset(self, *_):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.wfile = self.rfile = open(os.devnull, "wb")

    def do_half(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 40_000)
        self.wfile.flush()
        self.do_close()

    def do_chunks(self, *_):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"1000\r\n" + b"x" * 100)
        self.wfile.flush()
        self.do_close()

    def do_slow(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _ in range(600):
            self.wfile.write(b"x")
            time.sleep(1)

    def do_garbage(self, *_):
        self.close_connection = True
        self.wfile.write(b"\x15\x03\x01\x00\x02\x02\x46 no http at all\r\n\r\n")

    def do_loop(self, *_):
        self.say(302, "", {"Location": self.path})

    def do_page(self, *_):
        self.say(200, "<!DOCTYPE html><html><body>Down for maintenance</body></html>", {"Content-Type": "text/html"})

    def do_good(self, *_):
        self.say(200, '{"ok": true}\n', {"Content-Type": "application/json"})


def serve(port, tls=None):
    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def web():
    """HTTP at 8080."""
    serve(8080)


def openssl(arguments):
    subprocess.run(["openssl", *arguments.split()], cwd="/srv/etc", check=True, capture_output=True)


def context_of(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"/srv/etc/{name}.pem", f"/srv/etc/{name}.key")
    return context


def certificate(name):
    """What a server needs to be `name`: a certificate that it signed itself, in /srv/etc."""
    openssl(f"req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -addext subjectAltName=DNS:{name}")
    return context_of(name)


def secure():
    """HTTPS at 8443 with a certificate that nobody else signed; at 8444 one of another name, in /srv/etc/other.pem."""
    serve(8443, certificate("localhost"))
    serve(8444, certificate("other"))


AUTHORITY = """[ca]
default_ca = c
[c]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
copy_extensions = copy
[p]
commonName = supplied
"""


def expired():
    """HTTPS at 8445 with a certificate that is no longer valid, in /srv/etc/old.pem."""
    for name, text in {"index": "", "serial": "01\n", "ca.cnf": AUTHORITY}.items():
        Path("/srv/etc", name).write_text(text)
    openssl("req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost")
    openssl(
        "ca -batch -config ca.cnf -selfsign -keyfile old.key -in old.csr -out old.pem"
        " -startdate 20200101000000Z -enddate 20210101000000Z"
    )
    serve(8445, context_of("old"))


def deaf():
    """A port, 8070, that takes no connection: its queue is full."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 8070))
    listening.listen(0)
    held.append(listening)
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", 8070))
        held.append(waiting)
    time.sleep(0.3)


def closing():
    """A port, 8071, that takes connections and ends each at once."""
    listening = socket.create_server(("127.0.0.1", 8071))

    def take():
        while True:
            listening.accept()[0].close()

    threading.Thread(target=take, daemon=True).start()


NOWHERE = subprocess.DEVNULL
# Sockets that stay open.
held = []
POSTGRES = Path("/usr/lib/postgresql/15/bin")


def postgres():
    """PostgreSQL at 5432: `mend` with the password `right`, the database `pages`, six connections, two of them kept."""
    os.mkdir("/srv/pg")
    subprocess.run("chown postgres /srv/pg; install -d -o postgres /var/run/postgresql 2>/dev/null || true", shell=True, check=True)

    def as_postgres(*command):
        account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        subprocess.run([*account, *map(str, command)], check=True, env=environment, stdout=NOWHERE, stderr=NOWHERE)

    as_postgres(POSTGRES / "initdb", "-D", "/srv/pg/data", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256")
    settings = (
        "listen_addresses=127.0.0.1 max_connections=6 superuser_reserved_connections=2 fsync=off max_wal_senders=0"
        " unix_socket_directories=/srv/pg deadlock_timeout=200ms"
    )
    options = " ".join(f"-c {setting}" for setting in settings.split())
    as_postgres(POSTGRES / "pg_ctl", "-D", "/srv/pg/data", "-w", "-o", options, "-l", "/srv/pg/log", "start")
    as_root(
        "CREATE ROLE mend LOGIN PASSWORD 'right'", "CREATE ROLE guest LOGIN PASSWORD 'right'", "CREATE DATABASE pages OWNER mend",
    )
    as_root(
        "CREATE TABLE page (id int PRIMARY KEY, text text NOT NULL, size int CHECK (size >= 0))", "ALTER TABLE page OWNER TO mend",
        "INSERT INTO page VALUES (1, 'one', 1), (2, 'two', 2)", database="pages",
    )


def as_root(*statements, database="postgres"):
    for statement in statements:
        command = ["psql", "-qXh", "/srv/pg", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement, database]
        subprocess.run(command, check=True, stdout=NOWHERE)


def redis():
    """Redis at 6379; with the password `right` at 6380."""
    os.mkdir("/srv/redis")
    common = "--save '' --dir /srv/redis --bind 127.0.0.1 --daemonize yes --loglevel warning --enable-debug-command yes"
    for port, more in ((6379, "--maxclients 40"), (6380, "--requirepass right")):
        own = f"--logfile /srv/redis/{port}.log --pidfile /srv/redis/{port}.pid"
        subprocess.run(f"redis-server --port {port} {common} {more} {own}", shell=True, check=True, stdout=NOWHERE)
        wait_for(port)


def silent():
    """A port, 8072, that takes connections and never says anything."""
    held.append(socket.create_server(("127.0.0.1", 8072)))


SHELL = """
import socket
import sys
import threading

import paramiko


class Refusing(paramiko.ServerInterface):
    def get_allowed_auths(self, name):
        return "publickey,password"


key = paramiko.RSAKey.generate(2048)
listening = socket.create_server(("127.0.0.1", 2222))
while True:
    transport = paramiko.Transport(listening.accept()[0])
    transport.add_server_key(key)
    transport.start_server(event=threading.Event(), server=Refusing())
"""


def shell():
    """SSH at 2222, which lets nobody in."""
    subprocess.Popen(["/srv/venv/bin/python", "-c", SHELL], stdout=NOWHERE, stderr=NOWHERE)
    wait_for(2222)


def names():
    """A name server that knows no name: NXDOMAIN, where without it no server answers."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("127.0.0.1", 53))

    def answer():
        while True:
            query, sender = asked.recvfrom(512)
            asked.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], sender)

    threading.Thread(target=answer, daemon=True).start()
