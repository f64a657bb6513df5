"""PostgreSQL, SQLite and Redis: wrong passwords, full pools, locks, deadlocks, constraints."""

from sample import disk, family, sample, script

family("databases")

PG = {"services": ("postgres",)}
RIGHT = "postgresql://mend:right@127.0.0.1/pages"
PSQL = f"psql -qX -v ON_ERROR_STOP=1 {RIGHT}"
# Four open sessions: all that are left to those who are no superusers.
FULL = {"setup": "for i in 1 2 3 4; do psql -qXc 'SELECT pg_sleep(100)' " + RIGHT + " & done; sleep 1", **PG}

sample("psql/password", "psql -qX postgresql://mend:wrong@127.0.0.1/pages -c 'SELECT 1'", "postgres.credentials",
    "password authentication failed", **PG)
sample("psql/no-password", "psql -qX -w postgresql://mend@127.0.0.1/pages -c 'SELECT 1'", "postgres.credentials",
    "no password supplied", **PG)
sample("psql/role", "psql -qX postgresql://nobody:right@127.0.0.1/pages -c 'SELECT 1'", "postgres.credentials",
    "password authentication failed", **PG)
sample("psql/database", "psql -qX postgresql://mend:right@127.0.0.1/sheets -c 'SELECT 1'", "postgres.missing",
    'database "sheets" does not exist', **PG)
sample("psql/full", f"{PSQL} -c 'SELECT 1'", "postgres.no_connections", "remaining connection slots are reserved|too many clients",
    **FULL)
sample("psql/table", f"{PSQL} -c 'SELECT * FROM sheet'", "postgres.missing", 'relation "sheet" does not exist', **PG)
sample("psql/denied", "psql -qX postgresql://guest:right@127.0.0.1/pages -c 'SELECT * FROM page'", "postgres.denied",
    "permission denied for table page", **PG)
sample("psql/syntax", f"{PSQL} -c 'SELEC 1'", "program.error", "syntax error at or near", **PG)
sample("psql/duplicate", f"{PSQL} -c \"INSERT INTO page VALUES (1, 'x', 1)\"", "postgres.constraint",
    "duplicate key value violates unique constraint", **PG)
sample("psql/null", f"{PSQL} -c 'INSERT INTO page VALUES (9, NULL, 1)'", "postgres.constraint", "violates not-null constraint",
    **PG)
sample("psql/check", f"{PSQL} -c \"INSERT INTO page VALUES (9, 'x', -1)\"", "postgres.constraint", "violates check constraint",
    **PG)
sample("psql/value", f"{PSQL} -c \"INSERT INTO page VALUES ('nine', 'x', 1)\"", "postgres.bad_value",
    "invalid input syntax for type integer", **PG)
sample("psql/encoding", f"{PSQL} -c \"COPY page (id, text) FROM STDIN CSV\" < $doc", "text.encoding",
    "invalid byte sequence for encoding", document="latin.csv", setup="sed -i 1d $doc", **PG)
sample("psql/timeout", f"{PSQL} -c \"SET statement_timeout = 100\" -c 'SELECT pg_sleep(5)'", "postgres.statement_timeout",
    "canceling statement due to statement timeout", **PG)
sample("psql/lock", f"{PSQL} -c 'SET lock_timeout = 100' -c 'UPDATE page SET size = 3'", "postgres.lock_timeout",
    "canceling statement due to lock timeout", setup=f"{PSQL} -c 'BEGIN; LOCK page; SELECT pg_sleep(30)' & sleep 0.5", **PG)
sample("psql/nowait", f"{PSQL} -c 'SELECT * FROM page FOR UPDATE NOWAIT'", "postgres.lock_timeout", "could not obtain lock on row",
       setup=f"{PSQL} -c 'BEGIN; UPDATE page SET size = 3; SELECT pg_sleep(30)' & sleep 0.5", **PG)
sample("psql/read-only", f"{PSQL} -c 'SET default_transaction_read_only = on' -c 'UPDATE page SET size = 3'", "postgres.read_only",
    "read-only transaction", **PG)
sample("psql/ended", f"{PSQL} -c 'SELECT pg_sleep(20)'", "postgres.shutdown",
    "terminating connection due to administrator command|server closed the connection unexpectedly",
    setup="(sleep 1; psql -qX -h /srv/pg -U postgres -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(20)%' AND usename = 'mend'\") & :",
    **PG)
sample("psql/missing-file", "psql -qX -f /srv/app/none.sql " + RIGHT, "file.missing", "No such file or directory", **PG)
sample("initdb/folder", "/usr/lib/postgresql/15/bin/initdb -D /srv/none/data", "file.permission",
    "could not create directory|Permission denied")

AS = "setpriv --reuid=postgres --regid=postgres --clear-groups --"
CTL = f"{AS} /usr/lib/postgresql/15/bin/pg_ctl -D /srv/pg/data -s"
sample("psql/stopping", f"{PSQL} -c 'SELECT 1'", "postgres.shutdown", "the database system is shutting down",
    setup=f"psql -qXc 'SELECT pg_sleep(100)' {RIGHT} & sleep 0.5; {CTL} -m smart -W stop; sleep 0.5", **PG)
sample("psql/starting", f"{PSQL} -c 'SELECT 1'", "postgres.starting",
    "the database system is not accepting connections|the database system is starting up",
    setup=f"{CTL} -m fast stop; {AS} touch /srv/pg/data/standby.signal; {CTL} -W -l /srv/pg/log -o '-c hot_standby=off"
    " -c unix_socket_directories=/srv/pg -c listen_addresses=127.0.0.1' start; sleep 2", **PG)
sample("psql/stopped", f"{PSQL} -c 'SELECT 1'", "net.refused", "Connection refused", setup=f"{CTL} -m fast stop", **PG)
sample("psql/full-disk",
    f"{PSQL} -c \"CREATE TABLE big TABLESPACE small AS SELECT repeat('x', 500) FROM generate_series(1, 9000)\"", "disk.full",
    "No space left on device", setup=f"{disk('size=1m')}; chown postgres /srv/out; psql -qXh /srv/pg -U postgres"
    " -c \"CREATE TABLESPACE small LOCATION '/srv/out'\" -c 'GRANT CREATE ON TABLESPACE small TO mend'", **PG)
sample("psql/memory", f"{PSQL} -c \"SELECT length(repeat('x', 1500000000))\"", "program.error",
    "requested length too large|invalid memory alloc request size", also=("input.too_large", "postgres.bad_value"), **PG)
sample("psql/crashed", f"{PSQL} -c 'SELECT pg_sleep(20)'", "postgres.shutdown",
    "terminating connection because of crash of another server process|server closed the connection unexpectedly",
    setup="(sleep 1; kill -9 $(psql -qXAth /srv/pg -U postgres -c \"SELECT pid FROM pg_stat_activity WHERE query LIKE"
    " '%sleep(20)%' AND usename = 'mend'\")) & :", also=("net.cut",), **PG)

PYTHON = """
    import psycopg

    with psycopg.connect("postgresql://mend:right@127.0.0.1/pages") as connection:
        connection.execute({statement!r})
    """


def statement(id, text, reason, line, **more):
    script(f"psycopg/{id}", PYTHON.replace("{statement!r}", repr(text)), reason, line, file="store.py", arguments="",
        **{**PG, **more})


statement("full", "SELECT 1", "postgres.no_connections", "psycopg.OperationalError", **FULL)
statement("duplicate", "INSERT INTO page VALUES (1, 'x', 1)", "postgres.constraint", "psycopg.errors.UniqueViolation")
statement("table", "SELECT * FROM sheet", "postgres.missing", "psycopg.errors.UndefinedTable")
statement("nul", "INSERT INTO page VALUES (9, E'a\\000b', 1)", "postgres.bad_value",
    "psycopg.errors.CharacterNotInRepertoire|invalid byte sequence", also=("text.encoding",))
statement("too-big", "INSERT INTO page VALUES (9999999999, 'x', 1)", "postgres.bad_value", "psycopg.errors.NumericValueOutOfRange")
statement("timeout", "SET statement_timeout = 100; SELECT pg_sleep(3)", "postgres.statement_timeout",
    "psycopg.errors.QueryCanceled")
statement("lock", "SET lock_timeout = 100; UPDATE page SET size = 3", "postgres.lock_timeout", "psycopg.errors.LockNotAvailable",
          setup=f"{PSQL} -c 'BEGIN; LOCK page; SELECT pg_sleep(30)' & sleep 0.5")
script("psycopg/password", PYTHON.replace("right", "wrong").replace("{statement!r}", "'SELECT 1'"), "postgres.credentials",
    "password authentication failed", file="store.py", arguments="", **PG)
script("psycopg/refused", PYTHON.replace("127.0.0.1/", "127.0.0.1:8099/").replace("{statement!r}", "'SELECT 1'"), "net.refused",
    "psycopg.OperationalError", file="store.py", arguments="")
script("psycopg/deadlock", """
    import threading
    import time

    import psycopg

    LINK = "postgresql://mend:right@127.0.0.1/pages"


    def other():
        try:
            with psycopg.connect(LINK) as connection:
                connection.execute("UPDATE page SET size = 2 WHERE id = 2")
                time.sleep(0.5)
                connection.execute("SET lock_timeout = '5s'; UPDATE page SET size = 2 WHERE id = 1")
                time.sleep(2)
        except psycopg.Error:
            pass


    with psycopg.connect(LINK) as connection:
        connection.execute("UPDATE page SET size = 1 WHERE id = 1")
        threading.Thread(target=other).start()
        time.sleep(1)
        connection.execute("UPDATE page SET size = 1 WHERE id = 2")
    """, "postgres.deadlock", "psycopg.errors.DeadlockDetected", file="store.py", arguments="", **PG)
script("psycopg/serialization", """
    import psycopg

    LINK = "postgresql://mend:right@127.0.0.1/pages"
    with psycopg.connect(LINK) as first, psycopg.connect(LINK) as second:
        first.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        first.execute("SELECT sum(size) FROM page").fetchall()
        second.execute("UPDATE page SET size = size + 1 WHERE id = 1")
        second.commit()
        first.execute("UPDATE page SET size = size + 1 WHERE id = 1")
    """, "postgres.serialization", "psycopg.errors.SerializationFailure", file="store.py", arguments="", **PG)
script("psycopg/ended", """
    import psycopg

    LINK = "postgresql://mend:right@127.0.0.1/pages"
    with psycopg.connect(LINK) as first, psycopg.connect(LINK) as second:
        second.execute("SELECT pg_terminate_backend(%s)", [first.info.backend_pid])
        first.execute("SELECT 1")
    """, "postgres.shutdown", "psycopg.errors.AdminShutdown", file="store.py", arguments="", **PG)
script("psycopg/socket", """
    import psycopg

    psycopg.connect("host=/srv/pg dbname=pages user=mend password=right")
    """, "net.refused", "psycopg.OperationalError", file="store.py", arguments="", also=("file.missing",))
SQLALCHEMY = """
    import sqlalchemy as sa

    engine = sa.create_engine("postgresql+psycopg://mend:right@127.0.0.1/pages", pool_size=1, max_overflow=0, pool_timeout=1)
    with engine.connect() as connection:
        {act}
    """
script("sqlalchemy/duplicate", SQLALCHEMY.replace("{act}", 'connection.execute(sa.text("INSERT INTO page VALUES (1, \'x\', 1)"))'),
    "postgres.constraint", "sqlalchemy.exc.IntegrityError|psycopg.errors.UniqueViolation", file="store.py", arguments="", **PG)
script("sqlalchemy/pool", SQLALCHEMY.replace("{act}", "engine.connect()"), "sql.pool_empty", "sqlalchemy.exc.TimeoutError",
    file="store.py", arguments="", **PG)
script("sqlalchemy/lock",
    SQLALCHEMY.replace("{act}", 'connection.execute(sa.text("SET lock_timeout = 100; UPDATE page SET size = 3"))'),
    "postgres.lock_timeout", "sqlalchemy.exc.OperationalError|psycopg.errors.LockNotAvailable",
    setup=f"{PSQL} -c 'BEGIN; LOCK page; SELECT pg_sleep(30)' & sleep 0.5", file="store.py", arguments="", **PG)
script("sqlalchemy/column", SQLALCHEMY.replace("{act}", 'connection.execute(sa.text("SELECT title FROM page"))'),
    "postgres.missing", "sqlalchemy.exc.ProgrammingError|psycopg.errors.UndefinedColumn", file="store.py", arguments="", **PG)

sample("sqlite3/noise", "sqlite3 $doc .tables", "sqlite.broken", "file is not a database", document="noise.db")
sample("sqlite3/cut", "sqlite3 -bail $doc 'SELECT count(*), sum(length(text)) FROM page'", "sqlite.broken",
    "database disk image is malformed", document="cut.db")
sample("sqlite3/flipped", "sqlite3 -bail $doc 'SELECT sum(length(text)) FROM page'", "sqlite.broken", "malformed",
    document="flipped.db")
sample("sqlite3/table", "sqlite3 -bail $doc 'SELECT * FROM sheet'", "program.error", "no such table: sheet", document="good.db",
    also=("sqlite.missing",))
sample("sqlite3/unique", "cp $doc a.db; chmod u+w a.db; sqlite3 -bail a.db \"INSERT INTO page VALUES (1, 'x')\"",
    "sqlite.constraint", "UNIQUE constraint failed", document="good.db")
sample("sqlite3/read-only", "sqlite3 -bail $doc \"INSERT INTO page VALUES (9999, 'x')\"", "sqlite.read_only",
    "attempt to write a readonly database", document="good.db")
sample("sqlite3/locked",
    "cp $doc a.db; chmod u+w a.db; (echo 'BEGIN EXCLUSIVE;'; sleep 3) | sqlite3 a.db & sleep 0.5; sqlite3 -bail a.db \"INSERT INTO page VALUES (9999, 'x')\"",
    "sqlite.locked", "database is locked", document="good.db")
sample("sqlite3/folder", "sqlite3 /srv/none/a.db 'SELECT 1; CREATE TABLE a (b)'", "file.missing", "unable to open database")
sample("sqlite3/full-disk", "sqlite3 -bail /srv/out/a.db 'CREATE TABLE a (b); INSERT INTO a VALUES (randomblob(300000))'",
    "disk.full", "database or disk is full", setup=disk("size=64k"))
SQLITE = """
    import shutil
    import sqlite3
    import sys

    shutil.copy(sys.argv[1], "a.db")
    first = sqlite3.connect("a.db", timeout=0.2, isolation_level=None)
    {act}
    """
script("python/sqlite-locked",
    SQLITE.replace("{act}", 'first.execute("BEGIN EXCLUSIVE")\n    sqlite3.connect("a.db", timeout=0.2).execute("INSERT INTO page VALUES (9999, \'x\')")'),
    "sqlite.locked", "sqlite3.OperationalError: database is locked", document="good.db", file="store.py")
script("python/sqlite-broken", SQLITE.replace("{act}", 'print(first.execute("SELECT sum(length(text)) FROM page").fetchall())'),
    "sqlite.broken", "sqlite3.DatabaseError", document="cut.db", file="store.py")
script("python/sqlite-unique", SQLITE.replace("{act}", 'first.execute("INSERT INTO page VALUES (1, \'x\')")'), "sqlite.constraint",
       "sqlite3.IntegrityError: UNIQUE constraint failed", document="good.db", file="store.py")

RD = {"services": ("redis",)}
CLI = "redis-cli -e -p 6379"
sample("redis-cli/password", "redis-cli -e -p 6380 GET page", "redis.credentials", "NOAUTH Authentication required", **RD)
sample("redis-cli/wrong-password", "redis-cli -e -p 6380 --no-auth-warning -a wrong GET page", "redis.credentials",
    "WRONGPASS|NOAUTH|AUTH failed", **RD)
sample("redis-cli/type", f"{CLI} SET page 1; {CLI} LPUSH page 2", "program.error", "WRONGTYPE", **RD)
sample("redis-cli/full", f"{CLI} SET page $(head -c 100000 /dev/zero | tr '\\0' x)", "redis.full", "OOM command not allowed",
    setup="redis-cli CONFIG SET maxmemory 1mb; redis-cli CONFIG SET maxmemory 100", **RD)
sample("redis-cli/replica", f"{CLI} SET page 1", "redis.read_only", "READONLY You can't write against a read only replica",
    setup="redis-cli REPLICAOF 127.0.0.1 6390", **RD)
sample("redis-cli/stale", f"{CLI} GET page", "redis.master_down", "MASTERDOWN",
    setup="redis-cli CONFIG SET replica-serve-stale-data no; redis-cli REPLICAOF 127.0.0.1 6390", **RD)
sample("redis-cli/denied", "redis-cli -e -p 6379 --no-auth-warning --user guest -a right SET page 1", "redis.denied", "NOPERM",
    setup="redis-cli ACL SETUSER guest on '>right' +get '~*'", **RD)
sample("redis-cli/busy", f"{CLI} GET page", "redis.busy", "BUSY Redis is busy running a script",
       setup="redis-cli CONFIG SET busy-reply-threshold 100; (redis-cli EVAL 'while true do end' 0 &) ; sleep 1", **RD)
sample("redis-cli/clients", f"{CLI} GET page", "redis.no_connections", "max number of clients reached",
       setup="redis-cli CONFIG SET maxclients 1; (sleep 20 | redis-cli > /dev/null &) ; sleep 0.5", **RD)
sample("redis-cli/snapshot", f"{CLI} SET page 1", "redis.cannot_save", "MISCONF",
       setup="redis-cli CONFIG SET save '1 1'; redis-cli SET a 1; rm -rf /srv/redis; redis-cli BGSAVE; sleep 1.5", **RD)
REDIS = """
    import sys

    import redis

    link = redis.Redis(port=int(sys.argv[1]), socket_timeout=1, retry=None)
    link.set("page", "x" * 1000)
    """
script("redis/refused", REDIS, "net.refused", "redis.exceptions.ConnectionError|ConnectionRefusedError", file="store.py",
    arguments="8099")
script("redis/password", REDIS, "redis.credentials", "redis.exceptions.AuthenticationError", file="store.py", arguments="6380",
    **RD)
script("redis/full", REDIS, "redis.full", "redis.exceptions.OutOfMemoryError", file="store.py", arguments="6379",
    setup="redis-cli CONFIG SET maxmemory 100", **RD)
script("redis/replica", REDIS, "redis.read_only", "redis.exceptions.ReadOnlyError", file="store.py", arguments="6379",
    setup="redis-cli REPLICAOF 127.0.0.1 6390", **RD)
script("redis/stall", REDIS, "net.timeout", "redis.exceptions.TimeoutError|TimeoutError: timed out", file="store.py",
    arguments="8072", services=("silent",))
script("redis/clients", REDIS, "redis.no_connections",
    "redis.exceptions.MaxConnectionsError|redis.exceptions.ConnectionError: max number of clients", file="store.py",
    arguments="6379", setup="redis-cli CONFIG SET maxclients 1; (sleep 20 | redis-cli > /dev/null &) ; sleep 0.5", **RD)
script("redis/lock", """
    import redis

    link = redis.Redis()
    link.set("lock", "other")
    with redis.lock.Lock(link, "lock", blocking_timeout=0.3):
        pass
    """, "lock.held", "redis.exceptions.LockError", file="store.py", arguments="", **RD)
sample("sh/flock", "flock -n /srv/task/lock sleep 5 & sleep 0.3; flock -n /srv/task/lock true", "exit.code")
