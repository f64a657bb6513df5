"""What the samples need, and which package a program is of."""

import functools
import subprocess

DEBIAN = (
    "antiword aria2 catdoc cmake djvulibre-bin docx2txt ffmpeg file ghostscript golang-go imagemagick iproute2 jq"
    " libarchive-tools libimage-exiftool-perl libreoffice-writer-nogui libtiff-tools libxml2-utils lua5.4 lz4 mupdf-tools"
    " openssh-client openssl p7zip-full pandoc php-cli gnupg lftp mono-mcs mono-runtime ocrmypdf poppler-utils python3-torch r-base-core rclone s3cmd slurm-client zbar-tools cpio postgresql qpdf redis-server rsync ruby sox sqlite3"
    " tesseract-ocr tesseract-ocr-eng unzip wget xsltproc zip zstd"
).split()
PYPI = (
    "aiohttp anthropic duckdb h5py huggingface_hub nltk onnxruntime paramiko pdfplumber pika azure-storage-blob boto3 celery elasticsearch fastavro google-cloud-storage grpcio httpx joblib"
    " jsonschema lxml minio numpy openai openpyxl orjson pandas pdfminer.six pikepdf pillow psycopg[binary] pyarrow pydantic"
    " pymongo pymupdf pymysql pypdf pytesseract python-docx python-pptx pyyaml redis requests snakemake sqlalchemy tifffile"
    " tqdm weasyprint xlrd"
).split()
# Programs that are not called as their package is.
OF = {
    "7z": "p7zip-full", "bsdtar": "libarchive-tools", "cc1": "gcc", "convert": "imagemagick", "exiftool": "libimage-exiftool-perl",
    "ffprobe": "ffmpeg", "g++": "g++", "go": "golang-go", "gs": "ghostscript", "java": "openjdk-17-jre-headless",
    "mutool": "mupdf-tools", "node": "nodejs", "npm": "nodejs", "pdfinfo": "poppler-utils", "pdftoppm": "poppler-utils",
    "pdftotext": "poppler-utils", "pdfimages": "poppler-utils", "pdfunite": "poppler-utils", "php": "php8.2-cli", "initdb": "postgresql-15",
    "psql": "postgresql-client-15", "redis-cli": "redis-tools", "sh": "dash", "soffice": "libreoffice-core-nogui",
    "ssh": "openssh-client", "scp": "openssh-client", "tesseract": "tesseract-ocr", "aria2c": "aria2", "Rscript": "r-base-core", "tclsh": "tcl8.6", "mono": "mono-runtime", "srun": "slurm-client", "torch": "python3-torch", "zbarimg": "zbar-tools", "gpg": "gnupg", "docker": "docker", "pdfsig": "poppler-utils", "pdfdetach": "poppler-utils", "find": "findutils", "timeout": "coreutils", "cp": "coreutils", "cat": "coreutils",
    "sort": "coreutils", "split": "coreutils", "dd": "coreutils", "xmllint": "libxml2-utils", "python": "python3.11", "tiffinfo": "libtiff-tools", "tiff2pdf": "libtiff-tools",
    "djvutxt": "djvulibre-bin", "xz": "xz-utils", "xargs": "findutils", "javac": "openjdk-17-jdk-headless", "awk": "mawk", "iconv": "libc-bin",
}  # fmt: skip
# What no package tells of.
ASK = {
    "docker": "docker --version | cut -d' ' -f3 | tr -d ,", "rustc": "rustc --version | cut -d' ' -f2",
    "swift": "swiftc --version 2> /dev/null | sed 's/.*Swift version \\([0-9.]*\\).*/\\1/;1q'",
}  # fmt: skip
# Programs of PyPI, where the package is called otherwise.
PYPI_OF = {
    "azure": "azure-storage-blob", "docx": "python-docx", "pytesseract": "pytesseract", "gcs": "google-cloud-storage", "pdfminer": "pdfminer.six",
    "pptx": "python-pptx", "psycopg": "psycopg", "yaml": "pyyaml",
}  # fmt: skip
PYPI_NAMES = {name.split("[")[0] for name in PYPI}


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
    return f"{name} {found}"


