"""A Ray head in the network namespace that the tests run in; everything of it is known by its directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from harness import alive, processes_with, wait_for

URL = "http://127.0.0.1:8265"
TOKEN = "tests-of-mend-" + "0" * 32
# Ray waits 15 minutes for room by default.
START_TIMEOUT_SECONDS = 15


class Head:
    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mray-"))

    def start(self, **variables):
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment.update(
            RAY_JOB_START_TIMEOUT_SECONDS=str(START_TIMEOUT_SECONDS), RAY_USAGE_STATS_ENABLED="0",
            RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, RAY_ENABLE_UV_RUN_RUNTIME_ENV="0", **variables)
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ray"), "start", "--head", "--node-ip-address=127.0.0.1",
             "--dashboard-host=127.0.0.1", "--include-dashboard=true", "--disable-usage-stats", "--num-cpus=2",
             "--object-store-memory=100000000", f"--temp-dir={self.directory}"],
            env=environment, capture_output=True, text=True, timeout=180)
        if done.returncode != 0:
            raise AssertionError(f"ray start: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        wait_for(lambda: self.ask("/api/version"), "Ray's Jobs API", 120, 0.2)
        wait_for(lambda: self.ask("/api/jobs/") is not None, "Ray's job list", 120, 0.2)

    def restart(self, **variables):
        self.kill()
        self.start(**variables)

    def add_node(self, address, resource, cpus=1):
        """A further node on this machine, with 1 of a resource of its own."""
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, RAY_ENABLE_UV_RUN_RUNTIME_ENV="0")
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ray"), "start", "--address=127.0.0.1:6379", f"--node-ip-address={address}",
             "--disable-usage-stats", f"--num-cpus={cpus}", "--object-store-memory=100000000",
             f"--resources={json.dumps({resource: 1})}"],
            env=environment, capture_output=True, text=True, timeout=180)
        if done.returncode != 0:
            raise AssertionError(f"ray start: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        wait_for(lambda: resource in json.dumps(self.ask("/api/v0/nodes")), "the node", 60, 0.2)

    def kill_node(self, address):
        pids = self.processes(f"--node_ip_address={address}")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def processes(self, *words):
        """Pids of its processes, no job's, whose command line has all of the words."""
        found = []
        for pid in processes_with(words[0]):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if all(word in command for word in words) and "ray" in command and "mend_" not in command:
                found.append(pid)
        return found

    def dashboard(self):
        return Dashboard(self)

    def submit(self, **job):
        return self.ask("/api/jobs/", json.dumps(job).encode())

    def stop(self, name):
        return self.ask(f"/api/jobs/{name}/stop", b"")

    def ask(self, path, body=None):
        """An answer as JSON, or None."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(URL + path, data=body, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=5) as answer:
                return json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def kill(self):
        """kill -9 of all of it, as when its machine goes down."""
        wait_for(lambda: not self._kill_once(), "the end of Ray's processes", 30)

    def _kill_once(self):
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            # Its own processes name its directory, jobs of it their cluster.
            if (str(self.directory).encode() in seen or b"RAY_JOB_ID" in seen or b"ray::" in seen) and alive(int(entry.name)):
                found.append(int(entry.name))
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return found

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Dashboard:
    """A head's dashboard, which can be killed alone and started as it was."""

    def __init__(self, head):
        pids = head.processes("ray/dashboard/dashboard.py")
        if len(pids) != 1:
            raise AssertionError(f"{len(pids)} dashboards")
        self.pid = pids[0]
        self.command = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        self.environment = dict(
            entry.split("=", 1) for entry in Path(f"/proc/{self.pid}/environ").read_bytes().decode().split("\0") if "=" in entry)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not alive(self.pid), "the dashboard's end")

    def start(self):
        # `Head.kill` finds it by its directory.
        subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
