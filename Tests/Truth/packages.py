"""What the samples need, and which package a program is of."""

import functools
import subprocess

DEBIAN = (
    "antiword aria2 catdoc cmake cpio djvulibre-bin docx2txt ffmpeg file ghostscript gnupg golang-go imagemagick iproute2"
    " jq lftp libarchive-tools libimage-exiftool-perl libreoffice-writer-nogui libtiff-tools libxml2-utils lua5.4 lz4"
    " mono-mcs mono-runtime mupdf-tools ocrmypdf openssh-client openssl p7zip-full pandoc php-cli poppler-utils postgresql"
    " python3-torch qpdf r-base-core rclone redis-server rsync ruby s3cmd slurm-client sox sqlite3 tesseract-ocr"
    " tesseract-ocr-eng unzip wget xsltproc zbar-tools zip zstd"
).split()
PYPI = (
    "aiohttp anthropic azure-storage-blob boto3 celery duckdb elasticsearch fastavro google-cloud-storage grpcio h5py httpx"
    " huggingface_hub joblib jsonschema lxml minio nltk numpy onnxruntime openai openpyxl orjson pandas paramiko"
    " pdfminer.six pdfplumber pika pikepdf pillow psycopg[binary] pyarrow pydantic pymongo pymupdf pymysql pypdf pytesseract"
    " python-docx python-pptx pyyaml redis requests snakemake sqlalchemy tifffile tqdm weasyprint xlrd"
).split()
# Programs that are not called as their package is.
OF = {
    "7z": "p7zip-full", "aria2c": "aria2", "awk": "mawk", "bsdtar": "libarchive-tools", "cat": "coreutils", "cc1": "gcc",
    "chown": "coreutils", "convert": "imagemagick", "cp": "coreutils", "dd": "coreutils", "djvutxt": "djvulibre-bin",
    "docker": "docker", "exiftool": "libimage-exiftool-perl", "ffprobe": "ffmpeg", "find": "findutils", "g++": "g++",
    "go": "golang-go", "gpg": "gnupg", "gs": "ghostscript", "iconv": "libc-bin", "initdb": "postgresql-15",
    "java": "openjdk-17-jre-headless", "javac": "openjdk-17-jdk-headless", "kill": "dash", "ln": "coreutils", "lua": "lua5.4",
    "mkdir": "coreutils", "mono": "mono-runtime", "mount": "mount", "mutool": "mupdf-tools", "node": "nodejs", "npm": "nodejs",
    "pdfdetach": "poppler-utils", "pdfimages": "poppler-utils", "pdfinfo": "poppler-utils", "pdfsig": "poppler-utils",
    "pdftoppm": "poppler-utils", "pdftotext": "poppler-utils", "pdfunite": "poppler-utils", "php": "php8.2-cli",
    "psql": "postgresql-client-15", "python": "python3.11", "redis-cli": "redis-tools", "Rscript": "r-base-core",
    "scp": "openssh-client", "sh": "dash", "soffice": "libreoffice-core-nogui", "sort": "coreutils", "split": "coreutils",
    "srun": "slurm-client", "ssh": "openssh-client", "tclsh": "tcl8.6", "tesseract": "tesseract-ocr",
    "tiff2pdf": "libtiff-tools", "tiffinfo": "libtiff-tools", "timeout": "coreutils", "torch": "python3-torch",
    "xargs": "findutils", "xmllint": "libxml2-utils", "xz": "xz-utils", "zbarimg": "zbar-tools",
}
# What no package tells of.
ASK = {
    "docker": "docker --version | cut -d' ' -f3 | tr -d ,", "rustc": "rustc --version | cut -d' ' -f2",
    "swift": "swiftc --version 2> /dev/null | sed 's/.*Swift version \\([0-9.]*\\).*/\\1/;1q'",
}
# Programs of PyPI, where the package is called otherwise.
PYPI_OF = {
    "azure": "azure-storage-blob", "docx": "python-docx", "gcs": "google-cloud-storage", "pdfminer": "pdfminer.six",
    "pptx": "python-pptx", "psycopg": "psycopg", "pytesseract": "pytesseract", "yaml": "pyyaml",
}
PYPI_NAMES = {name.split("[")[0] for name in (*PYPI, "pip")}


@functools.cache
def version(program, venv):
    """The package's name and version: `poppler-utils 22.12.0-2`."""
    name = PYPI_OF.get(program, program)
    if name in PYPI_NAMES:
        ask = f"import importlib.metadata as m; print(m.version({name!r}))"
        found = subprocess.run([venv / "bin/python", "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    elif program in ASK:
        name, ask = program, ASK[program]
        found = subprocess.run(ask, shell=True, capture_output=True, text=True, check=True).stdout.strip()
    else:
        name = OF.get(program, program)
        ask = ["dpkg-query", "-W", "-f", "${Version}", name]
        found = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    if not found:
        raise RuntimeError(f"{program}: no version")
    return f"{name} {found}"


