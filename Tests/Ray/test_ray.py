"""Mend on a real Ray head: what a batch, a failure, a cancel and a crash on either side look like."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import MEND, ROOT, EndToEndCase, Server, processes_with, real_texts, wait_for
from head import START_TIMEOUT_SECONDS, TOKEN, URL, Head

head = Head()


def setUpModule():
    head.start()


def tearDownModule():
    head.remove()


class OnRay(EndToEndCase):
    serve_flags = ()
    ray_url = URL
    environment = {}
    prefix = ()
    port = 17443

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mend-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.server = Server(
            self.directory / "data", "--executor", "ray", "--ray", self.ray_url, *self.serve_flags,
            environment={"MEND_RAY_TOKEN": TOKEN, **self.environment}, prefix=self.prefix)
        # Workers have to find it again after a restart.
        self.server.address = f"127.0.0.1:{self.port}"
        self.addCleanup(self._end_everything)
        self.server.start()

    def specification(self, files, *extractors, **batch):
        """One tier for each extractor."""
        documents = [{"document_id": f"d{number}", "uri": file.as_uri()} for number, file in enumerate(files)]
        return {"documents": documents, "tiers": [{"extractors": [extractor]} for extractor in extractors], **batch}

    def counting(self, name, **environment):
        return {
            "extractor_name": name, "entrypoint": f"{sys.executable} {ROOT}/Tests/Ray/extractor.py {self.directory}",
            "env": {"PYTHONPATH": f"{ROOT}/tools/ray", **environment}}

    def lines(self, tier):
        path = self.directory / f"{tier}.log"
        return path.read_text().splitlines() if path.exists() else []

    def attempts(self, diagnosis, tier=0, job=0):
        return diagnosis["tiers"][tier]["jobs"][job]["attempts"]

    def jobs_of(self, batch):
        return [job for job in head.ask("/api/jobs/") or [] if (job.get("metadata") or {}).get("mend_batch") == batch]

    # -- the main job

    def test_two_tiers_of_python_extractors_over_real_texts(self):
        files = real_texts(60)
        batch = self.submit_spec(self.specification(files, self.counting("words"), self.counting("again")))
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"), diagnosis)
        self.assertEqual([len(self.lines(0)), len(self.lines(1))], [60, 60])
        self.assertEqual(self.adds_up(batch)["completed"], 60)
        for number, tier in enumerate(diagnosis["tiers"]):
            self.assertEqual(tier["ray_job_id"], f"mend_default_{batch}_t{number}-j0_1")
            self.assertEqual(tier["ray_job_status"], "SUCCEEDED")
            self.assertEqual(tier["ray_dashboard_url"], f"{URL}/#/jobs/{tier['ray_job_id']}")
            self.assertTrue(self.attempts(diagnosis, number)[0]["node"])
        self.assertEqual({job["status"] for job in self.jobs_of(batch)}, {"SUCCEEDED"})
        self.assertEqual(self.jobs_of(batch)[0]["metadata"]["mend_attempt"], "1")

    def test_local_and_ray_batches_in_one_server(self):
        files = real_texts(20)
        there = self.submit_spec(self.specification(files, self.counting("words")))
        here = self.submit_spec({
            **self.specification(files, {"extractor_name": "here", "document_command": "wc -c < \"$MEND_PATH\""}),
            "deployment_mode": "local"})
        for batch, mode in ((here, "local"), (there, "ray")):
            diagnosis = self.final(batch)
            self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"), diagnosis)
            self.assertEqual(self.status(batch)["batch_configuration"]["deployment_mode"], mode)
            self.assertEqual(self.adds_up(batch)["completed"], 20)
        self.assertEqual((len(self.jobs_of(there)), self.jobs_of(here)), (1, []))
        self.assertEqual(self.diagnose(here)["tiers"][0]["ray_job_id"], "")

    def test_a_server_that_begins_beside_a_local_one_learns_what_the_cluster_has(self):
        self.server.kill()
        self.server.flags = ("--ray", self.ray_url, "--worker-endpoint", self.server.address)
        self.server.start()
        batch = self.submit_spec({**self.specification(real_texts(5), self.counting("words")), "deployment_mode": "ray"})
        self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual(len(self.jobs_of(batch)), 1)

    def test_a_failed_document_is_named_and_the_rest_goes_on(self):
        specification = self.specification(self.files(6), self.counting("words"))
        specification["documents"][3]["document_id"] = "bad-3"
        diagnosis = self.final(self.submit_spec(specification))
        self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "degraded"))
        self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["code"], "format_error")

    def test_document_commands_run_by_the_built_in_worker(self):
        path = f"{Path(os.environ['MEND_BINARY']).parent}:{os.environ['PATH']}"
        extractor = {"extractor_name": "size", "document_command": 'test -s "$MEND_PATH"', "env": {"PATH": path}}
        diagnosis = self.final(self.submit_spec(self.specification(self.files(5), extractor)))
        self.assertEqual(diagnosis["status"], "completed", diagnosis)

    def test_a_worker_of_an_attempt_that_is_over_is_fenced(self):
        batch = self.submit_spec(self.specification(self.files(2), self.counting("words")))
        self.assertEqual(self.final(batch)["status"], "completed")
        variables = self.jobs_of(batch)[0]["runtime_env"]["env_vars"]
        late = subprocess.run(
            [sys.executable, str(ROOT / "Tests/Ray/extractor.py"), str(self.directory)], env={**os.environ, **variables},
            capture_output=True, text=True, timeout=60)
        self.assertNotEqual(late.returncode, 0)
        self.assertIn("Fenced", late.stderr)
        self.assertEqual(len(self.lines(0)), 2)

    # -- why it failed

    def test_an_exit_code_is_the_pipelines(self):
        extractor = {"extractor_name": "fails", "entrypoint": "echo 'no such table' >&2; exit 3"}
        diagnosis = self.final(self.submit_spec(self.specification(self.files(2), extractor)))
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "pipeline"))
        finding = next(finding for finding in diagnosis["findings"] if finding["cause"] == "exit_code")
        self.assertIn("executor", [evidence["observer"] for evidence in finding["evidence"]])
        self.assertEqual(self.attempts(diagnosis)[0]["exit"]["exit_code"], 3)
        self.assertEqual(diagnosis["tiers"][0]["ray_job_status"], "FAILED")

    def test_a_runtime_environment_that_cannot_be_made_is_no_pipeline_error(self):
        extractor = {"extractor_name": "fails", "entrypoint": "true",
                     "env": {"MEND_RAY_RUNTIME_ENV": json.dumps({"working_dir": "file:///nowhere/at/all.zip"})}}
        diagnosis = self.final(self.submit_spec(self.specification(self.files(1), extractor)), 180)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "infrastructure"), diagnosis)
        self.assertIn("environment_setup", [finding["cause"] for finding in diagnosis["findings"]])

    def test_what_the_cluster_can_never_run_is_refused_at_submit(self):
        extractor = {"extractor_name": "big", "entrypoint": "true", "num_cpus": 64}
        answer = self.mend("submit", "--spec", "-", input=json.dumps(self.specification(self.files(1), extractor)))
        self.assertEqual(answer.status, 1)
        self.assertIn("needs 64 CPUs, the ray executor has 2", answer.err)

    # -- cancel

    def test_a_cancel_is_answered_when_ray_says_that_it_is_gone(self):
        mark = self.directory / "alive"
        extractor = {"extractor_name": "stubborn",
                     "entrypoint": f"trap '' TERM; while :; do echo $$ > {mark}; sleep 0.2; done"}
        batch = self.submit_spec(self.specification(self.files(1), extractor))
        wait_for(mark.exists, "the job's sign of life")
        answer = json.loads(self.ok("cancel", batch, "-o", "json"))
        self.assertEqual(answer["status"], "cancelled")
        self.assertIn("STOPPED", answer["ended"][0]["how"])
        self.assertEqual(processes_with(str(mark)), [])
        self.assertEqual([job["status"] for job in self.jobs_of(batch)], ["STOPPED"])

    def test_a_job_of_ours_that_no_attempt_owns_is_found_and_ended(self):
        batch, gate = self.waiting_batch()
        installation = json.loads((self.directory / "data" / "ray.json").read_text())["installation"]
        stray, foreign = f"mend_default_{batch}_t0-j0_7", f"mend_default_{batch}_t0-j0_8"
        for name, server in (stray, installation), (foreign, "another"):
            head.submit(submission_id=name, entrypoint="sleep 600",
                        metadata={"mend_installation": server, "mend_batch": batch})
        plan = wait_for(
            lambda: json.loads(self.ok("heal", batch, "--action", "kill-duplicates", "--dry-run", "-o", "json"))["steps"],
            "the plan to end it")
        self.assertEqual(len(plan), 1)
        self.ok("heal", batch, "--action", "kill-duplicates")
        wait_for(lambda: head.ask(f"/api/jobs/{stray}")["status"] == "STOPPED", "its end")
        self.assertEqual(head.ask(f"/api/jobs/{foreign}")["status"], "RUNNING")
        head.stop(foreign)
        gate.touch()
        self.assertEqual(self.final(batch)["status"], "completed")

    def test_a_second_submission_with_the_same_metadata_is_ended_and_the_fenced_one_stays(self):
        batch, gate = self.waiting_batch()
        first = self.jobs_of(batch)[0]
        head.submit(submission_id="by-hand", entrypoint="sleep 600", metadata=first["metadata"],
                    runtime_env={"env_vars": first["runtime_env"]["env_vars"]})
        plan = wait_for(
            lambda: json.loads(self.ok("heal", batch, "--action", "kill-duplicates", "--dry-run", "-o", "json"))["steps"],
            "the plan to end it")
        self.assertEqual(len(plan), 1)
        self.assertIn("by-hand", json.dumps(plan))
        self.ok("heal", batch, "--action", "kill-duplicates")
        wait_for(lambda: head.ask("/api/jobs/by-hand")["status"] == "STOPPED", "its end")
        self.assertEqual(head.ask(f"/api/jobs/{first['submission_id']}")["status"], "RUNNING")
        gate.touch()
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], len(self.attempts(diagnosis))), ("completed", 1), diagnosis)

    # -- crashes

    def waiting_batch(self, count=12, **extractor):
        """A batch whose worker waits for the gate in its first document."""
        gate = self.directory / "gate"
        batch = self.submit_spec(
            self.specification(self.files(count), {**self.counting("words", GATE=str(gate)), **extractor}))
        wait_for((self.directory / "waiting").exists, "the worker in its first document")
        return batch, gate

    def test_a_killed_server_finds_its_job_again(self):
        batch, gate = self.waiting_batch()
        self.server.kill()
        gate.touch()
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", diagnosis)
        self.assertEqual(len(self.attempts(diagnosis)), 1)
        self.assertEqual(len(self.lines(0)), 12)
        self.assertEqual(len(self.jobs_of(batch)), 1)

    def test_a_job_that_ended_while_the_server_was_away_is_found_ended(self):
        batch = self.submit_spec(self.specification(
            self.files(1), {"extractor_name": "opaque", "entrypoint": f"touch {self.directory}/waiting; sleep 2; exit 4"}))
        wait_for((self.directory / "waiting").exists, "the job's start")
        self.server.kill()
        wait_for(lambda: self.jobs_of(batch)[0]["status"] == "FAILED", "the job's end at Ray")
        self.server.start()
        diagnosis = self.final(batch)
        self.assertEqual(self.attempts(diagnosis)[0]["exit"]["exit_code"], 4)

    def test_a_worker_that_outlives_its_head_loses_no_work(self):
        batch, gate = self.waiting_batch()
        # Ray's own guard, a shell, kills a driver within a second of its supervisor's end; here it goes first.
        for pid in processes_with("kill -s 0"):
            os.kill(pid, signal.SIGKILL)
        head.kill()
        gate.touch()
        wait_for(lambda: len(self.lines(0)) == 12, "the worker's last document")
        head.start()
        diagnosis = self.final(batch, 180)
        self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"), diagnosis)
        self.assertEqual(len(self.attempts(diagnosis)), 1)
        self.assertEqual(len(self.lines(0)), 12)

    def test_a_head_that_restarts_in_mid_batch_loses_a_job_and_no_batch(self):
        batch, gate = self.waiting_batch()
        lost = self.submit_spec(self.specification(
            self.files(1), {"extractor_name": "opaque", "entrypoint": "sleep 600",
                            "retry": [{"cause": "orphaned", "action": "fail"}]}))
        wait_for(lambda: self.diagnose(lost)["tiers"][0].get("ray_job_status") == "RUNNING", "the second batch's job")
        worker = int((self.directory / "waiting").read_text())
        head.kill()
        # The driver was on the head's machine.
        os.kill(worker, signal.SIGKILL)
        blocked = wait_for(
            lambda: (lambda d: d if d["health_reason"] == "executor_unreachable" else None)(self.diagnose(batch)),
            "the outage in the diagnosis")
        self.assertEqual(blocked["status"], "running")
        gate.touch()
        head.start()
        diagnosis = self.final(batch, 180)
        self.assertEqual(diagnosis["status"], "completed", diagnosis)
        self.assertEqual(len(self.attempts(diagnosis)), 2)
        self.assertEqual(self.attempts(diagnosis)[0]["failure_cause"], "orphaned")
        self.assertEqual([event["type"] for event in diagnosis["infrastructure_events"]], ["orphaned"])
        self.assertEqual(len(self.lines(0)), 12)
        # Without a retry the finding says how it came.
        diagnosis = self.final(lost)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "orphaned"))
        self.assertIn("its head was restarted", json.dumps(diagnosis["findings"]))


class OnRaySaidToBeLarger(OnRay):
    """The server was told of more than the cluster has, as one that scales up would be."""

    serve_flags = ("--cpus", "64", "--memory", "8GiB")

    def test_a_job_that_finds_no_room_in_rays_time_is_a_cold_start(self):
        extractor = {"extractor_name": "big", "entrypoint": "true", "num_cpus": 32,
                     "retry": [{"cause": "start_timeout", "action": "fail"}]}
        batch = self.submit_spec(self.specification(self.files(1), extractor))
        waiting = wait_for(
            lambda: (lambda d: d if d["tiers"][0].get("ray_job_status") == "PENDING" else None)(self.diagnose(batch)),
            "the job at Ray")
        self.assertEqual(waiting["health"], "scaling")
        diagnosis = self.final(batch, START_TIMEOUT_SECONDS * 6)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "timeout"), diagnosis)
        self.assertEqual(self.attempts(diagnosis)[0]["failure_cause"], "start_timeout")

    def test_a_cancel_of_what_waits_for_room_is_not_said_to_be_done_before_it_is(self):
        extractor = {"extractor_name": "big", "entrypoint": "true", "num_cpus": 32}
        batch = self.submit_spec(self.specification(self.files(1), extractor))
        wait_for(lambda: self.jobs_of(batch), "the job at Ray")
        answer = json.loads(self.ok("cancel", batch, "-o", "json"))
        self.assertEqual(answer["status"], "cancelled")
        self.assertIn(self.jobs_of(batch)[0]["status"], ("FAILED", "STOPPED"))


def own_tests(loader, *cases):
    """Of each case those that it has itself: inherited ones run once."""
    return unittest.TestSuite(
        unittest.TestSuite(case(name) for name in loader.getTestCaseNames(case) if name in vars(case)) for case in cases)


def load_tests(loader, standard, pattern):
    return own_tests(loader, OnRay, OnRaySaidToBeLarger)
