import MendProtobuf
import Testing

@Suite("Messages as JSON")
struct JSONTests {
  private func canonical(_ message: some Message) throws -> String {
    try message.jsonValue(.canonical).compact()
  }

  @Test("A message with a field of every kind comes back from JSON, in both spellings")
  func everyKind() throws {
    var message = Samples.kinds
    // JSON has no numbers for short names that aren't there, and no empty Value: everything else is here.
    message.doubles = [0, .pi, -0.0, .infinity, -.infinity]
    for options in [JSONEncodingOptions(), .canonical] {
      let text = try message.jsonValue(options).pretty()
      #expect(try Kinds(jsonText: text) == message)
    }
  }

  @Test("People and scripts get the schema's names, short enum names, numbers as numbers, defaults included")
  func house() throws {
    let message = Scalars {
      $0.int64 = .min
      $0.uint64 = .max
      $0.float = 0.1
      $0.double = 5
      $0.mood = .inLove
    }
    #expect(
      try message.jsonValue().compact() == """
        {"double":5,"float":0.1,"int32":0,"int64":-9223372036854775808,"uint32":0,"uint64":18446744073709551615,\
        "sint32":0,"sint64":0,"fixed32":0,"fixed64":0,"sfixed32":0,"sfixed64":0,"bool":false,"string":"","bytes":"",\
        "mood":"in_love"}
        """)
  }

  @Test("What is unset is left out, or null on request; an unspecified enum counts as unset")
  func unset() throws {
    let json = try Kinds().jsonValue()
    #expect(json["optional_number"] == nil)
    #expect(json["tree"] == nil)
    #expect(json["numbers"] == .array([]))
    #expect(json["counts"] == [:])
    #expect(try Scalars().jsonValue()["mood"] == nil)
    #expect(try Tree.Branch().jsonValue()["kind"] == "root")
    var options = JSONEncodingOptions()
    options.includeNulls = true
    #expect(try Kinds().jsonValue(options)["optional_number"] == .null)
    #expect(try Scalars().jsonValue(options)["mood"] == .null)
  }

  @Test("ProtoJSON leaves defaults out and has its own spellings")
  func canonicalForm() throws {
    #expect(try canonical(Kinds()) == "{}")
    #expect(
      try canonical(
        Kinds {
          $0.optionalNumber = 0; $0.batchID = "b"
        }) == #"{"optionalNumber":0,"batchId":"b"}"#)
    #expect(
      try canonical(
        Scalars {
          $0.int64 = 1; $0.mood = .negative
        }) == #"{"int64":"1","mood":"MOOD_NEGATIVE"}"#)
    #expect(try canonical(Kinds { $0.counts = ["b": 1, "a": 2] }) == #"{"counts":{"a":"2","b":"1"}}"#)
    #expect(try canonical(Kinds { $0.sourceURI = "u" }) == #"{"from":"u"}"#)
    let infinite = Scalars {
      $0.double = .nan; $0.float = -.infinity
    }
    #expect(try canonical(infinite) == #"{"double":"NaN","float":"-Infinity"}"#)
    #expect(try canonical(Scalars { $0.bytes = [0xfb, 0xff] }) == #"{"bytes":"+/8="}"#)
    #expect(try canonical(Scalars { $0.mood = .unrecognized(9) }) == #"{"mood":9}"#)
  }

  @Test("Wrappers, Struct and Value have their own forms")
  func wellKnown() throws {
    let text = #"{"settings":{"a":1.5,"b":[null,true,"x",{}]},"wrapped":"0"}"#
    let message = try Kinds(jsonText: text)
    #expect(message.wrapped == GoogleInt64Value())
    #expect(message.settings?.fields["a"]?.kind == .numberValue(1.5))
    guard case .listValue(let list)? = message.settings?.fields["b"]?.kind else {
      Issue.record("b is no list")
      return
    }
    #expect(
      list.values.map(\.kind)
        == [.nullValue(.nullValue), .boolValue(true), .stringValue("x"), .structValue(GoogleStruct())])
    #expect(try canonical(message) == text)
  }

  @Test(
    "Every spelling of a value is read",
    arguments: [
      (
        #"{"int32": 7.0, "int64": "-7", "uint64": 18446744073709551615, "sint32": 1e2}"#,
        Scalars {
          $0.int32 = 7; $0.int64 = -7; $0.uint64 = .max; $0.sint32 = 100
        }
      ),
      (#"{"double": "NaN", "float": "1.5"}"#, nil),
      (#"{"mood": "in_love"}"#, Scalars { $0.mood = .inLove }),
      (#"{"mood": "MOOD_IN_LOVE"}"#, Scalars { $0.mood = .inLove }),
      (#"{"mood": "IN_LOVE"}"#, Scalars { $0.mood = .inLove }),
      (#"{"mood": 42}"#, Scalars { $0.mood = .unrecognized(42) }),
      (#"{"bytes": "-_8"}"#, Scalars { $0.bytes = [0xfb, 0xff] }),
      (#"{"string": null, "int32": null}"#, Scalars()),
      (#"{"string": "\u00e9\ud83c\udf31\n"}"#, Scalars { $0.string = "é🌱\n" }),
    ])
  func spellings(text: String, expected: Scalars?) throws {
    let message = try Scalars(jsonText: text)
    if let expected { #expect(message == expected) } else { #expect(message.double.isNaN && message.float == 1.5) }
  }

  @Test(
    "Faults have line, column, path and what would be right",
    arguments: [
      ("{\n  \"batch_idd\": 1}", "2:3: mend.test.Kinds has no field 'batch_idd'; near: batch_id"),
      (
        #"{"numbers": [1, "x"]}"#,
        "1:17: $.numbers[1]: expected a whole number from -2147483648 to 2147483647, found 'x'"
      ),
      (
        #"{"numbers": [1, 2147483648]}"#,
        "1:17: $.numbers[1]: expected a whole number from -2147483648 to 2147483647, found 2147483648"
      ),
      (#"{"scalars": {"string": 5}}"#, "1:24: $.scalars.string: expected a string, found 5"),
      (#"{"scalars": {"bool": "true"}}"#, "1:22: $.scalars.bool: expected true or false, found 'true'"),
      (
        #"{"optional_mood": "fin"}"#,
        "1:19: $.optional_mood: 'fin' is not one of mend.test.Mood's values; near: fine"
      ),
      (#"{"counts": {"a": null}}"#, "1:18: $.counts.a: null is no element of a list or map"),
      (#"{"moods_by_flag": {"yes": 1}}"#, "1:20: $.moods_by_flag: 'yes' is no key of this map"),
      (#"{"name": "n", "number": 1}"#, "1:25: $.number: another field of the same oneof is set too"),
      (#"{"batch_id": "a", "batchId": "b"}"#, "1:19: 'batch_id' stands twice, in both spellings"),
      (#"{"batch_id": "a", "batch_id": "b"}"#, "1:19: 'batch_id' stands twice in this object"),
      ("[]", "1:1: expected an object, found a list"),
      (#"{"scalars": {"bytes": "%"}}"#, "1:23: $.scalars.bytes: expected base64, found '%'"),
      (#"{"scalars": {"float": 1e39}}"#, "1:23: $.scalars.float: \("1e+39") is out of a float's range"),
      ("{\"batch_id\":\n 'x'}", "2:2: expected a value, found '''"),
      (#"{"batch_id": "x" "old": 1}"#, "1:18: expected ',' or '}', found '\"'"),
      (#"{"numbers": [01]}"#, "1:14: '01' is not a number"),
      (#"{"batch_id": "\ud800"}"#, "1:21: a \\u escape of half a surrogate pair"),
      ("", "1:1: expected a value, the text ends here"),
      ("{} {}", "1:4: expected the end of the text, found '{'"),
    ])
  func faults(text: String, description: String) {
    #expect { try Kinds(jsonText: text) } throws: { "\($0)" == description }
  }

  @Test(
    "Whole numbers are read exactly at the ends of their range, and refused just beyond",
    arguments: [
      "9223372036854775808", "-9223372036854775809", "1e19", "1.5", "\"9223372036854775808\"",
      "\"-9223372036854775809\"",
      "\" 1\"", "\"\"", "\"1_0\"", "true",
    ])
  func integerRange(text: String) throws {
    #expect(throws: JSONDecodingError.self) { try Scalars(jsonText: "{\"int64\": \(text)}") }
    #expect(try Scalars(jsonText: #"{"int64": -9223372036854775808}"#).int64 == .min)
    #expect(try Scalars(jsonText: #"{"int64": "9223372036854775807"}"#).int64 == .max)
  }

  @Test("Unknown members are ignored on request")
  func ignoring() throws {
    var options = JSONDecodingOptions()
    options.ignoreUnknownFields = true
    #expect(try Kinds(jsonText: #"{"nope": {"deep": []}, "old": 1}"#, options: options).old == 1)
    let moods = try Kinds(jsonText: #"{"optional_mood": "new", "moods": ["fine", "new"]}"#, options: options)
    #expect(moods == Kinds { $0.moods = [.fine] })
  }

  @Test("JSON nests a hundred deep and no deeper")
  func depth() {
    let deep = String(repeating: "[", count: 101) + String(repeating: "]", count: 101)
    #expect { try JSONValue(parsing: deep) } throws: { "\($0)" == "1:101: nested more than 100 deep" }
    #expect(throws: JSONDecodingError.self) { try JSONValue(parsing: String(repeating: "[", count: 1_000_000)) }
    #expect(throws: Never.self) { try JSONValue(parsing: String(deep.dropFirst().dropLast())) }
  }
}

@Suite("JSON values")
struct JSONValueTests {
  @Test("They print compactly and prettily, in the order of their members")
  func printing() {
    let value: JSONValue = ["b": [1, 2.5, "x\"\n\u{1}"], "a": nil, "c": [:], "d": []]
    #expect(value.compact() == #"{"b":[1,2.5,"x\"\n\u0001"],"a":null,"c":{},"d":[]}"#)
    #expect(
      value.pretty() == """
        {
          "b": [
            1,
            2.5,
            "x\\"\\n\\u0001"
          ],
          "a": null,
          "c": {},
          "d": []
        }
        """)
  }

  @Test("What is printed is parsed again")
  func roundTrip() throws {
    let value: JSONValue = ["a": [1, -1, 0.1, 1e300, "é🌱", true, false, nil], "b": .unsigned(.max), "c": ["d": []]]
    #expect(try JSONValue(parsing: value.compact()) == value)
    #expect(try JSONValue(parsing: value.pretty()) == value)
  }

  @Test("An object's members are set in place, added at the end and removed")
  func members() {
    var object = JSONObject([.init("a", 1), .init("b", 2)])
    object["a"] = 3
    object["c"] = 4
    object["b"] = nil
    #expect(JSONValue.object(object).compact() == #"{"a":3,"c":4}"#)
  }

  @Test(
    "Times are RFC 3339 in UTC",
    arguments: [
      (0, 0, "1970-01-01T00:00:00Z"), (-1, 500_000_000, "1969-12-31T23:59:59.500Z"),
      (951_782_400, 1_000, "2000-02-29T00:00:00.000001Z"),
      (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
      (-62_135_596_800, 0, "0001-01-01T00:00:00Z"), (1_769_860_800, 0, "2026-01-31T12:00:00Z"),
    ] as [(Int64, Int64, String)])
  func times(seconds: Int64, nanos: Int64, text: String) {
    #expect(RFC3339.text(seconds: seconds, nanos: nanos) == text)
    let parsed = RFC3339.parse(text)
    #expect(parsed?.seconds == seconds && parsed.map { Int64($0.nanos) } == nanos)
  }

  @Test("Offsets are read; what is no time is refused")
  func parsingTimes() {
    #expect(RFC3339.parse("1970-01-01T01:30:00+01:30")?.seconds == 0)
    #expect(RFC3339.parse("1969-12-31T22:00:00.25-02:00")?.nanos == 250_000_000)
    for text in [
      "", "1970-01-01", "1970-01-01T00:00:00", "1970-02-29T00:00:00Z", "1970-13-01T00:00:00Z", "1970-01-01T24:00:00Z",
      "1970-01-01t00:00:00Z", "1970-01-01T00:00:00.Z", "0000-01-01T00:00:00Z", "1970-01-01T00:00:00Zx",
      "0001-01-01T00:00:00+01:00", "1970-01-01T00:00:00.1234567890Z",
    ] {
      #expect(RFC3339.parse(text) == nil, "\(text)")
    }
    #expect(RFC3339.text(seconds: 253_402_300_800) == nil)
  }

  @Test("Base64 is read with and without padding, in both alphabets, and nothing else is")
  func base64() {
    for count in 0..<10 {
      let bytes = (0..<count).map { UInt8($0 * 37 & 255) }
      #expect(Base64.decode(Base64.encode(bytes)) == bytes)
    }
    #expect(Base64.encode("hello".utf8) == "aGVsbG8=")
    #expect(Base64.encode([0, 1, 255], as: .unpadded) == "AAH/")
    #expect(Base64.encode([0, 1], as: .unpadded) == "AAE")
    #expect(Base64.encode([255, 239], as: .url) == "_-8")
    #expect(Base64.decode("aGVsbG8") == Array("hello".utf8))
    for text in ["a", "aGVsbG8==", "aGVs bG8", "====", "aGVsbG8=x", "=", "AA=", "A===", "AAAA="] {
      #expect(Base64.decode(text) == nil, "\(text)")
    }
  }
}
