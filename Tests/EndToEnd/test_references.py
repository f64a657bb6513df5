"""Whatever the documents and the comments refer to is in the repository: files, articles, sections, types."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("Sources", "Tests", "tools", "proto")
PATH = re.compile(r"(?<![\w/.-])(?:Sources|Tests|tools|proto|\.ci)/[\w./+*…-]*[\w/*]")
MARKDOWN = re.compile(r"(?<![\w/:.-])[\w./-]*\w\.md\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
ARTICLE = re.compile(r"<doc:([\w-]+)(?:#([^>]+))?>")
CODE = re.compile(r"`([^`\n]+)`")
SWIFT_FILE = re.compile(r"^[\w+…]+\.swift$")
SWIFT_NAME = re.compile(r"^(?:[A-Z]\w*[a-z]\w*(?:[.(]|$)|[a-z]\w*\()")
# What others wrote is cited by its address, or not at all.
ELSEWHERE = re.compile(r"\b(?:Wickson|Mixpeek|[Tt]he seeds['’]?(?! (?:of|that))|troubleshooting[ -]guide)\b")


def said(path, line):
    """What of a line speaks to readers: all of a document's, the comment of code's."""
    if path.endswith((".md", ".py")):
        return line
    mark = "//" if path.endswith((".swift", ".proto", ".c", ".h")) else "# "
    before, mark, comment = line.partition(mark)
    return comment if mark and not before.endswith(":") else ""


def anchor(heading):
    """As DocC and GitHub write it, in lower case."""
    return re.sub(r"[^\w\s-]", "", heading).strip().replace(" ", "-").lower()


def headings(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return {anchor(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


class Repository:
    """The files that git has, or would take, and the words of the sources."""

    def __init__(self, files):
        self.files = files
        self.paths = set(files)
        for path in files:
            self.paths.update(str(parent) for parent in Path(path).parents)
        self.names = {Path(path).name for path in files}
        self.articles = {Path(path).stem: path for path in files if ".docc/" in path}
        self.words = set()
        for path, text in files.items():
            if path.startswith(ROOMS) and not path.endswith(".md"):
                self.words.update(re.findall(r"\w+", text))

    @staticmethod
    def here():
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
            capture_output=True, text=True).stdout
        files = {}
        for path in filter(None, listed.split("\0")):
            if (ROOT / path).is_file():
                files[path] = (ROOT / path).read_text("utf-8", errors="replace")
        return Repository(files)

    def has(self, path, beside=None):
        path = path.rstrip("/").replace("…", "*")
        candidates = [path] + ([str((Path(beside).parent / path))] if beside else [])
        for candidate in candidates:
            candidate = re.sub(r"(?:^|/)[^/.]+/\.\.(?=/)", "", candidate)
            if candidate in self.paths:
                return True
            if "*" in candidate:
                pattern = re.compile(re.escape(candidate).replace(r"\*", "[^/]*") + "$")
                if any(pattern.match(known) for known in self.paths):
                    return True
        return False

    def faults(self):
        found = []
        for path, text in self.files.items():
            if path.startswith(ROOMS) or path in ("README.md", "Package.swift"):
                for number, fault in self.faults_in(path, text):
                    found.append(f"{path}:{number}: {fault}")
        return found

    def faults_in(self, path, text):
        if path.endswith("test_references.py") or path.endswith((".json", ".jsonl", ".bin")):
            return
        is_document = path.endswith(".md")
        for number, line in enumerate(text.splitlines(), 1):
            for name in PATH.findall(said(path, line)):
                # DIRECTORY stands for any.
                if not self.has(name) and not re.search(r"/[A-Z]{2,}(?:/|$)", name):
                    yield number, f"there is no {name}"
            for name in MARKDOWN.findall(said(path, line)):
                if not self.has(name, path) and Path(name).name not in self.names:
                    yield number, f"there is no {name}"
            for name, section in ARTICLE.findall(line):
                article = self.articles.get(name)
                if article is None or (is_document and Path(article).parent != Path(path).parent):
                    yield number, f"there is no article {name}"
                elif section and anchor(section) not in headings(self.files[article]):
                    yield number, f"the article {name} has no section {section}"
            if ELSEWHERE.search(line):
                yield number, f"{ELSEWHERE.search(line).group()} is not in the repository"
            if is_document:
                for target in LINK.findall(line):
                    fault = self.fault_of_link(target, path, text)
                    if fault:
                        yield number, fault
            if ".docc/" in path:
                for fault in self.faults_of_code(line):
                    yield number, fault

    def fault_of_link(self, target, path, text):
        if "://" in target:
            return None
        name, _, section = target.partition("#")
        if name and not self.has(name, path):
            return f"there is no {name}"
        if section:
            linked = text if not name else next(
                (self.files[known] for known in (name, str(Path(path).parent / name)) if known in self.files), "")
            if section not in headings(linked):
                return f"{name or path} has no section {section}"
        return None

    def faults_of_code(self, line):
        for code in CODE.findall(line):
            if SWIFT_FILE.match(code):
                pattern = re.compile(re.escape(code).replace("…", r"[\w+]+") + "$")
                if not any(pattern.match(name) for name in self.names):
                    yield f"there is no file {code}"
            elif SWIFT_NAME.match(code) and "/" not in code:
                for word in re.findall(r"\w+", code):
                    if word not in self.words:
                        yield f"there is no {word} in the sources"


class References(unittest.TestCase):
    def test_everything_that_is_referred_to_is_there(self):
        self.assertEqual(Repository.here().faults(), [])

    def test_documents_are_at_most_120_columns_wide(self):
        for path, text in Repository.here().files.items():
            if path in ("README.md", "proto/PROTOCOL.md") or ".docc/" in path:
                for number, line in enumerate(text.splitlines(), 1):
                    self.assertLessEqual(len(line), 120, f"{path}:{number}")

    def test_the_core_names_commands_and_spells_none(self):
        spelled = re.compile(r'"[^"]*(?:\bmend [a-z]+\b|(?<![\w-])--(?!max-old-space-size)[a-z])')
        for path, text in Repository.here().files.items():
            if path.startswith("Sources/MendCore/") and path.endswith(".swift"):
                for number, line in enumerate(text.splitlines(), 1):
                    self.assertIsNone(spelled.search(line.partition("//")[0]), f"{path}:{number}")

    def test_a_reference_to_nothing_is_found(self):
        article = "Sources/A/Documentation.docc/Things.md"
        files = {
            "README.md": "# Mend\n\nSee [the protocol](proto/PROTOCOL.md#calls).\n",
            "proto/PROTOCOL.md": "# Protocol\n\n## Calls\n",
            article: "# Things\n\n## One thing\n\nSee `Sources/A/A.swift`, `A.swift` and `Thing`.\n",
            "Sources/A/A.swift": "/// A thing (<doc:Things#One-thing>).\nstruct Thing {}\n",
        }
        self.assertEqual(Repository(files).faults(), [])
        for path, planted in [
            ("README.md", "[gone](proto/GONE.md)"),
            ("README.md", "[gone](proto/PROTOCOL.md#gone)"),
            ("README.md", "[gone](#gone)"),
            ("README.md", "`Sources/Gone/`"),
            ("proto/PROTOCOL.md", "as Tests/Gone/*.txt shows"),
            (article, "<doc:Gone>"),
            (article, "<doc:Things#Gone>"),
            (article, "`Gone.swift`"),
            (article, "`Gone` and `Thing`"),
            ("Sources/A/A.swift", "// as gone.md has it"),
            ("Sources/A/A.swift", "// see tools/gone"),
            ("Sources/A/A.swift", "/// <doc:Gone#One-thing>"),
            ("Sources/A/A.swift", "// as the seeds have it"),
        ]:
            with self.subTest(planted):
                changed = {**files, path: files[path] + planted + "\n"}
                self.assertNotEqual(Repository(changed).faults(), [])


if __name__ == "__main__":
    unittest.main()
