"""The command line's contract, held against the real program: what is submitted, how it runs, what attempts are given."""

import json
import unittest
from datetime import datetime
from pathlib import Path

from harness import alive, processes_with, wait_for
from test_contract import RFC3339, ContractCase, documents, run


class Submitting(ContractCase):
    def test_the_contracts_json_example_runs(self):
        # As README has it, but for the paths and for commands that every machine has.
        (self.directory / "srv").mkdir()
        file = self.directory / "srv" / "q4.pdf"
        file.write_text("four")
        specification = """
        {"bucket_id": "reports", "batch_name": "Monthly Reports", "priority": 50, "max_concurrent": 5, "timeout_seconds": 3600,
         "documents": [{"document_id": "q4", "uri": "file://DIR/srv/q4.pdf", "media_type": "document"}],
         "tiers": [{"extractors": [
           {"extractor_name": "text", "document_command": "cat \\"$MEND_PATH\\" -", "collection_id": "texts", "shards": 2,
            "num_cpus": 1, "memory_bytes": 268435456, "requires_gpu": false, "env": {"LANG": "C"},
            "timers": {"start_seconds": 1200, "heartbeat_seconds": 60, "progress_seconds": 300, "run_seconds": 0},
            "retry": [{"category": "infrastructure", "cause": "oom", "action": "retry", "memory_factor": 2, "max_attempts": 3}]},
           {"extractor_name": "index", "entrypoint": "test -s \\"$MEND_MANIFEST\\"", "collection_id": "index"}]}]}
        """.replace("DIR", str(self.directory))
        (self.directory / "batch.json").write_text(specification)
        for batch in (self.ok("submit", "--spec", self.directory / "batch.json"),
                      self.ok("submit", "--spec", "-", "--wait", input=specification)):
            diagnosis = self.final(batch)
            self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"), diagnosis["findings"])
            self.assertEqual([(j["job_id"], j["extractor_name"], j["status"]) for j in diagnosis["tiers"][0]["jobs"]],
                             [("t0-j0", "text", "succeeded"), ("t0-j1", "text", "succeeded"), ("t0-j2", "index", "succeeded")])
            self.assertEqual({c["collection_id"]: c["document_count"] for c in diagnosis["collections"]},
                             {"texts": 1, "index": 1})
        relative = json.dumps({"documents": [{"document_id": "q4", "uri": "srv/q4.pdf"}],
                               "tiers": [{"extractors": [{"extractor_name": "t", "document_command": 'test -s "$MEND_PATH"'}]}]})
        answer = run("submit", "--spec", "-", "--wait", "--server", self.server.address, input=relative, cwd=self.directory)
        self.assertEqual(answer.returncode, 0, answer.stderr)

    def test_files_of_any_name_and_commands_of_any_manner(self):
        folder = self.directory / "odd"
        (folder / "twice").mkdir(parents=True)
        names = ["a b.txt", "it's \"q\" $HOME `ls` *.txt", "Ünï 日本.txt", "empty.txt", "twice/empty.txt", "l" * 250,
                 "l" * 249 + "m", "-dash", "new\nline"]
        for name in names:
            (folder / name).write_text("" if "empty" in name else name)
        seen = folder / "seen.log"
        command = f'read -r line; test -f "$MEND_PATH" && printf "%s|%s\\0" "$MEND_DOCUMENT_ID" "$MEND_PATH" >> "{seen}"'
        answer = self.mend("submit", "--wait", "--tier", f"see={command}", *(folder / n for n in names))
        self.assertEqual(answer.status, 0, answer.err)
        pairs = dict(p.split("|", 1) for p in seen.read_text().split("\0") if p)
        self.assertEqual(set(pairs.values()), {str(folder / n) for n in names})
        self.assertEqual(len(pairs), len(names))
        for identity in pairs:
            self.assertRegex(identity, r"^[A-Za-z0-9-]{1,64}$")
        self.assertNotIn("\x1b", answer.err)

    def test_what_commands_do_to_their_streams_processes_and_files(self):
        files = self.files(7)
        script = self.directory / "script.sh"
        stray = self.directory / "stray.pid"
        script.write_text(f"""case "$MEND_DOCUMENT_ID" in
          *0) head -c 5000000 /dev/zero | tr '\\0' e >&2; printf '\\nthe last line\\n\\n' >&2; exit 3;;
          *1) printf 'bin \\377\\000\\033[31m tail' >&2; exit 4;;
          *2) cat; test -z "$(cat)";;
          *3) setsid sleep 600 >&2 & echo $! > {stray}; exit 0;;
          *4) kill -9 $$;;
          *5) no-such-command;;
          *6) rm "$MEND_PATH"; cat "$MEND_PATH";;
        esac""")
        batch = self.submit_spec({"documents": documents(files), "tiers": [{"extractors": [
            {"extractor_name": "s", "document_command": f". {script}"}]}]})
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", diagnosis["findings"])
        errors = {d["document_id"][-1]: d["error"] for d in diagnosis["failed_documents_sample"]}
        self.assertEqual({k: e["code"] for k, e in errors.items()},
                         {"0": "exit_code", "1": "exit_code", "4": "signal", "5": "entrypoint_not_found", "6": "exit_code"})
        self.assertEqual(errors["0"]["message"], "the last line")
        self.assertIn("tail", errors["1"]["message"])
        self.assertIn("No such file", errors["6"]["message"])
        self.assertNotIn("\x1b", self.ok("diagnose", batch) + self.ok("status", batch, "--include-job-details"))
        pid = int(stray.read_text())
        wait_for(lambda: not alive(pid), "what a command left behind is ended with its attempt")

    def test_what_never_fits_is_refused_and_leaves_nothing_running(self):
        file = self.files(1)[0]
        for flags in (["--gpu"], ["--cpus", "4096"], ["--memory", "4000T"]):
            answer = self.mend("submit", *flags, "--tier", "a=true", file)
            self.assertEqual(answer.status, 1)
            self.assertIn("never_schedulable", answer.err)
        created = json.loads(self.ok("list", "--status", "created", "-o", "json"))["batches"]
        self.assertEqual([b["health"] for b in created], ["stuck"] * 3)
        batch = created[0]["batch_id"]
        self.assertEqual(self.diagnose(batch)["health_reason"], "never_schedulable")
        self.assertEqual(json.loads(self.ok("cancel", batch, "-o", "json"))["status"], "cancelled")
        self.assertEqual(self.diagnose(batch)["next_actions"], ["nothing to do"])
        self.assertEqual(self.mend("submit", "--priority", "101", "--tier", "a=true", file).status, 1)
        answer = self.mend("submit", "--spec", "-", input='{"tiers": [], "documents": []}')
        self.assertEqual(answer.status, 1)


class Running(ContractCase):
    def test_the_figures_add_up_at_every_moment(self):
        files = self.files(40)
        batch = self.submit_spec({"max_concurrent": 2, "documents": documents(files), "tiers": [
            {"extractors": [
                {"extractor_name": "a", "shards": 2, "document_command": "sleep 0.01; case $MEND_DOCUMENT_ID in *7) exit 1;; esac"},
                {"extractor_name": "b", "document_command": "case $MEND_DOCUMENT_ID in *9) exit 1;; esac"}]},
            {"extractors": [{"extractor_name": "c", "document_command": "case $MEND_DOCUMENT_ID in *5) exit 1;; esac"}]}]})
        overall = 0
        while True:
            progress = self.adds_up(batch)
            self.assertLessEqual(progress["processing"], 2)
            diagnosis = self.diagnose(batch)
            self.assertGreaterEqual(diagnosis["overall_progress"], overall)
            overall = diagnosis["overall_progress"]
            for tier in diagnosis["tiers"]:
                counts = tier["progress"]
                self.assertEqual(counts["processed_documents"], counts["completed_documents"] + counts["failed_documents"])
                share = 100 * counts["processed_documents"] / counts["total_documents"] if counts["total_documents"] else 0
                self.assertAlmostEqual(counts["percentage"], share)
            mean = sum(t["progress"]["percentage"] for t in diagnosis["tiers"]) / 2
            if diagnosis["status"] == "completed":
                break
            self.assertLess(overall, 100, "100 only at COMPLETED")
            self.assertAlmostEqual(overall, min(mean, 99.9))
            if "estimated_completion" in diagnosis:
                self.assertRegex(diagnosis["estimated_completion"], RFC3339)
        self.assertEqual(overall, 100)
        self.assertEqual([t["progress"]["total_documents"] for t in diagnosis["tiers"]], [40, 32])
        progress = self.adds_up(batch)
        self.assertEqual((progress["completed"], progress["failed"]), (28, 12))

    def test_pause_holds_resume_goes_on_and_priority_decides_the_queue(self):
        files = self.files(6)
        order = self.directory / "order"
        held = self.ok("submit", "--cpus", "2", "--tier", f"hold={self.hold}", files[0])
        self.processing(held)
        low = self.ok("submit", "--cpus", "2", "--priority", "10", "--tier", f"p=echo low >> {order}", *files[:2])
        high = self.ok("submit", "--cpus", "2", "--priority", "90", "--tier", f"p=echo high >> {order}", *files[:2])
        self.assertEqual(self.diagnose(low)["status"], "queued")
        self.assertEqual(self.mend("retry", low, "--tier", "0").status, 1)
        self.gate.touch()
        self.final(low), self.final(high)
        self.assertEqual(order.read_text().split(), ["high", "high", "low", "low"])

        started = self.directory / "started"
        batch = self.ok("submit", "--tier", f"s=echo . >> {started}; sleep 0.05", *files)
        wait_for(started.exists, "the first document")
        self.assertEqual(json.loads(self.ok("pause", batch, "-o", "json"))["status"], "paused")
        wait_for(lambda: self.status(batch)["progress"]["processing"] == 0, "what was in process runs to its end")
        before = self.adds_up(batch)
        self.assertGreater(before["pending"], 0)
        diagnosis = self.diagnose(batch)
        self.assertEqual((diagnosis["health"], diagnosis["next_actions"]), ("ok", [f"mend resume {batch}"]))
        self.assertRegex(diagnosis["blocked_reason"], "^paused by .* s ago")
        self.assertEqual(self.mend("retry", batch, "--tier", "0").status, 1)
        # What the paused batch held is for others.
        urgent = self.ok("submit", "--cpus", "2", "--tier", "u=true", files[0])
        self.assertEqual(self.final(urgent)["status"], "completed")
        self.assertEqual(self.adds_up(batch), before)
        self.ok("resume", batch)
        self.assertEqual(self.final(batch)["status"], "completed")

    def test_a_clock_that_was_set_between_two_servers_moves_nothing(self):
        files = self.files(1)
        batch = self.ok("submit", "--tier", f"hold={self.hold}", files[0])
        self.processing(batch)
        before = self.diagnose(batch)["created_at"]
        self.server.kill()
        # As if the wall clock had been an hour behind while the first server ran.
        word = self.server.data / "clock"
        boot, offset = word.read_text().split()
        word.write_text(f"{boot} {int(offset) + 3_600_000}\n")
        self.server.start()
        second = self.ok("submit", "--tier", "s=true", files[0])
        moved = datetime.fromisoformat(self.diagnose(second)["created_at"]) - datetime.fromisoformat(before)
        self.assertAlmostEqual(moved.total_seconds(), 3600, delta=300)
        self.assertIn("the machine's clock was set", self.server.log.read_text())
        self.gate.touch()
        self.assertEqual(self.final(batch)["status"], "completed")

    def test_timeouts_and_rules_end_and_repeat_attempts(self):
        files = self.files(3)
        timed = self.ok("submit", "--timeout", "1", "--tier", f"hold={self.hold}", "--tier", "b=true", *files)
        limited = self.submit_spec({"documents": documents(files), "tiers": [{"extractors": [
            {"extractor_name": "r", "document_command": self.hold, "timers": {"run_seconds": 1}}]}]})
        diagnosis = self.final(timed)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "timeout"))
        self.assertEqual(diagnosis["tiers"][0]["error_type"], "batch_timeout")
        self.assertEqual([t["status"] for t in diagnosis["tiers"]], ["failed", "pending"])
        self.assertEqual(diagnosis["failed_tier_count"], 1)
        progress = self.adds_up(timed)
        self.assertEqual((progress["failed"], progress["pending"]), (1, 2), "only what was in process failed")
        diagnosis = self.final(limited)
        self.assertEqual(diagnosis["tiers"][0]["jobs"][0]["failure_cause"], "run_timeout")
        self.assertIn("run_timeout", [e["type"] for e in diagnosis["infrastructure_events"]])
        self.gate.touch()
        self.ok("retry", limited, "--tier", "0", "--run-timeout", "0", "--job", "t0-j0", "--priority", "70", "--memory",
                "128MiB", "--cpus", "2", "--env", "LATER=yes")
        diagnosis = self.final(limited)
        self.assertEqual(diagnosis["status"], "completed")
        parameters = diagnosis["tiers"][0]["jobs"][0]["attempts"][-1]["submission_params"]
        self.assertEqual([parameters[k] for k in ("run_timeout_seconds", "priority", "memory_bytes", "num_cpus", "env_names")],
                         [0, 70, 128 << 20, 2, ["LATER"]])
        self.assertEqual(self.mend("retry", limited, "--tier", "0").status, 1, "everything is committed")
        again = json.loads(self.ok("retry", limited, "--tier", "0", "--scope", "all", "-o", "json"))
        self.assertEqual(again["documents"], 3)
        self.assertEqual(self.final(limited)["status"], "completed")
        self.adds_up(limited)

        tries = self.directory / "tries"
        ruled = self.submit_spec({"documents": documents(files), "tiers": [{"extractors": [
            {"extractor_name": "r", "entrypoint": f"echo . >> {tries}; test $(wc -l < {tries}) -ge 3 || exit 7",
             "retry": [{"category": "pipeline", "exit_codes": [7], "action": "retry", "max_attempts": 5,
                        "backoff_seconds": 0.1}]}]}]})
        diagnosis = self.final(ruled)
        self.assertEqual((diagnosis["status"], len(diagnosis["tiers"][0]["jobs"][0]["attempts"])), ("completed", 3))

    def test_cancel_waits_for_its_receipt_and_a_plan_is_bound_to_its_generation(self):
        files = self.files(3)
        batch = self.ok("submit", "--tier", 'stay=trap "" TERM; sleep 601 & sleep 602; sleep 603', "--tier", "b=true", *files)
        self.processing(batch)
        plan = json.loads(self.ok("heal", batch, "--action", "auto", "--dry-run", "-o", "json"))
        self.assertEqual(set(plan), {"batch_id", "generation", "dry_run", "steps"})
        self.assertTrue(plan["dry_run"])
        late = self.mend("heal", batch, "--action", "auto", "--generation", plan["generation"] + 7)
        self.assertEqual(late.status, 1)
        self.assertIn(str(plan["generation"]), late.err)
        receipt = json.loads(self.ok("cancel", batch, "--grace", "1", "-o", "json"))
        self.assertEqual(receipt["status"], "cancelled")
        self.assertEqual([e["attempt"] for e in receipt["ended"]], ["t0-j0.1"])
        self.assertGreater(receipt["ended"][0]["processes"], 2)
        self.assertIn("SIGKILL", receipt["ended"][0]["how"])
        self.assertEqual(processes_with(f"MEND_BATCH_ID={batch}"), [])
        self.assertEqual(json.loads(self.ok("cancel", batch, "-o", "json"))["ended"], [])
        self.assertEqual(self.mend("cancel", batch, "--tier", "9").status, 1)
        self.assertEqual(self.mend("cancel", batch, "--job", "t9-j9").status, 1)
        progress = self.adds_up(batch)
        self.assertEqual(progress["pending"], 3)

    def test_documents_go_on_without_a_job_that_was_cancelled_and_it_says_so(self):
        batch = self.submit_spec({"documents": documents(self.files(4)), "tiers": [{"extractors": [
            {"extractor_name": "a", "document_command": f"case $MEND_DOCUMENT_ID in *0) ;; *) {self.hold};; esac"},
            {"extractor_name": "b", "document_command": "true"}]}]})
        wait_for(lambda: [j["completed_documents"] for j in self.diagnose(batch)["tiers"][0]["jobs"]] == [1, 4], "one and all")
        self.ok("cancel", batch, "--job", "t0-j0", "--grace", "0")
        diagnosis = self.final(batch)
        progress = self.adds_up(batch)
        self.assertEqual((diagnosis["status"], progress["completed"], progress["pending"]), ("completed", 4, 0))
        self.assertEqual((diagnosis["health"], diagnosis["overall_progress"]), ("degraded", 100))
        self.assertTrue(any("a of tier 0 was left out for 3 documents" in f["message"] for f in diagnosis["findings"]),
                        diagnosis["findings"])
        # Nothing starts again by itself what was cancelled: whoever wants it says so.
        again = f"mend retry {batch} --tier 0 --job t0-j0"
        self.assertTrue(any(again in action for action in diagnosis["next_actions"]), diagnosis["next_actions"])
        self.gate.touch()
        self.ok(*again.split()[1:])
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["health"], diagnosis["overall_progress"]), ("ok", 100))
        jobs = diagnosis["tiers"][0]["jobs"]
        self.assertEqual([job["completed_documents"] for job in jobs], [4, 4])

    def test_watch_is_resumed_without_gap_or_repeat_and_ends_with_the_terminal_message(self):
        batch = self.ok("submit", "--tier", "a=sleep 0.05", "--tier", "b=true", *self.files(8))
        messages = [json.loads(line) for line in self.ok("watch", batch, "-o", "jsonl").splitlines()]
        self.assertEqual([m["terminal"] for m in messages], [False] * (len(messages) - 1) + [True])
        self.assertTrue(messages[0]["snapshot"])
        self.assertEqual((messages[-1]["status"], messages[-1]["overall_progress"]), ("completed", 100))
        for before, after in zip(messages, messages[1:]):
            self.assertEqual(after["previous_sequence"], before["sequence"])
            self.assertGreater(after["sequence"], before["sequence"])
        for after in {messages[len(messages) // 2]["sequence"], messages[-1]["sequence"]}:
            rest = [json.loads(line) for line in self.ok("watch", batch, "-o", "jsonl", "--after", after).splitlines()]
            self.assertEqual(rest[0]["previous_sequence"], after)
            self.assertTrue(rest[-1]["terminal"])
            missed = [c["sequence"] for m in messages for c in m["changes"] if c["sequence"] > after]
            if not messages[0]["changes"] or after > messages[0]["sequence"]:
                self.assertEqual([c["sequence"] for m in rest for c in m["changes"]], missed)
        self.assertEqual(self.mend("watch", batch, "--after", "99999999").status, 1)
        whole = json.loads(self.ok("watch", batch, "-o", "json"))
        self.assertEqual((whole["batch_id"], whole["messages"][-1]["terminal"]), (batch, True))


class InsideAnAttempt(ContractCase):
    def test_the_environment_the_manifest_and_report(self):
        files = self.files(4)
        account = self.directory / "account"
        specification = {"bucket_id": "b", "documents": documents(files), "tiers": [{"extractors": [
            {"extractor_name": "shell", "collection_id": "texts", "env": {"ODD": "a b\n\"c\" $x é", "MEND_TIER": "9"},
             "entrypoint": f"""env -0 > {account}.env; cp "$MEND_MANIFEST" {account}.manifest; cat > {account}.stdin
               mend report --stage loading && mend report --done doc00000 doc00001 --written texts=2 -o json > {account}.json
               mend report --failed 'doc00002=bad_input:no text: layer' --stage writing; mend report --beat
               mend report --done nobody 2> {account}.err; echo $? > {account}.status; mend report --done doc00003"""}]}]}
        batch = self.submit_spec(specification)
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", json.dumps(diagnosis["findings"]))
        variables = dict(v.split("=", 1) for v in Path(f"{account}.env").read_text().split("\0") if v)
        self.assertEqual({k: variables[k] for k in ("MEND_BATCH_ID", "MEND_TIER", "MEND_JOB_ID", "MEND_ATTEMPT", "ODD")},
                         {"MEND_BATCH_ID": batch, "MEND_TIER": "0", "MEND_JOB_ID": "t0-j0", "MEND_ATTEMPT": "1",
                          "ODD": "a b\n\"c\" $x é"})
        self.assertTrue(variables["MEND_ENDPOINT"] and variables["MEND_ATTEMPT_TOKEN"])
        manifest = [json.loads(line) for line in Path(f"{account}.manifest").read_text().splitlines()]
        self.assertEqual([(d["document_id"], d["uri"], d["path"]) for d in manifest],
                         [(f.stem, f.as_uri(), str(f)) for f in files])
        self.assertEqual(Path(f"{account}.stdin").read_text(), "", "stdin is empty, and at its end")
        self.assertEqual(json.loads(Path(f"{account}.json").read_text())["accepted"], 2)
        self.assertEqual(Path(f"{account}.status").read_text().strip(), "1")
        self.assertIn("nobody", Path(f"{account}.err").read_text())
        self.assertEqual([d["error"]["message"] for d in diagnosis["failed_documents_sample"]], ["no text: layer"])
        self.assertEqual([s["name"] for s in diagnosis["tiers"][0]["progress"]["stage_history"]][:1], ["loading"])
        self.assertEqual([(c["collection_id"], c["document_count"]) for c in diagnosis["collections"]], [("texts", 2)])


if __name__ == "__main__":
    unittest.main()
