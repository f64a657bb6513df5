"""What can go wrong on a Ray cluster, done to a real head, and what the diagnosis says of it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import test_ray
from harness import ROOT, Server, processes_with, wait_for
from head import TOKEN, URL
from proxy import ANSWERS, Proxy

head = test_ray.head
NO_RETRY = [{"category": category, "action": "fail"} for category in ("infrastructure", "pipeline", "timeout", "orphaned")]


def setUpModule():
    head.start()


def tearDownModule():
    head.remove()


def python(program):
    """A Python program as an entrypoint."""
    return f"{sys.executable} -c '{program}'"


def certificate(path, alternative="IP:127.0.0.1"):
    """PATH.pem and PATH.key: one that signed itself, and is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=mend", "-addext", f"subjectAltName={alternative}", "-keyout", f"{path}.key", "-out", f"{path}.pem"],
        check=True, capture_output=True)


class OnRay(test_ray.OnRay):
    def submit_one(self, entrypoint, **extractor):
        extractor = {"extractor_name": "x", "entrypoint": entrypoint, "num_cpus": 0.1, "retry": NO_RETRY, **extractor}
        return self.submit_spec(self.specification(self.files(1), extractor))

    def submission(self, batch):
        return f"mend_default_{batch}_t0-j0_1"

    def wait_until_it_runs(self, batch):
        wait_for(lambda: self.diagnose(batch)["tiers"][0].get("ray_job_status") == "RUNNING", "the job to run")

    def assert_failed(self, diagnosis, category, cause, *words):
        """Said once, with Ray's own words as evidence and with something to do."""
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", category), diagnosis)
        found = [finding for finding in diagnosis["findings"] if finding["cause"] == cause]
        self.assertEqual(len(found), 1, diagnosis["findings"])
        for word in words:
            self.assertIn(word, json.dumps([found[0]["message"], found[0]["evidence"]]))
        self.assertTrue(found[0]["remedy"]["description"])
        self.assertEqual(len(self.attempts(diagnosis)), 1)


class Jobs(OnRay):
    def test_each_failure_of_a_job_has_its_own_cause(self):
        ray = "import ray, os\nray.init()\n@ray.remote(max_retries=0, num_cpus=0.1)\n"
        cases = {
            "a command that is not there": (
                "/no/such/engine", {}, "pipeline", "entrypoint_not_found", "/no/such/engine: not found"),
            "a module that is not there": (
                python("import no_such_module"), {}, "infrastructure", "environment_setup", "No module named"),
            "a directory that is not there": (
                "true", {"env": {"MEND_RAY_RUNTIME_ENV": json.dumps({"working_dir": "/no/such/directory"})}},
                "infrastructure", "environment_setup", "/no/such/directory is not a valid path"),
            # By a signal its worker would write so much that Ray's own word is not among the log's last lines.
            "a task whose process ends": (
                python(ray + "def end(): os._exit(3)\nray.get(end.remote())"), {}, "pipeline", "signal",
                "WorkerCrashedError"),
            "an error in a task": (
                python(ray + "def fail(): raise ValueError(\"bad row 7\")\nray.get(fail.remote())"), {}, "pipeline",
                "exit_code", "bad row 7"),
        }
        batches = {name: self.submit_one(entrypoint, **extractor) for name, (entrypoint, extractor, *_) in cases.items()}
        for name, batch in batches.items():
            with self.subTest(name):
                self.assert_failed(self.final(batch, 180), *cases[name][2:])

    def test_a_killed_supervisor_is_the_engines_fault_and_its_driver_is_gone(self):
        batch = self.submit_one(f"sleep 600; : {self.directory}")
        self.wait_until_it_runs(batch)
        for pid in processes_with("ray::JobSupervisor"):
            os.kill(pid, signal.SIGKILL)
        self.assert_failed(
            self.final(batch), "infrastructure", "engine_fault", "JOB_SUPERVISOR_ACTOR_DIED", "worker process has died")
        # Ray's own guard ends the driver.
        wait_for(lambda: not processes_with(f"sleep 600; : {self.directory}"), "the driver's end")

    def test_what_somebody_stops_at_ray_is_said_to_be_stopped_and_stays_so(self):
        batch = self.submit_one("sleep 600", retry=[])
        self.wait_until_it_runs(batch)
        head.stop(self.submission(batch))
        self.assert_failed(self.final(batch), "pipeline", "signal", "Ray says STOPPED", "this server did not ask")

    def test_a_resource_that_no_node_has_is_waited_for_and_the_wait_can_be_cancelled(self):
        batch = self.submit_one("true", env={"MEND_RAY_RESOURCES": json.dumps({"unobtainium": 1})})
        wait_for(lambda: self.jobs_of(batch), "the job at Ray")
        diagnosis = self.diagnose(batch)
        self.assertEqual((diagnosis["status"], diagnosis["health"]), ("running", "scaling"), diagnosis)
        # Ray's own account of what it has; its patience is shorter here than a person's.
        blocked = wait_for(
            lambda: [text for text in [self.diagnose(batch)["blocked_reason"] or ""] if "Ray says PENDING" in text],
            "Ray's own words")
        self.assertIn("1 live node with 2 CPU", blocked[0])
        self.assertEqual(json.loads(self.ok("cancel", batch, "-o", "json"))["status"], "cancelled")
        self.assertIn(self.jobs_of(batch)[0]["status"], ("FAILED", "STOPPED"))

    def test_a_wait_past_its_window_is_stuck_with_rays_own_words_and_can_be_ended(self):
        batch = self.submit_one(
            "true", env={"MEND_RAY_RESOURCES": json.dumps({"unobtainium": 1})}, timers={"start_seconds": 7})
        self.assertEqual(wait_for(lambda: self.diagnose(batch)["health"], "a verdict"), "scaling")
        stuck = wait_for(lambda: [d for d in [self.diagnose(batch)] if d["health"] == "stuck"], "stuck")[0]
        self.assertEqual(stuck["health_reason"], "cold_start", stuck)
        self.assertIn("Ray says PENDING, and has 1 live node with 2 CPU", stuck["blocked_reason"])
        answer = json.loads(self.ok("cancel", batch, "-o", "json"))
        self.assertEqual(answer["status"], "cancelled")
        self.assertIn(self.jobs_of(batch)[0]["status"], ("FAILED", "STOPPED"))

    def test_a_job_whose_node_died_is_not_running_whatever_ray_says(self):
        batch = self.submit_one("sleep 600")
        self.wait_until_it_runs(batch)
        for pid in processes_with("/raylet/raylet"):
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/raylet"):
                os.kill(pid, signal.SIGKILL)
        try:
            diagnosis = self.final(batch, 240)
        finally:
            head.restart()
        self.assert_failed(diagnosis, "infrastructure", "node_failure", "is dead")


class BehindAProxy(OnRay):
    def setUp(self):
        self.proxy = Proxy()
        self.addCleanup(self.proxy.close)
        self.ray_url = self.proxy.url
        super().setUp()

    def test_answers_that_are_not_rays_fail_nothing(self):
        for number, fault in enumerate(ANSWERS):
            with self.subTest(fault):
                gate = self.directory / f"gate-{number}"
                running = self.submit_one(f"until [ -e {gate} ]; do sleep 0.2; done")
                self.wait_until_it_runs(running)
                self.proxy.fault = fault
                fresh = self.submit_one("true")
                for batch in running, fresh:
                    wait_for(
                        lambda: self.diagnose(batch)["health_reason"] == "executor_unreachable", "the outage to be told")
                    self.assertEqual(self.diagnose(batch)["status"], "running")
                self.proxy.fault = None
                gate.touch()
                for batch in running, fresh:
                    diagnosis = self.final(batch)
                    self.assertEqual(diagnosis["status"], "completed", diagnosis)
                    self.assertEqual(len(self.attempts(diagnosis)), 1)
                    self.assertEqual(len(self.jobs_of(batch)), 1)

    def test_a_dashboard_that_takes_its_time_is_waited_for(self):
        self.proxy.fault = "slow"
        batch = self.submit_one(f"echo run >> {self.directory}/runs")
        diagnosis = self.final(batch)
        self.assertEqual((diagnosis["status"], len(self.attempts(diagnosis))), ("completed", 1), diagnosis)
        self.assertEqual((self.directory / "runs").read_text(), "run\n")

    def test_a_cancel_waits_for_a_cluster_that_is_away_and_then_proves_the_end(self):
        batch = self.submit_one("sleep 600")
        self.wait_until_it_runs(batch)
        self.proxy.fault = "a server error"
        wait_for(lambda: self.diagnose(batch)["health_reason"] == "executor_unreachable", "the outage to be told")
        with subprocess.Popen(
                [test_ray.MEND, "cancel", batch, "-o", "json"], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "MEND_SERVER": self.server.address}) as cancel:
            self.addCleanup(cancel.kill)
            wait_for(lambda: self.diagnose(batch)["tiers"][0]["jobs"][0]["status"] == "cancelling", "the intent")
            reached = self.proxy.requests + 3
            wait_for(lambda: self.proxy.requests > reached, "some questions more")
            self.assertIsNone(cancel.poll())
            self.assertEqual(self.jobs_of(batch)[0]["status"], "RUNNING")
            self.assertNotEqual(self.diagnose(batch)["status"], "cancelled")
            self.proxy.fault = None
            answer = json.loads(cancel.communicate(timeout=90)[0])
        self.assertEqual(answer["status"], "cancelled")
        self.assertIn("STOPPED", answer["ended"][0]["how"])
        self.assertEqual(self.jobs_of(batch)[0]["status"], "STOPPED")

    def test_a_submission_whose_answer_is_lost_runs_once(self):
        self.proxy.fault = "lost"
        batch = self.submit_one(f"echo run >> {self.directory}/runs")
        self.assertEqual(self.final(batch)["status"], "completed")
        self.assertEqual((self.directory / "runs").read_text(), "run\n")

    def test_a_dashboard_that_says_nothing_is_unreachable(self):
        batch = self.submit_one(f"until [ -e {self.directory}/gate ]; do sleep 0.2; done")
        self.wait_until_it_runs(batch)
        self.proxy.fault = "silent"
        found = wait_for(
            lambda: [f for f in self.diagnose(batch)["findings"] if f["cause"] == "executor_unreachable"], "the outage")
        self.assertIn("no answer in time", json.dumps(found[0]["evidence"]))
        # Half of an answer is none either.
        self.proxy.fault = "cut"
        self.proxy.over.set()
        wait_for(lambda: self.proxy.cut > 2, "answers that are cut")
        self.assertEqual(self.diagnose(batch)["health_reason"], "executor_unreachable")
        self.proxy.fault = None
        (self.directory / "gate").touch()
        self.assertEqual(self.final(batch)["status"], "completed")


class Secured(OnRay):
    """A server with TLS by an authority of its own, and tokens."""

    def setUp(self):
        self.keys = Path(tempfile.mkdtemp(prefix="mend-keys-"))
        self.addCleanup(shutil.rmtree, self.keys, ignore_errors=True)
        for name in "own", "other":
            certificate(self.keys / name)
        self.tokens = {
            role: subprocess.run(
                [test_ray.MEND, "token", "create", "--tokens", self.keys / "tokens", "--namespace", "default", "--role", role],
                check=True, capture_output=True, text=True).stdout.strip() for role in ("admin", "worker")}

    def serve(self, authority="own", worker_token=None):
        self.serve_flags = (
            "--tls-cert", str(self.keys / "own.pem"), "--tls-key", str(self.keys / "own.key"), "--tokens",
            str(self.keys / "tokens"), "--worker-tls-ca", str(self.keys / f"{authority}.pem"))
        self.environment = {"MEND_RAY_WORKER_TOKEN": worker_token or self.tokens["worker"]}
        super().setUp()

    def mend(self, *arguments, environment=None, **keywords):
        own = {"MEND_TOKEN": self.tokens["admin"], "MEND_TLS_CA": str(self.keys / "own.pem")}
        return super().mend(*arguments, environment={**own, **(environment or {})}, **keywords)

    def by_the_built_in_worker(self, directories):
        extractor = {
            "extractor_name": "size", "document_command": 'test -s "$MEND_PATH" && case "$MEND_PATH" in *3.txt) exit 5;; esac',
            "retry": NO_RETRY, "env": {"PATH": ":".join(map(str, directories)), "PYTHONPATH": f"{ROOT}/tools/ray"}}
        return self.final(self.submit_spec(self.specification(self.files(5), extractor)), 180)

    def test_workers_of_both_kinds_reach_a_server_with_tls_and_tokens(self):
        self.serve()
        self.assertEqual(self.final(self.submit_spec(self.specification(self.files(3), self.counting("words"))))["status"],
                         "completed")
        usual = os.environ["PATH"]
        for name, path in (("mend", [Path(test_ray.MEND).parent, usual]), ("Python", [Path(sys.executable).parent, usual])):
            with self.subTest(name):
                diagnosis = self.by_the_built_in_worker(path)
                self.assertEqual((diagnosis["status"], diagnosis["failed_document_count"]), ("completed", 1), diagnosis)
                self.assertEqual(diagnosis["failed_documents_sample"][0]["error"]["code"], "exit_code")

    def test_a_certificate_that_is_not_trusted_is_named_by_both_workers(self):
        self.serve(authority="other")
        failed = self.final(self.submit_spec(self.specification(
            self.files(1), {**self.counting("words"), "retry": NO_RETRY})), 180)
        self.assert_failed(failed, "infrastructure", "environment_setup", "is not trusted by MEND_TLS_CA")
        failed = self.by_the_built_in_worker([Path(test_ray.MEND).parent, os.environ["PATH"]])
        self.assert_failed(failed, "pipeline", "exit_code", "its certificate is not trusted")

    def test_a_script_that_reports_says_at_once_why_its_server_is_not_trusted(self):
        self.serve(authority="other")
        batch = self.submit_one(f"{test_ray.MEND} report --beat; exit $?")
        diagnosis = self.final(batch, 180)
        self.assert_failed(diagnosis, "pipeline", "exit_code")
        self.assertEqual(self.attempts(diagnosis)[0]["exit"]["exit_code"], 3)
        text = self.ok("logs", batch)
        self.assertIn("its certificate is not trusted by what MEND_TLS_CA holds", text)
        self.assertIn("mend serve --worker-tls-ca", text)
        for other in "--tls-ca FILE", "--data", "--server":
            self.assertNotIn(other, text)

    def test_a_script_reports_to_a_server_with_tls_and_tokens(self):
        self.serve()
        mend = test_ray.MEND
        batch = self.submit_one(f"{mend} report --stage count && {mend} report --done d0")
        self.assertEqual(self.final(batch, 180)["status"], "completed")

    def test_a_token_that_is_not_known_is_named_by_both_workers(self):
        self.serve(worker_token="not-a-token")
        failed = self.final(self.submit_spec(self.specification(
            self.files(1), {**self.counting("words"), "retry": NO_RETRY})), 180)
        self.assert_failed(failed, "pipeline", "exit_code", "UNAUTHENTICATED")
        failed = self.by_the_built_in_worker([Path(test_ray.MEND).parent, os.environ["PATH"]])
        self.assert_failed(failed, "pipeline", "exit_code", "token")


class MemoryRunsOut(OnRay):
    """Ray's own guard over its node's memory, told to begin not far above what is in use."""

    @classmethod
    def setUpClass(cls):
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()}
        used = sizes["MemTotal"] - sizes["MemAvailable"]
        if sizes["MemAvailable"] < 6 << 20:
            raise unittest.SkipTest("this machine has less than 6 GiB of free memory")
        head.restart(
            RAY_memory_usage_threshold=f"{(used + (3 << 20)) / sizes['MemTotal']:.3f}", RAY_memory_monitor_refresh_ms="100")

    @classmethod
    def tearDownClass(cls):
        head.restart()

    # Slowly, and never far: something else may have freed what the guard counts on.
    EAT = "held = []\nfor _ in range(250): held.append(bytearray(b\"x\") * (20 << 20)); time.sleep(0.02)\n"

    def assert_out_of_memory(self, program, words="memory"):
        batch = self.submit_one(python(program), memory_bytes=200 << 20)
        self.assert_failed(self.final(batch, 180), "infrastructure", "oom", words)

    def eating(self, indent):
        return "".join(f"{indent}{line}\n" for line in [*self.EAT.splitlines(), "signal.pause()"])

    def test_a_driver_that_takes_too_much_is_out_of_memory(self):
        self.assert_out_of_memory(f"import signal, time\n{self.eating('')}", "node running low on memory")

    def test_a_task_that_takes_too_much_is_out_of_memory(self):
        self.assert_out_of_memory(
            f"import ray, signal, time\nray.init()\n@ray.remote(max_retries=0, num_cpus=0.1)\ndef eat():\n{self.eating('  ')}"
            "ray.get(eat.remote())")

    def test_an_actor_that_takes_too_much_is_out_of_memory(self):
        self.assert_out_of_memory(
            f"import ray, signal, time\nray.init()\n@ray.remote(num_cpus=0.1)\nclass Eater:\n  def eat(self):\n{self.eating('    ')}"
            "ray.get(Eater.remote().eat.remote())")


class Conformance(unittest.TestCase):
    def test_the_suite_of_every_executor_passes_on_this_head(self):
        command = os.environ.get("MEND_CONFORMANCE")
        if not command:
            raise unittest.SkipTest("the unit tests are not built")
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=600,
            env={**os.environ, "MEND_RAY_URL": URL, "MEND_RAY_TOKEN": TOKEN})
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, text[-6000:])
        # Each of the suite's tests was run on this head.
        tests = re.search(r"Test run with (\d+) tests", text)
        on_this_head = set(re.findall(r'Test case passing .* subject → cluster.* to "(.+)" started', text))
        self.assertEqual(len(on_this_head), int(tests[1]) if tests else -1, text[-6000:])
        self.assertGreaterEqual(len(on_this_head), 9)


def load_tests(loader, standard, pattern):
    return test_ray.own_tests(loader, Conformance, Jobs, BehindAProxy, Secured, MemoryRunsOut)
