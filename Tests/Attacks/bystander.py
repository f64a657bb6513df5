"""A stock client beside an attack: who calls and is answered before has to be answered all the while."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path


class Bystander:
    """A stock grpcio client in a process of its own, which calls one call after another."""

    def __init__(self, address, log):
        self.log = Path(log)
        self.log.touch()
        self.process = subprocess.Popen([sys.executable, __file__, address, str(self.log)])

    def calls(self, since, until):
        found = []
        for line in self.log.read_text().splitlines():
            parts = line.split()
            if len(parts) == 3 and since <= float(parts[0]) <= until:
                found.append((float(parts[1]), parts[2]))
        return found

    def stop(self):
        self.process.kill()
        self.process.wait()


def bystander(address, log):
    import grpc
    channel = grpc.insecure_channel(address)
    check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda item: item, lambda item: item)
    pause = threading.Event()
    with open(log, "a", buffering=1) as out:
        while os.getppid() != 1:
            begin = time.monotonic()
            try:
                check(b"", timeout=20)
                status = "OK"
            except grpc.RpcError as error:
                status = error.code().name
            end = time.monotonic()
            out.write(f"{end:.6f} {end - begin:.6f} {status}\n")
            pause.wait(0.003)


def p99(calls):
    times = sorted(took for took, _ in calls)
    return times[min(len(times) - 1, len(times) * 99 // 100)] * 1000 if times else float("nan")


if __name__ == "__main__":
    bystander(sys.argv[1], sys.argv[2])
