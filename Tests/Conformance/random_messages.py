"""Random messages and random damage, the same for the same seed."""

import json
import math
import random
import struct

from google.protobuf.descriptor import FieldDescriptor


def varint(value):
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def length_prefixed(data):
    return varint(len(data)) + data


class Generator:
    """Random messages: mostly what is ordinary, with the edges of every type among it."""

    # No key or text is canonically equivalent to another one with other bytes: those are equal to Swift's strings.
    PIECES = ["a", "b", "batch", "\u00e9", "\U0001f331", "\u65e5", '"', "\\", "/", "\n", "\t", "\x00", "\x1f", "\x7f", "<",
              "\u2028", "\ufeff", "\uffff", " "]

    def __init__(self, seed, classes):
        self.random = random.Random(seed)
        self.classes = classes
        self.payloads = [
            name for name in ("google.rpc.ErrorInfo", "google.rpc.RetryInfo", "google.protobuf.Duration",
                              "google.protobuf.Timestamp", "google.rpc.ResourceInfo", "google.protobuf.FieldMask")
            if name in classes
        ]

    def message(self, name, unknown):
        result = self.classes[name]()
        self.fill(result, self.random.choice([1, 2, 3, 4]), unknown)
        return result

    def text(self):
        return "".join(self.random.choice(self.PIECES) for _ in range(self.random.choice([0, 1, 2, 5, 40])))

    def number(self, bits, signed):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        edges = [0, 1, 127, 128, 300, low, high, high - 1, -1 if signed else 1, 2**53 + 1 if bits == 64 else 2**24 + 1]
        return self.random.choice(edges + [self.random.randint(low, high), self.random.randint(low, high) >> bits // 2])

    def double(self):
        edges = [0.0, -0.0, 0.1, 1.0, -1.5, 1e300, -1e-300, 5e-324, 1.7976931348623157e308, 1e16, 1e21, 123456789.125]
        edges += [math.inf, -math.inf, math.nan, 9007199254740993.0, self.random.random(), self.random.gauss(0, 1e6)]
        return self.random.choice(edges)

    def float(self):
        # The largest float of all is left out: Python refuses what it writes of it itself.
        edges = [0.0, -0.0, 0.1, 3.402823e38, 1e-45, 1.17549435e-38, 16777217.0, math.inf, -math.inf, math.nan]
        return struct.unpack("<f", struct.pack("<f", self.random.choice(edges + [self.random.random()])))[0]

    def scalar(self, field):
        kind = FieldDescriptor
        match field.type:
            case kind.TYPE_INT32 | kind.TYPE_SINT32 | kind.TYPE_SFIXED32: return self.number(32, True)
            case kind.TYPE_INT64 | kind.TYPE_SINT64 | kind.TYPE_SFIXED64: return self.number(64, True)
            case kind.TYPE_UINT32 | kind.TYPE_FIXED32: return self.number(32, False)
            case kind.TYPE_UINT64 | kind.TYPE_FIXED64: return self.number(64, False)
            case kind.TYPE_DOUBLE: return self.double()
            case kind.TYPE_FLOAT: return self.float()
            case kind.TYPE_BOOL: return self.random.random() < 0.5
            case kind.TYPE_BYTES: return self.random.randbytes(self.random.choice([0, 1, 2, 3, 4, 20]))
            case kind.TYPE_STRING: return self.text()
        named = [value.number for value in field.enum_type.values]
        return self.random.choice(named * 4 + [max(named) + 1, -3, 2**31 - 1, -(2**31)])

    def fill(self, result, depth, unknown):
        special = getattr(self, "fill_" + result.DESCRIPTOR.full_name.replace(".", "_"), None)
        if special:
            special(result, depth)
        else:
            density = self.random.choice([0.1, 0.4, 0.9])
            for field in result.DESCRIPTOR.fields:
                if self.random.random() < density:
                    self.fill_field(result, field, depth, unknown)
        # An Any's own payload is compared as bytes, and a JSON form has no unknown fields.
        if unknown and self.random.random() < 0.2:
            result.MergeFromString(self.unknown(result.DESCRIPTOR))

    def fill_field(self, result, field, depth, unknown):
        entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        if entry:
            key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
            for _ in range(self.random.choice([0, 1, 2, 5])):
                if value.message_type:
                    self.nested(getattr(result, field.name)[self.scalar(key)], depth, unknown)
                else:
                    getattr(result, field.name)[self.scalar(key)] = self.scalar(value)
        elif field.is_repeated:
            for _ in range(self.random.choice([0, 1, 2, 5] if depth else [0, 1])):
                if field.message_type:
                    self.nested(getattr(result, field.name).add(), depth, unknown)
                else:
                    getattr(result, field.name).append(self.scalar(field))
        elif field.message_type:
            getattr(result, field.name).SetInParent()
            self.nested(getattr(result, field.name), depth, unknown)
        else:
            setattr(result, field.name, self.scalar(field))

    def nested(self, result, depth, unknown):
        # A Value has no JSON form without a value, and a message that refers to itself ends here.
        if depth or result.DESCRIPTOR.full_name == "google.protobuf.Value":
            self.fill(result, max(depth - 1, 0), unknown)

    def fill_google_protobuf_Timestamp(self, result, depth):
        result.seconds = self.random.choice([0, 1, -1, -62135596800, 253402300799, self.random.randint(0, 2 * 10**9)])
        result.nanos = self.random.choice([0, 1, 1000, 10**6, 999999999, 120000000, self.random.randrange(10**9)])

    def fill_google_protobuf_Duration(self, result, depth):
        sign = self.random.choice([1, -1])
        result.seconds = sign * self.random.choice([0, 1, 315576000000, self.random.randrange(10**6)])
        nanos = [0] if abs(result.seconds) == 315576000000 else [0, 1, 1000, 10**6, 999999999, 120000000]
        result.nanos = sign * self.random.choice(nanos)

    def fill_google_protobuf_FieldMask(self, result, depth):
        for _ in range(self.random.choice([0, 1, 3])):
            result.paths.append(self.random.choice(["a", "batch_id", "a_b_c", "tiers.name", "a.b_c.d"]))

    def fill_google_protobuf_Any(self, result, depth):
        if self.random.random() < 0.8 and self.payloads:
            name = self.random.choice(self.payloads)
            result.Pack(self.message(name, unknown=False), deterministic=True)

    def fill_google_protobuf_Struct(self, result, depth):
        for _ in range(self.random.choice([0, 1, 3])):
            self.fill_google_protobuf_Value(result.fields[self.text()], depth - 1)

    def fill_google_protobuf_ListValue(self, result, depth):
        for _ in range(self.random.choice([0, 1, 3])):
            self.fill_google_protobuf_Value(result.values.add(), depth - 1)

    def fill_google_protobuf_Value(self, result, depth):
        match self.random.randrange(6 if depth > 0 else 4):
            case 0: result.null_value = 0
            case 1: result.number_value = self.random.choice([0.0, -0.0, 1.5, -3.0, 1e20, 1e-7, 2.0**53])
            case 2: result.string_value = self.text()
            case 3: result.bool_value = self.random.random() < 0.5
            case 4:
                result.list_value.SetInParent()
                self.fill_google_protobuf_ListValue(result.list_value, depth - 1)
            case 5:
                result.struct_value.SetInParent()
                self.fill_google_protobuf_Struct(result.struct_value, depth - 1)

    def unknown(self, descriptor, depth=2):
        """A few fields that the message doesn't have."""
        taken = {field.number for field in descriptor.fields}
        result = b""
        for _ in range(self.random.choice([1, 2, 4])):
            number = self.random.choice([9, 15, 16, 500, 2047, 2048, 100000, 2**29 - 1])
            if number in taken or 19000 <= number < 20000:
                continue
            kind = self.random.choice([0, 1, 2, 3, 5])
            result += varint(number << 3 | kind)
            match kind:
                case 0: result += varint(self.number(64, False))
                case 1: result += self.random.randbytes(8)
                case 2: result += length_prefixed(self.random.randbytes(self.random.choice([0, 1, 30])))
                case 3: result += (self.unknown(descriptor, depth - 1) if depth else b"") + varint(number << 3 | 4)
                case 5: result += self.random.randbytes(4)
        return result

    def damaged(self, data):
        """The same bytes with what goes wrong: cut, bits flipped, bytes lost, doubled, replaced, put elsewhere."""
        data = bytearray(data)
        for _ in range(self.random.choice([1, 1, 2, 4])):
            at = self.random.randrange(len(data) + 1)
            match self.random.randrange(7):
                case 0: del data[at:]
                case 1 if at < len(data): data[at] ^= 1 << self.random.randrange(8)
                case 2 if at < len(data): data[at] = self.random.choice([0, 1, 0x7F, 0x80, 0xFF, self.random.randrange(256)])
                case 3: del data[at:at + self.random.choice([1, 2, 9])]
                case 4: data[at:at] = data[at:at + self.random.choice([1, 5, 20])]
                case 5: data[at:at] = self.random.randbytes(self.random.choice([1, 2, 8]))
                case 6 if at < len(data) and data[at] < 0x80:  # A varint that is longer than it needs to be, if it is one.
                    data[at:at + 1] = bytes([data[at] | 0x80]) + b"\x80" * self.random.randrange(5) + b"\x00"
        return bytes(data)

    def damaged_json(self, text):
        """The same JSON with one value replaced by one of another kind or out of its range; or with the text cut."""
        if self.random.random() < 0.2:
            return text[:self.random.randrange(len(text))]
        tree = json.loads(text)
        places = []

        def walk(value, put):
            places.append((value, put))
            if isinstance(value, dict):
                for key in value:
                    walk(value[key], lambda new, key=key: value.__setitem__(key, new))
            elif isinstance(value, list):
                for index in range(len(value)):
                    walk(value[index], lambda new, index=index: value.__setitem__(index, new))

        walk(tree, None)
        if len(places) == 1:
            return json.dumps({"noSuchField": 1})
        value, put = self.random.choice(places[1:])
        put(self.random.choice([
            None, True, False, 0, 1, -1, 1.5, 1e100, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, "", "x", "0", "-1", "1.5",
            "1e3", "true", "AAAA", "A", "NaN", "2026-01-31T12:00:00Z", "2026-02-30T12:00:00Z", "1.5s", "1s ", [], {}, [None],
            [1], {"a": 1}, [[]], {"noSuchField": 1},
        ]))
        return json.dumps(tree)
