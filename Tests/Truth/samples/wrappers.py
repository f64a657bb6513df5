"""Failures inside of wrappers, progress bars, long lines, advice after the error, other languages."""

from sample import disk, family, sample, script

family("wrappers")

MAKE = {"Makefile": "all: out.txt\n\nout.txt:\n\tpdftotext $(doc) out.txt\n"}
sample("make/pdf", "make -f /srv/app/Makefile", "pdf.encrypted", "Incorrect password", document="locked.pdf", files=MAKE,
    wrong=("program.error",))
sample("make/nested", "make -f /srv/app/Makefile", "pdf.encrypted", "Incorrect password", document="locked.pdf",
       files={"Makefile": "all:\n\t$(MAKE) -C /srv/app -f inner all\n", "inner": "all:\n\tpdftotext $(doc) -\n"})
sample("make/rule", "make -f /srv/app/Makefile other", "program.usage", "No rule to make target", files=MAKE)
sample("make/missing", "make -f /srv/app/none", "file.missing", "No such file or directory")
sample("make/syntax", "make -f /srv/app/Makefile", "program.error", "*** missing separator",
    files={"Makefile": "all:\n    echo a\n"}, also=("program.usage",))
sample("make/killed", "make -f /srv/app/Makefile", "signal.killed", "Killed", files={"Makefile": "all:\n\tkill -9 $$$$\n"})
sample("make/compiler-killed", "make -f /srv/app/Makefile", "signal.killed", "fatal error: Killed signal terminated program cc1",
    files={"Makefile": "all:\n\tcc -c -o a.o /srv/app/a.c & sleep 1; pkill -9 -x cc1; wait $$!\n", "a.c": "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\nint f(int a) { B(A(A(a++;))) return a; }\n"})
sample("make/parallel", "make -j4 -f /srv/app/Makefile", "json.broken", "parse error", document="cut.json",
       files={"Makefile": "all: a b c d\n\na c d:\n\t@echo page $@ is done; sleep 0.3\nb:\n\tjq . $(doc) > /dev/null\n"})
sample("make/keep-going", "make -k -f /srv/app/Makefile", "file.permission", "Permission denied", document="good.csv",
       files={"Makefile": "all: a b\n\na:\n\tcp $(doc) /srv/in/x\nb:\n\t@echo page b is done\n"})
PACKAGE = '{"name": "pages", "version": "1.0.0", "scripts": {"extract": "node extract.js"}}\n'
SETUP = "cp -r /srv/app/. /srv/task/; chown -R 1000 /srv/task"
NPM = {"setup": SETUP, "env": {"NO_UPDATE_NOTIFIER": "1", "npm_config_update_notifier": "false"}}
sample("npm/module", "npm run -s extract", "program.module_missing", "Error: Cannot find module 'pdfjs-dist'",
    files={"package.json": PACKAGE, "extract.js": 'require("pdfjs-dist");\n'}, **NPM)
sample("npm/run", "npm run extract", "input.missing", "Error: ENOENT: no such file or directory", document="missing.json",
       files={"package.json": PACKAGE, "extract.js": 'require("fs").readFileSync(process.env.doc);\n'}, **NPM)
sample("npm/script", "npm run convert", "program.usage", 'Missing script: "convert"', files={"package.json": PACKAGE}, **NPM)
sample("npm/json", "npm run extract", "json.broken", "JSON.parse|EJSONPARSE", files={"package.json": PACKAGE[:40]},
    also=("program.error",), **NPM)
sample("npm/registry", "npm install --fetch-retries 0 --registry http://127.0.0.1:8099 pdfjs-dist", "net.refused",
    "ECONNREFUSED|connect ECONNREFUSED", files={"package.json": PACKAGE}, **NPM)
sample("npm/404", "npm install --fetch-retries 0 --registry http://127.0.0.1:8080 pdfjs-dist", "package.not_found",
    "404 Not Found|E404", files={"package.json": PACKAGE}, services=("web",), also=("http.404",), **NPM)
sample("pip/refused", "python -m pip install --retries 0 --index-url http://127.0.0.1:8099/simple pages", "package.not_found",
    "No matching distribution found for pages|Could not find a version|Connection refused", also=("net.refused",))
SNAKE = "rule all:\n    input: 'out.txt'\n\nrule text:\n    output: 'out.txt'\n    shell: '{command}'\n"
for name, command, reason, line in (
    ("locked", "pdftotext $doc {output}", "pdf.encrypted", "Incorrect password"),
    ("killed", "kill -9 $$", "signal.killed", "Killed|died with"),
    ("silent", "exit 3", "exit.code", "exit status|exit code|Command exited"),
    ("missing-output", "true", "program.error", "MissingOutputException|Missing files after"),
    ("disk", "head -c 100000 /dev/zero > /dev/full; cat /dev/zero | head -c 10 > /dev/full", "disk.full", "No space left on device"),
):
    document = {"document": "locked.pdf"} if name == "locked" else {}
    sample(f"snakemake/{name}", "python -m snakemake -c 1 -s /srv/app/Snakefile --nocolor 2>&1", reason, line,
        files={"Snakefile": SNAKE.replace("{command}", command)}, also=("exit.code",) if name == "missing-output" else (),
        **document)
sample("snakemake/no-rule", "python -m snakemake -c 1 -s /srv/app/Snakefile --nocolor none.txt", "program.usage",
    "MissingRuleException", files={"Snakefile": SNAKE.replace("{command}", "true")})
sample("xargs/child", "echo $doc | xargs -n 1 pdftotext", "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("xargs/killed", "echo a | xargs sh -c 'kill -9 $$'", "signal.killed", "terminated by signal 9")
sample("xargs/code-255", "echo a | xargs sh -c 'echo page 3: no font >&2; exit 255'", "exit.code", "page 3: no font")
sample("sh/set-e", "set -ex; cd /srv/in; test -s $doc; pdftotext $doc /dev/null; echo all done", "pdf.encrypted",
    "Incorrect password", document="locked.pdf")
sample("sh/or-exit", "pdftotext $doc /dev/null || { echo 'extract: conversion failed, see above' >&2; exit 9; }", "pdf.encrypted",
    "Incorrect password", document="locked.pdf")
sample("sh/trap", "trap 'echo cleaning up /srv/task; echo removed 0 files >&2' EXIT; set -e; jq . $doc > /dev/null", "json.broken",
    "parse error", document="cut.json")
sample("bash/pipefail", "bash -o pipefail -c 'curl -fsS http://127.0.0.1:8080/status/503 | jq -r .id'", "http.503",
    "The requested URL returned error: 503", services=("web",))
sample("bash/pipe-tar", "bash -o pipefail -c 'curl -fsS http://127.0.0.1:8080/half | tar xz'", "net.cut", "transfer closed with",
    services=("web",), also=("archive.broken",))
sample("bash/wait", "bash -c 'pdftotext $doc - & sleep 0.3; wait $!; code=$?; echo 1 of 1 children failed >&2; exit $code'",
    "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("timeout/words", "timeout 5 pdftotext $doc -", "pdf.encrypted", "Incorrect password", document="locked.pdf",
    wrong=("timeout.command",))
sample("ssh/proxy",
    "ssh -o BatchMode=yes -o ProxyCommand='sh -c \"echo no route to the bastion >&2; exit 1\"' worker@127.0.0.1 true", "net.cut",
    "Connection closed by UNKNOWN port|kex_exchange_identification|no route to the bastion", also=("net.unreachable", "net.reset"))
script("celery/task", """
    from celery import Celery

    app = Celery("pages", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True


    @app.task(autoretry_for=(), max_retries=0)
    def extract(page):
        raise ConnectionError(f"page store did not answer for page {page}")


    extract.delay(3)
    """, "exit.code", "ConnectionError: page store did not answer", file="run.py", arguments="",
    also=("program.error", "net.refused", "net.timeout"))
script("celery/broker", """
    from celery import Celery

    app = Celery("pages", broker="redis://127.0.0.1:8099/0")
    app.conf.broker_connection_retry = False
    app.conf.broker_transport_options = {"max_retries": 0}
    app.conf.task_publish_retry = False


    @app.task
    def extract(page):
        return page


    extract.delay(3)
    """, "net.refused", "kombu.exceptions.OperationalError|redis.exceptions.ConnectionError|ConnectionRefusedError", file="run.py",
    arguments="")

# Progress bars and long lines.
script("tqdm/disk", """
    import time

    from tqdm import tqdm

    with open("/srv/out/pages.db", "wb", buffering=0) as out:
        for page in tqdm(range(400), mininterval=0):
            out.write(bytes(1000))
    """, "disk.full", "OSError: [Errno 28] No space left on device", file="index.py", arguments="",
    setup=disk("size=64k"))
script("tqdm/exit", """
    import sys

    from tqdm import tqdm

    for page in tqdm(range(400), mininterval=0):
        if page == 217:
            sys.exit("pages.db: No space left on device")
    """, "disk.full", "pages.db: No space left on device", file="index.py", arguments="")
script("python/bar", """
    import sys

    for i in range(400):
        sys.stderr.write("\\r%3d%%|%s| %d/400 [00:%02d<00:01, 41.2it/s]" % (i // 4, "#" * (i // 20), i, i % 60))
    sys.exit("pages.db: No space left on device")
    """, "disk.full", "pages.db: No space left on device", file="index.py", arguments="")
sample("curl/progress", "curl -f -# -o out http://127.0.0.1:8080/half", "net.cut", "transfer closed with", services=("web",))
sample("wget/progress", "wget -t 1 --progress=bar:force -O out http://127.0.0.1:8080/half", "net.cut", "Connection closed at byte",
    services=("web",))
sample("ffmpeg/progress", "ffmpeg -nostdin -hide_banner -y -f lavfi -i testsrc=d=20:s=320x240 -f rawvideo - > /srv/out/a",
    "disk.full", "av_interleaved_write_frame(): No space left on device|Error writing trailer",
    setup=disk("size=4m"))
sample("rsync/progress", "rsync -a --info=progress2 $doc /srv/out/", "disk.full", "No space left on device", document="good.csv",
    setup=disk("size=64k"))
sample("git/progress", "git clone --progress http://127.0.0.1:8080/status/502/pages.git", "http.502",
    "The requested URL returned error: 502", services=("web",))
script("python/long-line", """
    import sys

    sys.exit("extract: " + ", ".join(f"page {n} skipped" for n in range(4000)) + ": OSError: [Errno 28] No space left on device")
    """, "disk.full", "No space left on device", file="extract.py", arguments="")
script("python/long-value", """
    import json
    import sys

    json.loads("{" + "x" * 30_000)
    """, "json.broken", "json.decoder.JSONDecodeError", file="load.py", arguments="")
script("python/long-key", "raise KeyError('k' * 30_000)\n", "exit.code", file="load.py", arguments="", also=("program.error",))
script("python/no-line-end", "import sys\n\nsys.stderr.write('MemoryError')\nsys.exit(1)\n", "memory.refused", "MemoryError",
    file="load.py", arguments="")
script("python/colours", """
    import sys

    print("\\x1b[1m\\x1b[31merror\\x1b[0m: \\x1b[33mletter.pdf\\x1b[0m: No space left on device", file=sys.stderr)
    sys.exit(1)
    """, "disk.full", "No space left on device", file="load.py", arguments="")
script("python/advice", """
    import sys

    print("fatal: unable to open the index: Permission denied", file=sys.stderr)
    print("hint: run the command again with --repair", file=sys.stderr)
    print("hint: or see https://docs.invalid/index for more information", file=sys.stderr)
    sys.exit(1)
    """, "file.permission", "Permission denied", file="load.py", arguments="")
script("python/teardown", """
    import atexit
    import sys
    import warnings

    atexit.register(lambda: print("closing 4 connections\\nworker stopped", file=sys.stderr))
    open(sys.argv[1], encoding="utf-8").read()
    """, "text.encoding", "UnicodeDecodeError", document="latin.txt", file="load.py")
script("python/resource-warning", """
    import sys
    import warnings

    try:
        open(sys.argv[1], encoding="utf-8").read()
    except UnicodeDecodeError as error:
        print(f"extract.decode: {error}", file=sys.stderr)
        warnings.warn("2 leaked file objects to clean up at shutdown", ResourceWarning)
        sys.exit(1)
    """, "text.encoding", "extract.decode: 'utf-8' codec can't decode", document="latin.txt", file="load.py",
    run="python -W default")
script("python/retries", """
    import sys
    import time
    import urllib.error
    import urllib.request

    for attempt in range(3):
        try:
            urllib.request.urlopen("http://127.0.0.1:8080/status/429", timeout=2)
        except urllib.error.HTTPError as error:
            print(f"attempt {attempt + 1} of 3: {error}, waiting {error.headers['Retry-After']} s", file=sys.stderr)
            time.sleep(0.05)
    sys.exit("giving up after 3 attempts")
    """, "http.429", "attempt 1 of 3|attempt 3 of 3", file="fetch.py", arguments="", services=("web",))
script("python/json-log", """
    import json
    import sys
    import time

    for level, text in (("info", "opening"), ("error", "upstream said 503 Service Unavailable (HTTP 503)"), ("info", "stopped")):
        print(json.dumps({"ts": round(time.time(), 3), "level": level, "logger": "fetch", "msg": text}), file=sys.stderr)
    sys.exit(1)
    """, "http.503", '"level": "error"', file="fetch.py", arguments="")
script("python/number", "import sys\n\nsys.exit('429 pages read, 503 left out, 404 of them are blank')\n", "exit.code",
    "429 pages read", file="count.py", arguments="", wrong=("http.429", "http.503", "http.404"))
script("python/quoted", "raise KeyError('ECONNREFUSED')\n", "program.error", "KeyError: 'ECONNREFUSED'", file="count.py",
    arguments="", wrong=("net.refused",))
script("python/quoted-memory", "raise ValueError(\"no such column: 'Out of memory'\")\n", "program.error",
    "ValueError: no such column", file="count.py", arguments="", wrong=("memory.refused",), also=("exit.code", "sqlite.missing"))

# What programs say in the language of where they run.
GERMAN = {"LANG": "de_DE.UTF-8", "LANGUAGE": "de", "LOCPATH": "/srv/etc/locale"}
LOCALE = {"setup": "mkdir -p /srv/etc/locale; localedef -i de_DE -f UTF-8 /srv/etc/locale/de_DE.UTF-8 || true; chmod -R a+rX /srv/etc/locale", "env": GERMAN}
sample("cat/german", "cat $doc", "input.missing", "Datei oder Verzeichnis nicht gefunden", document="missing.txt",
    also=("exit.code",), **LOCALE)
sample("bash/german", "bash -c 'pdf2text $doc'", "program.not_found", "Kommando nicht gefunden.|command not found",
    document="good.pdf", also=("exit.code",), **LOCALE)
sample("git/german", "git log", "exit.code", "Kein Git-Repository|not a git repository", also=("program.usage",), **LOCALE)
sample("sort/german", "sort $doc > /dev/full", "disk.full", "Auf dem Gerät ist kein Speicherplatz mehr verfügbar",
    document="good.csv", also=("exit.code",), **LOCALE)
sample("tar/german", "tar xf $doc", "input.missing", "nicht gefunden|nicht geöffnet", document="missing.tar", also=("exit.code",),
    **LOCALE)
sample("psql/german", "psql -qX postgresql://mend:wrong@127.0.0.1/pages -c 'SELECT 1'", "postgres.credentials", "mend",
    services=("postgres",), **LOCALE)
sample("make/german", "make -f /srv/app/Makefile", "file.permission", "Keine Berechtigung",
    files={"Makefile": "all:\n\tcp /srv/app/Makefile /srv/in/\n"}, also=("exit.code",), **LOCALE)
script("python/german", "open('/srv/in/out.txt', 'w')\n", "file.permission", "PermissionError: [Errno 13]", file="write.py",
    arguments="", **LOCALE)

# Chains of exceptions and cascades of more than two.
CHAIN = """
    import json
    import sys


    class BadPage(Exception):
        pass


    class BadDocument(Exception):
        pass


    def parse(text):
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadPage("page 1") from error


    try:
        parse(open(sys.argv[1]).read())
    except BadPage as error:
        raise BadDocument(sys.argv[1]) {end}
    """
script("python/chain-three", CHAIN.replace("{end}", "from error"), "json.broken", "json.decoder.JSONDecodeError",
    document="cut.json", file="load.py")
script("python/chain-none", CHAIN.replace("{end}", "from None"), "exit.code", "BadDocument:", document="cut.json", file="load.py",
    also=("program.error",))
script("python/chain-finally", """
    import sys
    import urllib.request

    try:
        urllib.request.urlopen("http://127.0.0.1:8080/status/503", timeout=2)
    except OSError:
        try:
            open("/srv/none/dead-letters", "a").write(sys.argv[1])
        except OSError as error:
            raise RuntimeError("the document is lost") from error
    """, "http.503", "urllib.error.HTTPError: HTTP Error 503", document="good.txt", file="fetch.py", services=("web",),
    wrong=("file.missing",))
script("java/causes", """
    import java.nio.file.*;

    public class Job {
      static void read(String path) throws Exception {
        try { Files.readString(Path.of(path)); } catch (java.io.IOException e) { throw new IllegalStateException("page 3", e); }
      }

      public static void main(String[] a) throws Exception {
        try { read(a[0]); } catch (Exception e) { throw new RuntimeException("document not extracted", e); }
      }
    }
    """, "text.encoding", "Caused by: java.nio.charset.MalformedInputException", document="latin.txt", file="Job.java", run="java")
script("java/suppressed", """
    public class Job {
      static class Pages implements AutoCloseable {
        public void close() { throw new IllegalStateException("pages are still open"); }
      }

      public static void main(String[] a) throws Exception {
        try (var pages = new Pages()) { new java.net.Socket("127.0.0.1", 8099); }
      }
    }
    """, "net.refused", "java.net.ConnectException: Connection refused", file="Job.java", run="java", arguments="",
    wrong=("program.error",))
script("php/previous", """
    <?php
    try {
        json_decode(file_get_contents($argv[1]), flags: JSON_THROW_ON_ERROR);
    } catch (JsonException $error) {
        throw new RuntimeException("page 3 can not be read", 0, $error);
    }
    """, "json.broken", "Uncaught JsonException", document="cut.json", file="job.php", run="php")
script("perl/confess", """
    use Carp;
    sub page { open my $in, "<", $_[0] or confess "can't open $_[0]: $!"; }
    sub document { page($_[0]); }
    document($ARGV[0]);
    """, "input.missing", "No such file or directory", document="missing.txt", file="job.pl", run="perl")
script("node/aggregate", """
    const load = (n) => Promise.reject(new Error(`page ${n}: ENOSPC: no space left on device, write`));
    Promise.any([load(1), load(2)]);
    """, "disk.full", "page 1: ENOSPC: no space left on device|AggregateError", file="load.js", run="node", arguments="")
script("node/promise-chain", """
    const { readFile } = require("fs/promises");
    readFile(process.argv[2], "utf8").then(JSON.parse).catch((error) => {
      console.error(`extract failed: ${error.name}: ${error.message}`);
      console.error("see https://docs.invalid/errors for help");
      process.exitCode = 4;
    }).finally(() => console.error("connection pool closed"));
    """, "json.broken", "extract failed: SyntaxError", document="cut.json", file="load.js", run="node")
script("go/wrapped", """
    package main

    import (
    	"fmt"
    	"log"
    	"os"
    )

    func load(path string) error {
    	if _, err := os.ReadFile(path); err != nil {
    		return fmt.Errorf("page 3: %w", err)
    	}
    	return nil
    }

    func main() {
    	if err := load(os.Args[1]); err != nil {
    		log.Fatal(fmt.Errorf("extract: %w", err))
    	}
    }
    """, "input.missing", "no such file or directory", document="missing.txt", file="job.go",
    run="HOME=/tmp GOFLAGS=-mod=mod GO111MODULE=off go run")
script("ruby/ensure", """
    begin
      File.read(ARGV[0]).encode("UTF-16")
    ensure
      warn "closing the document"
    end
    """, "text.encoding", "InvalidByteSequenceError", document="latin.txt", file="job.rb", run="ruby")
sample("cmake/build", "cmake -S /srv/app -B b > /dev/null && cmake --build b", "program.module_missing",
    "fatal error: poppler/none.h: No such file or directory", files={
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(p C)\nadd_executable(p p.c)\n",
        "p.c": "#include <poppler/none.h>\nint main(void) { return 0; }\n"})
sample("bash/trap",
    "bash -c 'set -eE; trap \"echo error near line \\$LINENO: exit code \\$? >&2\" ERR; pdftotext $doc -; echo done'",
    "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("bash/retry",
    "for n in 1 2 3; do curl -fsS http://127.0.0.1:8080/status/502 -o page && break; echo \"try $n failed\" >&2; done;"
    " test -e page || { echo 'gave up' >&2; exit 1; }", "http.502", "The requested URL returned error: 502", services=("web",))
sample("bash/first-of-many",
    "for d in $doc /srv/app/a.json; do jq . $d > /dev/null || failed=1; done; echo '2 documents read' >&2; exit ${failed:-0}",
    "json.broken", "parse error", document="cut.json", files={"a.json": "{}\n"})
sample("sh/flock-tempfail", "flock -n lock sleep 5 & sleep 0.3; flock -n -E 75 lock true", "exit.tempfail")
sample("sh/nohup", "nohup nice pdftotext $doc - 2>&1", "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("sh/stderr-to-stdout", "exec 2>&1; echo starting; gzip -dc $doc > out; code=$?; echo finished with $code; exit $code",
    "archive.truncated", "unexpected end of file", document="cut.gz")
sample("sh/noise-after",
    "python -c 'import sys; sys.exit(\"page store: Connection refused\")'; code=$?; for i in $(seq 100); do echo \"INFO heartbeat $i\" >&2; done; exit $code",
    "exit.code", also=("net.refused",))
sample("sh/noise-after-some",
    "python -c 'import sys; sys.exit(\"page store: Connection refused\")'; code=$?; for i in $(seq 20); do echo \"INFO heartbeat $i\" >&2; done; exit $code",
    "net.refused", "page store: Connection refused")
