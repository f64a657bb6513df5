"""What may stand between the server and Ray's dashboard, and answer in its place."""

import http.client
import http.server
import socket
import threading
import urllib.parse

from head import URL

# What it answers instead of Ray: status, body.
ANSWERS = {
    "a server error": (500, b"500 Internal Server Error\n\nServer got itself in trouble"),
    "a gateway's page": (404, b"<html><body>no such site</body></html>"),
    "a page to sign in at": (200, b"<html><body>Sign in</body></html>"),
    "a refused token": (401, b"Unauthorized: Invalid or missing authentication token"),
    "a token without the right": (403, b"Forbidden"),
    "half of a document": (200, b'{"status": "FAILED", "submission_id": "mend_'),
}


class Proxy(http.server.ThreadingHTTPServer):
    """`fault` is None, a name of ANSWERS, or one of `cut` (half an answer), `lost` (no answer to a POST), `silent`, `slow`."""

    daemon_threads = True

    def __init__(self, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = None
        self.cut = 0
        # Of all that came, and of those that were for the list of all jobs.
        self.requests = self.lists = 0
        self.over = threading.Event()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self._tls = tls
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def finish_request(self, request, address):
        # By the request's own thread: a caller who does not trust it holds up nobody.
        if self._tls:
            try:
                request = self._tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, address)

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests += 1
        self.server.lists += (self.command, self.path) == ("GET", "/api/jobs/")
        fault = self.server.fault
        if fault in ANSWERS:
            return self.answer(*ANSWERS[fault])
        if fault == "slow":
            self.server.over.wait(4)
        if fault == "silent":
            self.server.over.wait()
            return self.hang_up()
        place = urllib.parse.urlsplit(URL)
        ray = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        ray.request(self.command, self.path, body or None, headers)
        answer = ray.getresponse()
        content = answer.read()
        ray.close()
        if fault == "lost" and self.command == "POST":
            return self.hang_up()
        if fault == "cut":
            self.server.cut += 1
            self.answer(answer.status, content[:len(content) // 2], len(content))
            return self.hang_up()
        self.answer(answer.status, content)

    do_GET = do_POST = do_DELETE = forward
