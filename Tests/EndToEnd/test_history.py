"""A batch's history: who did what, exported, and replayed without a server."""

import json
import subprocess
import unittest

from harness import EndToEndCase, MEND, wait_for


class History(EndToEndCase):
    def events(self, batch, *flags):
        return [json.loads(line) for line in self.ok("history", batch, "-o", "jsonl", *flags).splitlines()]

    def failing(self):
        return self.submit_spec({
            "batch_id": "bad", "documents": [{"document_id": f"d{n}", "uri": f"file:///srv/d{n}"} for n in range(3)],
            "tiers": [{"extractors": [
                {"extractor_name": "text", "entrypoint": "echo no such page >&2; exit 3", "env": {"KEY": "hush-hush"}}]}]})

    def test_every_event_says_what_when_and_who(self):
        batch = self.failing()
        self.assertEqual(self.final(batch)["status"], "failed")
        events = wait_for(
            lambda: (lambda e: e if any(x["kind"] == "verdict_changed" for x in e) else None)(self.events(batch)),
            "the verdict")
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        by_kind = {e["kind"]: e for e in events}
        self.assertEqual(by_kind["batch_created"]["actor"], "caller")
        self.assertEqual(by_kind["attempt_ended"]["actor"], "executor")
        self.assertIn("exit_code", by_kind["attempt_ended"]["summary"])
        self.assertEqual(by_kind["attempt_ended"]["job_id"], "t0-j0")
        verdict = by_kind["verdict_changed"]["verdict"]
        self.assertIn("exit_code", [c["cause"] for c in verdict["causes"]])
        # Paging and resuming give the same.
        self.assertEqual(self.events(batch, "--after", "3"), events[3:])
        self.assertIn("t0-j0.1: failed, exit_code", self.ok("history", batch))
        answer = self.mend("history", batch, "--after", "100000")
        self.assertEqual(answer.status, 1)
        self.assertIn("beyond the batch's sequence", answer.err)
        self.assertEqual(self.mend("history", "nobody").status, 1)

    def test_a_retry_and_a_cancel_stand_in_it(self):
        batch = self.failing()
        self.final(batch)
        self.ok("retry", batch, "--tier", "0")
        self.final(batch)
        kinds = [e["kind"] for e in self.events(batch)]
        self.assertIn("retried", kinds)
        self.assertEqual(kinds.count("attempt_ended"), 2)

    def test_an_export_is_replayed_without_a_server_and_shows_what_is_said_otherwise(self):
        batch = self.failing()
        self.final(batch)
        wait_for(lambda: any(e["kind"] == "verdict_changed" for e in self.events(batch)), "the verdict")
        path = self.directory / "incident.jsonl"
        self.ok("history", batch, "--export", path)
        text = path.read_text()
        self.assertNotIn("hush-hush", text)
        header = json.loads(text.splitlines()[0])
        self.assertEqual((header["format"], header["version"], header["batch_id"]), ("mend-history", 1, "bad"))
        self.server.stop()
        replay = json.loads(self.ok("replay", path, "--all", "--check", "-o", "json"))
        self.assertEqual(replay["differences"], 0)
        self.assertGreater(replay["verdicts"], 0)
        # As if the rules of then had named another cause.
        lines = text.splitlines()
        place = next(n for n, line in enumerate(lines) if '"verdict_changed"' in line)
        self.assertIn('"cause":"exit_code"', lines[place])
        lines[place] = lines[place].replace('"cause":"exit_code"', '"cause":"signal"')
        (self.directory / "other.jsonl").write_text("\n".join(lines))
        answer = self.mend("replay", self.directory / "other.jsonl", "--check", "-o", "json")
        self.assertEqual(answer.status, 1, answer.err)
        point = [p for p in answer.json["points"] if p["differs"]][0]
        self.assertEqual(point["now"]["causes"][0]["cause"], "exit_code")
        # What is no history is said to be none.
        (self.directory / "none.jsonl").write_text("{}\n")
        answer = self.mend("replay", self.directory / "none.jsonl")
        self.assertEqual(answer.status, 2)
        self.assertIn("not an exported history", answer.err)
        cut = "\n".join(text.splitlines()[:2] + text.splitlines()[3:])
        (self.directory / "cut.jsonl").write_text(cut)
        self.assertIn("stands where", self.mend("replay", self.directory / "cut.jsonl").err)

    def test_a_heal_stands_in_it_with_its_steps(self):
        batch = self.submit_spec({
            "documents": [{"document_id": "d0", "uri": "file:///srv/d0"}],
            "tiers": [{"extractors": [{
                "extractor_name": "wait", "entrypoint": f"{MEND} report --stage load; exec sleep 1000",
                "timers": {"progress_seconds": 1}}]}]})
        wait_for(lambda: self.diagnose(batch)["health"] == "stuck", "stuck")
        wait_for(lambda: any(e["kind"] == "verdict_changed" for e in self.events(batch)), "the verdict in the history")
        self.ok("heal", batch, "--action", "detect-stuck")
        healed = [e for e in self.events(batch) if e["kind"] == "healed"]
        self.assertEqual(len(healed), 1)
        self.assertEqual(healed[0]["actor"], "caller")
        self.assertEqual(healed[0]["steps"][0]["action"], "restart_attempt")
        self.assertTrue(healed[0]["steps"][0]["outcome"])
        stuck = [e for e in self.events(batch) if e["kind"] == "verdict_changed"]
        self.assertEqual(stuck[0]["verdict"]["health"], "stuck")


class Forgetting(EndToEndCase):
    serve_flags = ("--keep-finished", "2s")

    def test_a_finished_batch_is_forgotten_after_the_time_that_was_set_however_short(self):
        batch = self.ok("submit", "--wait", "--tier", "quick=:", *self.files(1))
        wait_for(lambda: self.mend("status", batch).status == 1, "the batch to be forgotten", 60)
        self.assertNotIn(batch, self.ok("list", "-o", "json"))


if __name__ == "__main__":
    unittest.main()
