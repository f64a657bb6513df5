"""Other tools that batches call: copies, queues, queries, signatures, schedulers, and other runtimes' traces."""

from sample import disk, family, sample, script

family("tools")

SMALL = disk("size=16k")
URL = "http://127.0.0.1:8080"
sample("ocrmypdf/locked", "ocrmypdf $doc out.pdf", "pdf.encrypted", "EncryptedPdfError|is encrypted|Input PDF is encrypted",
    document="locked.pdf")
sample("ocrmypdf/noise", "ocrmypdf $doc out.pdf", "pdf.broken",
    "Input file is not a PDF|cannot identify image file|UnsupportedImageFormatError", also=("image.broken", "input.unsupported"),
    document="noise.pdf")
sample("ocrmypdf/text", "ocrmypdf $doc out.pdf", "pdf.has_text", "PriorOcrFoundError|page already has text", document="good.pdf")
sample("ocrmypdf/language", "ocrmypdf -l fin $doc out.pdf", "program.data_missing", "language data|fin", document="good.pdf")
sample("pdfplumber/locked", "python /srv/app/job.py $doc", "pdf.encrypted", "PDFPasswordIncorrect|PdfminerException",
    document="locked.pdf",
    files={"job.py": "import sys\n\nimport pdfplumber\n\nwith pdfplumber.open(sys.argv[1]) as pdf:\n    print(len(pdf.pages))\n"})
script("duckdb/csv",
    "import sys\n\nimport duckdb\n\nprint(duckdb.sql(f\"SELECT sum(amount::INT) FROM '{sys.argv[1]}'\").fetchall())\n",
    "data.shape", "Conversion Error", document="words.csv", file="sum.py", also=("csv.broken", "program.error"))
script("duckdb/parquet", "import sys\n\nimport duckdb\n\nprint(duckdb.sql(f\"SELECT count(*) FROM '{sys.argv[1]}'\").fetchall())\n",
    "parquet.broken", "InvalidInputException|Invalid Input Error", document="noise.parquet", file="sum.py")
script("duckdb/missing", "import sys\n\nimport duckdb\n\nprint(duckdb.sql(f\"SELECT count(*) FROM '{sys.argv[1]}'\").fetchall())\n",
    "input.missing", "IO Error: No files found", document="missing.parquet", file="sum.py")
script("duckdb/memory",
    "import duckdb\n\nlink = duckdb.connect()\nlink.sql(\"SET memory_limit='20MB'; SET max_temp_directory_size='0KB'\")\nprint(link.sql('SELECT range, count(*) FROM range(30000000) GROUP BY range ORDER BY 2').fetchall())\n",
    "memory.tool_limit", "Out of Memory Error", file="sum.py", arguments="", also=("memory.refused",))
script("duckdb/lock",
    "import subprocess\nimport sys\nimport time\n\nimport duckdb\n\nchild = subprocess.Popen([sys.executable, '-c', \"import duckdb, time; a = duckdb.connect('a.db'); time.sleep(5)\"])\ntime.sleep(1.5)\nduckdb.connect('a.db')\n",
    "lock.held", "Could not set lock on file", file="sum.py", arguments="")
script("h5py/noise", "import sys\n\nimport h5py\n\nprint(list(h5py.File(sys.argv[1])))\n", "data.broken", "OSError: Unable to",
    document="noise.bin", name="scan-7001.h5", file="list.py")
script("pika/refused",
    "import pika\n\npika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', 8099, connection_attempts=1))\n", "net.refused",
    "pika.exceptions.AMQPConnectionError", also=("net.timeout", "net.cut", "exit.code"), file="take.py", arguments="")
script("paramiko/refused",
    "import paramiko\n\nclient = paramiko.SSHClient()\nclient.connect('127.0.0.1', 8099, username='worker')\n", "net.refused",
    "NoValidConnectionsError", file="put.py", arguments="")
script("python/smtp", "import smtplib\n\nsmtplib.SMTP('127.0.0.1', 8099)\n", "net.refused", "ConnectionRefusedError",
    file="send.py", arguments="")
script("python/ftp", "import ftplib\n\nftplib.FTP('127.0.0.1', timeout=1)\n", "net.refused", "ConnectionRefusedError",
    file="send.py", arguments="")
sample("ssh/denied", "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -p 2222 worker@127.0.0.1 true",
    "ssh.denied", "Permission denied", services=("shell",))
sample("ssh/host-key", "ssh -o BatchMode=yes -p 2222 worker@127.0.0.1 true", "ssh.host_key", "Host key verification failed",
    services=("shell",))
sample("ssh/host-changed",
    "mkdir -m 700 ~/.ssh; echo \"[127.0.0.1]:2222 $(cat /srv/etc/other.pub)\" > ~/.ssh/known_hosts; ssh -o BatchMode=yes -p 2222 worker@127.0.0.1 true",
    "ssh.host_key", "REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed",
    setup="ssh-keygen -q -t rsa -N '' -f /srv/etc/other; chmod a+r /srv/etc/other.pub", services=("shell",))
sample("scp/denied", "scp -B -o StrictHostKeyChecking=no -o LogLevel=ERROR -P 2222 $doc worker@127.0.0.1:/srv/", "ssh.denied",
    "Permission denied", document="good.pdf", services=("shell",))
sample("rsync/ssh",
    "rsync -a -e 'ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -p 2222' $doc worker@127.0.0.1:/srv/",
    "ssh.denied", "Permission denied", document="good.pdf", services=("shell",))
sample("git/ssh",
    "GIT_SSH_COMMAND='ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR -p 2222' git clone -q ssh://worker@127.0.0.1/pages.git",
    "ssh.denied", "Permission denied", services=("shell",))
RCLONE = "RCLONE_CONFIG=/dev/null rclone --retries 1 --low-level-retries 1 --s3-provider Other --s3-endpoint http://127.0.0.1:8080 --s3-access-key-id AKIDNONE --s3-secret-access-key none"
for bucket, reason, line in (("locked", "s3.access_denied", "AccessDenied"), ("expired", "s3.expired_token", "ExpiredToken"), ("nowhere", "s3.missing_bucket", "NoSuchBucket|directory not found"), ("hurried", "s3.slow_down", "SlowDown")):
    sample(f"rclone/{bucket}", f"{RCLONE} ls :s3:{bucket}/scans", reason, line, services=("web",))
S3CMD = "s3cmd --no-ssl --host=127.0.0.1:8080 --host-bucket=127.0.0.1:8080 --access_key=AKIDNONE --secret_key=none"
sample("s3cmd/locked", f"{S3CMD} get s3://locked/scans/1.pdf", "http.403", "S3 error: 403", also=("s3.access_denied",),
    services=("web",))
sample("s3cmd/key", f"{S3CMD} ls s3://stranger/", "s3.invalid_key", "InvalidAccessKeyId", services=("web",))
sample("aria2c/404", f"aria2c --console-log-level=error -t 2 -m 1 {URL}/status/404", "http.404",
    "Resource not found|errorCode=3|404", services=("web",))
sample("aria2c/503", f"aria2c --console-log-level=error -t 2 -m 1 {URL}/status/503", "http.503", "status=503", services=("web",))
sample("aria2c/refused", "aria2c --console-log-level=error -t 2 -m 1 http://127.0.0.1:8099/a", "net.refused",
    "Connection refused|errorCode=1", also=("net.timeout",))
sample("lftp/refused", "lftp -c 'set net:max-retries 1; set net:timeout 1; open -p 8099 ftp://127.0.0.1; ls'", "net.refused",
    "Connection refused|max-retries exceeded")
sample("gpg/no-key", "gpg --batch --no-tty -d /srv/in/a.gpg", "gpg.no_key", "No secret key|decryption failed",
    setup="export GNUPGHOME=/srv/etc/g; mkdir -m 700 $GNUPGHOME; gpg --batch -q --passphrase '' --quick-gen-key pages; echo text | gpg --batch -q -e -r pages --trust-model always -o /srv/in/a.gpg; gpgconf --kill all; chmod a+r /srv/in/a.gpg")
sample("gpg/passphrase", "gpg --batch --no-tty --pinentry-mode loopback --passphrase wrong -d /srv/in/a.gpg", "gpg.passphrase",
    "decryption failed: Bad session key|Bad session key",
    setup="export GNUPGHOME=/srv/etc/g; mkdir -m 700 $GNUPGHOME; echo text | gpg --batch -q --pinentry-mode loopback --passphrase right -c -o /srv/in/a.gpg; gpgconf --kill all; chmod a+r /srv/in/a.gpg")
sample("gpg/noise", "gpg --batch --no-tty -d $doc", "input.unsupported", "no valid OpenPGP data found", document="noise.bin")
sample("gpg/signature", "cp /srv/etc/g/pubring.kbx ~/ 2> /dev/null; gpg --batch --no-tty --verify /srv/in/a.sig /srv/in/a.txt",
    "gpg.no_key", "No public key|Can't check signature",
    setup="export GNUPGHOME=/srv/etc/g; mkdir -m 700 $GNUPGHOME; gpg --batch -q --passphrase '' --quick-gen-key pages; echo text > /srv/in/a.txt; gpg --batch -q -b -o /srv/in/a.sig /srv/in/a.txt; gpgconf --kill all; chmod a+r /srv/in/*")
sample("openssl/key", "openssl rsa -in /srv/etc/k.pem -passin pass:wrong -noout", "credentials.passphrase",
    "Could not read|bad decrypt|maybe wrong password",
    setup="openssl genrsa -aes128 -passout pass:right -out /srv/etc/k.pem 2048; chmod a+r /srv/etc/k.pem")
sample("openssl/decrypt", "openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:wrong -in /srv/in/a.enc -out out",
    "credentials.passphrase", "bad decrypt",
    setup="head -c 4096 /dev/zero | openssl enc -aes-256-cbc -pbkdf2 -pass pass:right -out /srv/in/a.enc")
sample("openssl/verify", "openssl verify /srv/etc/localhost.pem", "tls.untrusted", "verification failed|self-signed certificate",
    services=("secure",))
sample("docker/daemon", "/usr/local/bin/docker run --rm pages:1 extract", "service.daemon_down",
    "Cannot connect to the Docker daemon|failed to connect to the docker API",
    also=("net.refused", "program.error", "file.missing"))
sample("srun/controller", "srun -N 1 extract", "program.settings_missing",
    "Could not establish a configuration source|fatal:|error:", also=("service.daemon_down", "net.dns", "exit.code"))
sample("cpio/noise", "cpio -idm < $doc", "archive.broken",
    "malformed number|premature end of file|not a cpio archive|premature end of archive", document="noise.bin")
sample("patch/reject", "printf 'a\\nb\\n' > a; printf -- '--- a\\n+++ a\\n@@ -1,2 +1,2 @@\\n x\\n-y\\n+z\\n' | patch a",
    "exit.code", "FAILED at|hunk FAILED")
sample("grep/nothing", "grep -q twelve $doc", "exit.code", document="good.txt")
sample("grep/folder", "grep words $doc", "file.is_directory", "Is a directory", document="folder.txt")
sample("find/denied", "find /srv/secret -name a", "file.permission", "Permission denied", setup="mkdir -m 700 /srv/secret")
sample("sed/program", "sed 's/a/b' $doc", "program.usage", "unterminated `s' command", document="good.txt")
sample("zbarimg/noise", "zbarimg -q --raw $doc", "image.broken", "improper image header", document="noise.png")
sample("zbarimg/none", "zbarimg -q --raw $doc", "exit.code", document="good.png")
sample("pdfsig/none", "pdfsig $doc", "pdf.no_signature", "does not contain any signatures", document="good.pdf",
    also=("exit.code",))
sample("pdfdetach/missing", "pdfdetach -save 3 -o a $doc", "program.usage", "Invalid file number|file number", document="good.pdf",
    also=("exit.code",))
sample("weasyprint/missing", "python -m weasyprint /srv/in/none.html out.pdf", "file.missing",
    "No such file or directory|FileNotFoundError|urlopen error")



def swift(id, body, reason, line, **more):
    sample(f"swift/{id}", "exec ./job $doc", reason, line, files={"job.swift": f"import Foundation\n\n{body}\n"},
        setup="swiftc -Onone -g -o /srv/task/job /srv/app/job.swift; chmod a+rx /srv/task/job", **more)


swift("index", "let pages: [Int] = []\nprint(pages[CommandLine.arguments.count])", "program.error", "Fatal error: Index out of range",
    also=("exit.signal",))
swift("nil", 'let page: String? = ProcessInfo.processInfo.environment["PAGE"]\nprint(page!)', "program.error",
    "Fatal error: Unexpectedly found nil while unwrapping", also=("exit.signal",))
swift("error", "print(try String(contentsOfFile: CommandLine.arguments[1], encoding: .utf8))", "input.missing",
    "Fatal error: Error raised at top level", document="missing.txt", also=("program.error", "exit.signal"))
swift("json",
    "print(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1]))))",
    "json.broken", "Fatal error: Error raised at top level", document="cut.json", also=("program.error", "exit.signal"))


def rust(id, body, reason, line, **more):
    sample(f"rustc/{id}", "exec ./job $doc", reason, line, files={"job.rs": f"fn main() {{\n    {body}\n}}\n"},
        setup="rustc -A warnings -o /srv/task/job /srv/app/job.rs", **more)


READ = "let text = std::fs::read_to_string(std::env::args().nth(1).unwrap())"
PRINT = 'println!("{}", text.len());'
rust("unwrap", f"{READ}.unwrap();\n    {PRINT}", "input.missing", "No such file or directory|called `Result::unwrap()`",
    document="missing.txt")
rust("index", 'let pages: Vec<i32> = Vec::new();\n    println!("{}", pages[std::env::args().count()]);', "program.error",
    "index out of bounds|panicked at")
rust("utf8", f'{READ}.expect("page text");\n    {PRINT}', "text.encoding", "stream did not contain valid UTF-8|page text",
    document="latin.txt")
rust("overflow", 'fn walk(n: u64) -> u64 { if n == 0 { 1 } else { walk(n + 1) + 1 } }\n    println!("{}", walk(1));', "memory.stack",
    "has overflowed its stack", also=("exit.signal", "signal.abort"))


def mono(id, body, reason, line, run="", **more):
    text = f"using System;\nusing System.IO;\n\nclass Job {{ static void Main(string[] a) {{\n  {body}\n}} }}\n"
    sample(f"mono/{id}", f"{run}exec mono job.exe $doc", reason, line, files={"job.cs": text},
        setup="mcs -out:/srv/task/job.exe /srv/app/job.cs", **more)


mono("missing", "Console.WriteLine(File.ReadAllText(a[0]).Length);", "input.missing",
    "System.IO.FileNotFoundException: Could not find file|FATAL UNHANDLED", document="missing.txt")
mono("null", "string s = null; Console.WriteLine(s.Length);", "program.error", "System.NullReferenceException|FATAL UNHANDLED")
mono("inner",
    'try { int.Parse("twelve"); } catch (Exception e) { throw new InvalidOperationException("page 3 has no number", e); }',
    "program.error", "System.FormatException: Input string was not in a correct format|page 3 has no number")
mono("memory", "var all = new System.Collections.Generic.List<byte[]>(); while (true) all.Add(new byte[50000000]);", "memory.refused",
    "System.OutOfMemoryException|FATAL UNHANDLED", run="ulimit -v 900000; ")

script("Rscript/missing", "read.csv(commandArgs(TRUE)[1])\n", "input.missing",
    "No such file or directory|cannot open the connection", document="missing.csv", file="job.R", run="Rscript")
script("Rscript/package", "library(pdftools)\n", "program.module_missing", "there is no package called", file="job.R",
    run="Rscript", arguments="")
script("Rscript/stop", "stop('page 3 has no text')\n", "exit.code", "page 3 has no text", file="job.R", run="Rscript", arguments="",
    also=("program.error",))
script("Rscript/memory", "x <- numeric(2e9)\n", "memory.refused", "cannot allocate vector of size", file="job.R",
    run="ulimit -v 2000000; exec Rscript", arguments="")
script("tclsh/missing", "set in [open [lindex $argv 0]]\n", "input.missing", "couldn't open", document="missing.txt",
    file="job.tcl", run="tclsh")
