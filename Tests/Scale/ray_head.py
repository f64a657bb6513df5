"""A head that answers Ray's Jobs API for more jobs than a machine can run: `python ray_head.py PORT`.

Answers have the form of a real head's. A job runs until POST /end, which ends all of them with SUCCEEDED. GET /asked says how
many requests of each kind came since the last time it was asked, GET /running how many jobs run.
"""

import collections
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NODE = "0798ea64f40ba20631c13b6c47907d186c17cbfe573b82bc67c716b5"
CPUS = 100_000


class Jobs:
    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}
        self.asked = collections.Counter()

    def submit(self, request):
        name = request["submission_id"]
        with self.lock:
            if name in self.jobs:
                return 400, f"ValueError: Job with submission_id {name} already exists. Please use a different submission_id."
            self.jobs[name] = {
                "type": "SUBMISSION", "job_id": None, "submission_id": name, "driver_info": None, "status": "RUNNING",
                "entrypoint": request["entrypoint"], "message": "Job is currently running.", "error_type": None,
                "start_time": int(time.time() * 1000), "end_time": None, "metadata": request.get("metadata") or {},
                "runtime_env": request.get("runtime_env") or {}, "driver_agent_http_address": "http://127.0.0.1:52365",
                "driver_node_id": NODE, "driver_exit_code": None}
        return 200, {"job_id": name, "submission_id": name}

    def end(self, names, status):
        now = int(time.time() * 1000)
        with self.lock:
            for name in names or list(self.jobs):
                job = self.jobs[name]
                if job["status"] == "RUNNING":
                    code = 0 if status == "SUCCEEDED" else None
                    job.update(status=status, message=f"Job {status.lower()}.", end_time=now, driver_exit_code=code)

    def nodes(self):
        node = {"node_id": NODE, "node_ip": "127.0.0.1", "is_head_node": True, "state": "ALIVE", "state_message": None,
                "node_name": "127.0.0.1", "resources_total": {"CPU": float(CPUS), "memory": float(1 << 50)}, "labels": {}}
        return {"result": True, "msg": "", "data": {"result": {
            "total": 1, "num_after_truncation": 1, "num_filtered": 1, "result": [node], "partial_failure_warning": "",
            "warnings": None}}}


JOBS = Jobs()


class Head(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/asked":
            with JOBS.lock:
                asked, JOBS.asked = JOBS.asked, collections.Counter()
            return self.answer(200, asked)
        if path == "/running":
            with JOBS.lock:
                return self.answer(200, sum(job["status"] == "RUNNING" for job in JOBS.jobs.values()))
        parts = path.strip("/").split("/")
        kind = "list" if path == "/api/jobs/" else "job" if parts[:2] == ["api", "jobs"] and len(parts) == 3 else path
        with JOBS.lock:
            JOBS.asked[kind] += 1
            if kind == "list":
                found = json.dumps(list(JOBS.jobs.values()))
            elif kind == "job":
                found = JOBS.jobs.get(parts[2])
        if kind == "list":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            return self.wfile.write(found.encode())
        if kind == "job":
            return self.answer(200, found) if found else self.answer(404, f"Job {parts[2]} does not exist")
        if path == "/api/version":
            return self.answer(200, {"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": "session"})
        if path == "/api/v0/nodes":
            return self.answer(200, JOBS.nodes())
        if path == "/nodes":
            return self.answer(200, {"result": True, "msg": "", "data": {"summary": []}})
        if path == "/api/cluster_status":
            usage = f"Cluster status: 1 nodes\n - ResourceUsage: 0.0/{float(CPUS)} CPU\nWorker node types:"
            return self.answer(200, {"result": True, "msg": "", "data": {
                "autoscalingStatus": usage, "autoscalingError": None, "clusterStatus": None}})
        if path.endswith("/logs"):
            return self.answer(200, {"logs": ""})
        self.answer(404, "not found")

    def do_POST(self):
        body = self.body()
        if self.path == "/end":
            JOBS.end(None, "SUCCEEDED")
            return self.answer(200, {})
        parts = self.path.strip("/").split("/")
        with JOBS.lock:
            JOBS.asked["stop" if parts[-1] == "stop" else "submit"] += 1
        if parts[-1] == "stop":
            JOBS.end([parts[2]], "STOPPED")
            return self.answer(200, {"stopped": True})
        self.answer(*JOBS.submit(json.loads(body)))

    def do_DELETE(self):
        self.body()
        name = self.path.strip("/").split("/")[-1]
        with JOBS.lock:
            JOBS.asked["delete"] += 1
            JOBS.jobs.pop(name, None)
        self.answer(200, {"deleted": True})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Head)
    print(server.server_address[1], flush=True)
    server.serve_forever()
