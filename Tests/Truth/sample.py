"""How a sample is told: what is run, on what, and what is true of its end."""

import textwrap
from dataclasses import dataclass, field

from reasons import CATEGORY, REASONS, RETRIES


@dataclass
class Sample:
    """A failure that can be made again."""

    id: str
    # Shell text. `$doc` is the document; the working directory is empty and writable.
    recipe: str
    reason: str
    # A part of the decisive line; after `|` of others that say as much. Empty where no line decides.
    line: str
    family: str
    # The maker in documents.py of what `$doc` is, and the name that it gets there.
    document: str = ""
    name: str = ""
    # Programs of the recipe's own, by name, in /srv/app.
    files: dict = field(default_factory=dict)
    # Shell text run before by root: mounts, and what the service is to be brought to.
    setup: str = ""
    # Names of starters in services.py.
    services: tuple = ()
    # Reasons that say as much, where the output leaves it open.
    also: tuple = ()
    # Reasons that a reader could be misled to.
    wrong: tuple = ()
    # Where the reason's own is not true here.
    retry: str = ""
    env: dict = field(default_factory=dict)

    @property
    def program(self):
        return self.id.split("/")[0]

    @property
    def lines(self):
        return [part for part in self.line.split("|") if part]

    @property
    def truth(self):
        cause, retry = REASONS[self.reason]
        # A signal that nothing explains is said to be one.
        also = [*self.also, "exit.signal"] if cause == "signal" and self.reason != "exit.signal" else self.also
        truth = {"category": CATEGORY[cause], "cause": cause, "reason": self.reason, "retry": self.retry or retry}
        return {**truth, "also": list(also)} if also else truth


ALL = {}
_family = ""


def family(name):
    """The samples that follow are written to corpus/NAME.jsonl."""
    global _family
    _family = name


def sample(id, recipe, reason, line="", **more):
    made = Sample(id, textwrap.dedent(recipe).strip(), reason, line, _family, **more)
    if id in ALL:
        raise ValueError(f"{id} is there twice")
    if reason not in REASONS or any(other not in REASONS for other in (*made.wrong, *made.also)):
        raise ValueError(f"{id}: unknown reason")
    if made.truth["retry"] not in RETRIES:
        raise ValueError(f"{id}: unknown retry")
    ALL[id] = made


def script(id, text, reason, line="", file="job.py", run="python", arguments='"$doc"', **more):
    """A sample that is a program of its own, in /srv/app."""
    files = {file: textwrap.dedent(text).strip() + "\n"}
    sample(id, f"{run} /srv/app/{file} {arguments}".strip(), reason, line, files=files, **more)


def disk(options):
    """A setup that mounts a file system of its own at /srv/out: `size=16k` is soon full, `ro` takes nothing."""
    return f"mkdir /srv/out; mount -t tmpfs -o {options},mode=777 tmpfs /srv/out"
