"""PDF tools on documents that are locked, cut, empty, or no PDF at all."""

from sample import disk, family, sample, script

family("pdf")

sample("pdftotext/locked", "pdftotext $doc -", "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("pdftotext/old-lock", "pdftotext $doc -", "pdf.encrypted", "Incorrect password", document="old_lock.pdf")
sample("pdftotext/cut", "pdftotext $doc -", "pdf.broken", "Couldn't read xref table|Couldn't find trailer", document="head.pdf")
sample("pdftotext/no-root", "pdftotext $doc -", "pdf.broken",
    "Catalog object is wrong type|Couldn't read page catalog|Couldn't find trailer|Invalid XRef|xref num 99",
    document="no_root.pdf")
sample("pdftotext/empty", "pdftotext $doc -", "input.empty", "Document stream is empty", document="empty.pdf")
sample("pdftotext/noise", "pdftotext $doc -", "pdf.broken", "May not be a PDF file|Couldn't find trailer|Couldn't read xref",
    document="noise.pdf")
sample("pdftotext/web-page", "pdftotext $doc -", "pdf.broken", "May not be a PDF file|Couldn't find trailer|Couldn't read xref",
    document="page.pdf")
sample("pdftotext/missing", "pdftotext $doc -", "input.missing", "Couldn't open file", document="missing.pdf")
sample("pdftotext/usage", "pdftotext -pages 3 $doc -", "program.usage", document="good.pdf")
sample("pdftotext/read-only", "pdftotext $doc /srv/in/t.txt", "file.permission", "Couldn't open text file", document="good.pdf")
sample("pdfinfo/locked", "pdfinfo $doc", "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("pdfinfo/cut", "pdfinfo $doc", "pdf.broken", "Couldn't read xref table|Couldn't find trailer", document="head.pdf")
sample("pdftoppm/locked", "pdftoppm -r 72 -png $doc page", "pdf.encrypted", "Incorrect password", document="locked.pdf")
sample("pdftoppm/last-page", "pdftoppm -f 9 -png $doc page", "program.usage", "Wrong page range given", document="good.pdf")
sample("pdftoppm/cut", "pdftoppm -png $doc page", "pdf.broken", "Couldn't read xref table|Couldn't find trailer",
    document="head.pdf")
sample("pdfimages/noise", "pdfimages -list $doc", "pdf.broken", "May not be a PDF file|Couldn't find trailer|Couldn't read xref",
    document="noise.pdf")
sample("pdfunite/locked", "pdfunite $doc $doc both.pdf", "pdf.encrypted", "Could not merge", document="locked.pdf")

sample("qpdf/locked", "qpdf --check $doc", "pdf.encrypted", "invalid password", document="locked.pdf")
sample("qpdf/cut", "qpdf $doc out.pdf", "pdf.broken", "unable to find trailer|file is damaged|can't find startxref",
    document="head.pdf")
sample("qpdf/no-root", "qpdf $doc out.pdf", "pdf.broken", "unable to find /Root dictionary", document="no_root.pdf")
sample("qpdf/warnings", "qpdf --check $doc", "pdf.broken", "unable to find trailer|file is damaged|can't find startxref",
    document="cut.pdf")
sample("qpdf/flate", "qpdf --check $doc", "pdf.broken", "error decoding stream data|ERROR: page 1", document="flate.pdf")
sample("qpdf/missing", "qpdf --check $doc", "input.missing", "No such file or directory", document="missing.pdf")
sample("qpdf/usage", "qpdf --linearise $doc out.pdf", "program.usage", "unrecognized argument", document="good.pdf")
sample("qpdf/read-only", "qpdf $doc /srv/in/out.pdf", "file.permission", "Permission denied", document="good.pdf")
sample("qpdf/pages", "qpdf $doc --pages . 7-9 -- out.pdf", "program.usage", "out of range", document="good.pdf")

sample("gs/locked", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=png16m -sOutputFile=p%d.png $doc", "pdf.encrypted",
       "This file requires a password for access.", document="locked.pdf")
sample("gs/noise", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=png16m -sOutputFile=p%d.png $doc", "pdf.broken",
    "Error: /undefined in", document="noise.pdf")
sample("gs/missing", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=png16m -sOutputFile=p%d.png $doc", "input.missing",
    "undefinedfilename", document="missing.pdf")
sample("gs/device", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=png17 -sOutputFile=p.png $doc", "program.usage",
    "Unknown device: png17", document="good.pdf")
sample("gs/safer", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=txtwrite -sOutputFile=- -c '(/etc/passwd) (r) file' -f $doc",
    "file.permission", "invalidfileaccess", document="good.pdf")
sample("gs/full-disk", "gs -q -dPDFSTOPONERROR -dBATCH -dNOPAUSE -sDEVICE=png16m -sOutputFile=/srv/out/p%d.png $doc", "disk.full",
    "Last OS error: No space left|Error: /ioerror", document="good.pdf",
    setup=disk("size=4k"))

sample("mutool/locked", "mutool draw -F txt $doc", "pdf.encrypted", "cannot authenticate password", document="locked.pdf")
sample("mutool/noise", "mutool draw -F txt $doc", "pdf.broken", "cannot recognize version marker|no objects found",
    document="noise.pdf")
sample("mutool/missing", "mutool draw -F txt $doc", "input.missing", "No such file or directory", document="missing.pdf")

script("pypdf/locked", """
    import sys

    from pypdf import PdfReader

    for page in PdfReader(sys.argv[1]).pages:
        print(page.extract_text())
    """, "pdf.encrypted", "File has not been decrypted", document="locked.pdf", file="extract.py")
READ = """
    import sys

    from pypdf import PdfReader

    reader = PdfReader(sys.argv[1], strict=len(sys.argv) > 2)
    print("\\n".join(page.extract_text() for page in reader.pages))
    """
script("pypdf/empty", READ, "input.empty", "Cannot read an empty file", document="empty.pdf", file="extract.py")
script("pypdf/noise", READ, "pdf.broken", "pypdf.errors.PdfStreamError", document="noise.pdf", file="extract.py")
script("pypdf/cut", READ, "pdf.broken", "pypdf.errors.Pdf", document="head.pdf", file="extract.py")
script("pypdf/strict", READ, "text.encoding", "UnicodeDecodeError:", also=("pdf.broken",), document="noise.pdf", file="extract.py",
    arguments="$doc strict")
script("pypdf/page", """
    import sys

    from pypdf import PdfReader

    print(PdfReader(sys.argv[1]).pages[7].extract_text())
    """, "program.error", "IndexError", document="good.pdf", file="extract.py")

MINER = """
    import sys

    from pdfminer.high_level import extract_text

    print(extract_text(sys.argv[1]))
    """
script("pdfminer/locked", MINER, "pdf.encrypted", "PDFPasswordIncorrect", document="locked.pdf", file="extract.py")
script("pdfminer/noise", MINER, "pdf.broken", "No /Root object!", document="noise.pdf", file="extract.py")
script("pdfminer/empty", MINER, "pdf.broken", "No /Root object!", document="empty.pdf", file="extract.py")
script("pdfminer/cut", MINER, "pdf.broken", "PDFNoValidXRef: Unexpected EOF|PSEOF: Unexpected EOF", document="head.pdf",
    file="extract.py")

PIKE = """
    import sys

    import pikepdf

    with pikepdf.open(sys.argv[1]) as pdf:
        print(len(pdf.pages))
        pdf.save("out.pdf")
    """
script("pikepdf/locked", PIKE, "pdf.encrypted", "PasswordError", document="locked.pdf")
script("pikepdf/noise", PIKE, "pdf.broken", "PdfError", document="noise.pdf")
script("pikepdf/no-root", PIKE, "pdf.broken", "PdfError", document="no_root.pdf")
script("pikepdf/missing", PIKE, "input.missing", "FileNotFoundError", document="missing.pdf")

MUPDF = """
    import sys

    import pymupdf

    for page in pymupdf.open(sys.argv[1]):
        print(page.get_text())
    """
script("pymupdf/locked", MUPDF, "pdf.encrypted", "document closed or encrypted", document="locked.pdf")
script("pymupdf/noise", MUPDF, "pdf.broken", "FileDataError", document="noise.pdf")
script("pymupdf/empty", MUPDF, "input.empty", "EmptyFileError", document="empty.pdf")
