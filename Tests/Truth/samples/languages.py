"""Compilers and runtimes: what they say of themselves and of the programs that they run."""

from sample import disk, family, sample, script

family("languages")

# Python.
script("python/module", "import camelot\n", "program.module_missing", "ModuleNotFoundError: No module named 'camelot'",
    file="extract.py")
script("python/name", "from collections import OrderedDictt\n", "program.module_missing", "ImportError: cannot import name",
    file="extract.py", also=("program.error",))
script("python/syntax", "def main(:\n    pass\n", "program.error", "SyntaxError: invalid syntax", file="extract.py")
script("python/indent", "def main():\nreturn 1\n", "program.error", "IndentationError", file="extract.py")
script("python/attribute", "import sys\n\nprint(sys.argv.first())\n", "program.error",
    "AttributeError: 'list' object has no attribute 'first'", file="extract.py")
script("python/zero", "print(1 / (len('') * 2))\n", "program.error", "ZeroDivisionError", file="extract.py")
script("python/assert", "assert len('a') == 2, 'pages do not match'\n", "program.error", "AssertionError: pages do not match",
    file="extract.py")
script("python/recursion", """
    def walk(node):
        return walk(node) + 1


    walk(0)
    """, "memory.stack", "RecursionError: maximum recursion depth exceeded", file="extract.py")
script("python/missing", "import sys\n\nprint(len(open(sys.argv[1]).read()))\n", "input.missing", "FileNotFoundError",
    document="missing.txt", file="count.py")
script("python/settings", "print(open('/srv/app/settings.toml').read())\n", "file.missing", "FileNotFoundError", file="count.py")
script("python/folder", "import sys\n\nprint(len(open(sys.argv[1]).read()))\n", "file.is_directory", "IsADirectoryError",
    document="folder.txt", file="count.py")
script("python/denied", "open('/srv/in/out.txt', 'w').write('a')\n", "file.permission", "PermissionError", file="write.py")
script("python/full", "open('/srv/out/out.txt', 'w').write('a' * 100_000)\n", "disk.full",
    "OSError: [Errno 28] No space left on device", file="write.py",
    setup=disk("size=16k"))
script("python/read-only", "open('/srv/out/out.txt', 'w').write('a')\n", "disk.read_only",
    "OSError: [Errno 30] Read-only file system", file="write.py", setup=disk("ro"))
script("python/inodes", """
    for number in range(100):
        open(f"/srv/out/{number}", "w").close()
    """, "disk.full", "OSError: [Errno 28] No space left on device", file="write.py",
    setup=disk("nr_inodes=20"))
script("python/shared-memory", """
    from multiprocessing import shared_memory

    block = shared_memory.SharedMemory(create=True, size=1 << 20)
    block.buf[:] = bytes(1 << 20)
    """, "exit.signal", "Bus error", file="share.py", setup="mount -t tmpfs -o size=64k,mode=1777 tmpfs /dev/shm",
    also=("shared_memory.full",))
script("python/port", """
    import socket

    first = socket.create_server(("127.0.0.1", 8077))
    second = socket.create_server(("127.0.0.1", 8077))
    """, "net.address_in_use", "OSError: [Errno 98] Address already in use", file="serve.py")
script("python/chain", """
    import json
    import sys


    class BadDocument(Exception):
        pass


    def load(path):
        try:
            return json.loads(open(path).read())
        except ValueError as error:
            raise BadDocument(f"can't load {path}") from error


    load(sys.argv[1])
    """, "json.broken", "json.decoder.JSONDecodeError", document="cut.json", file="load.py")
script("python/handling", """
    import sys

    try:
        open(sys.argv[1]).read().encode("ascii")
    finally:
        open("/srv/none/cleanup.log", "a")
    """, "text.encoding", "UnicodeDecodeError", document="latin.txt", file="load.py", wrong=("file.missing",))
script("python/group", """
    import asyncio


    async def page(number):
        raise ValueError(f"page {number} has no text")


    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(page(number))


    asyncio.run(main())
    """, "program.error", "ValueError: page 0 has no text|ValueError: page 1 has no text|ExceptionGroup:", file="load.py")
script("python/thread", """
    import os
    import threading


    def work():
        raise KeyError("pages")


    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    os._exit(3)
    """, "program.error", "KeyError: 'pages'", file="load.py")
script("python/log", """
    import logging
    import sys

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log = logging.getLogger("extract")
    log.info("opening %s", sys.argv[1])
    try:
        open(sys.argv[1], encoding="utf-8").read()
    except UnicodeDecodeError:
        log.exception("giving up on %s", sys.argv[1])
        log.info("0 of 1 pages done")
        log.info("closing the pool")
        sys.exit(2)
    """, "text.encoding", "UnicodeDecodeError: 'utf-8'", document="latin.txt", file="extract.py")
script("python/message", "import sys\n\nsys.exit('extract: page 7 has no text layer')\n", "exit.code",
    "extract: page 7 has no text layer", file="extract.py")
script("python/silent", "import sys\n\nsys.exit(3)\n", "exit.code", file="extract.py")
script("python/tempfail",
    "import os\nimport sys\n\nprint('the queue is full, try later', file=sys.stderr)\nsys.exit(os.EX_TEMPFAIL)\n", "exit.tempfail",
    "the queue is full", file="extract.py")
script("python/segfault", "import ctypes\n\nctypes.string_at(0)\n", "signal.segfault", "Segmentation fault", file="extract.py")
script("python/faulthandler", "import ctypes\n\nctypes.string_at(0)\n", "signal.segfault",
    "Fatal Python error: Segmentation fault|Segmentation fault", file="extract.py", run="python -X faulthandler")
script("python/abort", "import os\n\nos.abort()\n", "signal.abort", "Aborted", file="extract.py")
script("python/warnings", """
    import warnings

    print(int("twelve pages"))
    """, "program.error", "ValueError: invalid literal for int()", file="extract.py", run="python -X dev")

# Node.
script("node/missing", 'require("fs").readFileSync(process.argv[2]);\n', "input.missing",
    "Error: ENOENT: no such file or directory", document="missing.json", file="load.js", run="node")
script("node/stream", 'require("fs").createReadStream("/srv/none/in.json").on("data", () => 0);\n', "file.missing",
    "Error: ENOENT: no such file or directory", file="load.js", run="node")
script("node/module", 'const pdf = require("pdfjs-dist");\n', "program.module_missing", "Error: Cannot find module 'pdfjs-dist'",
    file="load.js", run="node")
script("node/json", 'JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"));\n', "json.broken", "SyntaxError: ",
    document="cut.json", file="load.js", run="node")
script("node/null", 'const page = JSON.parse(require("fs").readFileSync(process.argv[2])).pages;\nconsole.log(page.length);\n',
    "program.error", "TypeError: Cannot read properties of null", document="null.json", file="load.js", run="node")
script("node/heap", "const all = [];\nfor (;;) all.push(new Array(10000).fill(Math.random()));\n", "memory.runtime_heap",
    "JavaScript heap out of memory", file="load.js", run="node --max-old-space-size=30")
script("node/stack", "function walk(node) { return walk(node) + 1; }\nwalk(0);\n", "memory.stack",
    "RangeError: Maximum call stack size exceeded", file="load.js", run="node")
script("node/refused", 'require("http").get("http://127.0.0.1:8099/");\n', "net.refused", "Error: connect ECONNREFUSED",
    file="load.js", run="node")
script("node/dns", 'require("http").get("http://files.invalid/");\n', "net.dns", "Error: getaddrinfo EAI_AGAIN", file="load.js",
    run="node")
script("node/reset", 'require("http").get("http://127.0.0.1:8080/reset");\n', "net.reset",
    "Error: socket hang up|Error: read ECONNRESET", file="load.js", run="node", services=("web",))
script("node/fetch", 'fetch("http://127.0.0.1:8099/").then((answer) => answer.json());\n', "net.refused",
    "Error: connect ECONNREFUSED", file="load.js", run="node")
script("node/rejection", 'Promise.reject(new Error("page 3: font not embedded"));\n', "program.error",
    "Error: page 3: font not embedded", file="load.js", run="node", also=("exit.code",))
script("node/string", 'Promise.reject("out of pages");\n', "program.error",
    "This error originated either by throwing|ERR_UNHANDLED_REJECTION", file="load.js", run="node")
script("node/syntax", "const a = ;\n", "program.error", "SyntaxError: Unexpected token", file="load.js", run="node")
script("node/denied", 'require("fs").writeFileSync("/srv/in/a", "a");\n', "file.permission", "Error: EACCES: permission denied",
    file="load.js", run="node")
script("node/disk", 'require("fs").writeFileSync("/srv/out/a", "a".repeat(100000));\n', "disk.full",
    "Error: ENOSPC: no space left on device", file="load.js", run="node",
    setup=disk("size=16k"))
script("node/cause", """
    const { readFileSync } = require("fs");
    function load(path) {
      try {
        return JSON.parse(readFileSync(path, "utf8"));
      } catch (error) {
        throw new Error(`can't load ${path}`, { cause: error });
      }
    }
    load(process.argv[2]);
    """, "json.broken", "[cause]: SyntaxError", document="cut.json", file="load.js", run="node")
script("node/assert", 'require("assert").strictEqual(1, 2);\n', "program.error", "AssertionError [ERR_ASSERTION]", file="load.js",
    run="node")

# Java.
JAVA = "java -XX:+UseSerialGC -Xmx48m -Xshare:auto"


def java(id, body, reason, line="", run=JAVA, imports="", **more):
    text = f"import java.nio.file.*;\n{imports}\npublic class Job {{\n  public static void main(String[] a) throws Exception {{\n    {body}\n  }}\n}}\n"
    script(f"java/{id}", text, reason, line, file="Job.java", run=run, **more)


java("missing", "System.out.println(Files.readString(Path.of(a[0])));", "input.missing", "java.nio.file.NoSuchFileException",
    document="missing.txt")
java("heap", "var all = new java.util.ArrayList<byte[]>(); while (true) all.add(new byte[1000000]);", "memory.runtime_heap",
    "java.lang.OutOfMemoryError: Java heap space")
java("null", "String s = null; System.out.println(s.length());", "program.error", "java.lang.NullPointerException")
java("bounds", "System.out.println(a[7]);", "program.error", "java.lang.ArrayIndexOutOfBoundsException")
java("stack", "walk(0); } static int walk(int n) { return walk(n) + 1;", "exit.code", also=("memory.stack",))
java("encoding", "System.out.println(Files.readString(Path.of(a[0])));", "text.encoding",
    "java.nio.charset.MalformedInputException", document="latin.txt")
java("refused", 'new java.net.Socket("127.0.0.1", 8099);', "net.refused", "java.net.ConnectException: Connection refused")
java("dns", 'new java.net.Socket("files.invalid", 80);', "net.dns", "java.net.UnknownHostException")
java("timeout", 'var s = new java.net.Socket("127.0.0.1", 8072); s.setSoTimeout(300); s.getInputStream().read();', "net.timeout",
    "java.net.SocketTimeoutException: Read timed out", services=("silent",))
java("http", 'new java.net.URL("http://127.0.0.1:8080/status/503").openStream();', "http.503",
    "Server returned HTTP response code: 503", services=("web",))
java("zip", "new java.util.zip.ZipFile(a[0]);", "archive.broken", "java.util.zip.ZipException", document="noise.zip")
java("gzip", "new java.util.zip.GZIPInputStream(Files.newInputStream(Path.of(a[0]))).readAllBytes();", "archive.truncated",
    "java.io.EOFException: Unexpected end of ZLIB input stream", document="cut.gz")
java("xml", "javax.xml.parsers.DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(a[0]);", "xml.broken",
    "org.xml.sax.SAXParseException|[Fatal Error]", document="tags.xml")
java("denied", 'Files.writeString(Path.of("/srv/in/a"), "a");', "file.permission", "java.nio.file.AccessDeniedException")
java("cause",
    'try { Files.readString(Path.of(a[0])); } catch (Exception e) { throw new RuntimeException("page 3 can not be read", e); }',
    "text.encoding", "Caused by: java.nio.charset.MalformedInputException", document="latin.txt")
java("disk", 'Files.write(Path.of("/srv/out/a"), new byte[100000]);', "disk.full", "java.io.IOException: No space left on device",
    setup=disk("size=16k"))
java("class", 'Class.forName("org.apache.pdfbox.Loader");', "program.module_missing", "java.lang.ClassNotFoundException")
java("thread",
    'var t = new Thread(() -> { throw new IllegalStateException("worker 2 has no pages"); }); t.start(); t.join(); System.exit(1);',
    "program.error", "java.lang.IllegalStateException: worker 2 has no pages", also=("exit.code",))
java("compile", "int pages = a;", "program.error", "error: incompatible types")
sample("java/jar", "java -jar /srv/app/none.jar", "file.missing", "Unable to access jarfile")
sample("java/main", "java -cp /srv/app org.pages.Main", "program.module_missing",
    "Could not find or load main class|ClassNotFoundException")
sample("java/reserve", "ulimit -v 4000000; exec java -Xms3g -Xmx3g -XX:+UseSerialGC -version", "memory.refused",
    "Could not reserve enough space|Could not allocate compressed class space")
sample("java/option", "java -Xmx12q -version", "program.usage", "Invalid maximum heap size")
sample("javac/missing", "javac /srv/app/Job.java", "program.error", "error: package org.apache.pdfbox does not exist",
    files={"Job.java": "import org.apache.pdfbox.Loader;\n\nclass Job {}\n"}, also=("program.module_missing",))

# C and C++.
def c(id, body, reason, line="", flags="", run="./job", **more):
    text = f"#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n#include <signal.h>\n\nint main(int count, char **words) {{\n  {body}\n}}\n"
    sample(f"gcc/{id}", f"gcc -g {flags} -o job /srv/app/job.c && {run}", reason, line, files={"job.c": text}, **more)


c("syntax", "int pages = ;", "program.error", "error: expected expression")
c("link", "extern int pages(void); return pages();", "program.error", "undefined reference to `pages'|ld returned 1 exit status")
c("header", "return 0; }\n#include <poppler/none.h>\nint f(void) {", "program.module_missing",
    "fatal error: poppler/none.h: No such file or directory")
c("library", "return 0;", "program.library_missing", "cannot find -lnone", flags="-lnone", also=("program.error",))
c("segfault", "return *(volatile int *)8;", "signal.segfault", "Segmentation fault")
c("segfault-exec", "return *(volatile int *)8;", "signal.segfault", run="exec ./job")
c("free", "char *a = malloc(9); free(a); free(a); return 0;", "signal.abort", "double free detected", flags="-w", run="exec ./job")
c("smash", "char a[4]; strcpy(a, words[0]); strcat(a, words[0]); return a[0];", "signal.abort",
    "stack smashing detected|buffer overflow detected", flags="-w -fstack-protector-all", run="exec ./job")
c("assert",
    '}\n#include <assert.h>\nvoid f(void) { assert(!"page has a parent"); }\n__attribute__((constructor)) void g(void) { f();',
    "signal.abort", "Assertion `!", run="exec ./job", also=("program.error",))
c("divide", "volatile int a = 0; return count / a;", "exit.signal", run="exec ./job")
c("illegal", "__builtin_trap();", "exit.signal", run="exec ./job")
c("asan", "char *a = malloc(9); return a[9];", "program.error",
    "ERROR: AddressSanitizer: heap-buffer-overflow|SUMMARY: AddressSanitizer", flags="-w -fsanitize=address")
sample("gcc/no-input", "gcc -o job /srv/app/none.c", "file.missing", "No such file or directory|fatal error: no input files")
sample("g++/throw", "g++ -o job /srv/app/job.cc && exec ./job", "program.error",
    "what():  page 7 is missing|terminate called after throwing", also=("signal.abort", "exit.signal"),
    files={"job.cc": '#include <stdexcept>\n\nint main() { throw std::runtime_error("page 7 is missing"); }\n'})
sample("g++/bad-alloc", "g++ -o job /srv/app/job.cc && ulimit -v 200000 && exec ./job", "memory.refused", "std::bad_alloc",
    also=("signal.abort",),
    files={"job.cc": "#include <vector>\n\nint main() { std::vector<char> all(1000000000); return all[7]; }\n"})
sample("cmake/no-lists", "cmake /srv/app", "program.usage", "does not appear to contain CMakeLists.txt", also=("file.missing",))
sample("cmake/package", "cmake /srv/app", "program.module_missing",
    'Could not find a package configuration file|CMake Error at|By not providing "FindPoppler',
    files={"CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(p NONE)\nfind_package(Poppler REQUIRED)\n"})

# The others.
script("ruby/missing", "puts File.read(ARGV[0]).size\n", "input.missing", "No such file or directory", document="missing.txt",
    file="job.rb", run="ruby")
script("ruby/nil", "puts nil.size\n", "program.error", "undefined method `size' for nil", file="job.rb", run="ruby")
script("ruby/module", "require 'hexapdf'\n", "program.module_missing", "cannot load such file -- hexapdf", file="job.rb",
    run="ruby")
script("ruby/encoding", "puts File.read(ARGV[0]).split(/m/).size\n", "text.encoding", "invalid byte sequence in UTF-8",
    document="latin.txt", file="job.rb", run="ruby")
script("ruby/json", "require 'json'\nJSON.parse(File.read(ARGV[0]))\n", "json.broken", "JSON::ParserError", document="cut.json",
    file="job.rb", run="ruby")
script("ruby/refused", "require 'net/http'\nNet::HTTP.get(URI('http://127.0.0.1:8099/'))\n", "net.refused", "Connection refused",
    file="job.rb", run="ruby")
script("ruby/cause", "begin\n  Integer('twelve')\nrescue => e\n  raise 'page 3 has no number'\nend\n", "program.error",
    "invalid value for Integer|page 3 has no number", file="job.rb", run="ruby")
script("ruby/stack", "def walk(n) = walk(n) + 1\nwalk(0)\n", "memory.stack", "stack level too deep", file="job.rb", run="ruby")
script("perl/missing", 'open my $in, "<", $ARGV[0] or die "can\'t open $ARGV[0]: $!";\n', "input.missing",
    "No such file or directory", document="missing.txt", file="job.pl", run="perl")
script("perl/module", "use PDF::Reader;\n", "program.module_missing", "Can't locate PDF/Reader.pm in @INC", file="job.pl",
    run="perl")
script("perl/memory", '$a = "x" x 1_000_000_000;\n', "memory.refused", "Out of memory", file="job.pl", run="ulimit -v 200000; perl")
script("perl/syntax", "my $a = ;\n", "program.error", "syntax error at", file="job.pl", run="perl")
script("perl/undefined", 'my $page; $page->text();\n', "program.error", 'Can\'t call method "text" on an undefined value',
    file="job.pl", run="perl")
script("php/missing", "<?php\n$text = file_get_contents($argv[1]);\nif ($text === false) exit(1);\n", "input.missing",
    "Failed to open stream: No such file or directory", document="missing.txt", file="job.php", run="php")
script("php/memory", "<?php\n$a = str_repeat('x', 100000000);\n", "memory.runtime_heap", "Allowed memory size of", file="job.php",
    run="php -d memory_limit=16M")
script("php/function", "<?php\n$a = imagecreate(1, 1);\n", "program.module_missing", "Call to undefined function imagecreate()",
    file="job.php", run="php", also=("program.error",))
script("php/time", "<?php\nset_time_limit(1);\nwhile (true) { $a = sqrt(2); }\n", "limit.cpu_time",
    "Maximum execution time of 1 second exceeded", file="job.php", run="php")
script("php/exception", "<?php\nthrow new RuntimeException('page 3: no text');\n", "program.error",
    "Uncaught RuntimeException: page 3: no text", also=("exit.code",), file="job.php", run="php")
script("php/json", "<?php\njson_decode(file_get_contents($argv[1]), flags: JSON_THROW_ON_ERROR);\n", "json.broken", "JsonException",
    document="cut.json", file="job.php", run="php")
script("lua/nil", "local page = nil\nprint(page.text)\n", "program.error", "attempt to index a nil value", file="job.lua",
    run="lua5.4")
script("lua/module", "require('lpdf')\n", "program.module_missing", "module 'lpdf' not found", file="job.lua", run="lua5.4")
script("awk/syntax", "", "program.error", "missing } near end of file", file="job.awk", run="awk '{ print $1 ' ",
    arguments="/srv/app/job.awk")
script("sh/syntax", "if true; then\n", "program.error", "Syntax error: end of file unexpected", file="job.sh", run="sh")
script("sh/unset", "set -u\necho $PAGES\n", "program.error", "PAGES: parameter not set", file="job.sh", run="sh")
script("bash/syntax", "if true; then\n", "program.error", "syntax error: unexpected end of file", file="job.sh", run="bash")
script("bash/unset", "set -u\necho $PAGES\n", "program.error", "PAGES: unbound variable", file="job.sh", run="bash")
GO = {"run": "HOME=/tmp GOFLAGS=-mod=mod GO111MODULE=off go run", "file": "job.go"}


def go(id, body, reason, line="", imports="", **more):
    names = "".join(f'import "{name}"\n' for name in imports.split())
    script(f"go/{id}", f"package main\n\n{names}\nfunc main() {{\n\t{body}\n}}\n", reason, line, **{**GO, **more})


go("nil", "var pages *[3]int\n\tprintln(pages[1])", "program.error",
    "panic: runtime error: invalid memory address or nil pointer dereference|[signal SIGSEGV")
go("index", "pages := []int{}\n\tprintln(pages[len(os.Args)])", "program.error", "panic: runtime error: index out of range",
    imports="os")
go("error", 'if _, err := os.Open(os.Args[1]); err != nil {\n\t\tlog.Fatalf("load: %v", err)\n\t}', "input.missing",
    "no such file or directory", imports="os log", document="missing.txt")
go("deadlock", "<-make(chan int)", "program.error", "fatal error: all goroutines are asleep - deadlock!")
go("refused", 'if _, err := http.Get("http://127.0.0.1:8099/"); err != nil {\n\t\tpanic(err)\n\t}', "net.refused",
    "connect: connection refused", imports="net/http")
go("deadline",
    'c := http.Client{Timeout: 300000000}\n\tif _, err := c.Get("http://127.0.0.1:8080/stall"); err != nil {\n\t\tlog.Fatal(err)\n\t}',
    "net.timeout", "context deadline exceeded", imports="net/http log", services=("web",))
go("json",
    'var page map[string]any\n\tdata, _ := os.ReadFile(os.Args[1])\n\tif err := json.Unmarshal(data, &page); err != nil {\n\t\tlog.Fatal(err)\n\t}',
    "json.broken", "invalid character|unexpected end of JSON input|cannot unmarshal", imports="os log encoding/json",
    document="cut.json")
go("compile", "pages := 3", "program.error", "declared but not used|declared and not used")
go("custom", 'panic("page 3 has no parent")', "program.error", "panic: page 3 has no parent", also=("exit.code",))
