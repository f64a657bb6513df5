"""An extractor for the tests: counts the words of each document into a file. `GATE` names a file that it waits for."""

import os
import pathlib
import sys
import time

from mend_ray_worker import Worker

output = pathlib.Path(sys.argv[1])
gate = os.environ.get("GATE")
with Worker(claim=4) as worker:
    worker.stage("count")
    for document in worker.documents():
        if gate and not os.path.exists(gate):
            (output / "waiting").write_text(str(os.getpid()))
            while not os.path.exists(gate):
                time.sleep(0.05)
        if document.id.startswith("bad"):
            worker.failed(document.id, "format_error", "it is marked as bad")
            continue
        words = len(pathlib.Path(document.path).read_bytes().split())
        with open(output / f"{os.environ['MEND_TIER']}.log", "a") as file:
            file.write(f"{document.id} {words}\n")
        worker.done(document.id)
