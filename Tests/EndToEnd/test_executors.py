"""One server with several executors: each batch runs on the one that it names, and a cluster that is away holds up no other."""

import json
import socket

from harness import EndToEndCase, wait_for


def closed_port():
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LocalBesideRayThatIsAway(EndToEndCase):
    def setUp(self):
        # Workers would be told this address; nobody comes to be told.
        self.ray = ("--ray", f"http://127.0.0.1:{closed_port()}", "--worker-endpoint", "127.0.0.1:9")
        self.serve_flags = self.ray
        super().setUp()

    def submit_to(self, mode, count=3, command='wc -w < "$MEND_PATH"', *flags):
        mode = ("--deployment-mode", mode) if mode else ()
        return self.ok("submit", *mode, *flags, "--tier", f"words={command}", *self.files(count))

    def restart(self, *flags):
        self.server.kill()
        self.server.flags = flags
        self.server.start()

    def test_local_batches_run_while_the_cluster_is_away(self):
        self.assertIn("executor=local executors=local,ray", self.server.ready)
        away = self.submit_to("ray")
        for mode in ("", "local"):
            batch = self.submit_to(mode)
            diagnosis = self.final(batch)
            self.assertEqual((diagnosis["status"], diagnosis["health"]), ("completed", "ok"), diagnosis)
            self.assertEqual(self.status(batch)["batch_configuration"]["deployment_mode"], "local")
        diagnosis = self.diagnose(away)
        self.assertEqual(
            (diagnosis["status"], diagnosis["health"], diagnosis["health_reason"]),
            ("queued", "ok", "executor_unreachable"), diagnosis)
        finding = diagnosis["findings"][0]
        self.assertEqual(finding["cause"], "executor_unreachable")
        self.assertIn("ray executor", finding["remedy"]["description"])
        self.assertEqual(self.status(away)["batch_configuration"]["deployment_mode"], "ray")
        self.assertIn("Ray does not say what it has", self.server.log.read_text())
        # What waits for the cluster can be cancelled, for nothing of it was started.
        self.ok("cancel", away)
        self.assertEqual(self.final(away)["status"], "cancelled")

    def test_a_server_that_is_started_without_ray_keeps_its_batches_and_says_why_they_wait(self):
        waiting = self.submit_to("ray")
        created = json.loads(self.ok("status", waiting, "-o", "json"))
        self.restart()
        for _ in range(2):
            self.assertNotIn("executors=", self.server.ready)
            diagnosis = self.diagnose(waiting)
            self.assertEqual(
                (diagnosis["status"], diagnosis["health"], diagnosis["health_reason"]),
                ("queued", "stuck", "executor_not_configured"), diagnosis)
            self.assertIn("serve with --ray URL", diagnosis["blocked_reason"])
            self.assertIn("--ray URL", diagnosis["findings"][0]["remedy"]["description"])
            self.assertTrue(any("--ray URL" in action for action in diagnosis["next_actions"]), diagnosis)
            self.assertEqual(self.final(self.submit_to(""))["status"], "completed")
            self.restart()
        log = self.server.log.read_text()
        self.assertRegex(log, r"error mend:.*executor=ray.*started without")
        refused = self.mend("submit", "--deployment-mode", "ray", "--tier", "t=true", *self.files(1))
        self.assertEqual(refused.status, 1)
        for words in ("deployment_mode", "must be local", "serve with --ray URL"):
            self.assertIn(words, refused.err)
        self.restart(*self.ray)
        diagnosis = self.diagnose(waiting)
        self.assertEqual((diagnosis["status"], diagnosis["health_reason"]), ("queued", "executor_unreachable"))
        self.assertEqual(self.status(waiting)["timing"]["created_at"], created["timing"]["created_at"])

    def test_room_is_apart_and_what_can_never_start_is_refused_by_the_executor_named(self):
        self.restart(*self.ray, "--cpus", "1", "--capacity", "ray=cpus:4,memory:8GiB")
        local = self.submit_to("", 1, "true", "--cpus", "1")
        self.assertEqual(self.final(local)["status"], "completed")
        beyond = self.mend("submit", "--cpus", "2", "--tier", "t=true", *self.files(1))
        self.assertEqual(beyond.status, 1)
        self.assertIn("the local executor has 1", beyond.err)
        self.assertIn("--cpus", beyond.err)
        beyond = self.mend("submit", "--deployment-mode", "ray", "--cpus", "5", "--tier", "t=true", *self.files(1))
        self.assertEqual(beyond.status, 1)
        self.assertIn("the ray executor has 4", beyond.err)
        self.assertIn("--capacity ray=", beyond.err)
        # All of what the cluster has is promised, and one CPU is free here.
        held = self.submit_to("ray", 1, "true", "--cpus", "4")
        wait_for(lambda: self.diagnose(held)["health_reason"] == "executor_unreachable", "the outage to be told")
        self.assertEqual(self.diagnose(held)["status"], "running")
        self.assertEqual(self.final(self.submit_to("", 1, "true", "--cpus", "1"))["status"], "completed")
        # A cancel of what was handed to the cluster would wait for its word.
        self.server.kill()

    def test_a_server_for_ray_runs_local_batches_by_name_unless_it_is_told_not_to(self):
        flags = ("--executor", "ray", *self.ray, "--cpus", "2", "--memory", "1GiB")
        self.restart(*flags)
        self.assertIn("executor=ray executors=ray,local", self.server.ready)
        unnamed = self.submit_to("")
        self.assertEqual(self.status(unnamed)["batch_configuration"]["deployment_mode"], "ray")
        self.assertEqual(self.final(self.submit_to("local"))["status"], "completed")
        self.restart(*flags, "--no-local")
        self.assertNotIn("executors=", self.server.ready)
        refused = self.mend("submit", "--deployment-mode", "local", "--tier", "t=true", *self.files(1))
        self.assertEqual(refused.status, 1)
        self.assertIn("--no-local", refused.err)
        self.server.kill()

    def test_a_running_local_attempt_is_adopted_by_a_server_for_ray(self):
        gate = self.directory / "gate"
        batch = self.submit_to("", 1, f"until [ -e {gate} ]; do sleep 0.05; done")
        wait_for(lambda: self.diagnose(batch)["tiers"][0]["jobs"][0]["status"] == "running", "the job to run")
        flags = ("--executor", "ray", *self.ray, "--cpus", "2", "--memory", "1GiB")
        self.restart(*flags, "--no-local")
        diagnosis = self.diagnose(batch)
        self.assertEqual(diagnosis["status"], "running")
        self.restart(*flags)
        gate.touch()
        diagnosis = self.final(batch)
        self.assertEqual(diagnosis["status"], "completed", diagnosis)
        self.assertEqual(len(diagnosis["tiers"][0]["jobs"][0]["attempts"]), 1)


class WrongUsage(EndToEndCase):
    def test_executors_that_do_not_go_together_are_refused_at_start(self):
        for flags, words in (
                (("--executor", "ray"), "--ray URL"),
                (("--no-local",), "--executor ray"),
                (("--worker-endpoint", "h:1"), "--ray"),
                (("--capacity", "ray=cpus:1"), "does not have"),
                (("--capacity", "local=cpus:1", "--cpus", "2"), "set the same"),
                (("--capacity", "local=cpus:0"), "local=cpus:0"),
                (("--executor", "ray", "--ray", "http://h:1", "--no-local", "--attempt-user", "nobody"), "local executor")):
            answer = self.mend("serve", "--data", self.directory / "other", *flags)
            self.assertEqual(answer.status, 2, (flags, answer.err))
            self.assertIn(words, answer.err, flags)
