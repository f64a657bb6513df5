"""Failures injected into real processes: each is named by Diagnose with evidence, nothing is lost, nothing is left behind."""

import collections
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from harness import (
    EndToEndCase, MEND, PATIENCE_SECONDS, alive, command_line, descendants, processes_with, wait_for)

# Takes four MiB more every 30 ms.
HOG = "perl -e 'my @x; while (1) { push @x, q(a) x (4 << 20); select(undef, undef, undef, 0.03) }'"


class Incident(EndToEndCase):
    serve_flags = ("--cpus", "4")

    def one(self, command=None, documents=2, **extractor):
        if command:
            extractor["document_command"] = command
        return self.submit_spec({
            "documents": [{"document_id": f.stem, "uri": f.as_uri()} for f in self.files(documents)],
            "tiers": [{"extractors": [{"extractor_name": "work", **extractor}]}]})

    def running(self, word):
        """Pids below the server's data whose command line has this word."""
        found = []
        for pid in processes_with(str(self.server.data)):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in words:
                found.append(pid)
        return found

    def up(self, word):
        return wait_for(lambda: self.running(word), f"{word} to run")

    def cause(self, diagnosis, cause):
        found = [f for f in diagnosis["findings"] if f["cause"] == cause]
        self.assertTrue(found, json.dumps(diagnosis["findings"]))
        self.assertTrue(found[0]["evidence"])
        return found[0]

    def attempts(self, diagnosis):
        return diagnosis["tiers"][0]["jobs"][0]["attempts"]

    def started_by_hand(self, *arguments, **keywords):
        process = subprocess.Popen(
            [MEND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.communicate()))
        return process


class Commands(Incident):
    def test_memory_that_an_escaped_grandchild_takes_is_the_attempts(self):
        hog = self.directory / "hog"
        hog.write_text(HOG)
        batch = self.one(f"setsid sh -c '(nohup env -i sh {hog} &)'; sleep 1000", memory_bytes=64 << 20)
        diagnosis = self.final(batch)
        finding = self.cause(diagnosis, "oom")
        self.assertEqual((diagnosis["failure_category"], finding["confidence"]), ("infrastructure", "high"))
        self.assertIn("retry", finding["remedy"])
        self.assertEqual(self.adds_up(batch)["failed"], 1)
        self.assertEqual(processes_with(str(hog)), [])

    def test_a_ceiling_ends_what_a_rule_raises(self):
        batch = self.one(HOG, documents=1, memory_bytes=64 << 20, retry=[
            {"cause": "oom", "action": "retry", "memory_factor": 1.2, "memory_ceiling_bytes": 80 << 20,
             "max_attempts": 9, "backoff_seconds": 0.1}])
        limits = [a["submission_params"]["memory_bytes"] for a in self.attempts(self.final(batch))]
        self.assertEqual((limits, limits[0], limits[-1]), (sorted(set(limits)), 64 << 20, 80 << 20))

    def test_a_command_killed_from_outside_was_perhaps_out_of_memory(self):
        batch = self.one("exec sleep 1001", documents=1)
        for pid in self.up("1001"):
            os.kill(pid, signal.SIGKILL)
        finding = self.cause(self.final(batch), "signal")
        self.assertEqual(finding["confidence"], "medium")
        self.assertIn("out of memory", json.dumps(finding["evidence"]))

    def test_a_worker_that_is_interrupted_is_told_as_that(self):
        batch = self.one("exec sleep 1006", documents=1)
        self.up("1006")
        for pid in self.running("worker"):
            os.kill(pid, signal.SIGINT)
        self.assertIn("SIGINT", self.cause(self.final(batch), "signal")["message"])

    def test_a_signal_that_means_nothing_ends_no_server(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            self.server.process.send_signal(number)
        wait_for(lambda: self.server.log.read_text().count("a signal without a meaning") == 3, "each to be logged")
        self.assertIsNone(self.server.process.poll())
        self.ok("list")

    def test_a_file_that_went_away_is_named(self):
        gone = self.directory / "gone.txt"
        batch = self.submit_spec({
            "documents": [{"document_id": "gone", "uri": gone.as_uri()}],
            "tiers": [{"extractors": [{"extractor_name": "work", "document_command": 'cat "$MEND_PATH"'}]}]})
        diagnosis = self.final(batch)
        error = diagnosis["failed_documents_sample"][0]["error"]
        self.assertEqual(error["code"], "file_not_found")
        self.assertIn("No such file", error["message"])
        self.cause(diagnosis, "bad_input")

    def test_a_supervisor_told_to_end_by_others_is_preempted_and_its_job_goes_on(self):
        flag = self.directory / "flag"
        batch = self.one(f"[ -e {flag} ] || exec sleep 1002")
        self.up("1002")
        flag.write_text("")
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGTERM)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        self.assertEqual([a.get("failure_cause") for a in self.attempts(diagnosis)], ["preemption", None])
        self.assertEqual(self.adds_up(batch)["completed"], 2)


class Preemptions(Incident):
    serve_flags = ("--cpus", "32")

    def test_what_an_attempts_end_does_to_its_commands_is_not_their_documents_failure(self):
        flag = self.directory / "flag"
        batch = self.one(f"[ -e {flag} ] || exec sleep 1012", documents=32, num_cpus=32)
        wait_for(lambda: len(self.running("1012")) == 32, "the commands to run")
        flag.write_text("")
        # The worker sees the ends of its commands and its own signal at once, whichever comes first.
        for pid in self.running("worker"):
            os.kill(pid, signal.SIGSTOP)
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGTERM)
        diagnosis = self.final(batch)
        self.assertEqual(self.adds_up(batch)["completed"], 32, json.dumps(diagnosis["findings"]))
        self.assertEqual([a.get("failure_cause") for a in self.attempts(diagnosis)], ["preemption", None])


class Cancels(Incident):
    def test_a_command_gets_all_of_the_grace_and_a_second_cancel_shortens_it(self):
        done = self.directory / "done"
        tidy = self.one(f"trap 'sleep 3; echo tidy > {done}; exit 0' TERM; sleep 1003 & wait; wait", documents=1)
        self.up("1003")
        self.ok("cancel", tidy, "--grace", "60")
        self.assertEqual(done.read_text(), "tidy\n")
        stubborn = self.one("trap '' TERM; sleep 1004 & wait; sleep 1004", documents=1)
        self.up("1004")
        first = self.started_by_hand(
            "cancel", stubborn, "--grace", "600", env={**os.environ, "MEND_SERVER": self.server.address})
        wait_for(lambda: self.diagnose(stubborn)["tiers"][0]["jobs"][0]["status"] == "cancelling", "the first cancel")
        receipt = self.mend("cancel", stubborn, "--grace", "0", "-o", "json").json
        self.assertEqual(receipt["status"], "cancelled")
        self.assertIn("KILL", receipt["ended"][0]["how"])
        self.assertEqual(first.wait(PATIENCE_SECONDS), 0)
        self.assertEqual(self.running("1004"), [])

    def test_a_cancel_outlives_its_server_and_its_supervisor(self):
        batch = self.one(entrypoint="trap '' TERM; setsid sleep 1005 & sleep 1005; sleep 1005")
        tree = self.up("1005")
        self.started_by_hand("cancel", batch, "--grace", "600", env={**os.environ, "MEND_SERVER": self.server.address})
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["jobs"][0]["status"] == "cancelling", "the intent")
        self.server.kill()
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGKILL)
        self.server.start()
        self.assertEqual(self.final(batch)["status"], "cancelled")
        self.assertEqual([p for p in tree if alive(p)] + self.running("1005"), [])

    def test_a_stopped_supervisor_is_ended_with_its_tree(self):
        batch = self.one("trap '' TERM; sleep 1006; sleep 1006", documents=1)
        self.up("1006")
        for pid in self.running("supervise"):
            os.kill(pid, signal.SIGSTOP)
        receipt = self.mend("cancel", batch, "--grace", "0", "-o", "json").json
        self.assertEqual(receipt["status"], "cancelled")
        self.assertEqual(self.running("1006") + self.running("supervise") + self.running("worker"), [])


class Restarts(Incident):
    def test_a_restart_of_the_machine_is_no_crash_and_the_job_goes_on(self):
        flag = self.directory / "flag"
        batch = self.one(f"[ -e {flag} ] || exec sleep 1013", documents=2)
        self.up("1013")
        flag.write_text("")
        self.server.kill()
        for pid in self.running("supervise") + self.running("worker") + self.running("1013"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not self.running("supervise") + self.running("worker"), "all to be gone")
        directory = next(p for p in (self.server.data / "attempts").glob("*/*") if batch in p.name)
        records = [json.loads(line) for line in (directory / "records.jsonl").read_text().splitlines()]
        records = [record for record in records if "exit" not in record]
        for record in records:
            for content in record.values():
                content["boot_id"] = "00000000-0000-0000-0000-000000000000"
        (directory / "records.jsonl").write_text("".join(f"{json.dumps(record, separators=(',', ':'))}\n" for record in records))
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual([a.get("failure_cause") for a in self.attempts(diagnosis)], ["node_failure", None])
        self.assertEqual(self.adds_up(batch)["completed"], 2)


class Workers(Incident):
    def test_a_second_worker_shares_the_work_and_a_stale_one_is_fenced_and_counted(self):
        log, gate = self.directory / "runs", self.directory / "gate"
        batch = self.one(
            f'echo "$MEND_DOCUMENT_ID $PPID" >> {log}; until [ -e {gate} ]; do sleep 0.05; done', documents=16)
        worker = self.up("worker")[0]
        environment = dict(
            entry.split("=", 1) for entry in Path(f"/proc/{worker}/environ").read_text().split("\0") if "=" in entry)
        second = self.started_by_hand("worker", env=environment)
        # Nothing is done before both have some of it.
        wait_for(lambda: log.exists() and len({line.split()[1] for line in log.read_text().splitlines()}) == 2, "both to work")
        gate.write_text("")
        self.assertEqual(self.final(batch)["status"], "completed")
        # Told that nothing is left, or, where it comes to ask after the attempt's end, that the attempt is over.
        errors = second.communicate(timeout=PATIENCE_SECONDS)[1]
        self.assertIn(second.returncode, (0, 1), errors)
        if second.returncode == 1:
            self.assertIn("is over", errors)
        runs = [line.split() for line in log.read_text().splitlines()]
        self.assertEqual(len(runs), 16)
        self.assertEqual(len({run[0] for run in runs}), 16, "each document once")
        self.assertEqual(len({run[1] for run in runs}), 2, "by two workers")
        before = self.attempts(self.diagnose(batch))[0].get("stale_reports", 0)
        stale = subprocess.run([MEND, "worker"], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(stale.returncode, 1)
        self.assertIn("is over", stale.stderr)
        diagnosis = self.diagnose(batch)
        self.assertEqual(self.attempts(diagnosis)[0]["stale_reports"], before + 1)
        self.assertEqual(diagnosis["status"], "completed")

    def test_a_duplicate_launch_is_seen_and_killed_alone(self):
        batch = self.one("sleep 0.5", documents=80)
        self.up("worker")
        real = next(p for p in (self.server.data / "attempts").glob("*/*") if batch in p.name)
        copy = real.with_name(real.name.rsplit(".", 1)[0] + ".9")
        (copy / "work").mkdir(parents=True)
        launch = json.loads((real / "records.jsonl").read_text().splitlines()[0])
        launch["launch"].update(arguments=["/bin/sh", "-c", "sleep 1007"], work_directory=str(copy / "work"))
        (copy / "records.jsonl").write_text(f"{json.dumps(launch, separators=(',', ':'))}\n")
        duplicate = self.started_by_hand("supervise", "--directory", copy)
        self.up("1007")
        wait_for(lambda: "duplicate" in [f["cause"] for f in self.diagnose(batch)["findings"]], "it to be seen")
        plan = self.mend("heal", batch, "--action", "kill-duplicates", "-o", "json").json
        self.assertEqual([s["action"] for s in plan["steps"]], ["kill_duplicate"])
        duplicate.wait(PATIENCE_SECONDS)
        self.assertEqual(self.running("1007"), [])
        self.assertEqual(len(self.running("worker")), 1, "the current attempt stays")
        self.ok("cancel", batch, "--grace", "0")


class Storage(Incident):
    def refused(self):
        answer = subprocess.run(
            [MEND, "serve", "--data", str(self.server.data), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual((answer.returncode, answer.stdout), (1, ""), answer.stderr)
        self.assertIn("journal.sqlite", answer.stderr)
        self.assertIn("bring", answer.stderr)

    def test_a_damaged_journal_is_refused_and_its_copy_taken(self):
        batch = self.one("true")
        self.final(batch)
        self.server.kill()
        data, copy = self.server.data, self.directory / "copy"
        copy.mkdir()
        parts = [p for p in data.iterdir() if p.name.startswith("journal.sqlite")]
        for part in parts:
            shutil.copy(part, copy)
        log = data / "journal.sqlite-wal"

        def restore():
            for part in data.glob("journal.sqlite*"):
                part.unlink()
            for part in copy.iterdir():
                shutil.copy(part, data)

        def overwrite(path, offset, length):
            with open(path, "r+b") as file:
                file.seek(offset)
                file.write(b"\xa5" * length)

        damages = [
            lambda: os.truncate(data / "journal.sqlite", 0),
            lambda: (data / "journal.sqlite").unlink(),
            lambda: overwrite(log, 0, 32),
            lambda: overwrite(log, 100, 3000),
            lambda: (log.unlink(), overwrite(data / "journal.sqlite", 0, 100)),
        ]
        for damage in damages:
            restore()
            damage()
            self.refused()
        restore()
        self.server.start()
        self.assertEqual(self.diagnose(batch)["status"], "completed")

    def test_a_server_whose_data_was_removed_says_so_and_ends(self):
        shutil.rmtree(self.server.data)
        answer = self.mend("submit", "--tier", "a=true", *self.files(1))
        self.assertNotEqual(answer.status, 0, "nothing is acknowledged that is kept nowhere")
        self.assertEqual(self.server.process.wait(PATIENCE_SECONDS), 1)
        self.assertIn("was removed", self.server.log.read_text())
        self.server.kill()
        self.server.start()

    def test_damaged_records_of_an_attempt_stop_nothing(self):
        log = self.directory / "runs"
        batch = self.one(f'echo "$MEND_DOCUMENT_ID" >> {log}; sleep 0.3', documents=6)
        self.up("worker")
        self.server.kill()
        attempts = self.server.data / "attempts"
        directory = next(p for p in attempts.glob("*/*") if batch in p.name)
        (directory / "records.jsonl").write_bytes(b"{ not json\n\0\0")
        (attempts / "garbage").mkdir()
        (attempts / "a file").write_text("")
        self.server.start()
        self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual(collections.Counter(log.read_text().split()).most_common(1)[0][1], 1)


class Endurance(Incident):
    def test_kills_during_recovery_change_nothing(self):
        log = self.directory / "runs"
        batches = [self.one(f'echo "$MEND_BATCH_ID.$MEND_DOCUMENT_ID" >> {log}; sleep 0.2', documents=5) for _ in range(4)]
        for milliseconds in range(0, 160, 16):
            self.server.kill()
            half = self.started_by_hand(
                "serve", "--data", self.server.data, "--listen", self.server.address, "--admin", "127.0.0.1:0")
            # The moment is the point, not the wait: another one each time.
            try:
                half.wait(milliseconds / 1000)
            except subprocess.TimeoutExpired:
                pass
            half.kill()
            half.wait()
        self.server.start()
        for batch in batches:
            diagnosis = self.final(batch)
            self.assertEqual((diagnosis["status"], len(self.attempts(diagnosis))), ("completed", 1))
            self.adds_up(batch)
        counts = collections.Counter(log.read_text().split())
        self.assertEqual((len(counts), max(counts.values())), (20, 1))

    def supervisors(self, server):
        """What is below the server but for its launcher, zombies too."""
        below = descendants(server)
        self.assertLessEqual(len([pid for pid in below if "launcher" in command_line(pid)]), 1)
        return [pid for pid in below if "launcher" not in command_line(pid)]

    def test_many_jobs_leave_no_descriptors_and_no_zombies(self):
        files = self.files(1)
        server = self.server.process.pid

        def burst():
            with concurrent.futures.ThreadPoolExecutor(4) as clients:
                batches = list(clients.map(lambda _: self.ok("submit", "--tier", "a=true", *files), range(20)))
            for batch in batches:
                self.assertEqual(self.final(batch)["status"], "completed")
            wait_for(lambda: not self.supervisors(server), "supervisors without work to end")
            return len(os.listdir(f"/proc/{server}/fd"))

        first = burst()
        self.assertLessEqual(burst(), first + 4)

    def test_a_thousand_attempts_leave_no_process_and_no_descriptor(self):
        server = self.server.process.pid
        before = len(os.listdir(f"/proc/{server}/fd"))
        jobs = 250
        batches = [self.submit_spec({
            "documents": [{"document_id": f"d{n}", "uri": f"file:///d{n}"} for n in range(jobs)],
            "tiers": [{"extractors": [{"extractor_name": "work", "entrypoint": "true", "shards": jobs}]}]})
            for _ in range(4)]
        for batch in batches:
            self.assertEqual(self.final(batch, seconds=600)["status"], "completed")
        wait_for(lambda: not self.supervisors(server), "supervisors without work to end")
        self.assertEqual(processes_with(f"{self.server.data}/attempts"), [])
        self.assertLessEqual(len(os.listdir(f"/proc/{server}/fd")), before + 8)
        ended = list((self.server.data / "attempts").glob("*/*"))
        self.assertEqual(len(ended), 1000)
        self.assertEqual([d for d in ended if '{"exit":' not in (d / "records.jsonl").read_text()], [])


if __name__ == "__main__":
    unittest.main()
