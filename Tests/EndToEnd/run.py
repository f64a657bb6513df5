"""Runs the end-to-end tests, one line each as they end, and writes `PASSED FAILED SKIPPED` where --summary says."""

import argparse
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


class Lines(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.bad = False

    def say(self, mark, test, note=""):
        print(f"{mark} {test.id()} ({time.monotonic() - self.began:.1f} s){note}", flush=True)

    def addSuccess(self, test):
        self.say("ok  ", test)
        self.passed = getattr(self, "passed", 0) + 1

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skip {test.id()}: {reason}", flush=True)

    def _bad(self, test, error):
        self.say("FAIL", test)
        print(self._exc_info_to_string(error, test), flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._bad(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        if not hasattr(self, "began"):
            self.began = time.monotonic()
        self._bad(test, error)


def tests_in(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_in(item)
        else:
            yield item


arguments = argparse.ArgumentParser()
arguments.add_argument("--summary")
arguments.add_argument("--only", default="")
options = arguments.parse_args()

found = unittest.defaultTestLoader.discover(str(Path(__file__).parent), pattern="test_*.py")
suite = unittest.TestSuite(test for test in tests_in(found) if options.only in test.id() or "_FailedTest" in test.id())
result = Lines()
suite.run(result)
failed = len(result.failures) + len(result.errors)
counts = getattr(result, "passed", 0), failed, len(result.skipped)
print("program: %d passed, %d failed, %d skipped" % counts)
if options.summary:
    Path(options.summary).write_text("%d %d %d\n" % counts)
sys.exit(1 if failed or not counts[0] else 0)
