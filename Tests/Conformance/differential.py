"""Random messages of every schema, through Mend's codec and through Python's protobuf, which must agree.

For every message type: bytes to bytes, bytes to ProtoJSON, ProtoJSON to bytes, Mend's own JSON there and back, unknown
fields in any message of the tree; and for damaged bytes and damaged JSON that both refuse, or both accept with the same
result. A run with the same --seed and versions is the same run. What differs is printed with the input, and writes
`PASSED FAILED SKIPPED` where --summary says: a case is one message type with one kind of check.
"""

import argparse
import collections
import json
import math
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message, message_factory, unknown_fields
from grpc_tools import protoc

from random_messages import Generator

ROOT = Path(__file__).resolve().parents[2]
SHOWN_MAX = 3  # Differences that are printed a case; all are counted.

# Where the two differ about what isn't a message at all, on purpose: how the difference reads, and why it stays.
ON_PURPOSE = [
    (r"^only here refused: .* a varint is longer than its kind may be", "Python drops the bits above the 64th"),
    (r"^only here refused: .* is no tag \(field number 0,", "Python looks at no tag in a group that it skips"),
    (r"^only here refused: .* expected an object, found (''|a list)$", "Python takes an empty list or text for {}"),
    (r"^only here refused: .* expected a (whole )?number, found (true|false)$", "booleans are Python's numbers"),
    (r"^only here refused: .* '-?\d+' is not one of .*'s values", "Python reads an enum's number from text"),
    (r"^only here refused: .* expected base64, found ", "Python leaves out what isn't base64's alphabet"),
    (r"^only here accepted, .* Can not find message descriptor by type_url", "an Any of any type may come in base64"),
    (r"^only here refused: .* expected a whole number from .*, found (1\.5|4294967296)$", "Python cuts an enum's number"),
]


class Refused(Exception):
    """The input was not decoded, or what was decoded has no form in the other format."""


class Died(Exception):
    """The filter ended instead of answering."""


class Filter:
    """Mend's codec in a process of its own, started again after it died."""

    def __init__(self, path):
        self.path = path
        self.process = None

    def ask(self, direction, name, payload):
        if self.process is None:
            self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        frame = direction.encode() + bytes([len(name)]) + name.encode() + payload
        try:
            self.process.stdin.write(struct.pack("<I", len(frame)) + frame)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.died()
        answer = self.read(*struct.unpack("<I", self.read(4)))
        if answer[:1] == b"-":
            raise Refused(answer[1:].decode(errors="replace"))
        return answer[1:]

    def read(self, count):
        data = self.process.stdout.read(count)
        if len(data) < count:
            self.died()
        return data

    def died(self):
        status = self.process.wait()
        self.process = None
        raise Died(f"the filter ended with status {status}")

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


class Schemas:
    """What protoc, not schemac, makes of the schemas, in a pool of its own."""

    def __init__(self, folders):
        files = sorted(str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*.proto"))
        bundled = Path(grpc_tools.__file__).parent / "_proto"
        with tempfile.NamedTemporaryFile() as output:
            arguments = ["protoc", *(f"-I{folder}" for folder in [*folders, bundled])]
            arguments += [f"--descriptor_set_out={output.name}", "--include_imports", *files]
            if protoc.main(arguments) != 0:
                raise SystemExit("protoc refuses the schemas")
            descriptors = descriptor_pb2.FileDescriptorSet.FromString(Path(output.name).read_bytes())
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptors.file:
            self.pool.Add(file)
        self.classes = {}
        for file in descriptors.file:
            for descriptor in self.pool.FindFileByName(file.name).message_types_by_name.values():
                self.add(descriptor)

    def add(self, descriptor):
        if descriptor.GetOptions().map_entry:
            return
        self.classes[descriptor.full_name] = message_factory.GetMessageClass(descriptor)
        for nested in descriptor.nested_types:
            self.add(nested)


def canonical(value):
    """What two messages are compared by: Python's `==` takes no two NaNs for the same."""
    normalize(value)
    return value.SerializeToString(deterministic=True)


def normalize(value):
    """Brings the payloads of all Anys into Python's order of map entries."""
    if value.DESCRIPTOR.full_name == "google.protobuf.Any":
        name = value.type_url.rpartition("/")[2]
        try:
            payload = message_factory.GetMessageClass(value.DESCRIPTOR.file.pool.FindMessageTypeByName(name))()
            payload.ParseFromString(value.value)
        except (KeyError, message.DecodeError):
            return
        value.value = canonical(payload)
        return
    for nested in nested_messages(value):
        normalize(nested)


def keeps_entry_aside(value):
    """Whether a map entry with a field besides key and value was kept as an unknown field; Mend takes key and value."""
    fields = value.DESCRIPTOR.fields_by_number
    for unknown in unknown_fields.UnknownFieldSet(value):
        field = fields.get(unknown.field_number)
        if field and field.message_type and field.message_type.GetOptions().map_entry:
            return True
    return any(map(keeps_entry_aside, nested_messages(value)))


def nested_messages(value):
    for field, content in value.ListFields():
        if not field.message_type:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type:
                yield from content.values()
        else:
            yield from content if field.is_repeated else [content]


class Run:
    def __init__(self, filter_path, seed, messages):
        self.filter = Filter(filter_path)
        self.seed = seed
        self.messages = messages
        self.schemas = Schemas([ROOT / "proto", ROOT / "Tests" / "Schemas"])
        self.kinds = collections.Counter()
        self.passed = self.failed = 0

    def run(self):
        checks = [self.bytes_to_bytes, self.bytes_to_json, self.json_to_bytes, self.own_json, self.damaged_bytes,
                  self.damaged_json]
        for name in sorted(self.schemas.classes):
            for check in checks:
                # Seeded by the case, so that a new message type doesn't change the others' messages.
                generator = Generator(f"{self.seed} {name} {check.__name__}", self.schemas.classes)
                differences = []
                for _ in range(self.messages):
                    try:
                        check(name, generator, differences.append)
                    except Died as error:
                        differences.append(str(error))
                    self.kinds[check.__name__] += 1
                if differences:
                    self.failed += 1
                    print(f"FAIL {name}: {check.__name__}: {len(differences)} differ")
                    for difference in differences[:SHOWN_MAX]:
                        print(f"     {difference[:600]}")
                else:
                    self.passed += 1
        self.filter.close()

    def parse(self, name, data):
        return self.schemas.classes[name].FromString(data)

    def parse_json(self, name, text):
        return json_format.Parse(text, self.schemas.classes[name](), descriptor_pool=self.schemas.pool)

    def to_json(self, value, **options):
        return json_format.MessageToJson(value, indent=None, descriptor_pool=self.schemas.pool, **options)

    def bytes_to_bytes(self, name, generator, differ):
        value = generator.message(name, unknown=True)
        # Map entries and fields in any order: what isn't deterministic is as good.
        data = value.SerializeToString(deterministic=generator.random.random() < 0.5)
        try:
            ours = self.filter.ask("b", name, data)
        except Refused as error:
            return differ(f"refused: {error}; input {data.hex()}")
        if canonical(self.parse(name, ours)) != canonical(value):
            differ(f"{data.hex()} became {ours.hex()}")
        elif self.filter.ask("b", name, ours) != ours:
            differ(f"{ours.hex()} doesn't stay as it is")

    def bytes_to_json(self, name, generator, differ):
        value = generator.message(name, unknown=True)
        data = canonical(value)
        value.DiscardUnknownFields()
        try:
            text = self.filter.ask("j", name, data).decode()
        except Refused as error:
            return differ(f"refused: {error}; input {data.hex()}")
        theirs = self.to_json(value)
        if not same_json(json.loads(text), json.loads(theirs)):
            differ(f"{text} where Python has {theirs}")
            return
        try:
            if canonical(self.parse_json(name, text)) != canonical(value):
                differ(f"{text} was {data.hex()}")
        except (json_format.Error, ValueError) as error:
            differ(f"Python refuses {text}: {error}")

    def json_to_bytes(self, name, generator, differ):
        value = generator.message(name, unknown=False)
        text = self.to_json(
            value, preserving_proto_field_name=generator.random.random() < 0.5,
            always_print_fields_with_no_presence=generator.random.random() < 0.5,
            use_integers_for_enums=generator.random.random() < 0.5, ensure_ascii=generator.random.random() < 0.5)
        try:
            ours = self.filter.ask("p", name, text.encode())
        except Refused as error:
            return differ(f"refused: {error}; input {text}")
        if canonical(self.parse(name, ours)) != canonical(self.parse_json(name, text)):
            differ(f"{text} became {ours.hex()}, not {canonical(self.parse_json(name, text)).hex()}")

    def own_json(self, name, generator, differ):
        value = generator.message(name, unknown=False)
        data = canonical(value)
        text = b""
        try:
            text = self.filter.ask("o", name, data)
            ours = self.filter.ask("p", name, text)
        except Refused as error:
            return differ(f"refused: {error}; input {data.hex()} {text.decode()}")
        if canonical(self.parse(name, ours)) != canonical(value):
            differ(f"{data.hex()} became {ours.hex()} by {text.decode()}")

    def damaged_bytes(self, name, generator, differ):
        data = generator.damaged(generator.message(name, unknown=True).SerializeToString())
        self.compare("b", name, data, differ, self.parse, message.DecodeError)

    def damaged_json(self, name, generator, differ):
        text = generator.damaged_json(self.to_json(generator.message(name, unknown=False)))
        self.compare("p", name, text.encode(), differ, self.parse_json, (json_format.Error, ValueError))

    def compare(self, direction, name, data, differ, parse, errors):
        shown = data.hex() if direction == "b" else data.decode()
        theirs = ours = reason = None
        try:
            theirs = parse(name, data)
        except errors as error:
            reason = f"only here accepted, Python: {error}"
        try:
            ours = self.parse(name, self.filter.ask(direction, name, data))
        except Refused as error:
            reason = f"only here refused: {error}"
        if theirs is None and ours is None:
            return
        if theirs is None or ours is None:
            if not any(re.search(pattern, reason) for pattern, _ in ON_PURPOSE):
                differ(f"{reason}; input {shown}")
            return
        if keeps_entry_aside(theirs):
            return
        # Unknown fields are compared by the undamaged messages: a tag in more bytes than it needs is kept in fewer.
        theirs.DiscardUnknownFields()
        ours.DiscardUnknownFields()
        if canonical(ours) != canonical(theirs):
            differ(f"{shown} became {canonical(ours).hex()}, not {canonical(theirs).hex()}")


def same_json(left, right):
    """Whether two JSON values say the same: 1 and 1.0 do, so do a float's shortest digits and a few more of them."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    if isinstance(left, float) or isinstance(right, float):
        numbers = all(type(value) in (int, float) for value in (left, right))
        return numbers and math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-44)
    return type(left) is type(right) and left == right


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--filter", required=True, help="the Filter program of Tests/Conformance/testee")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--messages", type=int, default=40, help="random messages a message type and check")
    arguments.add_argument("--summary")
    options = arguments.parse_args()
    began = time.monotonic()
    run = Run(options.filter, options.seed, options.messages)
    run.run()
    kinds = ", ".join(f"{count} {kind}" for kind, count in run.kinds.items())
    print(f"differential: {run.passed} passed, {run.failed} failed, seed {options.seed}: {len(run.schemas.classes)} message"
          f" types, {sum(run.kinds.values())} messages in {time.monotonic() - began:.0f} s ({kinds})")
    if options.summary:
        Path(options.summary).write_text(f"{run.passed} {run.failed} 0\n")
    sys.exit(1 if run.failed else 0)


main()
