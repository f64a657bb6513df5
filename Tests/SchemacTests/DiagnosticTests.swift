import Testing

@testable import schemac

/// Text in, faults out. The path of every schema is a.proto unless a case brings more files.
private func faults(_ files: [String: String], _ paths: [String]? = nil) -> [String] {
  let compiler = Compiler(rpcModule: "MendRPC") { path in
    files[path].map { Loader.Text(content: $0, displayName: path) }
  }
  return compiler.compile(paths ?? files.keys.sorted()).diagnostics.map(\.description)
}

private func faults(_ body: String) -> [String] {
  faults(["a.proto": "syntax = \"proto3\";\n" + body])
}

@Suite("Faults in a schema")
struct DiagnosticTests {
  @Test(
    "Each has its line, its column and what would be right",
    arguments: [
      ("message A { Foo f = 1; }", "2:13: error: unknown type 'Foo'"),
      ("message A { int32 a = 1 }", "2:25: error: expected ';', found '}'"),
      ("message A {\n  int32 a = 1\n  int32 b = 2;\n}", "3:13: error: missing ';' after '1'"),
      ("message A { int32 a = 0; }", "2:23: error: field number 0 is out of range 1 to 536870911"),
      ("message A { int32 a = -1; }", "2:23: error: field number -1 is out of range 1 to 536870911"),
      ("message A { int32 a = 536870912; }", "2:23: error: field number 536870912 is out of range 1 to 536870911"),
      (
        "message A { int32 a = 19000; }",
        "2:23: error: field number 19000 is in 19000 to 19999, which protobuf keeps for itself"
      ),
      ("message A { int32 a = 1; int32 b = 1; }", "2:36: error: number 1 is taken by 'a' already"),
      ("message A { int32 a = 1; int32 a = 2; }", "2:32: error: field 'a' is declared twice"),
      ("message A { reserved 2 to 4; int32 a = 3; }", "2:40: error: number 3 is reserved"),
      ("message A { reserved 9 to max; int32 a = 536870911; }", "2:42: error: number 536870911 is reserved"),
      ("message A { reserved \"a\"; int32 a = 3; }", "2:33: error: name 'a' is reserved"),
      ("message A { reserved 0; }", "2:22: error: reserved number 0 is out of range 1 to 536870911"),
      (
        "message A { reserved 1 to 536870912; }",
        "2:22: error: reserved number 536870912 is out of range 1 to 536870911"
      ),
      (
        "message A { reserved 5 to 9223372036854775807; }",
        "2:22: error: reserved number 9223372036854775807 is out of range 1 to 536870911"
      ),
      (
        "enum E { reserved -2147483649; A = 0; }",
        "2:19: error: reserved number -2147483649 is out of range -2147483648 to 2147483647"
      ),
      (
        "message A { map<string, int32> by_id = 1; message ByIdEntry {} }",
        "2:32: error: the entries of map 'by_id' are messages called 'ByIdEntry', a name that is taken"
      ),
      (
        "message A { map<string, int32> by_id = 1; map<string, int32> by__id = 2; }",
        "2:62: error: 'by__id' and 'by_id' have the same JSON name 'byId'"
      ),
      (
        "message A { oneof a { int32 foo_id = 1; int32 foo_i_d = 2; } }",
        "2:47: error: 'foo_i_d' and 'foo_id' are both 'fooID' in Swift"
      ),
      (
        "message A {} service S { rpc Foo(A) returns (A); rpc foo(A) returns (A); }",
        "2:54: error: 'foo' and 'Foo' are both 'foo' in Swift"
      ),
      ("message A { int32 _ = 1; }", "2:19: error: Swift has no room for the name '_'; rename it"),
      ("message _ {}", "2:9: error: Swift has no room for a type called '_'; rename it"),
      ("enum E { _ = 0; }", "2:10: error: Swift has no room for the name '_'; rename it"),
      (
        "message A { oneof type { int32 a = 1; } }",
        "2:19: error: Swift has no room for a type called 'Type'; rename it"
      ),
      (#"option a = "\q";"#, #"2:13: error: '\q' is no escape"#),
      (#"option a = "\xg";"#, #"2:13: error: '\x' needs one or two hexadecimal digits"#),
      (#"option a = "\400";"#, #"2:13: error: '\400' is more than a byte"#),
      (#"option a = "\ud800";"#, #"2:13: error: '\u' needs the 4 hexadecimal digits of a Unicode character"#),
      (#"option a = "\xff";"#, "2:12: error: the bytes of this string are no UTF-8"),
      ("message A { reserved 4 to 2; }", "2:22: error: this range ends before it starts"),
      ("message A { reserved 1, 1; }", "2:25: error: these numbers are reserved twice"),
      ("message A { required int32 a = 1; }", "2:13: error: proto3 has no required fields"),
      ("message A { int32 a = 1 [default = 5]; }", "2:26: error: proto3 has no default values of its own"),
      ("message A { repeated group B = 1 {} }", "2:22: error: proto3 has no groups; use a message"),
      ("message A { extensions 100 to 200; }", "2:13: error: extensions are not supported"),
      (
        "message A { map<float, int32> a = 1; }",
        "2:17: error: a map's key is a whole number, a bool or a string, not 'float'"
      ),
      (
        "message A { repeated map<int32, int32> a = 1; }",
        "2:22: error: a map can be neither repeated, optional nor in a oneof: it is a list already"
      ),
      ("message A { map<int32, map<int32, int32>> a = 1; }", "2:24: error: a map's value can't be a map"),
      ("message A { oneof b {} }", "2:19: error: a oneof needs a field"),
      (
        "message A { oneof b { repeated int32 c = 1; } }",
        "2:23: error: a oneof's field can be neither repeated nor optional"
      ),
      ("message A { oneof a { int32 a = 1; } }", "2:19: error: 'a' is declared twice"),
      (
        "message A { repeated string a = 1 [packed = true]; }",
        "2:29: error: only repeated numbers, bools and enums can be packed"
      ),
      ("message A {} message A {}", "2:22: error: 'A' is declared twice, first at a.proto:2"),
      ("message A { int32 a_b = 1; int32 aB = 2; }", "2:34: error: 'aB' and 'a_b' have the same JSON name 'aB'"),
      ("message A { int32 a_id = 1; int32 aID = 2; }", "2:35: error: 'aID' and 'a_id' are both 'aID' in Swift"),
      (
        "message A { int32 unknown_fields = 1; }",
        "2:19: error: 'unknown_fields' would hide the runtime's 'unknownFields'; rename it"
      ),
      (
        "message A { oneof kind { int32 a = 1; } message Kind {} }",
        "2:19: error: Swift type 'A.Kind' is declared twice (a oneof is a type too)"
      ),
      ("message A { enum Type { X = 0; } }", "2:18: error: Swift has no room for a type called 'Type'; rename it"),
      (
        "message B {} message A { message B {} .B b = 1; }",
        "2:34: error: 'B' in 'A' hides the type 'B' that its fields use"
      ),
      ("message Schema {}", "2:9: error: 'Schema' is the name of the generated list of files; rename this"),
      (
        "message FooClient {} message A {} service Foo { rpc X(A) returns (A); }",
        "2:43: error: Swift type 'FooClient' is declared twice, first for a.proto:2:9"
      ),
      ("enum E {}", "2:6: error: enum 'E' has no values"),
      ("enum E { A = 1; }", "2:14: error: the first value of a proto3 enum is zero"),
      (
        "enum E { A = 0; B = 0; }",
        "2:21: error: number 0 is taken by 'A' already (option allow_alias = true; allows it)"
      ),
      ("enum E { A = 0; B = 2147483648; }", "2:21: error: 2147483648 is out of an enum's range, 32 bits"),
      ("enum E { A = 0; } enum F { A = 0; }", "2:28: error: 'A' is declared twice, first at a.proto:2"),
      ("enum E { A = 0; a = 1; }", "2:17: error: 'a' and 'A' are both 'a' in Swift"),
      ("enum E { reserved 5; A = 0; B = 5; }", "2:33: error: number 5 is reserved"),
      (
        "enum E { A = 0; UNRECOGNIZED = 1; }",
        "2:17: error: 'UNRECOGNIZED' would hide the runtime's 'unrecognized'; rename it"
      ),
      (
        "enum E { A = 0; } service S { rpc X(E) returns (E); }",
        "2:37: error: a method takes and returns messages; 'E' is an enum"
      ),
      (
        "message A {} service S { rpc X(A) returns (A); rpc X(A) returns (A); }",
        "2:52: error: method 'X' is declared twice"
      ),
      ("service S { rpc X(A) return (A); }", "2:22: error: expected returns, found 'return'"),
      ("import \"nope.proto\";", "2:8: error: import 'nope.proto' is not found"),
      ("import \"a.proto\";", "2:8: error: import cycle: a.proto → a.proto"),
      ("message A {", "2:11: error: this block does not end"),
      ("message { }", "2:9: error: expected the message's name, found '{'"),
      ("mesage A {}", "2:1: error: expected message, enum, service, import, package or option, found 'mesage'"),
      ("extend Foo { int32 a = 1; }", "2:1: error: extensions are not supported"),
      ("package a; package b;", "2:12: error: a second package statement"),
      ("message A { int32 a = 1; # }", "2:26: error: '#' has no meaning in a schema"),
      ("/* never", "2:1: error: this comment does not end"),
      ("option a = \"never", "2:12: error: this string does not end on its line"),
      ("message A { int32 a = 0x; }", "2:23: error: '0x' is not a number"),
    ])
  func one(body: String, expected: String) {
    #expect(faults(body).first == "a.proto:\(expected)")
  }

  @Test(
    "The language must be proto3",
    arguments: [
      ("", "1:1: error: a schema starts with syntax = \"proto3\";"),
      ("message A {}", "1:1: error: a schema starts with syntax = \"proto3\";"),
      ("syntax = \"proto2\";", "1:10: error: proto2 is not supported, only proto3"),
      ("edition = \"2023\";", "1:1: error: editions are not supported; write syntax = \"proto3\""),
      ("syntax = \"proto3\"", "1:10: error: missing ';' after \"proto3\""),
    ])
  func language(text: String, expected: String) {
    #expect(faults(["a.proto": text]) == ["a.proto:\(expected)"])
  }

  @Test("One run tells of several faults, in the order of their places")
  func several() {
    let found = faults(
      """
      message A {
        Foo a = 1;
        int32 b = 0;
        int32 c 3;
        string d = 4
        string e = 4;
      }
      enum E { X = 1; }
      """)
    #expect(
      found == [
        "a.proto:3:3: error: unknown type 'Foo'",
        "a.proto:4:13: error: field number 0 is out of range 1 to 536870911",
        "a.proto:5:11: error: expected '=', found '3'",
        "a.proto:6:14: error: missing ';' after '4'",
        "a.proto:9:14: error: the first value of a proto3 enum is zero",
      ])
  }

  @Test("A type must be imported, by the file itself or through public imports")
  func visibility() {
    let header = "syntax = \"proto3\";\n"
    var files = [
      "c.proto": header + "package c;\nmessage C {}",
      "b.proto": header + "package b;\nimport \"c.proto\";\nmessage B { c.C c = 1; }",
      "a.proto": header + "package a;\nimport \"b.proto\";\nmessage A { c.C c = 1; b.B b = 2; }",
    ]
    #expect(faults(files) == ["a.proto:4:13: error: 'c.C' is declared in 'c.proto', which is not imported"])
    files["b.proto"] = header + "package b;\nimport public \"c.proto\";\nmessage B { c.C c = 1; }"
    #expect(faults(files).isEmpty)
  }

  @Test("A cycle over several files names them all")
  func cycle() {
    let header = "syntax = \"proto3\";\n"
    let files = [
      "a.proto": header + "import \"b.proto\";", "b.proto": header + "import \"c.proto\";",
      "c.proto": header + "\n import \"a.proto\";",
    ]
    #expect(faults(files) == ["c.proto:3:9: error: import cycle: a.proto → b.proto → c.proto → a.proto"])
  }

  @Test("Two packages may not give one Swift name")
  func packages() {
    let files = [
      "a.proto": "syntax = \"proto3\";\npackage a;\nmessage Same {}",
      "b.proto": "syntax = \"proto3\";\npackage b;\n\nmessage Same {}",
    ]
    #expect(faults(files) == ["b.proto:4:9: error: Swift type 'Same' is declared twice, first for a.proto:3:9"])
  }

  @Test("Two schemas may not be written into one file, nor into the list of all")
  func outputs() {
    let text = "syntax = \"proto3\";"
    #expect(
      faults(["a/b.proto": text, "a_b.proto": text])
        == ["a_b.proto:1:1: error: this and 'a/b.proto' have one name in Swift, 'a_b.pb.swift'; rename one"])
    #expect(
      faults(["a-b.proto": text, "a_b.proto": text])
        == ["a_b.proto:1:1: error: this and 'a-b.proto' have one name in Swift, 'a_b.pb.swift'; rename one"])
    #expect(
      faults(["schema_files.proto": text])
        == [
          "schema_files.proto:1:1: error: 'schema_files.pb.swift' is the generated list of files; rename this schema"
        ])
    #expect(faults(["a/b.proto": text, "a/c.proto": text]).isEmpty)
  }

  @Test("A file that is not there is named")
  func missing() {
    #expect(faults([:], ["x.proto"]) == ["x.proto:1:1: error: no such file"])
  }

  /// Found by random input: the letter was taken for the start of a word that had no end.
  @Test("A letter or digit with a mark above it is no letter of a schema", .timeLimit(.minutes(1)))
  func marks() {
    #expect(
      faults("message A { int32 e\u{6DB} = 1; }").first
        == "a.proto:2:19: error: 'e\u{6DB}' has no meaning in a schema")
    #expect(faults("message A { int32 a = 1\u{301}; }").first?.hasPrefix("a.proto:2:23: error: ") == true)
    #expect(faults("\u{E9}").first == "a.proto:2:1: error: '\u{E9}' has no meaning in a schema")
    #expect(faults("message A { int32 a = .1\u{301}; }").isEmpty == false)
  }

  /// After 16 KB of random input that took 24 s: each fault was compared with all before it.
  @Test("A file that is no schema has a fault a character, told of at once", .timeLimit(.minutes(1)))
  func noSchema() {
    let count = 40_000
    let all = faults(["a.proto": "syntax = \"proto3\";\n" + String(repeating: "?", count: count)])
    #expect(all.count == count)
    #expect(all.first == "a.proto:2:1: error: '?' has no meaning in a schema")
    #expect(all.last == "a.proto:2:\(count): error: '?' has no meaning in a schema")
  }

  /// After a random enum that took seconds: each name was looked for in all others.
  @Test("An enum of thousands of values compiles, and its names are short", .timeLimit(.minutes(1)))
  func largeEnum() {
    let values = (0..<5000).map { "KIND_V\($0) = \($0);" }.joined()
    let (outputs, diagnostics) = Compiler(rpcModule: nil) { _ in
      Loader.Text(content: "syntax = \"proto3\"; enum Kind { \(values) }", displayName: "a.proto")
    }.compile(["a.proto"])
    #expect(diagnostics.isEmpty)
    #expect(outputs.first?.text.contains("case v4999\n") == true)
  }
}
