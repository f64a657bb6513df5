"""Signed webhooks to a real receiver: one that fails, stalls, redirects, repeats, and is away; over a kill -9."""

import hashlib
import hmac
import json
import os
import sqlite3
import subprocess
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import EndToEndCase, MEND, wait_for

SECRET = b"a secret of the test's own"


class Receiver:
    """Answers as `answer(request number, event id)` says: a status, or "stall"."""

    def __init__(self, answer):
        self.requests = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    outer.requests.append((self.path, dict(self.headers), body))
                    number = len(outer.requests)
                status = answer(number, self.headers["Mend-Event-Id"])
                if status == "stall":
                    outer.released.wait()
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def bodies(self):
        with self.lock:
            return [json.loads(body) for _, _, body in self.requests]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Notifications(EndToEndCase):
    def setUp(self):
        self.answer = lambda number, event: 200
        self.receiver = Receiver(lambda number, event: self.answer(number, event))
        self.addCleanup(self.receiver.close)
        import tempfile
        folder = tempfile.mkdtemp(prefix="mend-secret-")
        self.secret_file = folder + "/secret"
        with open(self.secret_file, "wb") as file:
            file.write(SECRET + b"\n")
        self.serve_flags = (
            "--notify-url", f"http://127.0.0.1:{self.receiver.port}/hook", "--notify-secret-file", self.secret_file,
            "--cpus", "1")
        super().setUp()

    def submit(self, command, name, **extra):
        return self.submit_spec({
            "batch_id": name, "batch_name": "Reports", "notification_enabled": True,
            "documents": [{"document_id": "d0", "uri": "file:///srv/d0"}],
            "tiers": [{"extractors": [{"extractor_name": "text", "entrypoint": command, **extra}]}]})

    def events(self, batch, kind):
        lines = self.ok("history", batch, "-o", "jsonl").splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def settled(self, batch, count=1):
        return wait_for(
            lambda: (lambda e: e if len(e) >= count else None)(self.events(batch, "notification_settled")),
            f"{count} notifications of {batch} to be settled")

    def test_a_final_state_is_told_once_signed_and_stands_in_the_history(self):
        batch = self.submit("true", "good")
        self.final(batch)
        event = self.settled(batch)[0]
        self.assertEqual(event["actor"], "notifier")
        self.assertIn("delivered after 1: status 200", event["summary"])
        (path, headers, body), = self.receiver.requests
        self.assertEqual(path, "/hook")
        told = json.loads(body)
        self.assertEqual(
            (told["type"], told["batch_id"], told["namespace"], told["status"]),
            ("batch.final", "good", "default", "completed"))
        self.assertEqual(told["progress"]["total"], 1)
        self.assertEqual(told["event_id"], headers["Mend-Event-Id"])
        signed = f"{headers['Mend-Timestamp']}.{headers['Mend-Event-Id']}.".encode() + body
        self.assertEqual(headers["Mend-Signature"], "v1=" + hmac.new(SECRET, signed, hashlib.sha256).hexdigest())
        self.assertNotIn(SECRET.decode(), self.server.log.read_text() + json.dumps(self.diagnose(batch)))

    def test_batches_that_are_set_aside_hold_up_nobody_and_cost_nothing(self):
        self.answer = lambda number, event: 503
        aside = [self.submit("true", f"aside-{number}") for number in range(10)]
        for batch in aside:
            self.final(batch)
        wait_for(lambda: len(self.receiver.bodies()) >= 10, "each to be tried")
        self.server.stop()
        for batch in aside:
            subprocess.run([MEND, "doctor", "--data", self.server.data, "--set-aside", batch], check=True, capture_output=True)
        self.answer = lambda number, event: 200
        database = sqlite3.connect(self.server.data / "journal.sqlite")
        latest, = database.execute("SELECT max(next_at) FROM outbox").fetchone()
        database.close()
        wait_for(lambda: time.time() * 1000 > latest, "each to be due")
        self.server.start()
        batch = self.submit("true", "good")
        self.final(batch)
        self.settled(batch)
        self.assertEqual({body["batch_id"] for body in self.receiver.bodies()}, {*aside, "good"})

        def seconds():
            fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        before = seconds()
        time.sleep(3)
        self.assertLess(seconds() - before, 0.3, "an idle server is busy")

    def test_who_did_not_ask_is_not_told(self):
        batch = self.ok("submit", "--tier", "quick=:", *self.files(1))
        self.final(batch)
        other = self.submit("true", "asked")
        self.settled(other)
        self.assertEqual({body["batch_id"] for body in self.receiver.bodies()}, {"asked"})

    def test_failures_redirections_and_a_receiver_that_is_away_are_tried_again(self):
        answers = [500, 302, 503, 200]
        self.answer = lambda number, event: answers[min(number, len(answers)) - 1]
        batch = self.submit("exit 3", "again")
        self.final(batch)
        self.assertIn("delivered after 4", self.settled(batch)[0]["summary"])
        self.assertEqual({path for path, _, _ in self.receiver.requests}, {"/hook"})
        self.assertEqual(len({headers["Mend-Event-Id"] for _, headers, _ in self.receiver.requests}), 1)
        self.assertEqual([headers["Mend-Attempt"] for _, headers, _ in self.receiver.requests], ["1", "2", "3", "4"])
        self.assertEqual(self.receiver.bodies()[0]["status"], "failed")

    def test_a_receiver_that_wants_no_more_is_given_up(self):
        self.answer = lambda number, event: 410
        batch = self.submit("true", "gone")
        self.final(batch)
        self.assertIn("given up after 1: status 410", self.settled(batch)[0]["summary"])

    def test_what_was_not_delivered_survives_a_kill_under_the_same_event_id(self):
        self.answer = lambda number, event: "stall" if number == 1 else 200
        batch = self.submit("true", "kept")
        self.final(batch)
        wait_for(lambda: self.receiver.requests, "the first request")
        self.server.kill()
        self.server.start()
        self.settled(batch)
        ids = [headers["Mend-Event-Id"] for _, headers, _ in self.receiver.requests]
        self.assertEqual(len(ids), 2)
        self.assertEqual(len(set(ids)), 1)
        # And is not told again by the next one.
        self.server.kill()
        self.server.start()
        self.settled(self.submit("true", "next"))
        self.assertEqual(self.receiver.bodies()[-1]["batch_id"], "next")
        self.assertEqual(len(self.receiver.requests), 3)

    def test_stuck_and_healed_are_told(self):
        batch = self.submit(
            f"{MEND} report --stage load; exec sleep 1000", "stuck", timers={"progress_seconds": 1})
        wait_for(lambda: self.diagnose(batch)["health"] == "stuck", "stuck")
        self.settled(batch, 1)
        self.ok("heal", batch, "--action", "detect-stuck")
        self.settled(batch, 2)
        self.assertEqual([body["type"] for body in self.receiver.bodies()][:2], ["batch.stuck", "batch.healed"])
        self.assertEqual(self.receiver.bodies()[0]["health"], "stuck")

    def test_stuck_by_waiting_is_told_and_stands_in_the_history(self):
        gate = self.directory / "gate"
        self.submit_spec({
            "batch_id": "waits", "notification_enabled": True,
            "documents": [{"document_id": "d0", "uri": "file:///srv/d0"}],
            "tiers": [
                {"extractors": [{"extractor_name": "first", "entrypoint": f"until [ -e {gate} ]; do sleep 0.05; done"}]},
                {"extractors": [{"extractor_name": "second", "entrypoint": "true", "timers": {"start_seconds": 1}}]}]})
        for name in ("hold", "queued"):
            self.submit_spec({
                "batch_id": name, "priority": 100, "notification_enabled": True,
                "documents": [{"document_id": "d0", "uri": "file:///srv/d0"}],
                "tiers": [{"extractors": [
                    {"extractor_name": "hold", "entrypoint": "exec sleep 1000", "timers": {"start_seconds": 1}}]}]})
        gate.touch()
        self.settled("waits")
        body = self.receiver.bodies()[0]
        self.assertEqual((body["type"], body["batch_id"], body["health_reason"]),
                         ("batch.stuck", "waits", "waiting_for_capacity"))
        self.assertEqual([e["verdict"]["health"] for e in self.events("waits", "verdict_changed")], ["stuck"])
        self.assertEqual(self.diagnose("waits")["health"], "stuck")
        # Behind others nothing is wrong, however long it is.
        queued = self.diagnose("queued")
        self.assertEqual((queued["status"], queued["health"], queued["queue"]["position"]), ("queued", "ok", 1))
        self.assertEqual({body["batch_id"] for body in self.receiver.bodies()}, {"waits"})

    def test_an_address_that_must_not_be_is_refused_at_start(self):
        for url, says in [("ftp://x/", "neither https:// nor http://"), ("http://169.254.169.254/", "cloud metadata")]:
            answer = self.mend(
                "serve", "--data", self.directory / "other", "--listen", "127.0.0.1:0", "--admin", "none",
                "--notify-url", url, "--notify-secret-file", self.secret_file)
            self.assertEqual(answer.status, 2, answer.err)
            self.assertIn(says, answer.err)
        answer = self.mend("serve", "--data", self.directory / "other", "--notify-url", "http://127.0.0.1:1/")
        self.assertEqual(answer.status, 2)


if __name__ == "__main__":
    unittest.main()
