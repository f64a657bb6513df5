"""The command line's contract, held against the real program: usage, serving, and the form of every answer."""

import json
import os
import re
import subprocess
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from harness import MEND, EndToEndCase, wait_for

RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
COMMANDS = ("serve", "submit", "status", "list", "watch", "diagnose", "retry", "heal", "cancel", "pause", "resume",
            "worker", "report", "version")
# Long enough to be met in mid-work by a machine that is busy; it is ended by what the test does next.
HOLD = 'while ! test -e "{gate}"; do sleep 0.05; done'


def run(*arguments, environment=None, **keywords):
    return subprocess.run([MEND, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})}, **keywords)


def documents(files):
    return [{"document_id": f.stem, "uri": f.as_uri()} for f in files]


def every_value(value, path=""):
    """All (path, scalar) of a JSON value; a path is dotted and leaves list indices out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from every_value(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from every_value(inner, path)
    else:
        yield path, value


class ContractCase(EndToEndCase):
    def setUp(self):
        super().setUp()
        self.gate = self.directory / "gate"
        self.hold = HOLD.format(gate=self.gate)

    def processing(self, batch, count=1):
        wait_for(lambda: self.status(batch)["progress"]["processing"] >= count, f"{count} documents of {batch} in process")


class Usage(unittest.TestCase):
    def test_every_command_has_help_with_an_example_and_wrong_usage_is_status_2(self):
        for command in COMMANDS:
            answer = run(command, "--help")
            self.assertEqual(answer.returncode, 0, command)
            self.assertIn("EXAMPLES", answer.stdout, command)
            self.assertEqual(answer.stderr, "")
        self.assertIn("EXAMPLES", run("token", "create", "--help").stdout)
        for wrong in (["bogus"], ["status"], ["status", "b", "--bogus"], ["retry", "b"], ["heal", "b"],
                      ["heal", "b", "--action", "cure"], ["list", "--status", "nope"], ["list", "-o", "xml"],
                      ["list", "--server", "nonsense"], ["submit"], ["submit", "--tier", "a=true"],
                      ["submit", "--tier", "true", __file__], ["submit", "--tier", "a=true", "/nowhere"],
                      ["submit", "--tier", "a=true", "/tmp"], ["submit", "--spec", "/nowhere"],
                      ["submit", "--tier", "a=true", "--memory", "lots", __file__], ["cancel", "b", "--grace", "-1"],
                      ["serve"], ["serve", "--data", "d", "--tls-cert", "c"], ["report"], ["report", "--beat"],
                      ["token", "create", "--tokens", "t", "--namespace", "n", "--role", "boss"]):
            answer = run(*wrong, environment={"MEND_ENDPOINT": "", "MEND_ATTEMPT_TOKEN": ""})
            self.assertEqual(answer.returncode, 2, (wrong, answer.stderr))
            self.assertTrue(answer.stderr.strip(), wrong)
            self.assertEqual(answer.stdout, "", wrong)

    def test_no_server_is_status_3_for_every_asking_command(self):
        for command in (["list"], ["status", "b"], ["diagnose", "b"], ["watch", "b"], ["pause", "b"], ["resume", "b"],
                        ["cancel", "b"], ["retry", "b", "--tier", "0"], ["heal", "b", "--action", "auto"],
                        ["submit", "--tier", "a=true", __file__]):
            for where in ("127.0.0.1:1", "unix:/nowhere/mend.sock"):
                answer = run(*command, "--server", where)
                self.assertEqual(answer.returncode, 3, (command, answer.stderr))
                self.assertIn(where, answer.stderr)

    def test_other_addresses_than_this_machines_need_tls_and_tokens(self):
        for flags in (["--listen", "0.0.0.0:0"], ["--listen", "[::]:0"], ["--admin", "0.0.0.0:0"]):
            data = f"/tmp/mend-never-made-{os.getpid()}"
            answer = run("serve", "--data", data, *flags)
            self.assertEqual(answer.returncode, 2, answer.stderr)
            self.assertIn("--tls-cert", answer.stderr)
            self.assertIn("--tokens", answer.stderr)
            self.assertFalse(Path(data).exists())


class Serving(ContractCase):
    def test_admin_pages_unix_socket_and_a_second_server_on_the_same_data(self):
        self.server.stop()
        socket = self.directory / "calls.sock"
        self.server.flags = ("--unix", str(socket))
        self.server.start()
        for page, text in (("healthz", "ok"), ("readyz", "ready"), ("metrics", "mend_build_info")):
            with urllib.request.urlopen(f"http://{self.server.admin}/{page}") as answer:
                self.assertEqual(answer.status, 200)
                self.assertIn(text, answer.read().decode())
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{self.server.admin}/nothing")
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()
        self.assertEqual(json.loads(self.ok("list", "--server", f"unix:{socket}", "-o", "json"))["batches"], [])
        self.assertEqual(run("--server", f"unix:{socket}", "list").returncode, 0)
        second = run("serve", "--data", self.server.data, "--listen", "127.0.0.1:0", "--admin", "none")
        self.assertEqual(second.returncode, 1)
        self.assertIn("in use by another server", second.stderr)
        taken = run("serve", "--data", self.directory / "other", "--listen", self.server.address, "--admin", "none")
        self.assertEqual(taken.returncode, 1)
        self.assertIn("Address already in use", taken.stderr)
        self.assertNotIn("bind(", taken.stderr)

    def test_sigterm_drains_with_work_in_process_and_the_next_server_goes_on(self):
        batch = self.ok("submit", "--tier", f"hold={self.hold}", *self.files(2))
        self.processing(batch)
        self.assertEqual(self.server.stop(), 0)
        self.gate.touch()
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed")
        self.assertEqual(len(diagnosis["tiers"][0]["jobs"][0]["attempts"]), 1)


class Answers(ContractCase):
    def test_json_has_the_seeds_names_enums_times_and_numbers_in_every_answer(self):
        files = self.files(4)
        batch = self.ok("submit", "--bucket", "reports", "--name", "Monthly Reports", "--priority", "60", "--timeout", "600",
                        "--max-concurrent", "3", "--memory", "256MiB", "--cpus", "1",
                        "--tier", 'odd=case "$MEND_DOCUMENT_ID" in *3-txt) echo "no text" >&2; exit 4;; esac',
                        "--tier", "next=true", *files)
        diagnosis = self.final(batch)
        self.assertEqual(
            set(), {"batch_id", "batch_name", "status", "bucket_id", "current_tier", "total_tiers", "overall_progress",
                    "created_at", "submitted_at", "started_at", "completed_at", "duration_seconds", "tiers", "collections",
                    "performance_summary", "insights", "has_failures", "failed_tier_count", "health", "health_reason",
                    "total_objects", "next_actions", "failure_category", "infrastructure_events", "failed_document_count",
                    "failed_documents_sample", "recommendations", "error_summary", "findings"} - set(diagnosis))
        self.assertEqual(
            [diagnosis[k] for k in ("status", "health", "failure_category", "has_failures", "failed_document_count",
                                    "failed_tier_count", "total_objects", "overall_progress", "bucket_id", "batch_name")],
            ["completed", "degraded", "pipeline", True, 1, 0, 4, 100, "reports", "Monthly Reports"])
        tier = diagnosis["tiers"][0]
        self.assertEqual((tier["tier_num"], tier["status"]), (0, "completed"))
        progress = tier["progress"]
        self.assertEqual((progress["processed_documents"], progress["total_documents"], progress["percentage"]), (4, 4, 100))
        self.assertTrue({"loading", "processing"} <= {s["name"] for s in progress["stage_history"]})
        self.assertEqual(diagnosis["tiers"][1]["progress"]["total_documents"], 3, "a failed document is not handed on")
        parameters = tier["submission_params"]
        self.assertEqual(
            [parameters[k] for k in ("deployment_mode", "requires_gpu", "num_cpus", "memory_bytes", "priority",
                                     "extractor_name", "plugin_archives")],
            ["local", False, 1, 268435456, 60, "odd", []])
        self.assertEqual([(c["collection_id"], c["document_count"], c["expected_documents"]) for c in diagnosis["collections"]],
                         [("odd", 3, 4), ("next", 3, 3)])
        finding = diagnosis["findings"][0]
        self.assertEqual((finding["category"], finding["cause"]), ("pipeline", "exit_code"))
        self.assertIn(finding["confidence"], ("low", "medium", "high"))
        self.assertTrue(all({"observed", "observer", "at"} <= set(e) for e in finding["evidence"]))
        self.assertIn("retry", finding["remedy"])

        answer = self.status(batch, "--include-job-details")
        self.assertEqual(set(answer["progress"]), {"percentage", "completed", "failed", "pending", "processing", "total"})
        self.assertTrue({"created_at", "started_at", "updated_at", "completed_at", "elapsed_time", "average_item_time"}
                        <= set(answer["timing"]))
        self.assertNotIn("estimated_completion", answer["timing"], "nothing is estimated once it is over")
        self.assertTrue({"request_id", "api_version", "cache_ttl", "cache_remaining"} <= set(answer["metadata"]))
        configuration = answer["batch_configuration"]
        self.assertEqual([configuration[k] for k in ("max_concurrent", "priority", "timeout")], [3, 60, 600])
        failed = next(d for d in answer["job_details"] if d["status"] == "failed")
        self.assertEqual((failed["error"]["code"], failed["error"]["message"]), ("exit_code", "no text"))
        self.assertEqual(failed["error"]["details"], {"exit_code": "4"})
        self.assertTrue({"job_id", "file_path", "media_type", "progress", "started_at", "completed_at"} <= set(failed))
        summary = answer["error_summary"][0]
        self.assertEqual((summary["error_type"], summary["count"], summary["affected_files"]),
                         ("exit_code", 1, [str(files[3])]))
        self.assertTrue(summary["resolution"])

        for value in (diagnosis, answer):
            for path, scalar in every_value(value):
                name = path.rsplit(".", 1)[-1]
                if name.endswith("_at") or name == "at" or name == "estimated_completion":
                    self.assertRegex(scalar, RFC3339, path)
                elif name in ("count", "total", "completed", "pid", "memory_bytes", "tier_num", "sequence", "generation") \
                        and "values" not in path:
                    self.assertIs(type(scalar), int, path)
                self.assertIsNotNone(scalar, path)

    def test_status_prints_what_was_asked_for_and_nothing_that_looks_like_an_answer(self):
        batch = self.ok("submit", "--tier", "no=exit 3", *self.files(2))
        self.final(batch)
        self.assertEqual(set(self.status(batch, "--fields", "progress,has_failures")), {"batch_id", "progress", "has_failures"})
        self.assertTrue(self.status(batch, "--fields", "has_failures")["has_failures"])
        self.assertEqual(set(self.status(batch, "--metrics-only")), {"batch_id", "progress", "timing", "metadata"})
        plain = self.status(batch, "--no-errors", "--include-job-details")
        self.assertEqual(plain["error_summary"], [])
        self.assertTrue(all("error" not in d and d["status"] == "failed" for d in plain["job_details"]))
        self.assertEqual(self.mend("status", batch, "--fields", "nonsense").status, 1)
        page = self.status(batch, "--include-job-details", "--page-size", "1")
        rest = self.status(batch, "--include-job-details", "--page-size", "1", "--page-token", page["next_page_token"])
        self.assertEqual(len({d["document_id"] for d in page["job_details"] + rest["job_details"]}), 2)

    def test_every_command_answers_as_table_json_and_jsonl(self):
        files = self.files(3)

        def batch():
            return self.ok("submit", "--tier", f"hold={self.hold}", *files)

        held = batch()
        self.processing(held)
        asking = [["status", held], ["diagnose", held], ["list"], ["pause", held], ["resume", held],
                  ["heal", held, "--action", "detect-stuck", "--dry-run"], ["heal", held, "--action", "kill_duplicates"],
                  ["heal", held, "--action", "reclaim-orphans"], ["heal", held, "--action", "auto", "--tier", "0"],
                  ["cancel", held, "--grace", "0"], ["watch", held], ["cancel", held, "--tier", "0"],
                  ["cancel", held, "--job", "t0-j0"]]
        for command in asking:
            table = self.ok(*command)
            self.assertTrue(table and not table.startswith("{"), command)
            for line in self.ok(*command, "-o", "jsonl").splitlines():
                json.loads(line)
            if command[0] != "watch":
                value = json.loads(self.ok(*command, "-o", "json"))
                if command[0] != "list":
                    self.assertEqual(value["batch_id"], held, command)
        self.assertRegex(self.ok("submit", "--tier", "a=true", *files), r"^[A-Za-z0-9-]{1,64}$")
        submitted = json.loads(self.ok("submit", "--tier", "a=true", *files, "-o", "json"))
        self.assertIn(submitted["status"], ("queued", "running", "completed"))
        again = json.loads(self.ok("retry", held, "--tier", "0", "-o", "jsonl"))
        self.assertEqual((again["tier"], again["jobs"], again["documents"]), (0, ["t0-j0"], 3))
        self.assertEqual(self.mend("retry", held, "--tier", "0").status, 1, "a tier that runs is refused")
        self.gate.touch()
        self.assertEqual(self.final(held)["status"], "completed")

    def test_list_filters_and_foreign_namespaces_show_nothing(self):
        files = self.files(1)
        one = self.ok("submit", "--bucket", "b1", "--tier", "a=true", *files)
        two = self.ok("submit", "--bucket", "b2", "--tier", "a=exit 1", *files)
        self.final(one), self.final(two)

        def ids(*flags):
            return [b["batch_id"] for b in json.loads(self.ok("list", "-o", "json", *flags))["batches"]]

        self.assertEqual(ids(), [two, one])
        self.assertEqual((ids("--bucket", "b1"), ids("--status", "failed"), ids("--status", "running")), ([one], [two], []))
        self.assertEqual(ids("--status", "completed", "--bucket", "b2"), [])
        self.assertEqual(ids("--namespace", "other"), [])
        self.assertEqual(self.ok("list", "-o", "jsonl", "--bucket", "none"), "")
        foreign = self.mend("status", one, "--namespace", "other")
        unknown = self.mend("status", "unknown", "--namespace", "other")
        self.assertEqual((foreign.status, foreign.err), (1, unknown.err.replace("unknown", one)))


if __name__ == "__main__":
    unittest.main()
