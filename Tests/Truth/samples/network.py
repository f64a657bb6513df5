"""Clients against services that refuse, throttle, stall, cut, or are not there."""

from sample import disk, family, sample, script

family("network")

WEB = {"services": ("web",)}
URL = "http://127.0.0.1:8080"
STATUS = {
    400: "http.400", 401: "http.401", 403: "http.403", 404: "http.404", 408: "http.408", 409: "http.409", 413: "http.413",
    415: "http.415", 429: "http.429", 500: "http.500", 502: "http.502", 503: "http.503", 504: "http.504",
}

for status, reason in STATUS.items():
    sample(f"curl/{status}", f"curl -fsS -o page.html {URL}/status/{status}", reason, f"The requested URL returned error: {status}",
        **WEB)
sample("curl/refused", "curl -fsS http://127.0.0.1:8099/", "net.refused",
    "Connection refused|Couldn't connect to server|Failed to connect")
sample("curl/dns", "curl -fsS http://files.invalid/a.pdf", "net.dns", "Could not resolve host")
sample("curl/stall", f"curl -fsS -m 1 {URL}/stall", "net.timeout", "Operation timed out", **WEB)
sample("curl/slow", f"curl -fsS -m 2 {URL}/slow -o out", "net.timeout", "Operation timed out", **WEB)
sample("curl/deaf", "curl -fsS --connect-timeout 1 http://127.0.0.1:8070/", "net.timeout", "Timeout was reached",
    services=("deaf",))
sample("curl/half", f"curl -fsS {URL}/half -o out", "net.cut", "transfer closed with", **WEB)
sample("curl/chunks", f"curl -fsS {URL}/chunks -o out", "net.cut", "curl: (18)", **WEB)
sample("curl/close", f"curl -fsS {URL}/close", "net.cut", "Empty reply from server", **WEB)
sample("curl/reset", f"curl -fsS {URL}/reset", "net.reset", "Connection reset by peer", **WEB)
sample("curl/garbage", f"curl -fsS {URL}/garbage", "net.protocol", "HTTP/0.9", **WEB)
sample("curl/loop", f"curl -fsSL {URL}/loop", "http.redirects", "Maximum (50) redirects followed", **WEB)
sample("curl/certificate", "curl -fsS https://localhost:8443/good", "tls.untrusted", "SSL certificate problem",
    services=("secure",))
sample("curl/host-name", "curl -fsS --cacert /srv/etc/other.pem https://localhost:8444/good", "tls.hostname",
    "no alternative certificate subject name matches", services=("secure",))
sample("curl/expired", "curl -fsS --cacert /srv/etc/old.pem https://localhost:8445/good", "tls.expired", "certificate has expired",
    services=("expired",))
sample("curl/plain", "curl -fsS https://127.0.0.1:8080/good", "tls.handshake", "curl: (35)", **WEB)
sample("curl/full-disk", f"curl -fsS {URL}/half -o /srv/out/a", "exit.code", "Failure writing output to destination",
    also=("disk.full",), services=("web",),
    setup="mkdir /srv/out; mount -t tmpfs -o size=4k,mode=777 tmpfs /srv/out; cp /bin/true /srv/out/x || true")
sample("curl/protocol", "curl -fsS ftps2://127.0.0.1/a", "program.usage", "not supported")
sample("curl/bar", f"curl -f -o page.html {URL}/status/503", "http.503", "The requested URL returned error: 503", **WEB)
sample("curl/silent", f"curl -fs -o page.html {URL}/status/404", "exit.code", **WEB)

for status in (401, 403, 404, 429, 500, 503):
    sample(f"wget/{status}", f"wget -nv -t 1 -O page.html {URL}/status/{status}", STATUS[status],
        f"ERROR {status}|Authentication Failed", **WEB)
sample("wget/refused", "wget -t 1 -O page.html http://127.0.0.1:8099/", "net.refused", "Connection refused")
sample("wget/dns", "wget -t 1 -O page.html http://files.invalid/a.pdf", "net.dns", "unable to resolve host address")
sample("wget/stall", f"wget -t 1 -T 1 -O page.html {URL}/stall", "net.timeout", "Read error (Connection timed out)", **WEB)
sample("wget/half", f"wget -t 1 -O page.html {URL}/half", "net.cut", "Connection closed at byte", **WEB)
sample("wget/certificate", "wget -t 1 -O page.html https://localhost:8443/good", "tls.untrusted",
    "is not trusted|doesn't have a known issuer", services=("secure",))
sample("wget/full-disk", f"wget -t 1 -O /srv/out/a {URL}/half", "disk.full", "No space left on device", services=("web",),
       setup=disk("size=4k"))

GET = """
    import sys

    import requests

    answer = requests.get(sys.argv[1], timeout=1)
    answer.raise_for_status()
    print(answer.json()["id"])
    """


# What stands between the two ends of a chain of exceptions tells as much.
CHAIN = "".join(f"|urllib3.exceptions.{name}:" for name in ("MaxRetryError", "ProtocolError", "NewConnectionError", "SSLError", "NameResolutionError", "ReadTimeoutError")) + "|http.client.IncompleteRead:"


def requests(id, path, reason, line, **more):
    script(f"requests/{id}", GET, reason, line + CHAIN, file="fetch.py", arguments=path if "//" in path else URL + path,
        **{**WEB, **more})


for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504):
    requests(status, f"/status/{status}", STATUS[status], f"HTTPError: {status}")
requests("refused", "http://127.0.0.1:8099/", "net.refused",
    "requests.exceptions.ConnectionError|ConnectionRefusedError|NewConnectionError")
requests("dns", "http://files.invalid/a", "net.dns", "requests.exceptions.ConnectionError|socket.gaierror|NameResolutionError")
requests("stall", "/stall", "net.timeout", "requests.exceptions.ReadTimeout|TimeoutError: timed out|ReadTimeoutError")
requests("half", "/half", "net.cut", "requests.exceptions.ChunkedEncodingError|IncompleteRead")
requests("chunks", "/chunks", "net.cut", "requests.exceptions.ChunkedEncodingError|IncompleteRead")
requests("close", "/close", "net.cut", "requests.exceptions.ConnectionError|RemoteDisconnected")
requests("reset", "/reset", "net.reset", "requests.exceptions.ConnectionError|ConnectionResetError|ProtocolError")
requests("page", "/page", "json.broken", "requests.exceptions.JSONDecodeError|json.decoder.JSONDecodeError",
    also=("http.not_json",))
requests("loop", "/loop", "http.redirects", "TooManyRedirects")
requests("certificate", "https://localhost:8443/good", "tls.untrusted", "requests.exceptions.SSLError|ssl.SSLCertVerificationError",
    services=("secure",))
requests("scheme", "ftp://127.0.0.1/a", "program.usage", "InvalidSchema", also=("program.error",))

HTTPX = """
    import sys

    import httpx

    answer = httpx.get(sys.argv[1], timeout=1)
    answer.raise_for_status()
    """
for status in (401, 404, 429, 502):
    script(f"httpx/{status}", HTTPX, STATUS[status], "httpx.HTTPStatusError: ", file="fetch.py",
        arguments=f"{URL}/status/{status}", **WEB)
script("httpx/refused", HTTPX, "net.refused", "httpx.ConnectError|httpcore.ConnectError|ConnectionRefusedError", file="fetch.py",
    arguments="http://127.0.0.1:8099/")
script("httpx/stall", HTTPX, "net.timeout", "httpx.ReadTimeout|httpcore.ReadTimeout|TimeoutError", file="fetch.py",
    arguments=URL + "/stall", **WEB)
script("httpx/close", HTTPX, "net.cut", "httpx.RemoteProtocolError|httpcore.RemoteProtocolError", file="fetch.py",
    arguments=URL + "/close", **WEB)
script("httpx/half", HTTPX, "net.cut", "httpx.RemoteProtocolError|httpcore.RemoteProtocolError|h11._util.RemoteProtocolError",
    file="fetch.py", arguments=URL + "/half", **WEB)
URLLIB = """
    import sys
    from urllib.request import urlopen

    print(len(urlopen(sys.argv[1], timeout=1).read()))
    """
script("python/urllib-503", URLLIB, "http.503", "urllib.error.HTTPError: HTTP Error 503", file="fetch.py",
    arguments=URL + "/status/503", **WEB)
script("python/urllib-refused", URLLIB, "net.refused", "urllib.error.URLError|ConnectionRefusedError", file="fetch.py",
    arguments="http://127.0.0.1:8099/")
script("python/urllib-half", URLLIB, "net.cut", "http.client.IncompleteRead", file="fetch.py", arguments=URL + "/half", **WEB)
script("python/urllib-stall", URLLIB, "net.timeout", "TimeoutError: timed out", file="fetch.py", arguments=URL + "/stall", **WEB)
AIOHTTP = """
    import asyncio
    import sys

    import aiohttp


    async def main():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            async with session.get(sys.argv[1]) as answer:
                answer.raise_for_status()
                print(len(await answer.read()))


    asyncio.run(main())
    """
script("aiohttp/429", AIOHTTP, "http.429", "aiohttp.client_exceptions.ClientResponseError: 429", file="fetch.py",
    arguments=URL + "/status/429", **WEB)
script("aiohttp/refused", AIOHTTP, "net.refused", "aiohttp.client_exceptions.ClientConnectorError|ConnectionRefusedError",
    file="fetch.py", arguments="http://127.0.0.1:8099/")
script("aiohttp/stall", AIOHTTP, "net.timeout", "TimeoutError|asyncio.exceptions.CancelledError", file="fetch.py",
    arguments=URL + "/stall", **WEB)
script("aiohttp/close", AIOHTTP, "net.cut", "aiohttp.client_exceptions.ServerDisconnectedError", file="fetch.py",
    arguments=URL + "/close", **WEB)

MODEL = """
    import sys

    import openai

    client = openai.OpenAI(base_url=f"http://127.0.0.1:8080/{sys.argv[1]}/v1", api_key="none", max_retries=0, timeout=2)
    answer = client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Sum up."}])
    print(answer.choices[0].message.content)
    """
for name, reason, line in (
    ("throttled", "http.429", "openai.RateLimitError"), ("quota", "quota.exhausted", "openai.RateLimitError"),
    ("key", "http.401", "openai.AuthenticationError"), ("long", "model.too_long", "openai.BadRequestError"),
    ("missing", "model.missing", "openai.NotFoundError"), ("error", "http.500", "openai.InternalServerError"),
    ("busy", "http.503", "openai.InternalServerError"), ("stall", "net.timeout", "openai.APITimeoutError|httpx2.ReadTimeout|httpcore2.ReadTimeout|TimeoutError: timed out"),
    ("close", "net.cut", "openai.APIConnectionError|httpx2.RemoteProtocolError|httpcore2.RemoteProtocolError"),
):
    script(f"openai/{name}", MODEL, reason, line, file="ask.py", arguments=name, **WEB)
CLAIM = """
    import sys

    import anthropic

    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:8080/{sys.argv[1]}", api_key="none", max_retries=0, timeout=2)
    print(client.messages.create(model="small", max_tokens=64, messages=[{"role": "user", "content": "Sum up."}]).content)
    """
script("anthropic/overloaded", CLAIM, "http.529", "OverloadedError", file="ask.py", arguments="overloaded", **WEB)
script("anthropic/throttled", CLAIM, "http.429", "anthropic.RateLimitError", file="ask.py", arguments="throttled", **WEB)
script("anthropic/key", CLAIM, "http.401", "anthropic.AuthenticationError", file="ask.py", arguments="key", **WEB)

S3 = """
    import sys

    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1}, connect_timeout=1, read_timeout=1, s3={"addressing_style": "path"})
    keys = {} if len(sys.argv) > 2 else {"aws_access_key_id": "AKIDNONE", "aws_secret_access_key": "none"}
    s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:8080", region_name="us-east-1", config=config, **keys)
    print(s3.get_object(Bucket=sys.argv[1], Key="scans/0001.pdf")["ContentLength"])
    """
for name, reason, line in (
    ("locked", "s3.access_denied", "(AccessDenied)"), ("expired", "s3.expired_token", "(ExpiredToken)"),
    ("stranger", "s3.invalid_key", "(InvalidAccessKeyId)"), ("forged", "s3.invalid_key", "(SignatureDoesNotMatch)"),
    ("skewed", "s3.clock", "(RequestTimeTooSkewed)"), ("hurried", "s3.slow_down", "(SlowDown)"),
    ("broken", "http.500", "(InternalError)"), ("nowhere", "s3.missing_bucket", "NoSuchBucket"),
    ("archive", "s3.missing_object", "NoSuchKey"), ("frozen", "s3.archived_object", "InvalidObjectState"),
    ("stall", "net.timeout", "botocore.exceptions.ReadTimeoutError|urllib3.exceptions.ReadTimeoutError|TimeoutError: timed out"), ("close", "net.cut", "botocore.exceptions.ConnectionClosedError|RemoteDisconnected:|urllib3.exceptions.ProtocolError"),
):
    script(f"boto3/{name}", S3, reason, line, file="get.py", arguments=name, **WEB)
script("boto3/no-keys", S3, "s3.no_credentials", "NoCredentialsError", file="get.py", arguments="archive none",
    env={"AWS_EC2_METADATA_DISABLED": "true"}, **WEB)
script("boto3/refused", S3.replace("8080", "8099"), "net.refused",
    "EndpointConnectionError|ConnectionRefusedError|NewConnectionError:", file="get.py", arguments="archive")
script("boto3/head", S3.replace("get_object", "head_object"), "http.403", "An error occurred (403)", file="get.py",
    arguments="locked", **WEB)
script("minio/locked", """
    import sys

    from minio import Minio

    client = Minio("127.0.0.1:8080", access_key="AKIDNONE", secret_key="none", secure=False, region="us-east-1")
    client.fget_object(sys.argv[1], "scans/0001.pdf", "a.pdf")
    """, "s3.access_denied", "AccessDenied", file="get.py", arguments="locked", **WEB)
script("gcs/refused", """
    import os

    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": "http://127.0.0.1:8080/status/403"})
    print(client.bucket("scans").blob("0001.pdf").download_as_bytes(retry=None))
    """, "http.403", "google.api_core.exceptions.Forbidden|exceptions.InvalidResponse:", file="get.py", arguments="", **WEB)
script("gcs/no-login", """
    from google.cloud import storage

    print(storage.Client(project="p").bucket("scans").blob("0001.pdf").download_as_bytes())
    """, "credentials.missing", "DefaultCredentialsError", file="get.py", arguments="", env={"NO_GCE_CHECK": "true"})
script("azure/missing", """
    from azure.storage.blob import BlobClient

    client = BlobClient("http://127.0.0.1:8080/status/404", "scans", "0001.pdf", retry_total=0)
    print(client.download_blob().readall())
    """, "http.404", "ResourceNotFoundError", file="get.py", arguments="", **WEB)
script("elasticsearch/429", """
    from elasticsearch import Elasticsearch

    print(Elasticsearch("http://127.0.0.1:8080/status/429", max_retries=0, retry_on_status=()).search(index="pages"))
    """, "http.429", "elasticsearch.ApiError: ApiError(429", file="find.py", arguments="", **WEB)
script("pymongo/refused", """
    from pymongo import MongoClient

    client = MongoClient("mongodb://127.0.0.1:8099", serverSelectionTimeoutMS=500)
    print(client.pages.page.find_one())
    """, "net.refused", "ServerSelectionTimeoutError", file="find.py", arguments="")
script("pymysql/refused", """
    import pymysql

    print(pymysql.connect(host="127.0.0.1", port=8099, user="mend", password="right"))
    """, "net.refused", "pymysql.err.OperationalError|ConnectionRefusedError", file="find.py", arguments="")
GRPC = """
    import sys

    import grpc

    channel = grpc.insecure_channel(sys.argv[1])
    channel.unary_unary("/pages.v1.Pages/Get")(b"", timeout=2)
    """
script("grpcio/refused", GRPC, "net.refused", "status = StatusCode.UNAVAILABLE|details =|debug_error_string|_InactiveRpcError:",
    file="call.py", arguments="127.0.0.1:8099", also=("grpc.unavailable",))
script("grpcio/deadline", GRPC, "net.timeout", "StatusCode.DEADLINE_EXCEEDED|details =|debug_error_string|_InactiveRpcError:",
    file="call.py", arguments="127.0.0.1:8072", services=("silent",))

sample("git/missing", "git clone -q /srv/none/pages.git", "git.missing", "does not exist")
sample("git/refused", "git clone -q http://127.0.0.1:8099/pages.git", "net.refused", "Failed to connect|Couldn't connect")
sample("git/403", f"git clone -q {URL}/status/403/pages.git", "http.403", "The requested URL returned error: 403", **WEB)
sample("git/404", f"git clone -q {URL}/none/pages.git", "http.404", "not found", also=("git.missing",), **WEB)
sample("git/password", f"git clone -q {URL}/status/401/pages.git", "http.401", "could not read Username", **WEB)
sample("git/dns", "git clone -q https://files.invalid/pages.git", "net.dns", "Could not resolve host")
sample("git/lock", "git init -q; touch .git/index.lock; echo a > a; git add a", "lock.held", "index.lock': File exists")
sample("git/no-repository", "git log", "program.usage", "not a git repository")
sample("git/owner", "git -C /srv/repo log", "file.permission", "detected dubious ownership", setup="git init -q /srv/repo")
sample("git/push",
    "git init -q --bare b; git clone -q b a; cd a; git config user.name w; git config user.email w@localhost; date > x; git add x; git commit -qm x; git push -q; git clone -q ../b ../c; cd ../c; git config user.name w; git config user.email w@localhost; date > y; git add y; git commit -qm y; git push -q; cd ../a; date > z; git add z; git commit -qm z; git push",
    "git.conflict", "[rejected]")
sample("git/merge",
    "git init -q; git config user.name w; git config user.email w@localhost; echo 1 > a; git add a; git commit -qm 1; git checkout -qb x; echo 2 > a; git commit -qam 2; git checkout -q -; echo 3 > a; git commit -qam 3; git merge x",
    "git.conflict", "CONFLICT (content)")
sample("git/full-disk", "git clone -q /srv/repo /srv/out/repo", "disk.full", "No space left on device",
    setup="git init -q /srv/repo; cd /srv/repo; head -c 3000000 /dev/urandom > a; git config user.name w; git config user.email w@localhost; git add a; git commit -qm a; chown -R 1000 /srv/repo; mkdir /srv/out; mount -t tmpfs -o size=600k,mode=777 tmpfs /srv/out")
sample("ssh/refused", "ssh -o BatchMode=yes -p 8099 worker@127.0.0.1 true", "net.refused", "Connection refused")
sample("ssh/closed", "ssh -o BatchMode=yes -p 8071 worker@127.0.0.1 true", "net.reset",
    "kex_exchange_identification|Connection reset by 127|Connection closed by 127", services=("closing",), also=("net.cut",))
sample("ssh/dns", "ssh -o BatchMode=yes worker@files.invalid true", "net.dns", "Could not resolve hostname")
sample("ssh/stall", "ssh -o BatchMode=yes -o ConnectTimeout=1 -p 8072 worker@127.0.0.1 true", "net.timeout", "Connection timed out",
    services=("silent",))
sample("scp/refused", "scp -B -P 8099 $doc worker@127.0.0.1:/srv/", "net.refused", "Connection refused", document="good.pdf")
sample("rsync/missing", "rsync -a /srv/in/none/ out/", "input.missing", "change_dir", also=("file.missing",))
sample("rsync/refused", "rsync -a rsync://127.0.0.1:8099/pages/ out/", "net.refused", "Connection refused")
sample("rsync/full-disk", "rsync -a $doc /srv/out/", "disk.full", "No space left on device", document="good.csv",
       setup=disk("size=16k"))
sample("rsync/read-only", "rsync -a $doc /srv/out/", "disk.read_only", "Read-only file system", document="good.csv",
       setup=disk("ro"))
sample("rsync/denied", "rsync -a /srv/secret/ out/", "file.permission", "Permission denied",
    setup="mkdir -m 700 /srv/secret; touch /srv/secret/a")
sample("rsync/vanished",
    "mkdir d; for i in 1 2 3; do head -c 20M /dev/zero > d/$i; done; (sleep 0.5; rm d/3) & rsync -a --bwlimit=20m d/ out/",
    "file.changed", "file has vanished")
sample("redis-cli/refused", "redis-cli -p 8099 GET page", "net.refused", "Connection refused")
sample("psql/refused", "psql -h 127.0.0.1 -p 8099 -U mend pages -c 'SELECT 1'", "net.refused",
    "Connection refused|connection to server at")
sample("openssl/refused", "openssl s_client -connect 127.0.0.1:8099 -brief", "net.refused", "connect:errno=111|Connection refused")

# A name that does not exist, where a name server says so.
NAMES = {"services": ("names",)}
sample("curl/no-name", "curl -fsS http://files.invalid/a.pdf", "net.dns", "Could not resolve host", **NAMES)
sample("wget/no-name", "wget -t 1 -O page.html http://files.invalid/a.pdf", "net.dns",
    "unable to resolve host address|Name or service not known", **NAMES)
sample("ssh/no-name", "ssh -o BatchMode=yes worker@files.invalid true", "net.dns", "Could not resolve hostname", **NAMES)
sample("node/no-name", "exec node -e 'require(\"http\").get(\"http://files.invalid/\")'", "net.dns", "Error: getaddrinfo ENOTFOUND",
    **NAMES)
sample("psql/no-name", "psql -h db.invalid -U mend pages -c 'SELECT 1'", "net.dns", "could not translate host name", **NAMES)
sample("redis-cli/no-name", "redis-cli -h db.invalid GET page", "net.dns", "Name or service not known", **NAMES)
sample("git/no-name", "git clone -q https://files.invalid/pages.git", "net.dns", "Could not resolve host", **NAMES)
sample("rsync/no-name", "rsync -a rsync://files.invalid/pages/ out/", "net.dns", "Name or service not known|getaddrinfo", **NAMES)
script("python/no-name", URLLIB, "net.dns", "urllib.error.URLError|socket.gaierror", file="fetch.py",
    arguments="http://files.invalid/", **NAMES)
script("java/no-name", """
    public class Job {
      public static void main(String[] a) throws Exception {
        new java.net.URL("http://files.invalid/").openStream();
      }
    }
    """, "net.dns", "java.net.UnknownHostException", file="Job.java", run="java", arguments="", **NAMES)

# Addresses that no packet reaches.
NO_ROUTE = {"setup": "ip route add table local unreachable 127.9.0.1"}
NO_NET = {"setup": "ip route add table local throw 127.9.0.1"}
sample("curl/no-route", "curl -fsS http://127.9.0.1:8080/", "net.refused", "Failed to connect",
    also=("net.unreachable",), **NO_ROUTE)
sample("wget/no-route", "wget -t 1 -O page.html http://127.9.0.1:8080/", "net.unreachable", "No route to host", **NO_ROUTE)
sample("ssh/no-route", "ssh -o BatchMode=yes worker@127.9.0.1 true", "net.unreachable", "No route to host", **NO_ROUTE)
sample("psql/no-route", "psql -h 127.9.0.1 -U mend pages -c 'SELECT 1'", "net.unreachable", "No route to host", **NO_ROUTE)
script("python/no-network", URLLIB, "net.unreachable", "urllib.error.URLError|OSError: [Errno 101] Network is unreachable",
    file="fetch.py", arguments="http://127.9.0.1:8080/", **NO_NET)
sample("ssh/no-network", "ssh -o BatchMode=yes worker@127.9.0.1 true", "net.unreachable", "Network is unreachable", **NO_NET)
sample("node/no-network", "exec node -e 'require(\"http\").get(\"http://127.9.0.1:8080/\")'", "net.unreachable",
    "Error: connect ENETUNREACH", **NO_NET)
sample("redis-cli/no-route", "redis-cli -h 127.9.0.1 GET page", "net.unreachable", "No route to host", **NO_ROUTE)
