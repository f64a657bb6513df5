"""Documents: sound ones, made here or by the programs that make such, and what is broken of them."""

import io
import json
import os
import random
import sqlite3
import struct
import subprocess
import tarfile
import zipfile
import zlib

MAKERS = {}


def make(name, path):
    """Makes the document of that name at `path`."""
    if (made := MAKERS[name](path)) is not None:
        path.write_bytes(made if isinstance(made, bytes) else made.encode())
    subprocess.run(["chmod", "-R", "a+rX", str(path)], check=True)


def document(*names):
    def keep(maker):
        for name in names:
            MAKERS[name] = maker
        return maker

    return keep


def tool(*command, **more):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def noise(count, seed=7):
    return random.Random(seed).randbytes(count)


# Of any kind.

KINDS = (
    "7z avro bin bz2 csv db djvu docx feather gif gz html jpg json lz4 md mp3 mp4 parquet pdf png pptx svg tar tif txt wav webp"
    " xlsx xml xz yaml zip zst"
)
for kind in KINDS.split():
    MAKERS[f"empty.{kind}"] = lambda path: b""
    MAKERS[f"noise.{kind}"] = lambda path: noise(20_000)
    MAKERS[f"page.{kind}"] = lambda path: "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"


@document("folder.pdf", "folder.txt")
def folder(path):
    path.mkdir()


def cut(data, share=0.6):
    return data[: int(len(data) * share)]


# PDF.


def pdf(pages=3, content=b"BT /F1 24 Tf 72 720 Td (The quick brown fox) Tj ET", filters=b"", root=b"1 0 R", info=b""):
    kids = b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i in range(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * i)
        )
        objects.append(b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), filters, content))
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, table)


MAKERS["good.pdf"] = lambda path: pdf()
MAKERS["cut.pdf"] = lambda path: cut(pdf())
MAKERS["head.pdf"] = lambda path: pdf()[:400]
MAKERS["no_root.pdf"] = lambda path: pdf(root=b"99 0 R")
MAKERS["no_pages.pdf"] = lambda path: pdf(pages=0)
MAKERS["flate.pdf"] = lambda path: pdf(content=noise(900), filters=b"/Filter /FlateDecode")
MAKERS["no_xref.pdf"] = lambda path: pdf().replace(b"startxref", b"startxxxx").replace(b"trailer", b"trialer")
MAKERS["huge_page.pdf"] = lambda path: pdf(pages=1).replace(b"[0 0 612 792]", b"[0 0 9000000 9000000]")


@document("locked.pdf")
def locked(path):
    good = path.with_suffix(".good")
    good.write_bytes(pdf())
    tool("qpdf", "--encrypt", "reader", "owner", "256", "--", good, path)
    good.unlink()


@document("old_lock.pdf")
def old_lock(path):
    good = path.with_suffix(".good")
    good.write_bytes(pdf())
    tool("qpdf", "--allow-weak-crypto", "--encrypt", "reader", "owner", "40", "--", good, path)
    good.unlink()


@document("no_copy.pdf")
def no_copy(path):
    good = path.with_suffix(".good")
    good.write_bytes(pdf())
    tool("qpdf", "--encrypt", "", "owner", "128", "--use-aes=y", "--extract=n", "--modify=none", "--", good, path)
    good.unlink()


# Pictures.


def png(width=300, height=200, claims=None):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + noise(width * 3, seed) for seed in range(height))
    head = struct.pack(">IIBBBBB", *(claims or (width, height)), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


MAKERS["good.png"] = lambda path: png()
MAKERS["cut.png"] = lambda path: cut(png())
MAKERS["huge.png"] = lambda path: png(claims=(60_000, 60_000))
MAKERS["crc.png"] = lambda path: png().replace(b"IDAT", b"IDAX", 1)
MAKERS["bad_bytes.png"] = lambda path: png()[:5000] + noise(500) + png()[5500:]


def picture(kind, *options):
    return lambda path: tool("convert-im6.q16", "-size", "400x300", "plasma:red-blue", *options, f"{kind}:{path}")


MAKERS["good.jpg"] = picture("jpg")
MAKERS["good.tif"] = picture("tif")
MAKERS["good.webp"] = picture("webp")
MAKERS["good.gif"] = picture("gif")


def bytes_of(name, path):
    made = MAKERS[name](path)
    return path.read_bytes() if made is None else made if isinstance(made, bytes) else made.encode()


def cut_of(name, share=0.6):
    def made(path):
        return cut(bytes_of(name, path), share)

    return made


for name in ("good.jpg", "good.tif", "good.webp", "good.gif"):
    MAKERS[name.replace("good", "cut")] = cut_of(name)
MAKERS["head.jpg"] = cut_of("good.jpg", 0.02)
MAKERS["broken.svg"] = lambda path: '<svg xmlns="http://www.w3.org/2000/svg" width="100"><rect x="1" y="2"\n</svg>'


# Sound and film.


@document("good.mp4")
def film(path):
    tool("ffmpeg", "-f", "lavfi", "-i", "testsrc=d=2:s=160x120", "-f", "lavfi", "-i", "sine=d=2", "-shortest", "-f", "mp4", path)


@document("mute.mp4")
def mute(path):
    tool("ffmpeg", "-f", "lavfi", "-i", "testsrc=d=2:s=160x120", "-f", "mp4", path)


@document("good.mp3")
def sound(path):
    tool("ffmpeg", "-f", "lavfi", "-i", "sine=d=2", "-f", "mp3", path)


@document("good.wav")
def wave(path):
    tool("ffmpeg", "-f", "lavfi", "-i", "sine=d=2", "-f", "wav", path)


MAKERS["cut.mp4"] = cut_of("good.mp4", 0.5)
MAKERS["head.wav"] = lambda path: b"RIFF\x24\x00"


# Archives and packed files.

TEXT = "\n".join(f"{i},{i * i % 97},name {i}" for i in range(20_000)) + "\n"


def packed(program, *options):
    return lambda path: subprocess.run([program, *options], input=TEXT.encode(), stdout=path.open("wb"), check=True) and None


for kind, program in {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd", "lz4": "lz4"}.items():
    MAKERS[f"good.{kind}"] = packed(program, "-c")
    MAKERS[f"cut.{kind}"] = cut_of(f"good.{kind}")

    def flip(path, kind=kind):
        data = bytearray(bytes_of(f"good.{kind}", path))
        middle = len(data) // 2
        data[middle : middle + 8] = bytes(b ^ 0xFF for b in data[middle : middle + 8])
        return bytes(data)

    MAKERS[f"flipped.{kind}"] = flip


@document("good.zip")
def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/table.csv", TEXT)
        archive.writestr("b.txt", "hello\n")


@document("locked.zip")
def locked_zip(path):
    inner = path.with_suffix(".csv")
    inner.write_text(TEXT)
    tool("7z", "a", "-psecret", "-tzip", path, inner)
    inner.unlink()


@document("locked.7z")
def locked_7z(path):
    inner = path.with_suffix(".csv")
    inner.write_text(TEXT)
    tool("7z", "a", "-psecret", "-mhe=on", path, inner)
    inner.unlink()


@document("good.7z")
def good_7z(path):
    inner = path.with_suffix(".csv")
    inner.write_text(TEXT)
    tool("7z", "a", path, inner)
    inner.unlink()


@document("aes.zip")
def aes_zip(path):
    inner = path.with_suffix(".csv")
    inner.write_text(TEXT)
    tool("7z", "a", "-psecret", "-mem=AES256", "-tzip", path, inner)
    inner.unlink()


@document("lzma.zip")
def lzma_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/table.csv", TEXT)


def flipped_of(name, at=0.5):
    def made(path):
        data = bytearray(bytes_of(name, path))
        start = int(len(data) * at)
        data[start : start + 16] = bytes(b ^ 0xFF for b in data[start : start + 16])
        return bytes(data)

    return made


@document("good.tar")
def tarred(path):
    with tarfile.open(path, "w") as archive:
        for name in ("a.csv", "b.csv"):
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            archive.addfile(member, io.BytesIO(TEXT.encode()))


@document("good.tar.gz")
def tarred_gz(path):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT.encode()))


for name in ("good.zip", "good.7z", "good.tar", "good.tar.gz"):
    MAKERS[name.replace("good", "cut")] = cut_of(name)
    MAKERS[name.replace("good", "flipped")] = flipped_of(name, 0.3)


# Data.

MAKERS["good.json"] = lambda path: json.dumps([{"id": i, "text": f"row {i}"} for i in range(200)], indent=1)
MAKERS["cut.json"] = cut_of("good.json")
MAKERS["comma.json"] = lambda path: '{"id": 7, "tags": ["a", "b",], "size": 12}\n'
MAKERS["single.json"] = lambda path: "{'id': 7, 'text': 'single quotes'}\n"
MAKERS["null.json"] = lambda path: '{"id": 7, "pages": null}\n'
MAKERS["lines.json"] = lambda path: '{"id": 1}\n{"id": 2}\n{"id": 3\n{"id": 4}\n'
MAKERS["bare.json"] = lambda path: '{"id": 7, "score": NaN, "name": nope}\n'
MAKERS["array.json"] = lambda path: "[1, 2, 3]\n"
MAKERS["good.xml"] = lambda path: "<?xml version='1.0'?>\n<set>" + "".join(f"<row id='{i}'>v</row>\n" for i in range(200)) + "</set>\n"
MAKERS["cut.xml"] = cut_of("good.xml")
MAKERS["tags.xml"] = lambda path: "<?xml version='1.0'?>\n<set>\n <row>one</set>\n</row>\n"
MAKERS["entity.xml"] = lambda path: "<set>\n <row>Smith &nbsp; Sons & Co</row>\n</set>\n"
MAKERS["latin.xml"] = lambda path: b"<?xml version='1.0' encoding='UTF-8'?>\n<set>caf\xe9</set>\n"
MAKERS["bomb.xml"] = lambda path: (
    "<?xml version='1.0'?>\n<!DOCTYPE b [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12))
    + "]>\n<b>&a11;</b>\n"
)
MAKERS["broken.yaml"] = lambda path: "name: a\nitems:\n  - one\n - two\nkey: [1, 2\n"
MAKERS["tab.yaml"] = lambda path: "name: a\nmap:\n\tkey: value\n"
MAKERS["good.csv"] = lambda path: TEXT
MAKERS["ragged.csv"] = lambda path: "a,b,c\n1,2,3\n4,5,6\n7,8,9,10\n"
MAKERS["latin.csv"] = lambda path: b"id,name\n1,caf\xe9\n2,m\xfcller\n"
MAKERS["words.csv"] = lambda path: "id,amount\n1,12\n2,twelve\n"
MAKERS["quote.csv"] = lambda path: 'id,name\n1,"open\n2,b\n'
MAKERS["nul.csv"] = lambda path: b"id,name\n1,a\0b\n2,c\n"
MAKERS["latin.txt"] = lambda path: b"caf\xe9 cr\xe8me\n" * 50
MAKERS["utf16.txt"] = lambda path: "one line\n".encode("utf-16")
MAKERS["good.txt"] = lambda path: "one line of text\n" * 50
MAKERS["long_line.txt"] = lambda path: "word " * 40_000 + "\n"


@document("good.db")
def database(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
        db.executemany("INSERT INTO page VALUES (?, ?)", [(i, f"text {i}" * 20) for i in range(2000)])
    db.close()


MAKERS["cut.db"] = cut_of("good.db")
MAKERS["flipped.db"] = lambda path: (database(path), path.read_bytes())[1][:100] + noise(9000) + path.read_bytes()[9100:]

VENV_PYTHON = "/srv/venv/bin/python"


def made_by(code):
    """A document that a library of PyPI's makes; the code has its path as `p`."""
    return lambda path: tool(VENV_PYTHON, "-c", "import sys; p = sys.argv[1]\n" + code, path, env={**os.environ, "HOME": "/tmp"})


MAKERS["good.parquet"] = made_by(
    "import pandas as d; d.DataFrame({'id': range(5000), 't': ['x%d' % i for i in range(5000)]}).to_parquet(p)"
)
MAKERS["cut.parquet"] = cut_of("good.parquet")
MAKERS["flipped.parquet"] = flipped_of("good.parquet", 0.2)
MAKERS["good.feather"] = made_by("import pandas as d; d.DataFrame({'id': range(5000)}).to_feather(p)")
MAKERS["cut.feather"] = cut_of("good.feather")
MAKERS["good.xlsx"] = made_by("import openpyxl as o; w = o.Workbook(); [w.active.append([i, 'x']) for i in range(500)]; w.save(p)")
MAKERS["cut.xlsx"] = cut_of("good.xlsx")
MAKERS["good.docx"] = made_by("import docx; d = docx.Document(); [d.add_paragraph('line') for _ in range(200)]; d.save(p)")
MAKERS["cut.docx"] = cut_of("good.docx")
MAKERS["good.pptx"] = made_by("import pptx; d = pptx.Presentation(); d.slides.add_slide(d.slide_layouts[0]); d.save(p)")
MAKERS["cut.pptx"] = cut_of("good.pptx")
MAKERS["numbers.parquet"] = made_by("import pandas as d; d.DataFrame({'id': range(10)}).to_parquet(p)")


def repacked(name, change):
    """A zip-based document with members changed: `change` returns the new bytes, or None where the member goes."""

    def made(path):
        bytes_of(name, path)
        out = io.BytesIO()
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.namelist():
                data = change(member, old.read(member))
                if data is not None:
                    new.writestr(member, data)
        return out.getvalue()

    return made


MAKERS["no_part.docx"] = repacked("good.docx", lambda name, data: None if name == "word/document.xml" else data)
MAKERS["bad_xml.docx"] = repacked("good.docx", lambda name, data: cut(data) if name == "word/document.xml" else data)
MAKERS["bad_xml.xlsx"] = repacked("good.xlsx", lambda name, data: cut(data) if "sheet1" in name else data)
MAKERS["no_book.xlsx"] = repacked("good.xlsx", lambda name, data: None if name == "xl/workbook.xml" else data)


def ole(path):
    """An encrypted workbook's outer form: a compound file, as Office writes it around what is locked."""
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0) + struct.pack("<I", 0) + b"\xff" * 432
    fat = struct.pack("<II", 0xFFFFFFFD, 0xFFFFFFFE) + b"\xff" * 504

    def entry(name, kind, child, size=0):
        text = name.encode("utf-16-le") + b"\0\0"
        tree = struct.pack("<HBBIII", len(text), kind, 1, *(0xFFFFFFFF,) * 2, child)
        return text.ljust(64, b"\0") + tree + bytes(36) + struct.pack("<IQ", 0xFFFFFFFE, size)

    folder = entry("Root Entry", 5, 1) + entry("EncryptedPackage", 2, 0xFFFFFFFF) + entry("", 0, 0xFFFFFFFF) * 2
    return head[:512].ljust(512, b"\0") + fat + folder


MAKERS["locked.xlsx"] = MAKERS["locked.docx"] = ole
