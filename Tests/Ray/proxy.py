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
}


class Proxy(http.server.ThreadingHTTPServer):
    """`fault` is None, a name of ANSWERS, or one of `cut` (half an answer), `lost` (no answer to a POST), `silent`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = None
        self.cut = 0
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

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
        fault = self.server.fault
        if fault in ANSWERS:
            return self.answer(*ANSWERS[fault])
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
