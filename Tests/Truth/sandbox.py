"""Runs one sample in name spaces of its own: a machine with no network, a neutral name and neutral paths.

/srv/in has the document, /srv/app the recipe's programs, /srv/task is where it runs, /srv/venv has PyPI's packages.
"""

import hashlib
import os
import platform
import re
import signal
import subprocess
from pathlib import Path

import documents
import services

TAIL = 16 << 10
SECONDS = 120
USER = 1000
ENVIRONMENT = {
    "PATH": "/srv/venv/bin:/usr/bin:/bin",
    "HOME": "/srv/home",
    "USER": "worker",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
NAMES = ("scan", "invoice", "letter", "report", "minutes", "contract")
FILES = {
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 node-1\n",
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
}


def run(sample, venv):
    """How it ends and what it prints: {exit, stderr, stdout, document}."""
    lay_out(sample, venv)
    document = place(sample)
    for name in sample.services:
        getattr(services, name)()
    environment = {**ENVIRONMENT, "doc": document, **sample.env}
    if sample.setup:
        own = {**environment, "PATH": f"{environment['PATH']}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
        subprocess.run(["sh", "-ec", sample.setup], check=True, cwd="/srv", env=own, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", "sh", "-c", sample.recipe],
        cwd="/srv/task",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        raise ValueError(f"{sample.id} did not end\n{stderr[-2000:]}{stdout[-2000:]}") from None
    code = process.returncode
    end = {"code": code} if code >= 0 else {"signal": -code}
    return {"exit": end, "stderr": tail(stderr), "stdout": tail(stdout), "document": document}


def tail(printed):
    """As printed, but for the names of this machine's kernel and processor."""
    text = printed[-TAIL:].decode("utf-8", "replace").replace(platform.release(), "6.1.0")
    return re.sub(r"\d+ CPUs [^)]*\(\w+\)", "2 CPUs", text)


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def lay_out(sample, venv):
    mount("--make-rprivate", "/")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["hostname", "node-1"], check=True)
    mount("-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", "/srv")
    for name in ("in", "app", "task", "home", "venv", "etc"):
        os.mkdir(f"/srv/{name}")
    if venv.exists():
        mount("--bind", str(venv), "/srv/venv")
    # After the last use of what may lie there.
    mount("-t", "tmpfs", "-o", "size=2g,mode=1777", "tmpfs", "/tmp")
    accounts = Path("/etc/passwd").read_text().splitlines()
    accounts = [a for a in accounts if a.split(":")[2] != str(USER)] + [f"worker:x:{USER}:{USER}::/srv/home:/bin/sh"]
    for path, text in {**FILES, "/etc/passwd": "\n".join(accounts) + "\n"}.items():
        own = Path("/srv/etc", Path(path).name)
        own.write_text(text)
        mount("--bind", str(own), path)
    for name in ("task", "home"):
        os.chown(f"/srv/{name}", USER, USER)
    for name, text in sample.files.items():
        path = Path("/srv/app", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def place(sample):
    """The document's path; empty where the sample has none."""
    if not sample.document:
        return ""
    drawn = int.from_bytes(hashlib.sha256(sample.id.encode()).digest()[:4], "big")
    name = sample.name or f"{NAMES[drawn % len(NAMES)]}-{drawn % 9000 + 1000}.{sample.document.split('.', 1)[1]}"
    path = Path("/srv/in", name)
    if not sample.document.startswith("missing."):
        documents.make(sample.document, path)
    return str(path)
