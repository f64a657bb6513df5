import Testing

@testable import schemac

@Suite("Reading schemas")
struct ParsingTests {
  private func generate(_ body: String) -> String {
    let compiler = Compiler(rpcModule: nil) { _ in
      Loader.Text(content: "syntax = \"proto3\";\n" + body, displayName: "a.proto")
    }
    let (outputs, diagnostics) = compiler.compile(["a.proto"])
    #expect(diagnostics.isEmpty)
    return outputs.first?.text ?? ""
  }

  @Test("Comments above, and behind on the same line, become documentation; others don't")
  func comments() {
    let text = generate(
      """
      // Detached: a blank line follows.

      // First line.
      // Second line.
      message A {
        int32 a = 1; // behind a
        // above b
        int32 b = 2;
        /* block
         * of two lines */
        int32 c = 3;

        // detached

        int32 d = 4;
      }
      """)
    #expect(text.contains("/// First line.\n/// Second line.\npublic struct A"))
    #expect(text.contains("  /// behind a\n  public var a: Int32 = 0\n  /// above b\n  public var b: Int32 = 0\n"))
    #expect(text.contains("  /// block\n  /// of two lines\n  public var c: Int32 = 0\n  public var d: Int32 = 0\n"))
    #expect(!text.lowercased().contains("detached"))
  }

  @Test("Options of every form are read over")
  func options() {
    let text = generate(
      """
      option java_package = "x" "y";
      option (custom.thing).part = { a: 1 b { c: "}" } };
      message A {
        option deprecated = true;
        int32 a = 1 [deprecated = true, (my.opt) = -1.5, json_name = "alpha"];
        repeated int32 b = 2 [packed = false];
      }
      """)
    #expect(text.contains("/// Deprecated in the schema.\npublic struct A"))
    #expect(text.contains(#".init(1, "a", camelCase: "alpha")"#))
    #expect(text.contains("writer.repeated(Int32Field.self, self.b, tag: 16)"))
  }

  @Test("Names that are words of the language are names where they stand as such")
  func contextualKeywords() {
    let text = generate(
      """
      message message { int32 message = 1; string optional = 2; bool repeated = 3; int32 reserved = 4; int32 to = 5; }
      message A { message message = 1; optional message m = 2; }
      """)
    #expect(text.contains("public var optional: String"))
    #expect(text.contains("public var m: message?"))
  }

  @Test("A label may stand before a type that begins with a dot")
  func labelsBeforeDots() {
    let text = generate(
      """
      package t.lead;
      message A { repeated .t.lead.A list = 1; optional .t.lead.A one = 2; map<string, .t.lead.A> named = 3; }
      """)
    #expect(text.contains("public var list: [A] = []"))
    #expect(text.contains("public var one: A?"))
    #expect(text.contains("public var named: [String: A] = [:]"))
  }

  @Test("Every escape of a string stands for its character")
  func escapes() {
    let text = generate(
      #"""
      message A { int32 a = 1 [json_name = "\x41\102\u0043\U00000044\xc3\xa9\?\'"]; int32 b = 2 [json_name = '"\0b']; }
      """#)
    #expect(text.contains(#".init(1, "a", camelCase: "ABCDé?'")"#))
    #expect(text.contains(#".init(2, "b", camelCase: "\"\u{0}b")"#))
  }

  @Test("Types of Swift and the runtime are qualified where a schema declares their name")
  func hiddenTypes() {
    let text = generate(
      "message String { string text = 1; } message Reader { Bool a = 1; bool b = 2; } enum Bool { X = 0; }")
    #expect(text.contains("public var text: Swift.String = \"\""))
    #expect(text.contains("from reader: inout MendProtobuf.Reader"))
    #expect(text.contains("public var a = Bool()"))
    #expect(text.contains("public var b: Swift.Bool = false"))
  }

  @Test("The innermost scope decides what a name means")
  func scopes() {
    let text = generate(
      """
      package a.b;
      message Outer {
        message Inner { int32 x = 1; }
        Inner one = 1;
        Outer.Inner two = 2;
        b.Outer.Inner three = 3;
        .a.b.Outer.Inner four = 4;
      }
      """)
    for name in ["one", "two", "three", "four"] {
      #expect(text.contains("public var \(name): Outer.Inner?"))
    }
  }

  @Test("Only fields that can contain their own type are boxed")
  func boxes() {
    let text = generate(
      """
      message A { B b = 1; C c = 2; repeated A many = 3; map<string, A> named = 4; }
      message B { oneof x { A a = 1; C c = 2; } }
      message C { int32 n = 1; }
      """)
    #expect(text.contains("@Boxed public var b: B?"))
    #expect(text.contains("  public var c: C?"))
    #expect(text.contains("public indirect enum X"))
  }

  @Test(
    "Names become Swift's",
    arguments: [
      ("batch_id", "batchID"), ("source_uri", "sourceURI"), ("ray_dashboard_url", "rayDashboardURL"),
      ("job_ids", "jobIDs"),
      ("id", "id"), ("uri", "uri"), ("id_of", "idOf"), ("already_camelCase", "alreadyCamelCase"), ("in", "`in`"),
      ("_x", "x"), ("a__b", "aB"), ("UPPER_CASE", "upperCase"), ("field1_2", "field12"),
      ("self", "self_"),
    ])
  func properties(name: String, swift: String) {
    #expect(SwiftNames.property(name) == swift)
  }

  @Test("An enum's values lose its name if all have it, and keep it otherwise")
  func cases() {
    let all = generate("enum GPUState { GPU_STATE_UNSPECIFIED = 0; GPU_STATE_NOT_READY = 1; }")
    #expect(all.contains("case unspecified\n  case notReady"))
    #expect(all.contains(#".init(1, "GPU_STATE_NOT_READY", short: "not_ready")"#))
    let some = generate("enum State { STATE_A = 0; B = 1; }")
    #expect(some.contains("case stateA\n  case b"))
    let aliases = generate("enum E { option allow_alias = true; MOO = 0; moo = 0; Moo = 0; COW = 0; }")
    #expect(aliases.contains("case moo\n") && aliases.contains("public static var cow: E { .moo }"))
    #expect(!aliases.contains("static var moo"))
    let digit = generate("enum Mode { MODE_A = 0; MODE_2D = 1; }")
    #expect(digit.contains("case modeA\n  case mode2d"))
  }

  @Test("Arguments are checked before anything is read")
  func arguments() throws {
    let arguments = try Arguments(["--proto-path", "p/", "--out-dir", "o", "--rpc", "M", "p/a/b.proto"])
    #expect(arguments.inputs == ["a/b.proto"])
    #expect(arguments.rpcModule == "M")
    for wrong in [[], ["--proto-path"], ["--nope"], ["--proto-path", "p", "--out-dir", "o", "q/a.proto"]] {
      #expect(throws: UsageError.self) { try Arguments(wrong) }
    }
  }
}
