"""Processes of other users that cannot or may not be looked at: they keep nobody's attempts from being ended."""

import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from harness import MEND, alive, wait_for
from test_incidents import Incident

NOBODY = 65534

# Moves its environment to 20 MiB of its own (PR_SET_MM_MAP of prctl(2), which needs no privilege), and stays.
LARGE_ENVIRONMENT = """
import ctypes, mmap, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
fields = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
stat = lambda number: int(fields[number - 3])
size = 20 << 20
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(b'A' * size)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
layout = struct.pack('=12QII', stat(26), stat(27), stat(45), stat(46), stat(47), libc.sbrk(0), stat(28), stat(48), stat(49),
                     start, start + size - 1, 0, 0, 0xffffffff)
if libc.prctl(35, 14, ctypes.create_string_buffer(layout, len(layout)), len(layout), 0):
    sys.exit(os.strerror(ctypes.get_errno()))
print('moved', flush=True)
time.sleep(1000)
"""


class LargeEnvironments(Incident):
    def test_a_process_with_an_environment_of_megabytes_holds_no_cancel_up(self):
        other = subprocess.Popen([sys.executable, "-c", LARGE_ENVIRONMENT], stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (other.kill(), other.communicate()))
        if other.stdout.readline() != "moved\n":
            self.skipTest("an environment cannot be moved here")
        batch = self.one(entrypoint="setsid sleep 1015 & sleep 1015")
        self.up("1015")
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGKILL)
        self.ok("cancel", batch, "--grace", "0")
        self.assertEqual(self.running("1015"), [])


@unittest.skipUnless(os.geteuid() == 0, "mounts a /proc of its own")
class HiddenProcesses(Incident):
    """A server without privileges, where the processes of other users are not shown to it (proc(5), hidepid)."""

    def setUp(self):
        super().setUp()
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        mount = "mount -t proc -o hidepid=1 proc /proc"
        os.chown(self.directory, NOBODY, NOBODY)
        probe = subprocess.run(
            ["unshare", "-m", "sh", "-c", f"{mount} && exec {' '.join(as_nobody)} {MEND} --version"],
            capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"no such server can be started here: {probe.stderr.strip()}")
        self.server.stop()
        self.server.data = self.directory / "nobodys"
        self.server.prefix = ("unshare", "-m", "sh", "-c", f'{mount} && exec {" ".join(as_nobody)} "$@"', "sh")
        self.server.start()

    def test_what_a_killed_supervisor_left_is_ended(self):
        batch = self.one(entrypoint="setsid sleep 1016 & sleep 1016")
        self.up("1016")
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGKILL)
        self.ok("cancel", batch, "--grace", "0")
        self.assertEqual(self.running("1016"), [])

    def test_a_program_that_became_another_user_is_ended_with_its_tree(self):
        sleep = self.directory / "sleep"
        shutil.copy(shutil.which("sleep"), sleep)
        os.chmod(sleep, 0o4755)
        kept = self.directory / "kept"
        for leaves_group in ("", "setsid "):
            batch = self.one(entrypoint=f"{leaves_group}{sleep} 1017 & echo $! > {kept}; wait")
            pid = int(wait_for(lambda: kept.exists() and kept.read_text().strip(), "the program to run"))
            wait_for(lambda: b"1017" in Path(f"/proc/{pid}/cmdline").read_bytes(), "its arguments")
            if Path(f"/proc/{pid}").stat().st_uid == NOBODY:
                self.skipTest("no program becomes another user here")
            self.ok("cancel", batch, "--grace", "1")
            self.assertFalse(alive(pid))
            kept.unlink()


if __name__ == "__main__":
    unittest.main()
