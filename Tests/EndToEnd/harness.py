"""Runs the real program on real files for the end-to-end tests: servers that can be killed, commands, conditions.

Everything is started here and ended here, by pid. Nothing waits for a time: `wait_for` waits for a condition, with a limit
that only a fault reaches.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEND = os.environ.get("MEND_BINARY", str(ROOT / ".build" / "debug" / "mend"))
# Only a fault waits this long; a loaded machine does not reach it.
PATIENCE_SECONDS = 90

_tick = threading.Event()


def wait_for(condition, what, seconds=PATIENCE_SECONDS, interval=0.05):
    """Returns the first true value of `condition()`; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what}")
        _tick.wait(interval)


def alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(")") + 2] != "Z"


def processes_with(text):
    """Pids of the running processes whose command line or environment holds `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in seen and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def command_line(pid):
    """The arguments of a process; none of one that is gone, or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def descendants(pid):
    """Pids of the processes below one, zombies too."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += [int(child), *descendants(child)]
        except OSError:
            continue
    return found


class Server:
    """One `mend serve` on a data directory; may be killed and started again."""

    def __init__(self, data, *flags, environment=None, prefix=(), user=None, program=None):
        self.data = Path(data)
        self.flags = flags
        self.environment = environment or {}
        # What it is started by (unshare ...), and as whom.
        self.prefix, self.user, self.program = prefix, user, program or MEND
        self.process = None
        self.address = None
        self.admin = None
        self.ready = ""
        self.log = self.data.parent / "serve.log"

    def start(self):
        listen = self.address or "127.0.0.1:0"
        arguments = [*self.prefix, self.program, "serve", "--data", str(self.data), "--listen", listen, "--admin", "127.0.0.1:0", *self.flags]
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self.environment},
            user=self.user, group=self.user, extra_groups=[] if self.user else None)
        log.close()
        line = self.process.stdout.readline()
        match = re.match(r"mend: ready listen=(\S+) admin=(\S+) data=(\S+) executor=(\S+)", line)
        if not match:
            self.kill()
            raise AssertionError(f"no ready line but {line!r}; log:\n{self.log.read_text()[-4000:]}")
        self.address, self.admin, self.ready = match[1], match[2], line
        return self

    def kill(self):
        """kill -9, and the process is gone when this returns."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def stop(self):
        """SIGTERM; returns the exit status."""
        if not self.process:
            return None
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "killed after waiting for SIGTERM to be obeyed"
        self.process.stdout.close()
        self.process = None
        return status


class Answer:
    def __init__(self, completed):
        self.status = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    @property
    def json(self):
        return json.loads(self.out)


class EndToEndCase(unittest.TestCase):
    """A temporary directory and a server on it."""

    serve_flags = ()

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mend-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.server = Server(self.directory / "data", *self.serve_flags)
        self.addCleanup(self._end_everything)
        self.server.start()

    def _end_everything(self):
        try:
            for batch in self.mend("list", "-o", "json").json.get("batches", []):
                if batch["status"] in ("queued", "running", "paused"):
                    self.mend("cancel", batch["batch_id"], "--grace", "0")
        except Exception:
            pass
        self.server.kill()
        for pid in processes_with(str(self.directory)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def mend(self, *arguments, input=None, timeout=PATIENCE_SECONDS, environment=None):
        completed = subprocess.run(
            [MEND, *(a if isinstance(a, bytes) else str(a) for a in arguments)], capture_output=True, text=True, input=input,
            timeout=timeout,
            env={**os.environ, "MEND_SERVER": self.server.address or "127.0.0.1:1", **(environment or {})})
        return Answer(completed)

    def ok(self, *arguments, **keywords):
        """Runs a command that must succeed; its output."""
        answer = self.mend(*arguments, **keywords)
        self.assertEqual(answer.status, 0, f"mend {arguments}: {answer.err}{answer.out}")
        return answer.out.strip()

    def diagnose(self, batch):
        return json.loads(self.ok("diagnose", batch, "-o", "json"))

    def status(self, batch, *flags):
        return json.loads(self.ok("status", batch, "-o", "json", *flags))

    def final(self, batch, seconds=PATIENCE_SECONDS):
        """Waits until the batch has ended; its diagnosis."""
        return wait_for(
            lambda: (lambda d: d if d["status"] in ("completed", "failed", "cancelled") else None)(self.diagnose(batch)),
            f"the end of {batch}", seconds)

    def submit_spec(self, specification):
        return self.ok("submit", "--spec", "-", input=json.dumps(specification))

    def adds_up(self, batch):
        progress = self.status(batch)["progress"]
        parts = progress["completed"] + progress["failed"] + progress["pending"] + progress["processing"]
        self.assertEqual(parts, progress["total"], progress)
        return progress

    def files(self, count, size=200):
        """Small real files of this test's own."""
        folder = self.directory / "files"
        folder.mkdir(exist_ok=True)
        paths = []
        for number in range(count):
            path = folder / f"doc{number:05}.txt"
            path.write_text(f"document {number}\n" * max(1, size // 16))
            paths.append(path)
        return paths


def real_texts(count, largest=200_000):
    """Texts that the machine has: licences and documentation."""
    found = []
    for base in ("/usr/share/common-licenses", "/usr/share/doc", "/usr/share/perl", "/usr/share"):
        for path in sorted(Path(base).rglob("*")):
            try:
                if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= largest:
                    found.append(path)
            except OSError:
                continue
            if len(found) == count:
                return found
    raise unittest.SkipTest(f"this machine has fewer than {count} texts under /usr/share")
