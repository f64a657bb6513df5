"""JSON, XML, YAML, CSV, Parquet, SQLite, text encodings; and office documents."""

from sample import family, sample, script

family("data")

sample("jq/cut", "jq -r '.[].text' $doc", "json.broken", "parse error", document="cut.json")
sample("jq/comma", "jq . $doc", "json.broken", "parse error", document="comma.json")
sample("jq/noise", "jq . $doc", "json.broken", "parse error", document="noise.json")
sample("jq/web-page", "jq . $doc", "json.broken", "parse error", document="page.json")
sample("jq/null", "jq '.pages[]' $doc", "data.shape", "Cannot iterate over null", document="null.json")
sample("jq/index", "jq '.[\"id\"]' $doc", "data.shape", "Cannot index array with", document="array.json")
sample("jq/program", "jq '.id |' $doc", "program.usage", "syntax error|1 compile error", document="good.json")
sample("jq/missing", "jq . $doc", "input.missing", "No such file or directory", document="missing.json")
sample("jq/empty-result", "jq -e '.[] | select(.id == 900)' $doc", "exit.code", document="good.json")
sample("xmllint/cut", "xmllint --noout $doc", "xml.broken", "Premature end of data|Extra content", document="cut.xml")
sample("xmllint/tags", "xmllint --noout $doc", "xml.broken", "Opening and ending tag mismatch", document="tags.xml")
sample("xmllint/entity", "xmllint --noout $doc", "xml.broken", "Entity 'nbsp' not defined|xmlParseEntityRef", document="entity.xml")
sample("xmllint/latin", "xmllint --noout $doc", "text.encoding", "Input is not proper UTF-8", document="latin.xml")
sample("xmllint/bomb", "xmllint --noout --noent $doc", "xml.bomb", "Detected an entity reference loop", also=("xml.broken",),
    document="bomb.xml")
sample("xmllint/empty", "xmllint --noout $doc", "input.empty", "Document is empty", also=("xml.broken",), document="empty.xml")
sample("xmllint/missing", "xmllint --noout $doc", "input.missing", "failed to load external entity", document="missing.xml")
sample("xsltproc/broken", "xsltproc /srv/app/t.xsl $doc", "xml.broken", "Opening and ending tag mismatch", document="tags.xml",
       files={"t.xsl": '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/>\n'})
sample("iconv/latin", "iconv -f UTF-8 -t UTF-16 $doc > out", "text.encoding", "illegal input sequence", document="latin.txt")
sample("iconv/utf-8", "iconv -f UTF-8 -t ASCII $doc > out", "text.encoding", "illegal input sequence", document="latin.txt")
sample("pandoc/cut", "pandoc -f docx -t plain $doc", "office.broken", "couldn't unpack docx container", document="cut.docx")
sample("pandoc/format", "pandoc -f wordperfect -t plain $doc", "program.usage", "Unknown input format", document="good.txt")
sample("pandoc/pdf", "pandoc $doc -o out.pdf", "program.not_found", "not found", document="good.txt")
sample("pandoc/json", "pandoc -f json -t plain $doc", "json.broken", "JSON parse error", document="cut.json")
sample("pandoc/from-pdf", "pandoc $doc -o out.txt", "input.unsupported",
    "Pandoc can convert to PDF, but not from PDF|Unknown input format", document="good.pdf")
sample("pandoc/template", "pandoc --template=none.html $doc -o out.html", "file.missing", "Could not find data file",
    document="good.txt")
sample("antiword/noise", "antiword $doc", "office.broken", "is not a Word Document", document="noise.docx", name="letter-1407.doc")
sample("docx2txt/noise", "docx2txt $doc -", "office.broken", "Failed to extract required information", document="noise.docx")

script("python/json-cut", """
    import json
    import sys

    with open(sys.argv[1]) as file:
        print(len(json.load(file)))
    """, "json.broken", "json.decoder.JSONDecodeError", document="cut.json", file="load.py")
JSON_LOAD = """
    import json
    import sys

    print(json.loads(open(sys.argv[1]).read())["id"])
    """
script("python/json-single", JSON_LOAD, "json.broken", "json.decoder.JSONDecodeError", document="single.json", file="load.py")
script("python/json-empty", JSON_LOAD, "json.broken", "json.decoder.JSONDecodeError", document="empty.json", file="load.py")
script("python/json-latin", JSON_LOAD, "text.encoding", "UnicodeDecodeError", document="latin.txt", name="letter-2214.json",
    file="load.py")
script("python/json-lines", JSON_LOAD, "json.broken", "JSONDecodeError: Extra data", document="lines.json", file="load.py")
script("orjson/cut", """
    import sys

    import orjson

    orjson.loads(open(sys.argv[1], "rb").read())
    """, "json.broken", "orjson.JSONDecodeError", document="cut.json", file="load.py")
script("yaml/indent", """
    import sys

    import yaml

    print(yaml.safe_load(open(sys.argv[1])))
    """, "yaml.broken", "yaml.parser.ParserError|expected <block end>|did not find expected", document="broken.yaml",
    file="load.py")
script("yaml/tab", """
    import sys

    import yaml

    print(yaml.safe_load(open(sys.argv[1])))
    """, "yaml.broken", "yaml.scanner.ScannerError|found character", document="tab.yaml", file="load.py")
script("python/xml-tags", """
    import sys
    import xml.etree.ElementTree as tree

    print(len(tree.parse(sys.argv[1]).getroot()))
    """, "xml.broken", "xml.etree.ElementTree.ParseError: mismatched tag", document="tags.xml", file="load.py")
script("lxml/cut", """
    import sys

    from lxml import etree

    print(len(etree.parse(sys.argv[1]).getroot()))
    """, "xml.broken", "lxml.etree.XMLSyntaxError", document="cut.xml", file="load.py")
script("python/csv-words", """
    import csv
    import sys

    print(sum(int(row["amount"]) for row in csv.DictReader(open(sys.argv[1]))))
    """, "program.error", "ValueError: invalid literal for int()", document="words.csv", file="sum.py")
script("python/csv-nul", """
    import csv
    import sys

    print(sum(1 for _ in csv.reader(open(sys.argv[1], encoding="utf-8"), strict=True)))
    """, "csv.broken", "Error", document="quote.csv", file="sum.py")
script("python/latin", """
    import sys

    with open(sys.argv[1], encoding="utf-8") as lines:
        print(sum(len(line) for line in lines))
    """, "text.encoding", "UnicodeDecodeError: 'utf-8' codec can't decode", document="latin.txt", file="count.py")
script("python/ascii-output", """
    import sys

    print(open(sys.argv[1], encoding="latin-1").read())
    """, "program.locale", "UnicodeEncodeError: 'ascii' codec can't encode", document="latin.txt", file="show.py",
    env={"PYTHONIOENCODING": "ascii"})
script("python/key", """
    import json
    import sys

    print(json.load(open(sys.argv[1]))["title"])
    """, "program.error", "KeyError: 'title'", document="null.json", file="load.py", wrong=("file.missing",))
script("python/none", """
    import json
    import sys

    print(len(json.load(open(sys.argv[1]))["pages"]))
    """, "program.error", "TypeError: object of type 'NoneType' has no len()", document="null.json", file="load.py")
script("jsonschema/type", """
    import json
    import sys

    import jsonschema

    jsonschema.validate(json.load(open(sys.argv[1])), {"properties": {"pages": {"type": "array"}}})
    """, "data.shape", "ValidationError: None is not of type 'array'", document="null.json", file="check.py")
script("pydantic/missing", """
    import sys

    from pydantic import BaseModel


    class Page(BaseModel):
        id: int
        title: str


    print(Page.model_validate_json(open(sys.argv[1]).read()))
    """, "data.shape", "validation error for Page", document="null.json", file="check.py")

READ_CSV = """
    import sys

    import pandas as pd

    print(pd.read_csv(sys.argv[1]).describe())
    """
script("pandas/ragged", READ_CSV, "csv.broken", "pandas.errors.ParserError: Error tokenizing data", document="ragged.csv",
    file="stats.py")
script("pandas/empty", READ_CSV, "input.empty", "pandas.errors.EmptyDataError", document="empty.csv", file="stats.py")
script("pandas/latin", READ_CSV, "text.encoding", "UnicodeDecodeError|ArrowInvalid: Invalid UTF8", document="latin.csv",
    file="stats.py")
script("pandas/missing", READ_CSV, "input.missing", "FileNotFoundError", file="stats.py", document="missing.csv")
script("pandas/quote", READ_CSV, "csv.broken", "ParserError", document="quote.csv", file="stats.py")
script("pandas/words", """
    import sys

    import pandas as pd

    print(pd.read_csv(sys.argv[1])["amount"].astype(int).sum())
    """, "program.error", "ValueError: invalid literal for int()", document="words.csv", file="stats.py")
script("pandas/column", """
    import sys

    import pandas as pd

    print(pd.read_csv(sys.argv[1])["price"].sum())
    """, "program.error", "KeyError: 'price'", document="words.csv", file="stats.py")
READ_PARQUET = """
    import sys

    import pandas as pd

    print(len(pd.read_parquet(sys.argv[1])))
    """
script("pandas/parquet-cut", READ_PARQUET, "parquet.broken", "pyarrow.lib.ArrowInvalid", document="cut.parquet", file="count.py")
script("pandas/parquet-noise", READ_PARQUET, "parquet.broken", "pyarrow.lib.ArrowInvalid", document="noise.parquet",
    file="count.py")
script("pyarrow/flipped", """
    import sys

    import pyarrow.parquet as pq

    print(pq.read_table(sys.argv[1]).num_rows)
    """, "parquet.broken", "Error", document="flipped.parquet", file="count.py")
script("pyarrow/empty", """
    import sys

    import pyarrow.parquet as pq

    print(pq.read_table(sys.argv[1]).num_rows)
    """, "input.empty", "Parquet file size is 0 bytes", also=("parquet.broken",), document="empty.parquet", file="count.py")
script("pyarrow/feather", """
    import sys

    from pyarrow import feather

    print(feather.read_table(sys.argv[1]).num_rows)
    """, "data.broken", "ArrowInvalid", document="cut.feather", file="count.py")
script("pyarrow/column", """
    import sys

    import pyarrow.parquet as pq

    print(pq.read_table(sys.argv[1]).column("price").null_count)
    """, "data.shape", "KeyError: 'Field", document="numbers.parquet", file="count.py")
script("fastavro/noise", """
    import sys

    import fastavro

    print(sum(1 for _ in fastavro.reader(open(sys.argv[1], "rb"))))
    """, "program.error", "ValueError: read length", document="noise.avro", file="count.py")
script("numpy/noise", """
    import sys

    import numpy as np

    print(np.load(sys.argv[1]).shape)
    """, "data.broken", "ValueError:", also=("program.error",), document="noise.bin", file="load.py", name="report-5120.npy")
script("numpy/shape", """
    import numpy as np

    print(np.ones((3, 4)) @ np.ones((3, 4)))
    """, "program.error", "ValueError: matmul", file="dot.py", arguments="")
script("numpy/memory", """
    import numpy as np

    print(np.ones((400_000, 400_000)).sum())
    """, "memory.absurd", "Unable to allocate 1.16 TiB", also=("memory.refused",), file="dot.py", arguments="")

XLSX = """
    import sys

    import openpyxl

    print(openpyxl.load_workbook(sys.argv[1]).sheetnames)
    """
script("openpyxl/noise", XLSX, "office.broken", "BadZipFile: File is not a zip file", also=("archive.broken",),
    document="noise.xlsx", file="sheets.py")
script("openpyxl/cut", XLSX, "office.broken", "BadZipFile: File is not a zip file", also=("archive.broken",), document="cut.xlsx",
    file="sheets.py")
script("openpyxl/old", XLSX, "office.unsupported", "InvalidFileException", document="noise.xlsx", name="report-3301.xls",
    file="sheets.py")
script("openpyxl/locked", XLSX, "office.broken", "BadZipFile: File is not a zip file", also=("archive.broken",),
    document="locked.xlsx", file="sheets.py")
script("openpyxl/no-book", XLSX, "office.broken", "KeyError", also=("archive.broken",), document="no_book.xlsx", file="sheets.py")
script("openpyxl/bad-sheet", XLSX, "office.broken", "ParseError", also=("xml.broken",), document="bad_xml.xlsx", file="sheets.py")
script("pandas/xlsx-locked", """
    import sys

    import pandas as pd

    print(pd.read_excel(sys.argv[1]).shape)
    """, "office.encrypted", "XLRDError", also=("office.broken",), document="locked.xlsx", file="sheets.py")
script("xlrd/noise", """
    import sys

    import xlrd

    print(xlrd.open_workbook(sys.argv[1]).sheet_names())
    """, "office.broken", "xlrd.biffh.XLRDError", document="noise.xlsx", name="report-3302.xls", file="sheets.py")
DOCX = """
    import sys

    import docx

    print(len(docx.Document(sys.argv[1]).paragraphs))
    """
script("docx/noise", DOCX, "office.broken", "Error", document="noise.docx", file="words.py")
script("docx/cut", DOCX, "office.broken", "Error", document="cut.docx", file="words.py")
script("docx/no-part", DOCX, "office.broken", "KeyError", also=("archive.broken",), document="no_part.docx", file="words.py")
script("docx/bad-xml", DOCX, "office.broken", "XMLSyntaxError", also=("xml.broken",), document="bad_xml.docx", file="words.py")
script("docx/workbook", DOCX, "office.unsupported", "is not a Word file", document="good.xlsx", file="words.py")
script("pptx/noise", """
    import sys

    import pptx

    print(len(pptx.Presentation(sys.argv[1]).slides))
    """, "office.broken", "Error", document="noise.pptx", file="slides.py")
sample("soffice/cut", "soffice --headless --convert-to pdf --outdir out $doc; test -e out", "office.broken",
    "source file could not be loaded", document="cut.docx")
