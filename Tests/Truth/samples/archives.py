"""Archives and packed files that are cut, altered, locked, or none at all; and where unpacking has no room."""

from sample import disk, family, sample, script

family("archives")

SMALL = disk("size=64k")

sample("gzip/cut", "gzip -dc $doc > out", "archive.truncated", "unexpected end of file", document="cut.gz")
sample("gzip/flipped", "gzip -dc $doc > out", "archive.broken", "crc error|format violated", document="flipped.gz")
sample("gzip/noise", "gzip -dc $doc > out", "archive.broken", "not in gzip format", document="noise.gz")
sample("gzip/missing", "gzip -dc $doc > out", "input.missing", "No such file or directory", document="missing.gz")
sample("gzip/empty", "gzip -dc $doc > out", "archive.truncated", "unexpected end of file", document="empty.gz")
sample("gzip/exists", "echo a > a; echo b > a.gz; gzip a", "file.exists", "already exists")
sample("gzip/full-disk", "gzip -dc $doc > /srv/out/out", "disk.full", "No space left on device", document="good.gz", setup=SMALL)
sample("bzip2/cut", "bzip2 -dc $doc > out", "archive.truncated", "file ends unexpectedly", document="cut.bz2")
sample("bzip2/flipped", "bzip2 -dc $doc > out", "archive.broken", "Data integrity error", document="flipped.bz2")
sample("bzip2/noise", "bzip2 -dc $doc > out", "archive.broken", "is not a bzip2 file", document="noise.bz2")
sample("bzip2/full-disk", "bzip2 -dc $doc > /srv/out/out", "disk.full", "No space left on device", document="good.bz2", setup=SMALL)
sample("xz/cut", "xz -dc $doc > out", "archive.truncated", "Unexpected end of input", document="cut.xz")
sample("xz/flipped", "xz -dc $doc > out", "archive.broken", "Compressed data is corrupt", document="flipped.xz")
sample("xz/noise", "xz -dc $doc > out", "archive.broken", "File format not recognized", document="noise.xz")
sample("xz/memory", "xz -dc --memlimit-decompress=1MiB $doc > out", "memory.tool_limit", "Memory usage limit reached",
    document="good.xz")
sample("xz/full-disk", "xz -dc $doc > /srv/out/out", "disk.full", "No space left on device", document="good.xz", setup=SMALL)
sample("zstd/cut", "zstd -dc $doc > out", "archive.truncated", "premature end", document="cut.zst")
sample("zstd/flipped", "zstd -dc $doc > out", "archive.broken", "Decoding error", document="flipped.zst")
sample("zstd/noise", "zstd -dc $doc > out", "archive.broken", "unsupported format", document="noise.zst")
sample("zstd/missing", "zstd -dc $doc > out", "input.missing", "No such file or directory", document="missing.zst")
sample("zstd/full-disk", "zstd -dc $doc > /srv/out/out", "disk.full", "No space left on device", document="good.zst", setup=SMALL)
sample("lz4/cut", "lz4 -dc $doc > out", "archive.truncated", "Unfinished stream", document="cut.lz4")
sample("lz4/noise", "lz4 -dc $doc > out", "archive.broken", "Unrecognized header", document="noise.lz4")

sample("unzip/cut", "unzip -o $doc", "archive.broken", "End-of-central-directory signature not found", document="cut.zip")
sample("unzip/noise", "unzip -o $doc", "archive.broken", "End-of-central-directory signature not found", document="noise.zip")
sample("unzip/locked", "unzip -o $doc", "archive.encrypted", "unable to get password", document="locked.zip")
sample("unzip/wrong-password", "unzip -o -P guess $doc", "archive.encrypted", "incorrect password", document="locked.zip")
sample("unzip/flipped", "unzip -o $doc", "archive.broken", "bad CRC", document="flipped.zip")
sample("unzip/lzma", "unzip -o $doc", "archive.unsupported", "need PK compat.", document="lzma.zip")
sample("unzip/aes", "unzip -o -P secret $doc", "archive.unsupported", "need PK compat. v5.1", document="aes.zip")
sample("unzip/member", "unzip -o $doc missing.csv", "file.missing", "filename not matched", document="good.zip")
sample("unzip/missing", "unzip -o $doc", "input.missing", "cannot find or open", document="missing.zip")
sample("unzip/full-disk", "unzip -o $doc -d /srv/out", "disk.full", "write error (disk full?)|is probably truncated",
    document="good.zip", setup=SMALL)
sample("unzip/read-only", "unzip -o $doc -d /srv/in", "file.permission", "cannot create", document="good.zip")
sample("7z/locked", "7z x -y $doc", "archive.encrypted", "Enter password", document="locked.7z")
sample("7z/wrong-password", "7z x -y -pguess $doc", "archive.encrypted", "Wrong password", document="locked.7z")
sample("7z/cut", "7z x -y $doc", "archive.truncated", "Unexpected end of archive", document="cut.7z")
sample("7z/noise", "7z x -y $doc", "archive.broken", "Cannot open the file as [7z] archive|Is not archive", document="noise.7z")
sample("7z/flipped", "7z x -y $doc", "archive.broken", "Data Error", document="flipped.7z")
sample("7z/missing", "7z x -y $doc", "input.missing", "No such file or directory", document="missing.7z")
sample("7z/full-disk", "7z x -y -o/srv/out $doc", "disk.full", "No space left on device", document="good.7z", setup=SMALL)

sample("tar/cut", "tar xf $doc", "archive.truncated", "Unexpected EOF in archive", document="cut.tar")
sample("tar/noise", "tar xf $doc", "archive.broken", "This does not look like a tar archive", document="noise.tar")
sample("tar/gz-cut", "tar xzf $doc", "archive.truncated", "unexpected end of file", document="cut.tar.gz")
sample("tar/gz-noise", "tar xzf $doc", "archive.broken", "not in gzip format", document="noise.gz")
sample("tar/gz-flipped", "tar xzf $doc", "archive.broken", "gzip: stdin:", document="flipped.tar.gz")
sample("tar/member", "tar xf $doc c.csv", "file.missing", "Not found in archive", document="good.tar")
sample("tar/missing", "tar xf $doc", "input.missing", "No such file or directory", document="missing.tar")
sample("tar/full-disk", "tar xf $doc -C /srv/out", "disk.full", "Cannot write: No space left on device|Wrote only",
    document="good.tar", setup=SMALL)
sample("tar/read-only", "tar xf $doc -C /srv/out", "disk.read_only", "Read-only file system", document="good.tar",
       setup="mkdir /srv/out; mount -t tmpfs -o ro,size=64k,mode=777 tmpfs /srv/out")
sample("tar/changed",
    "mkdir d; head -c 300M /dev/zero > d/log; (while :; do echo line >> d/log; done) & tar cf out.tar d; code=$?; kill $!; exit $code",
    "file.changed", "file changed as we read it")
sample("bsdtar/noise", "bsdtar xf $doc", "archive.broken", "Unrecognized archive format", document="noise.tar")
sample("bsdtar/cut", "bsdtar xf $doc", "archive.truncated", "Truncated", document="cut.tar")

script("python/zip-noise", """
    import sys
    import zipfile

    with zipfile.ZipFile(sys.argv[1]) as archive:
        archive.extractall()
    """, "archive.broken", "BadZipFile: File is not a zip file", document="noise.zip", file="unpack.py")
UNZIP = """
    import sys
    import zipfile

    with zipfile.ZipFile(sys.argv[1]) as archive:
        for member in archive.infolist():
            print(member.filename, len(archive.read(member)))
    """
script("python/zip-locked", UNZIP, "archive.encrypted", "RuntimeError: File", document="locked.zip", file="unpack.py",
    wrong=("program.error",))
script("python/zip-flipped", UNZIP, "archive.broken", "Bad CRC-32", document="flipped.zip", file="unpack.py")
script("python/zip-aes", UNZIP, "archive.encrypted", "RuntimeError: File", document="aes.zip", file="unpack.py")
script("python/gzip-cut", """
    import gzip
    import sys

    with gzip.open(sys.argv[1], "rt") as lines:
        print(sum(1 for _ in lines))
    """, "archive.truncated", "EOFError: Compressed file ended", document="cut.gz", file="count.py")
script("python/gzip-noise", """
    import gzip
    import sys

    with gzip.open(sys.argv[1], "rt") as lines:
        print(sum(1 for _ in lines))
    """, "archive.broken", "BadGzipFile: Not a gzipped file", document="noise.gz", file="count.py")
script("python/xz-flipped", """
    import lzma
    import sys

    print(len(lzma.open(sys.argv[1]).read()))
    """, "archive.broken", "LZMAError: Corrupt input data", document="flipped.xz", file="count.py")
script("python/tar-cut", """
    import sys
    import tarfile

    with tarfile.open(sys.argv[1]) as archive:
        archive.extractall()
    """, "archive.truncated", "ReadError: unexpected end of data", document="cut.tar", file="unpack.py")
