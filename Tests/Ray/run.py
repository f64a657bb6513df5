"""Runs the tests beside it on one Ray head, a line each as they end; writes `PASSED FAILED SKIPPED` where --summary says."""

import argparse
import sys
import time
import unittest
from pathlib import Path

here = Path(__file__).parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(here), str(here.parent / "EndToEnd")]

import test_cluster  # noqa: E402
import test_failures  # noqa: E402
import test_ray  # noqa: E402


class Lines(unittest.TestResult):
    passed = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def say(self, mark, test, note=""):
        print(f"{mark} {test.id()} ({time.monotonic() - self.began:.1f} s){note}", flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self.say("ok  ", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skip {test.id()}: {reason}", flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say("FAIL", test, "\n" + self._exc_info_to_string(error, test))

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error:
            self.say("FAIL", part, "\n" + self._exc_info_to_string(error, test))

    def addError(self, test, error):
        super().addError(test, error)
        print(f"FAIL {test.id()}\n{self._exc_info_to_string(error, test)}", flush=True)


arguments = argparse.ArgumentParser()
arguments.add_argument("--summary")
arguments.add_argument("--only", default="")
options = arguments.parse_args()

result = Lines()
everything = [
    case for module in (test_ray, test_failures, test_cluster) for group in unittest.defaultTestLoader.loadTestsFromModule(module)
    for case in group]
unittest.TestSuite([case for case in everything if options.only in case.id()]).run(result)
failed = len(result.failures) + len(result.errors)
counts = result.passed, failed, len(result.skipped)
print("ray: %d passed, %d failed, %d skipped" % counts)
if options.summary:
    Path(options.summary).write_text("%d %d %d\n" % counts)
sys.exit(1 if failed or not result.passed else 0)
