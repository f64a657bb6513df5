"""What happens to a cluster around the jobs: parts of its head killed, nodes lost, TLS, several servers, long logs."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import shutil
import unittest
from pathlib import Path

import test_failures
import test_ray
from harness import MEND, Server, alive, processes_with, wait_for
from head import TOKEN, URL
from proxy import Proxy
from test_failures import NO_RETRY, python

head = test_ray.head


def setUpModule():
    head.start()


def tearDownModule():
    head.remove()


class OnRay(test_failures.OnRay):
    def gated(self, name="gate", **extractor):
        """A job that ends when its gate is opened: the batch, the gate."""
        gate = self.directory / name
        batch = self.submit_one(f"until [ -e {gate} ]; do sleep 0.2; done", **extractor)
        self.wait_until_it_runs(batch)
        return batch, gate

    def wait_until_unreachable(self, *batches):
        for batch in batches:
            wait_for(lambda: self.diagnose(batch)["health_reason"] == "executor_unreachable", "the outage to be told")
            self.assertEqual(self.diagnose(batch)["status"], "running")

    def assert_completed_at_once(self, batch, seconds=120):
        diagnosis = self.final(batch, seconds)
        self.assertEqual(diagnosis["status"], "completed", diagnosis)
        self.assertEqual(len(self.attempts(diagnosis)), 1)
        self.assertEqual(len(self.jobs_of(batch)), 1)


class Heads(OnRay):
    def test_a_dashboard_that_is_killed_and_comes_back_fails_nothing(self):
        batch, gate = self.gated()
        dashboard = head.dashboard()
        dashboard.kill()
        self.wait_until_unreachable(batch)
        fresh = self.submit_one("true")
        dashboard.start()
        gate.touch()
        self.assert_completed_at_once(batch)
        self.assert_completed_at_once(fresh)

    def test_a_head_without_its_control_store_fails_nothing_until_another_head_comes(self):
        batch, gate = self.gated(retry=[{"cause": "orphaned", "action": "fail"}])
        for pid in head.processes("gcs_server"):
            os.kill(pid, signal.SIGKILL)
        try:
            self.wait_until_unreachable(batch)
            fresh = self.submit_one("true")
            wait_for(lambda: self.diagnose(fresh)["health_reason"] == "executor_unreachable", "the outage to be told")
        finally:
            head.restart()
        # The head that comes knows nothing of the first, and has never heard of the second.
        diagnosis = self.final(batch, 180)
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "orphaned"), diagnosis)
        self.assert_completed_at_once(fresh, 180)

    def test_a_head_that_stands_still_fails_nothing(self):
        batch, gate = self.gated()
        frozen = head.processes("gcs_server") + head.processes("ray/dashboard/dashboard.py")
        frozen += [pid for pid in head.processes("/raylet/raylet") if pid not in frozen]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.wait_until_unreachable(batch)
            fresh = self.submit_one(f"echo run >> {self.directory}/runs")
            wait_for(lambda: self.diagnose(fresh)["health_reason"] == "executor_unreachable", "the outage to be told")
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        gate.touch()
        for name in batch, fresh:
            self.assert_completed_at_once(name, 180)
        self.assertEqual((self.directory / "runs").read_text(), "run\n")

    def test_a_token_that_is_changed_is_an_outage_that_names_the_token(self):
        batch, gate = self.gated()
        self.server.kill()
        self.server.environment["MEND_RAY_TOKEN"] = "another-token-" + "1" * 32
        self.server.start()
        self.wait_until_unreachable(batch)
        found = [f for f in self.diagnose(batch)["findings"] if f["cause"] == "executor_unreachable"]
        self.assertIn("MEND_RAY_TOKEN", json.dumps(found))
        self.server.kill()
        self.server.environment["MEND_RAY_TOKEN"] = TOKEN
        self.server.start()
        gate.touch()
        self.assert_completed_at_once(batch)

    def test_a_killed_job_agent_takes_its_node_along_and_the_job_is_not_the_pipelines_failure(self):
        batch, gate = self.gated()
        for pid in head.processes("dashboard/agent.py"):
            os.kill(pid, signal.SIGKILL)
        try:
            diagnosis = self.final(batch, 240)
        finally:
            head.restart()
        self.assertEqual((diagnosis["status"], diagnosis["failure_category"]), ("failed", "infrastructure"), diagnosis)


class WorkerNodes(OnRay):
    def setUp(self):
        super().setUp()
        self.addCleanup(head.restart)

    def test_capacity_follows_nodes_that_come_and_go(self):
        extractor = {"extractor_name": "big", "entrypoint": "true", "num_cpus": 4, "retry": NO_RETRY}
        specification = json.dumps(self.specification(self.files(1), extractor))
        answer = self.mend("submit", "--spec", "-", input=specification)
        self.assertIn("needs 4 CPUs, the ray executor has 2", answer.err)
        # What runs here does not mind.
        batch, gate = self.gated()
        head.add_node("127.0.0.2", "far", cpus=4)
        wait_for(lambda: self.mend("submit", "--spec", "-", input=specification).status == 0, "the room of the new node", 120, 1)
        listed = json.loads(self.ok("list", "-o", "json"))["batches"]
        big = next(entry["batch_id"] for entry in listed if entry["batch_id"] != batch)
        self.assert_completed_at_once(big)
        head.kill_node("127.0.0.2")
        refused = wait_for(
            lambda: [a for a in [self.mend("submit", "--spec", "-", input=specification)] if a.status == 1],
            "the room to be gone", 180, 1)
        self.assertIn("needs 4 CPUs, the ray executor has 2", refused[0].err)
        gate.touch()
        self.assert_completed_at_once(batch)

    def test_a_lost_worker_node_is_named(self):
        head.add_node("127.0.0.2", "far")
        batch, gate = self.gated(env={"MEND_RAY_RESOURCES": json.dumps({"far": 0.1})})
        node = self.attempts(self.diagnose(batch))[0]["node"]
        head.kill_node("127.0.0.2")
        diagnosis = self.final(batch, 240)
        self.assert_failed(diagnosis, "infrastructure", "node_failure", node)


class BehindTLS(OnRay):
    """The dashboard behind a proxy that speaks TLS by an authority of its own."""

    def setUp(self):
        self.keys = Path(tempfile.mkdtemp(prefix="mend-keys-"))
        self.addCleanup(shutil.rmtree, self.keys, ignore_errors=True)
        test_failures.certificate(self.keys / "ray")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.keys / "ray.pem", self.keys / "ray.key")
        self.proxy = Proxy(tls=context)
        self.addCleanup(self.proxy.close)
        self.ray_url = self.proxy.url

    def test_an_authority_that_the_system_does_not_know_is_named_at_start(self):
        with self.assertRaises(AssertionError) as failure:
            super().setUp()
        self.assertIn("its certificate is not trusted", str(failure.exception))
        self.assertIn("update-ca-certificates", str(failure.exception))
        # With its capacity given the server starts, and says it of what is submitted.
        self.serve_flags = ("--cpus", "2", "--memory", "1GiB")
        super().setUp()
        batch = self.submit_one("true")
        self.wait_until_unreachable(batch)
        found = [f for f in self.diagnose(batch)["findings"] if f["cause"] == "executor_unreachable"]
        self.assertIn("its certificate is not trusted", json.dumps(found))
        # A cancel would wait for Ray's word.
        self.server.kill()

    def test_an_authority_of_the_systems_is_trusted(self):
        system = Path("/etc/ssl/certs/ca-certificates.crt")
        bundle = self.keys / "bundle.pem"
        bundle.write_bytes((system.read_bytes() if system.exists() else b"") + (self.keys / "ray.pem").read_bytes())
        # As update-ca-certificates would do it, for this server alone.
        self.prefix = ("unshare", "--mount", "sh", "-c", f'mount --bind {bundle} {system} && exec "$@"', "sh")
        super().setUp()
        self.assert_completed_at_once(self.submit_one("true"))


class TwoServers(OnRay):
    def setUp(self):
        self.proxy = Proxy()
        self.addCleanup(self.proxy.close)
        self.ray_url = self.proxy.url
        super().setUp()
        self.other = OnRay()
        self.addCleanup(self.other.doCleanups)
        self.other.port = 17444
        self.other.setUp()

    def test_two_servers_on_one_head_leave_each_others_jobs_alone(self):
        mine, gate = self.gated()
        theirs, their_gate = self.other.gated()
        # Nobody looks after theirs now. Jobs that nobody owns are seen in a list, and told soon after.
        self.other.server.kill()
        wait_for(lambda: self.proxy.lists, "a look for strays")
        reached = self.proxy.requests + 10
        wait_for(lambda: self.proxy.requests > reached, "some looks more")
        for action in "kill-duplicates", "reclaim-orphans":
            self.assertEqual(json.loads(self.ok("heal", mine, "--action", action, "-o", "json")).get("steps", []), [])
        self.assertEqual(self.jobs_of(theirs)[0]["status"], "RUNNING")
        self.other.server.start()
        gate.touch()
        their_gate.touch()
        self.assert_completed_at_once(mine)
        self.other.assert_completed_at_once(theirs)

    def test_two_batches_of_one_name_on_two_servers_are_told_apart(self):
        mine, gate = self.gated()
        specification = self.specification(self.other.files(1), {"extractor_name": "x", "entrypoint": "true", "retry": NO_RETRY})
        answer = self.other.mend("submit", "--spec", "-", input=json.dumps({**specification, "batch_id": mine}))
        if answer.status != 0:
            raise unittest.SkipTest(f"a batch's id is not the caller's: {answer.err}")
        self.other.assert_failed(self.other.final(mine), "infrastructure", "environment_setup", "another server")
        gate.touch()
        self.assert_completed_at_once(mine)


class Forgotten(OnRay):
    def test_a_forgotten_batch_leaves_no_record_at_ray_and_no_other_record_goes_with_it(self):
        batch, gate = self.gated()
        ended = self.submit_one("false")
        self.assertEqual(self.final(ended)["status"], "failed")
        foreign = {**self.jobs_of(ended)[0]["metadata"], "mend_installation": "another"}
        head.submit(submission_id="anothers", entrypoint="true", metadata=foreign)
        head.submit(submission_id="nobodys", entrypoint="true")
        # A finished batch is in memory for ten minutes before it can be forgotten: as after a server that was killed
        # when it had forgotten it.
        self.server.kill()
        path = self.directory / "data" / "ray.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "forgotten": ["default/" + ended]}))
        self.server.start()
        wait_for(lambda: [job["submission_id"] for job in self.jobs_of(ended)] == ["anothers"], "the end of its record")
        wait_for(lambda: "forgotten" not in json.loads(path.read_text()), "the end of the search")
        self.assertEqual(head.ask("/api/jobs/nobodys")["status"], "SUCCEEDED")
        gate.touch()
        self.assert_completed_at_once(batch)


    def test_a_job_of_ours_whose_batch_nobody_knows_is_named_in_the_log_and_left_alone(self):
        batch, gate = self.gated()
        own = {**self.jobs_of(batch)[0]["metadata"], "mend_batch": "lost-with-the-data"}
        foreign = {**own, "mend_installation": "another"}
        name = "mend_default_lost-with-the-data_t0-j0_1"
        for submission, metadata in ((name, own), ("not-ours", foreign)):
            head.submit(submission_id=submission, entrypoint="sleep 600", metadata=metadata)
            self.addCleanup(head.stop, submission)
        wait_for(lambda: f"ray job stop '{name}'" in self.server.log.read_text(), "the word on it")
        self.assertNotIn("not-ours", self.server.log.read_text())
        self.assertEqual(head.ask(f"/api/jobs/{name}")["status"], "RUNNING")
        gate.touch()
        self.assert_completed_at_once(batch)


class Oddities(OnRay):
    def test_two_batches_at_once_share_a_cluster(self):
        batches = [self.submit_spec(self.specification(self.files(8), self.counting(f"w{n}"))) for n in range(2)]
        for batch in batches:
            self.assert_completed_at_once(batch)
        self.assertEqual(len(self.lines(0)), 16)

    def test_what_the_cluster_lacks_is_refused_by_name(self):
        for extractor, words in (
                ({"requires_gpu": True}, "GPU"), ({"memory_bytes": 1 << 50}, "of memory, the ray executor has")):
            specification = self.specification(self.files(1), {"extractor_name": "big", "entrypoint": "true", **extractor})
            answer = self.mend("submit", "--spec", "-", input=json.dumps(specification))
            self.assertEqual(answer.status, 1)
            self.assertIn(words, answer.err)
            self.assertIn("never_schedulable", answer.err)

    def test_a_driver_that_joins_the_cluster_twice_is_one_job(self):
        batch = self.submit_one(python("import ray\nray.init()\nray.shutdown()\nray.init()\nray.init(ignore_reinit_error=True)"))
        self.assert_completed_at_once(batch)

    def test_a_job_ends_with_its_entrypoint_whatever_that_leaves_behind(self):
        mark = self.directory / "child"
        batch = self.submit_one(
            f"setsid sh -c 'echo $$ > {mark}; exec sleep 600' </dev/null >/dev/null 2>&1 & "
            f"until [ -s {mark} ]; do sleep 0.1; done")
        self.assert_completed_at_once(batch)
        # Ray leaves it: what such a one reports is refused, as of every attempt that is over.
        child = int(mark.read_text())
        self.assertTrue(alive(child))
        os.kill(child, signal.SIGKILL)

    def test_a_task_that_a_real_signal_ended_is_a_signal(self):
        ray = "import ray, os\nray.init()\n@ray.remote(max_retries=0, num_cpus=0.1)\n"
        for number in signal.SIGSEGV, signal.SIGKILL:
            with self.subTest(number.name):
                batch = self.submit_one(python(f"{ray}def end(): os.kill(os.getpid(), {number})\nray.get(end.remote())"))
                diagnosis = self.final(batch, 180)
                self.assert_failed(diagnosis, "pipeline", "signal", "WorkerCrashedError")
                self.assertNotIn("\x1b", self.attempts(diagnosis)[0]["exit"]["last_stderr_line"])

    def test_an_environment_that_is_slow_to_make_is_a_cold_start_and_named(self):
        package = self.directory / "slow"
        package.mkdir()
        (package / "setup.py").write_text(
            "import signal\nsignal.pause()\nfrom setuptools import setup\nsetup(name='slow', version='1')\n")
        environment = {"pip": {"packages": [str(package)], "pip_install_options": ["--no-index", "--no-build-isolation"]}}
        batch = self.submit_one(
            "true", env={"MEND_RAY_RUNTIME_ENV": json.dumps(environment)})
        waiting = wait_for(
            lambda: [d for d in [self.diagnose(batch)] if "Ray says PENDING" in (d["blocked_reason"] or "")], "Ray's words")
        self.assertEqual((waiting[0]["status"], waiting[0]["health"]), ("running", "scaling"))
        # Ray's own patience with it, not the pipeline's fault, nor that of the cluster's size.
        self.assert_failed(self.final(batch, 180), "timeout", "start_timeout", "runtime environment (pip)")


class Logs(OnRay):
    def read(self, batch, *flags):
        """As bytes, for a log need be no text."""
        done = subprocess.run(
            [MEND, "logs", batch, *flags], capture_output=True, timeout=120,
            env={**os.environ, "MEND_SERVER": self.server.address})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_bytes_that_are_no_text_are_kept(self):
        batch = self.submit_one("printf 'caf\\351 \\377\\r\\n'; exit 9")
        self.assertEqual(self.final(batch)["status"], "failed")
        self.assertIn(b"\ncaf\xe9 \xff\r\n", self.read(batch))
        self.assertEqual(self.read(batch, "--stream", "stdout"), self.read(batch))
        answer = self.mend("logs", batch, "--stream", "stderr")
        self.assertEqual((answer.status, answer.out), (0, ""))
        self.assertEqual(answer.err.count("as one log"), 1)
        self.assertIn("--stream stdout", answer.err)

    def test_of_a_log_that_is_too_long_the_newest_part_is_shown_and_what_is_left_out_said(self):
        batch = self.submit_one("yes 'one of very many lines' | head -c 80000000; echo; echo the last words; exit 9")
        diagnosis = self.final(batch)
        self.assertEqual(self.attempts(diagnosis)[0]["exit"]["exit_code"], 9)
        text = self.read(batch)
        self.assertTrue(text.endswith(b"the last words\n"))
        left_out, kept = re.search(rb"\[mend: (\d+) bytes left out here\]\n(.*)", text, re.S).groups()
        self.assertEqual(len(kept), 16 << 20)
        self.assertGreater(int(left_out) + len(kept), 80_000_000)

    def test_a_log_is_followed_while_it_grows_to_the_last_line(self):
        gate = self.directory / "gate"
        batch = self.submit_one(
            f"head -c 20000000 /dev/zero | tr '\\0' x; echo; echo ready; until [ -e {gate} ]; do echo tick; sleep 0.2; done; "
            "printf '\\377 the end\\n'")
        with subprocess.Popen(
                [MEND, "logs", batch, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "MEND_SERVER": self.server.address}) as follower:
            self.addCleanup(follower.kill)
            seen = b""
            while b"tick" not in seen:
                part = os.read(follower.stdout.fileno(), 1 << 16)
                self.assertTrue(part, "the stream ended while the job ran")
                seen = (seen + part)[-100:]
            gate.touch()
            rest, error = follower.communicate(timeout=120)
        self.assertEqual((follower.returncode, error), (0, b""))
        self.assertTrue((seen + rest).endswith(b"tick\n\xff the end\n"), rest[-200:])
        self.assertEqual(self.final(batch)["status"], "completed")

    def test_a_log_of_a_head_that_is_away_says_so(self):
        batch = self.submit_one("true")
        self.assertEqual(self.final(batch)["status"], "completed")
        head.kill()
        try:
            answer = self.mend("logs", batch)
        finally:
            head.start()
        self.assertEqual(answer.status, 1)
        self.assertIn("cannot be asked for a log: Ray: it cannot be reached", answer.err)
        self.assertNotIn("mend serve", answer.err)


def load_tests(loader, standard, pattern):
    return test_ray.own_tests(loader, Forgotten, Oddities, Logs, BehindTLS, TwoServers, WorkerNodes, Heads)
