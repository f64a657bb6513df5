"""The journal under what befalls it: bits that flip, files that go, disks that are full or lie, second servers."""

import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import MEND, PATIENCE_SECONDS, ROOT, EndToEndCase, Server, wait_for
from test_shortages import Shortage

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_or_not(int descriptor, const char *name) {
  static int count;
  const char *fails = getenv("SHIM_FAILS_WHILE"), *kills = getenv("SHIM_KILLS_AT");
  if (kills && ++count == atoi(kills)) kill(getpid(), SIGKILL);
  if (fails && access(fails, F_OK) == 0) { errno = EIO; return -1; }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(descriptor);
}
static int cut(int descriptor, off_t length, const char *name) {
  static int count;
  const char *kills = getenv("SHIM_KILLS_AFTER_CUT");
  int (*real)(int, off_t) = (int (*)(int, off_t))dlsym(RTLD_NEXT, name);
  int failure = real(descriptor, length);
  if (kills && ++count == atoi(kills)) kill(getpid(), SIGKILL);
  return failure;
}
int ftruncate(int descriptor, off_t length) { return cut(descriptor, length, "ftruncate"); }
int ftruncate64(int descriptor, off_t length) { return cut(descriptor, length, "ftruncate64"); }
int fsync(int descriptor) { return sync_or_not(descriptor, "fsync"); }
int fdatasync(int descriptor) { return sync_or_not(descriptor, "fdatasync"); }
"""


CRASH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct sqlite3_stmt;
int sqlite3_column_bytes(struct sqlite3_stmt *, int);

// A row's check sum is looked at before it is read: the second time in a row it is read.
const void *sqlite3_column_blob(struct sqlite3_stmt *statement, int column) {
  static __thread int before;
  const void *(*real)(struct sqlite3_stmt *, int) = dlsym(RTLD_NEXT, "sqlite3_column_blob");
  const void *bytes = real(statement, column);
  const char *name = getenv("CRASHES_OVER");
  int found = name && bytes && memmem(bytes, sqlite3_column_bytes(statement, column), name, strlen(name)) != NULL;
  if (found && before) __builtin_trap();
  before = found;
  return bytes;
}
"""


class Store(EndToEndCase):
    serve_flags = ("--cpus", "4")

    @property
    def journal(self):
        return self.server.data / "journal.sqlite"

    def serve(self, *flags, data=None, environment=None, wait=60):
        """A server that is expected to end by itself: its exit status, stdout and stderr."""
        completed = subprocess.run(
            [MEND, "serve", "--data", str(data or self.server.data), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags],
            capture_output=True, text=True, timeout=wait, env={**os.environ, **(environment or {})})
        return completed.returncode, completed.stdout, completed.stderr

    def page(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.server.admin}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        return next(float(line.split()[-1]) for line in self.page("/metrics")[1].splitlines() if line.startswith(name + " "))

    def done(self, batch):
        self.assertEqual(self.final(batch)["status"], "completed")

    def batches(self, count):
        found = [self.ok("submit", "--tier", "ok=true", *self.files(2)) for _ in range(count)]
        for batch in found:
            self.done(batch)
        return found

    def shim(self):
        source, library = self.directory / "shim.c", self.directory / "shim.so"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        return {"LD_PRELOAD": str(library)}


class Damage(Store):
    def flip(self, batch):
        """One bit of one record of the batch."""
        with sqlite3.connect(self.journal) as database:
            row, payload = database.execute(
                "SELECT journal.id, payload FROM journal JOIN batches ON batches.id = batch WHERE batch_id = ? AND first > 1 "
                "ORDER BY journal.id LIMIT 1", (batch,)).fetchone()
            changed = bytearray(payload)
            changed[len(changed) // 2] ^= 1
            database.execute("UPDATE journal SET payload = ? WHERE id = ?", (bytes(changed), row))
        database.close()

    def doctor(self, *arguments):
        completed = subprocess.run(
            [MEND, "doctor", "--data", str(self.server.data), *arguments], capture_output=True, text=True, timeout=60)
        return completed.returncode, completed.stdout, completed.stderr

    def test_one_flipped_bit_costs_its_batch_and_no_other(self):
        bad, *good = self.batches(4)
        self.server.kill()
        self.flip(bad)
        for _ in range(5):
            self.server.start()
            for batch in good:
                self.assertEqual(self.diagnose(batch)["status"], "completed")
            for command in (["diagnose", bad], ["status", bad], ["history", bad], ["retry", bad, "--tier", "0"], ["cancel", bad]):
                answer = self.mend(*command)
                self.assertEqual(answer.status, 1, answer.out)
                self.assertIn("set aside", answer.err)
                self.assertIn("record", answer.err)
                self.assertNotIn(str(self.server.data), answer.err)
            self.assertEqual(self.metric("mend_batches_set_aside"), 1)
            self.server.kill()
        self.server.start()
        self.batches(1)
        status, _, error = self.doctor()
        self.assertEqual(status, 1)
        self.assertIn("in use", error)
        self.server.stop()
        status, out, _ = self.doctor("-o", "json")
        found = json.loads(out)
        self.assertEqual((status, [f["batch_id"] for f in found["damaged"]]), (1, [bad]))
        self.assertGreater(found["damaged"][0]["sequence"], 1)
        self.assertEqual(self.doctor("--set-aside", good[0])[0], 0)
        self.server.start()
        self.assertEqual(self.mend("diagnose", good[0]).status, 1)
        self.assertEqual(self.metric("mend_batches_set_aside"), 2)
        self.server.stop()
        self.assertEqual(self.doctor("--bring-back", good[0])[0], 0)
        self.server.start()
        self.assertEqual(self.diagnose(good[0])["status"], "completed")

    def test_ready_is_never_said_where_nothing_can_be_recovered(self):
        self.batches(1)
        self.server.stop()
        whole = self.journal.read_bytes()
        for page in range(1, min(8, len(whole) // 4096)):
            damaged = bytearray(whole)
            damaged[page * 4096:(page + 1) * 4096] = b"\xa5" * 4096
            self.journal.write_bytes(damaged)
            for part in ("-wal", "-shm"):
                Path(f"{self.journal}{part}").unlink(missing_ok=True)
            process = subprocess.Popen(
                [MEND, "serve", "--data", str(self.server.data), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            line = process.stdout.readline()
            if line:
                # It serves what it has: then it lives.
                self.assertIsNone(process.poll(), f"page {page}: {line}")
                process.terminate()
            self.assertEqual(process.wait(60), 0 if line else 1, f"page {page}: {line!r}")
            process.stdout.close()
        self.journal.write_bytes(whole)

    def test_a_damaged_page_costs_what_is_on_it_and_the_rest_goes_on(self):
        batches = self.batches(6)
        self.server.stop()
        whole = self.journal.read_bytes()
        identity = self.server.data / "identity"
        name, flags = identity.read_bytes(), self.server.flags
        with sqlite3.connect(self.journal) as database:
            roots = dict(database.execute("SELECT name, rootpage FROM sqlite_schema"))
            pages = len(whole) // 4096
        database.close()
        served = said = changed = 0
        for page in range(2, pages + 1):
            damaged = bytearray(whole)
            damaged[(page - 1) * 4096:page * 4096] = bytes(4096)
            self.journal.write_bytes(damaged)
            identity.write_bytes(name)
            for part in ("-wal", "-shm", "-damaged", "-mark"):
                Path(f"{self.journal}{part}").unlink(missing_ok=True)
            self.server.start()
            answers = [self.mend("diagnose", batch) for batch in batches]
            for answer in answers:
                self.assertIn(answer.status, (0, 1), answer.err)
                if answer.status == 1:
                    self.assertTrue("set aside" in answer.err or "not found" in answer.err.lower() or "no batch" in answer.err, answer.err)
            alive = sum(answer.status == 0 for answer in answers)
            served += alive
            log = self.server.log.read_text()
            if alive < len(batches):
                self.assertTrue("set aside" in log or "cannot be read" in log, f"page {page}: {log[-2000:]}")
                said += 1
            answer = self.mend("submit", "--tier", "ok=true", *self.files(1))
            if answer.status != 0:
                self.assertIn("--rebuild", answer.err, f"page {page}")
                changed += 1
            self.server.stop()
            if answer.status != 0:
                status, out, error = self.doctor("--rebuild")
                self.assertEqual(status, 0, error)
                # Where the page said which directory it is.
                self.server.flags = (*flags, "--adopt-copy") if "--adopt-copy" in out else flags
                self.server.start()
                self.batches(1)
                self.server.stop()
                self.server.flags = flags
                for kept in self.server.data.glob("journal.sqlite-kept-*"):
                    shutil.rmtree(kept)
        self.assertGreater(served, (pages - 1) * len(batches) * 2 // 3, roots)
        self.assertGreater(said, 0)
        self.assertGreater(changed, 0, "no page stood in the way of a change")

    def test_what_runs_goes_on_beside_a_damaged_journal_and_its_results_are_taken_by_a_whole_one(self):
        gate = self.directory / "gate"
        batch = self.ok(
            "submit", "--tier", f'wait=echo "$MEND_DOCUMENT_ID" >> {self.directory}/ran; until [ -e {gate} ]; do sleep 0.05; done',
            *self.files(3))
        wait_for(lambda: (self.directory / "ran").exists(), "the first document to be begun")
        self.server.kill()
        with sqlite3.connect(self.journal) as database:
            page, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'idempotency'").fetchone()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        with open(self.journal, "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(bytes(4096))
        self.server.start()
        diagnosis = self.diagnose(batch)
        self.assertEqual((diagnosis["health"], diagnosis["health_reason"]), ("stuck", "store_full"), diagnosis)
        self.assertIn("--rebuild", json.dumps(diagnosis))
        self.assertNotIn("adopt-copy", json.dumps(diagnosis))
        self.assertEqual(self.page("/readyz")[0], 503)
        gate.write_text("")
        refused = re.compile(r'mend_rpc_calls_total\{method="mend\.v1\.Worker/\w+",code="UNAVAILABLE"\} [1-9]')
        wait_for(lambda: refused.search(self.page("/metrics")[1]), "the worker to be told to come again")
        self.server.stop()
        status, _, error = self.doctor("--rebuild")
        self.assertEqual(status, 0, error)
        self.server.start()
        self.done(batch)
        attempts = self.diagnose(batch)["tiers"][0]["jobs"][0]["attempts"]
        self.assertEqual(len(attempts), 1, attempts)
        self.assertEqual(len((self.directory / "ran").read_text().split()), 3)

    def test_a_large_log_is_checked_without_being_held(self):
        self.batches(1)
        database = sqlite3.connect(self.journal, isolation_level=None)
        copy = self.directory / "large"
        copy.mkdir()
        self.server.stop()
        try:
            database.execute("PRAGMA wal_autocheckpoint = 0")
            database.execute("PRAGMA synchronous = OFF")
            for part in range(12):
                database.execute(
                    "INSERT OR REPLACE INTO snapshots (batch, part, sequence, row, program, checksum, payload) "
                    "VALUES (-1, ?, 0, 0, 0, 0, zeroblob(25000000))", (part,))
            for name in ("", "-wal", "-mark"):
                shutil.copy(f"{self.journal}{name}", copy)
        finally:
            database.close()
        self.assertGreater((copy / "journal.sqlite-wal").stat().st_size, 290_000_000)
        process = subprocess.Popen([MEND, "doctor", "--data", str(copy)], stdout=subprocess.PIPE, text=True)
        out = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0, out)
        self.assertLess(usage.ru_maxrss, 250_000, "kilobytes")


class Files(Store):
    def test_a_log_that_is_removed_under_a_running_server_loses_nothing(self):
        batches = self.batches(2)
        # The second time beside somebody who reads an older state.
        for reader in (None, sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True, isolation_level=None)):
            if reader:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM batches").fetchone()
                batches += self.batches(2)
            Path(f"{self.journal}-wal").unlink()
            answer = self.mend("submit", "--tier", "ok=true", *self.files(1))
            self.assertNotEqual(answer.status, 0, "nothing is acknowledged that is kept nowhere")
            self.assertEqual(self.server.process.wait(PATIENCE_SECONDS), 1)
            self.assertIn("was removed or replaced", self.server.log.read_text())
            self.server.kill()
            self.server.start()
            for batch in batches:
                self.assertEqual(self.diagnose(batch)["status"], "completed")
        reader.close()

    def test_a_log_that_went_while_the_server_was_away_is_told(self):
        self.batches(2)
        self.server.kill()
        copy = self.directory / "copy"
        copy.mkdir()
        shutil.copy(self.journal, copy)
        Path(f"{self.journal}-wal").unlink()
        for data, words in ((self.server.data, "was acknowledged"), (copy, "without")):
            for _ in range(2):
                status, out, error = self.serve(data=data)
                self.assertEqual((status, out), (1, ""), error)
                self.assertIn(words, error)
                self.assertIn("mend doctor", error)
        subprocess.run([MEND, "doctor", "--data", str(self.server.data), "--accept-loss"], check=True, timeout=60)
        self.server.start()

    def test_a_second_server_runs_nothing_whatever_was_removed_or_taken(self):
        batch = self.ok("submit", "--tier", "wait=sleep 600", *self.files(1))
        wait_for(lambda: self.diagnose(batch)["status"] == "running", "it runs")
        (self.server.data / "lock").unlink()
        status, out, error = self.serve()
        self.assertEqual((status, out), (1, ""), error)
        self.assertIn("in use", error)
        self.batches(1)
        # Another server's address is taken: this one's data is not touched.
        other = Server(self.directory / "other")
        other.start()
        other.kill()
        before = {p.name: p.read_bytes() for p in other.data.glob("journal.sqlite")}
        rows = self.rows(other.data)
        status, out, error = self.serve("--listen", self.server.address, data=other.data)
        self.assertEqual((status, out), (1, ""), error)
        self.assertIn("listen", error)
        self.assertEqual(self.rows(other.data), rows)
        self.assertTrue(before)
        self.ok("cancel", batch, "--grace", "0")

    def rows(self, data):
        database = sqlite3.connect(f"file:{data / 'journal.sqlite'}?mode=ro", uri=True)
        try:
            return database.execute("SELECT count(*), max(id) FROM journal").fetchone()
        finally:
            database.close()

    def test_nobody_else_can_read_what_the_server_keeps(self):
        self.server.stop()
        shutil.rmtree(self.server.data)
        self.server.data.mkdir(mode=0o755)
        os.chmod(self.server.data, 0o755)
        umask = os.umask(0o022)
        try:
            self.server.start()
            self.batches(1)
        finally:
            os.umask(umask)
        for path in self.server.data.glob("journal.sqlite*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        # What an earlier server left open is closed, and said.
        self.server.kill()
        os.chmod(self.journal, 0o644)
        self.server.start()
        self.assertEqual(self.journal.stat().st_mode & 0o077, 0)
        self.assertIn("other users could read", self.server.log.read_text())


class Syncs(Store):
    def test_after_a_sync_that_failed_nothing_is_acknowledged_and_what_was_is_there(self):
        shim, fails = self.shim(), self.directory / "fails"
        self.server.stop()
        self.server.environment = {**shim, "SHIM_FAILS_WHILE": str(fails)}
        self.server.start()
        batches = self.batches(2)
        fails.touch()
        answer = self.mend("submit", "--tier", "ok=true", *self.files(1))
        self.assertNotEqual(answer.status, 0, "a commit whose sync failed was acknowledged")
        self.assertEqual(self.server.process.wait(PATIENCE_SECONDS), 1)
        self.assertIn("the store failed", self.server.log.read_text())
        self.server.kill()
        # As long as it does, no server says that it is ready.
        status, out, error = self.serve(environment={**shim, "SHIM_FAILS_WHILE": str(fails)})
        self.assertEqual((status, out), (1, ""), error)
        fails.unlink()
        self.server.start()
        for batch in batches:
            self.assertEqual(self.diagnose(batch)["status"], "completed")
        self.batches(1)

    def test_a_migration_that_is_killed_at_any_sync_is_made_by_the_next_server(self):
        shim = self.shim()
        batch, = self.batches(1)
        self.server.stop()
        database = sqlite3.connect(self.journal, isolation_level=None)
        database.executescript("""
            DROP TABLE set_aside; DROP TABLE crashes; DROP TABLE log_state; DROP TABLE counts; DROP TABLE forgotten;
            DROP TABLE data_directory;
            ALTER TABLE journal DROP COLUMN checksum; ALTER TABLE batches DROP COLUMN checksum;
            ALTER TABLE batches DROP COLUMN last; ALTER TABLE outbox DROP COLUMN checksum;
            ALTER TABLE idempotency DROP COLUMN checksum; ALTER TABLE starts DROP COLUMN checksum;
            DELETE FROM grdb_migrations
            WHERE identifier IN ('4 containment', '5 sums and counts', '6 forgotten segments');
            PRAGMA user_version = 3;""")
        database.close()
        old = self.directory / "old"
        # What later versions added, the directory's name and the journal's mark, was not there.
        shutil.copytree(
            self.server.data, old, ignore=shutil.ignore_patterns("*.sock", "identity", "journal.sqlite-*", "clock", "crash"))

        def again():
            shutil.rmtree(self.server.data)
            shutil.copytree(old, self.server.data)

        def looks():
            self.assertEqual(self.diagnose(batch)["status"], "completed")
            self.assertEqual(self.page("/readyz")[0], 200)
            self.batches(1)

        self.killed_starts(shim, again, looks)

    def test_a_first_start_that_is_killed_anywhere_is_made_by_the_next_server(self):
        shim = self.shim()
        self.server.stop()
        self.killed_starts(shim, lambda: shutil.rmtree(self.server.data), lambda: self.batches(1))

    def killed_starts(self, shim, again, looks):
        """Starts that are killed at a sync, or after a file was cut, each time at the next one, until one gets through."""
        for kills in ("SHIM_KILLS_AT", "SHIM_KILLS_AFTER_CUT"):
            for number in range(1, 40):
                again()
                with self.subTest(**{kills: number}):
                    process = subprocess.Popen(
                        [MEND, "serve", "--data", str(self.server.data), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                        env={**os.environ, **shim, kills: str(number)})
                    line = process.stdout.readline()
                    process.kill()
                    process.wait(60)
                    process.stdout.close()
                    self.server.start()
                    looks()
                    self.server.kill()
                if line:
                    break
            self.assertTrue(line, "no start got through")
            self.assertGreater(number, 1, "no start was killed on its way")


class Crashes(Store):
    form = "<II160s"

    def test_a_batch_that_the_server_crashes_over_twice_is_set_aside(self):
        bad, good = self.batches(2)
        name = f"default/{bad}".encode()
        for status in (0, 1):
            self.server.kill()
            # As a server leaves it that a trap has ended.
            (self.server.data / "crash").write_bytes(struct.pack(self.form, signal.SIGILL, len(name), name))
            self.server.start()
            self.assertIn("the previous server crashed", self.server.log.read_text())
            self.assertEqual(self.mend("diagnose", bad).status, status)
            self.assertEqual(self.diagnose(good)["status"], "completed")
        self.assertIn("crashed over it 2 times", self.mend("diagnose", bad).err)
        self.server.stop()
        doctor = subprocess.run(
            [MEND, "doctor", "--data", str(self.server.data)], capture_output=True, text=True, timeout=60)
        self.assertEqual(doctor.returncode, 1)
        self.assertIn("1 batch set aside", doctor.stdout)
        self.assertNotIn("cannot be read", doctor.stdout)
        subprocess.run([MEND, "doctor", "--data", str(self.server.data), "--bring-back", bad], check=True, timeout=60)
        self.server.start()
        self.assertEqual(self.diagnose(bad)["status"], "completed")

    def test_a_crash_leaves_what_its_thread_had_in_hand_and_a_kill_nothing(self):
        library, note, deep = self.directory / "note.so", self.directory / "note", self.directory / "deep.c"
        sources = ROOT / "Sources" / "CProcess"
        deep.write_text("int deep(int n) { volatile char room[4096]; room[0] = 1; return n < 0 ? 0 : deep(n + 1) + room[0]; }")
        subprocess.run(
            ["cc", "-O0", "-shared", "-fPIC", f"-I{sources / 'include'}", "-o", library, sources / "CrashNote.c", deep], check=True)
        program = """
import ctypes, os, signal, sys
note = ctypes.CDLL(sys.argv[1])
assert note.cprocess_crash_note_open(sys.argv[2].encode()) == 0
note.cprocess_crash_note_begin(b"team", 4, b"batch-1", 7)
if sys.argv[3] == "done": note.cprocess_crash_note_end()
if sys.argv[3] == "killed": os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "aborts": os.abort()
if sys.argv[3] == "too deep": note.deep(0)
if sys.argv[3] == "aborted":
    if os.fork() == 0: os.kill(os.getppid(), signal.SIGABRT); os._exit(0)
    signal.pause()
ctypes.string_at(0)
"""
        batch, nobody = b"team/batch-1", b""
        for how, number, left in (
                ("in hand", signal.SIGSEGV, (signal.SIGSEGV, batch)), ("too deep", signal.SIGSEGV, (signal.SIGSEGV, batch)),
                ("aborts", signal.SIGABRT, (signal.SIGABRT, batch)), ("done", signal.SIGSEGV, (signal.SIGSEGV, nobody)),
                ("aborted", signal.SIGABRT, (signal.SIGABRT, nobody)), ("killed", signal.SIGKILL, (0, nobody))):
            status = subprocess.run([sys.executable, "-c", program, library, note, how], stderr=subprocess.DEVNULL).returncode
            self.assertEqual(status, -number, how)
            crashed, length, text = struct.unpack(self.form, note.read_bytes())
            self.assertEqual((crashed, text[:length]), left, how)

    def test_a_crash_as_a_journal_is_read_is_its_batchs(self):
        """A shim lets whoever reads the bad batch's journal crash."""
        bad, good = self.submit_named("the-bad-one"), self.submit_named("another")
        self.server.stop()
        source, library = self.directory / "crash.c", self.directory / "crash.so"
        source.write_text(CRASH)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        crashes = {"LD_PRELOAD": str(library), "CRASHES_OVER": "the-bad-one"}
        doctor = subprocess.run(
            [MEND, "doctor", "--data", str(self.server.data), "-o", "json"], capture_output=True, text=True, timeout=60,
            env={**os.environ, **crashes})
        self.assertEqual(doctor.returncode, 1, doctor.stderr)
        report = json.loads(doctor.stdout)
        self.assertEqual([(found["batch_id"], found["ground"]) for found in report["damaged"]], [(bad, "crash")])
        self.assertIn("by signal", report["damaged"][0]["reason"])
        self.assertEqual(report["batches"], 2)
        for _ in range(2):
            status, _, log = self.serve(environment=crashes)
            self.assertLess(status, 0, log)
        self.server.environment = crashes
        self.server.start()
        self.assertIn("crashed over it 2 times", self.mend("diagnose", bad).err)
        self.assertEqual(self.diagnose(good)["status"], "created")

    def submit_named(self, name):
        """A batch that was not submitted stays in memory, so each start reads it."""
        batch = self.mend("submit", "--gpu", "--name", name, "--tier", "ok=true", *self.files(1))
        self.assertIn("never_schedulable", batch.err)
        listed = json.loads(self.ok("list", "-o", "json"))["batches"]
        return next(entry["batch_id"] for entry in listed if entry["batch_name"] == name)


class FullJournal(Shortage):
    size = "size=16m"

    def test_a_journal_without_room_is_told_everywhere_and_goes_on_by_itself(self):
        batch = self.jobs(2)
        wait_for(lambda: self.runs.exists() and len(self.runs.read_text().split()) == 2, "both run")
        page = Store.page.__get__(self)
        with open(self.seen / "fill", "wb", 0) as fill:
            try:
                while True:
                    fill.write(b"x" * 4096)
            except OSError:
                pass
        wait_for(lambda: self.mend("submit", "--tier", "a=true", *self.files(1)).status != 0, "changes are refused")
        diagnosis = wait_for(
            lambda: (lambda d: d if d["health"] == "stuck" else None)(self.diagnose(batch)), "it is told")
        self.assertEqual(diagnosis["health_reason"], "store_full")
        self.assertEqual(diagnosis["findings"][0]["cause"], "store_full")
        self.assertIn("full", diagnosis["findings"][0]["evidence"][0]["observed"])
        self.assertIn("Make room", diagnosis["findings"][0]["remedy"]["description"])
        self.assertFalse(diagnosis.get("estimated_completion"))
        status, body = page("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("store_full", body)
        self.assertIn("mend_store_full 1", page("/metrics")[1])
        (self.seen / "fill").unlink()
        self.gate.touch()
        self.ran_once(batch, 2)
        self.assertEqual(page("/readyz")[0], 200)
        self.assertIn("mend_store_full 0", page("/metrics")[1])


if __name__ == "__main__":
    unittest.main()
