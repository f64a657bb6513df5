"""Limits of every kind, signals, and children that were killed: as shells and wrappers tell of them."""

from sample import disk, family, sample, script

family("limits")

ALLOCATE = "blocks = []\nwhile True:\n    blocks.append(bytearray(10_000_000))\n"
script("python/memory", ALLOCATE, "memory.refused", "MemoryError", file="fill.py", run="ulimit -v 300000; exec python",
    arguments="")
script("python/memory-absurd", "bytearray(1 << 50)\n", "memory.refused", "MemoryError", file="fill.py", arguments="")
script("numpy/limit", "import numpy as np\n\nprint(np.ones((20_000, 20_000)).sum())\n", "memory.refused",
    "Unable to allocate 2.98 GiB", file="fill.py", run="ulimit -v 2000000; exec python", arguments="")
script("pandas/limit",
    "import sys\n\nimport pandas as pd\n\nframe = pd.read_csv(sys.argv[1])\nprint(pd.concat([frame] * 20_000).shape)\n",
    "memory.refused", "MemoryError|Unable to allocate|malloc of size", document="good.csv", file="fill.py",
    run="ulimit -v 2000000; exec python")
sample("xz/limit", "ulimit -v 30000; xz -9 -c $doc > out", "memory.refused", "Cannot allocate memory", document="good.csv")
sample("node/limit", "ulimit -v 600000; exec node -e 'console.log(1)'", "memory.refused",
    "Out of memory|out of memory|Cannot allocate memory|OOM")
sample("ffmpeg/limit",
    "ulimit -v 400000; exec ffmpeg -nostdin -hide_banner -y -threads 1 -filter_threads 1 -i $doc -threads 1 -vf scale=9000:9000 out.mp4",
    "memory.refused", "Cannot allocate memory", document="good.mp4")
sample("git/limit", "git init -q; head -c 60M /dev/urandom > a; ulimit -v 50000; git add a", "memory.refused",
    "out of memory|Out of memory|mmap failed|Cannot allocate memory")
sample("ruby/limit", "ulimit -v 200000; exec ruby -e 'a = []; loop { a << \"x\" * 10_000_000 }'", "memory.refused",
    "failed to allocate memory")
sample("go/limit", "go build -o job /srv/app/job.go && ulimit -v 700000 && exec ./job", "memory.refused",
    "fatal error: runtime: cannot allocate memory|fatal error: runtime: out of memory|out of memory",
    env={"GO111MODULE": "off", "HOME": "/tmp"},
    files={"job.go": "package main\n\nfunc main() {\n\tall := [][]byte{}\n\tfor {\n\t\tall = append(all, make([]byte, 10000000))\n\t}\n}\n"})
sample("sqlite3/limit",
    "ulimit -v 60000; sqlite3 :memory: 'SELECT length(group_concat(randomblob(1000000))) FROM generate_series(1, 400)'",
    "memory.refused", "out of memory")

script("python/files", "files = [open('/dev/null') for _ in range(100)]\n", "limit.open_files",
    "OSError: [Errno 24] Too many open files", file="open.py", run="ulimit -n 40; exec python", arguments="")
sample("node/files", "ulimit -n 40; exec node -e 'const fs = require(\"fs\"); for (;;) fs.openSync(\"/dev/null\")'",
    "limit.open_files", "Error: EMFILE: too many open files|EMFILE")
sample("sort/files", "for i in $(seq 40); do echo $i > f$i; done; ulimit -n 5; sort -m f*", "limit.open_files",
    "Too many open files")
sample("tar/files", "ulimit -n 3; tar xzf $doc", "limit.open_files", "error while loading shared libraries", document="good.tar.gz",
    wrong=("program.library_missing",))
script("python/processes", """
    import subprocess

    children = [subprocess.Popen(["sleep", "5"]) for _ in range(40)]
    """, "limit.processes", "BlockingIOError: [Errno 11] Resource temporarily unavailable", file="spawn.py",
    run="exec prlimit --nproc=12 python", arguments="")
script("python/threads", """
    import threading
    import time

    for _ in range(100):
        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
    """, "limit.processes", "RuntimeError: can't start new thread", file="spawn.py", run="exec prlimit --nproc=12 python",
    arguments="")
sample("java/threads", "exec prlimit --nproc=5 java -XX:+UseSerialGC -version", "limit.processes",
    "pthread_create failed (EAGAIN)|unable to create native thread|Failed to start the native thread")
sample("make/processes", "exec prlimit --nproc=3 make -f /srv/app/Makefile", "limit.processes",
    "Resource temporarily unavailable|Cannot fork", files={"Makefile": "all:\n\techo a | cat | cat | cat\n"})
script("python/file-size", "with open('out', 'wb') as out:\n    out.write(bytes(1_000_000))\n", "limit.file_size",
    "OSError: [Errno 27] File too large", file="write.py", run="ulimit -f 100; exec python", arguments="")
sample("dd/file-size", "ulimit -f 100; exec dd if=/dev/zero of=out bs=1M count=1", "limit.file_size")
sample("gzip/file-size", "ulimit -f 20; gzip -dc $doc > out", "limit.file_size", "File size limit exceeded", document="good.gz")
sample("cp/file-size", "trap '' XFSZ; ulimit -f 100; exec cp $doc out", "limit.file_size", "File too large", document="good.csv")
sample("python/cpu", "ulimit -S -t 1; exec python -c 'while True: pass'", "limit.cpu_time")
sample("sh/cpu", "ulimit -t 1; sh -c 'while :; do :; done'; exit $?", "signal.killed", "Killed", also=("limit.cpu_time",))
sample("sh/arguments", "x=$(head -c 3000000 /dev/zero | tr '\\0' a); /bin/echo $x > /dev/null", "limit.arguments",
    "Argument list too long")
sample("xargs/arguments", "head -c 300000 /dev/zero | tr '\\0' a | xargs -s 200000 -n 1 -x echo", "limit.arguments",
    "argument line too long|Argument list too long")
script("python/core-stack",
    "import threading\n\nthreading.stack_size(64 << 20)\nfor _ in range(100):\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    "limit.processes", "RuntimeError: can't start new thread", file="spawn.py", run="ulimit -v 1000000; exec python", arguments="",
    also=("memory.refused",))

# What a full or broken file system says to ordinary programs.
FULL = disk("size=16k")
READ_ONLY = disk("ro")
sample("cp/full-disk", "cp $doc /srv/out/", "disk.full", "No space left on device", document="good.csv", setup=FULL)
sample("cp/read-only", "cp $doc /srv/out/", "disk.read_only", "Read-only file system", document="good.csv", setup=READ_ONLY)
sample("cp/missing", "cp $doc out", "input.missing", "No such file or directory", document="missing.pdf")
sample("cp/denied", "cp $doc /srv/in/copy.pdf", "file.permission", "Permission denied", document="good.pdf")
sample("cp/folder", "cp $doc out", "file.is_directory", "-r not specified; omitting directory", document="folder.pdf")
sample("cat/full", "cat $doc > /dev/full", "disk.full", "No space left on device", document="good.csv")
sample("cat/locked-file", "cat $doc", "file.permission", "Permission denied", document="good.csv", setup="chmod 600 $doc")
sample("cat/words-in-name", 'cat "$doc"', "input.missing", "No such file or directory", document="missing.txt",
    name="Too many open files - minutes.txt", wrong=("limit.open_files",))
sample("cat/killed-in-name", 'cat "$doc"', "input.missing", "No such file or directory", document="missing.txt",
    name="Out of memory - Killed (HTTP 429).txt", wrong=("memory.refused", "http.429", "signal.killed"))
sample("sort/full-disk", "sort -S 100K -T /srv/out $doc", "disk.full", "No space left on device", document="good.csv", setup=FULL)
sample("dd/full-disk", "dd if=/dev/zero of=/srv/out/a bs=1M count=1", "disk.full", "No space left on device", setup=FULL)
sample("split/full-disk", "split -l 1000 $doc /srv/out/part", "disk.full", "No space left on device", document="good.csv",
    setup=FULL)
sample("zip/full-disk", "zip -q /srv/out/a.zip $doc", "disk.full", "No space left on device|disk full|write error",
    document="good.csv", setup=FULL)
sample("make/full-disk", "make -f /srv/app/Makefile", "disk.full", "No space left on device", document="good.csv", setup=FULL,
    files={"Makefile": "all:\n\tcp $(doc) /srv/out/\n"})

# Programs that can't be started.
sample("sh/not-found", "pdf2text $doc", "program.not_found", "pdf2text: not found", document="good.pdf")
sample("bash/not-found", "bash -c 'pdf2text $doc'", "program.not_found", "pdf2text: command not found", document="good.pdf")
sample("sh/not-executable", "/srv/in/run.sh", "program.not_executable", "Permission denied", setup="echo true > /srv/in/run.sh")
sample("sh/folder", "/srv/in", "program.not_executable", "Permission denied|Is a directory")
sample("sh/interpreter", "/srv/app/job.sh", "program.not_found", "not found", files={"job.sh": "#!/usr/bin/python2.7\nprint 1\n"})
sample("bash/interpreter", "bash -c /srv/app/job.sh", "program.not_found", "bad interpreter|required file not found",
    files={"job.sh": "#!/usr/bin/python2.7\nprint 1\n"})
sample("bash/architecture", "bash -c ./job", "program.wrong_architecture", "cannot execute binary file: Exec format error",
       setup="cp /bin/true /srv/task/job; printf '\\267' | dd of=/srv/task/job bs=1 seek=18 conv=notrunc 2> /dev/null")
sample("sh/carriage-return", "/srv/app/job.sh", "program.not_found", "not found", files={"job.sh": "#!/bin/sh\r\necho a\r\n"})
sample("sh/library", "./job", "program.library_missing", "error while loading shared libraries",
    setup="cd /srv/task; printf 'int f(void){return 0;}' > f.c; gcc -shared -fPIC -o libpages.so f.c; printf 'int f(void);int main(){return f();}' > m.c; gcc -o job m.c -L. -lpages; rm libpages.so")
sample("sh/glibc", "./job", "program.library_missing", "version `PAGES_2' not found", env={"LD_LIBRARY_PATH": "/srv/task"},
    setup="cd /srv/task; printf 'int f(void){return 0;}' > f.c; echo 'PAGES_2 { global: f; };' > two; echo 'PAGES_1 { global: f; };' > one; gcc -shared -fPIC -Wl,--version-script=two -o libpages.so f.c; printf 'int f(void);int main(){return f();}' > m.c; gcc -o job m.c -L. -lpages; gcc -shared -fPIC -Wl,--version-script=one -o libpages.so f.c")
script("python/program", "import subprocess\n\nsubprocess.run(['pdf2text', 'a.pdf'], check=True)\n", "program.not_found",
    "FileNotFoundError: [Errno 2] No such file or directory: 'pdf2text'", also=("file.missing",), file="run.py", arguments="")
sample("node/program", "exec node -e 'require(\"child_process\").execFileSync(\"pdf2text\")'", "program.not_found",
    "Error: spawnSync pdf2text ENOENT")
sample("timeout/not-found", "timeout 5 pdf2text $doc", "program.not_found", "failed to run command", document="good.pdf")

# Ended from outside, and children that were killed.
sample("timeout/term", "timeout 0.3 sleep 30", "timeout.command")
sample("timeout/kill", "timeout -s KILL 0.3 sleep 30", "signal.killed", "Killed", also=("timeout.command",))
sample("timeout/kill-after", "timeout -k 0.2 0.3 sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'", "signal.killed", "Killed",
    also=("timeout.command",))
sample("timeout/verbose", "timeout -v 0.3 sleep 30", "timeout.command", "sending signal TERM to command")
sample("timeout/partial", "timeout 0.5 sh -c 'echo page 1 of 900; echo page 2 of 900 >&2; sleep 30'", "timeout.command")
sample("sh/killed", "sh -c 'kill -9 $$'; exit $?", "signal.killed", "Killed")
sample("sh/killed-exec", "kill -9 $$", "signal.killed")
sample("sh/terminated", "kill -15 $$", "signal.terminated")
sample("sh/terminated-child", "sh -c 'kill -15 $$'; exit $?", "signal.terminated", "Terminated")
sample("bash/killed", "exec bash -c 'sh -c \"kill -9 \\$\\$\"; exit 1'", "signal.killed", "Killed")
sample("bash/pipe", "exec bash -o pipefail -c '(kill -9 $BASHPID) | cat'", "signal.killed", "Killed")
sample("bash/segfault", "exec bash -c 'sh -c \"kill -11 \\$\\$\"; exit 1'", "signal.segfault", "Segmentation fault")
sample("bash/hangup", "kill -1 $$", "exit.signal")
sample("sh/pipe", "exec bash -o pipefail -c 'yes | head -1'", "exit.signal")
script("python/child-code", 'import subprocess\nimport sys\n\nsys.exit(subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)\n',
    "signal.killed", file="run.py", arguments="")
script("python/child-term", 'import subprocess\nimport sys\n\nsys.exit(subprocess.run(["sh", "-c", "kill -15 $$"]).returncode)\n',
    "signal.terminated", file="run.py", arguments="")
script("python/child-segfault",
    'import subprocess\nimport sys\n\nsys.exit(subprocess.run(["sh", "-c", "kill -11 $$"]).returncode)\n', "signal.segfault",
    file="run.py", arguments="")
script("python/child-check", 'import subprocess\n\nsubprocess.run(["sh", "-c", "kill -9 $$"], check=True)\n', "signal.killed",
    "died with <Signals.SIGKILL: 9>", file="run.py", arguments="")
script("python/child-timeout", 'import subprocess\n\nsubprocess.run(["sleep", "30"], timeout=0.3, check=True)\n', "timeout.command",
    "subprocess.TimeoutExpired", also=("exit.code",), file="run.py", arguments="")
script("python/child-words", 'import subprocess\nimport sys\n\nsubprocess.run(["pdftotext", sys.argv[1], "-"], check=True)\n',
    "pdf.encrypted", "Incorrect password", document="locked.pdf", file="run.py", wrong=("program.error",))
script("python/child-swallowed",
    'import subprocess\nimport sys\n\nsubprocess.run(["pdftotext", sys.argv[1], "-"], check=True, capture_output=True)\n',
    "exit.code", "returned non-zero exit status 1", document="locked.pdf", file="run.py")
script("python/pool-killed", """
    import os
    import signal
    from concurrent.futures import ProcessPoolExecutor


    def work(page):
        os.kill(os.getpid(), signal.SIGKILL)


    if __name__ == "__main__":
        with ProcessPoolExecutor(2) as pool:
            print(list(pool.map(work, range(4))))
    """, "worker.killed", "BrokenProcessPool", also=("signal.killed",), file="pool.py", arguments="")
script("python/pool-error", """
    import multiprocessing


    def work(page):
        raise ValueError(f"page {page} is empty")


    if __name__ == "__main__":
        with multiprocessing.Pool(2) as pool:
            print(pool.map(work, range(4)))
    """, "program.error", "ValueError: page 0 is empty|ValueError: page", file="pool.py", arguments="", also=("exit.code",))
script("joblib/killed", """
    import os
    import signal

    from joblib import Parallel, delayed


    def work(page):
        os.kill(os.getpid(), signal.SIGKILL)


    Parallel(n_jobs=2)(delayed(work)(page) for page in range(4))
    """, "worker.killed", "TerminatedWorkerError|The exit codes of the workers", also=("signal.killed",), file="pool.py",
    arguments="")
script("joblib/memory", """
    from joblib import Parallel, delayed


    def work(page):
        return len(bytearray(1 << 46))


    Parallel(n_jobs=2)(delayed(work)(page) for page in range(4))
    """, "memory.refused", "MemoryError", file="pool.py", arguments="")
script("python/memory-killed", """
    import os
    import resource
    import signal
    import sys

    print("loading the model", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """, "signal.killed", file="load.py", run="exec python", arguments="")

# A disk that does not answer, a quota, and what else the kernel refuses.
sample("cat/io-error", "cat /proc/self/mem", "disk.io_error", "Input/output error")
sample("cp/io-error", "cp /proc/self/mem out", "disk.io_error", "Input/output error")
sample("dd/io-error", "dd if=/proc/self/mem of=out bs=4096 count=1", "disk.io_error", "Input/output error")
script("python/io-error", "print(len(open('/proc/self/mem', 'rb').read(10)))\n", "disk.io_error",
    "OSError: [Errno 5] Input/output error", file="read.py", arguments="")
sample("cp/long-name", "cp $doc $(head -c 300 /dev/zero | tr '\\0' a)", "file.name_too_long", "File name too long",
    document="good.txt")
sample("cp/loop", "ln -s a b; ln -s b a; cp a c", "exit.code", "Too many levels of symbolic links")
sample("cp/busy-program", "cp /bin/sleep s; ./s 5 & sleep 0.3; cp /bin/true s", "file.busy", "Text file busy")
sample("sh/exec-busy", "cp /bin/sleep s; exec 9>> s; ./s 1", "file.busy", "Text file busy")
sample("python/broken-pipe", "bash -o pipefail -c 'python -c \"for i in range(100000): print(i)\" | head -1'", "exit.code",
    "BrokenPipeError", also=("program.error", "exit.signal"))
sample("mkdir/exists", "mkdir out; mkdir out", "file.exists", "File exists")
sample("ln/cross", "ln $doc /srv/task/a", "exit.code", "Operation not permitted", document="good.txt", also=("file.permission",))
sample("kill/denied", "kill -9 1", "file.permission", "Operation not permitted", also=("exit.code",))
sample("chown/denied", "chown root .", "file.permission", "Operation not permitted")
sample("mount/denied", "mkdir out; mount -t tmpfs tmpfs out", "file.permission", "must be superuser", also=("exit.code",))
