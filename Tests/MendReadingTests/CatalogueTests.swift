import MendCore
import Testing

@testable import MendReading

@Suite("The built-in catalogue")
struct CatalogueTests {
  @Test("recognizes its samples by the entry that they belong to, and not those that it must not")
  func samples() {
    let catalogue = Catalogue.builtIn
    func first(_ sample: String) -> String? {
      var matcher = PatternMatcher()
      let line = OutputLine(sample, knownExceptions: catalogue.knownExceptions)
      let surroundings = Surroundings(Failure(exit: nil, stderr: [sample]))
      return catalogue.matches(in: line, in: surroundings, &matcher).first?.entry.id
    }
    for entry in catalogue.entries where entry.context.isEmpty && entry.exitCodes.isEmpty {
      let id = entry.reason ?? entry.id
      for sample in entry.samples.matching {
        #expect(first(sample) == id, "\(sample)")
      }
      for sample in entry.samples.others {
        #expect(first(sample) != id, "\(sample)")
      }
    }
  }

  @Test("says of each reason what happened, and what to do in the imperative without a full stop")
  func texts() {
    for entry in Catalogue.builtIn.entries where entry.role == .root && entry.reason == nil {
      #expect(entry.meaning.count > 10 && !entry.meaning.hasSuffix("."), "\(entry.id)")
      #expect(entry.advice.count > 4 && !entry.advice.hasSuffix("."), "\(entry.id)")
    }
  }

  @Test("an operator's file is refused whole, with the line and the reason", arguments: refused)
  func refuses(_ line: String, _ reason: String) {
    let error = #expect(throws: CatalogueError.self) { try CatalogueFile("# ours\n\(line)\n", file: "ours.jsonl") }
    #expect(error?.description.hasPrefix("ours.jsonl:2: ") == true)
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
  }

  private static let good =
    #""cause":"throttled","meaning":"our service asks for fewer","advice":"Wait","retry":"slower","matches":["E429 slow down"]"#
  private static let refused = [
    ("{", "expected"), ("[]", "object"), (#"{"id":"a b",\#(good),"patterns":["E429"]}"#, "'id'"),
    (#"{"id":"a",\#(good),"patterns":["E4"]}"#, "literal"), (#"{"id":"a",\#(good),"pattern":["E429"]}"#, "no field"),
    (#"{"id":"a",\#(good),"patterns":["E500"]}"#, "does not recognize"),
    (#"{"id":"a",\#(good),"patterns":["E429"],"rejects":["E429"]}"#, "it recognizes"),
    (#"{"id":"a",\#(good),"patterns":["E429"],"confidence":"high"}"#, "never certain"),
    (#"{"id":"a",\#(good),"patterns":["E429"],"role":"noise"}"#, "role noise"),
    (#"{"id":"a","patterns":["E429"],"matches":["E429"]}"#, "needs 'cause'"),
    (#"{"id":"a","cause":"nothing","patterns":["E429"]}"#, "one of"),
    (#"{"id":"a","reason":"nothing","patterns":["E429"],"matches":["E429"]}"#, "id of no entry"),
    (#"{"id":"a",\#(good),"patterns":["E429"],"exit_codes":[0]}"#, "1 to 255"),
  ]

  @Test("an operator's entries are tried before the built-in ones, and may take their place")
  func operators() throws {
    let text = """
      {"id":"ours.busy",\(Self.good),"patterns":["E429 slow"]}
      {"id":"ours.later","reason":"http.503","patterns":["come back later"],"matches":["come back later"]}
      """
    let catalogue = Catalogue.builtIn.preceded(by: try CatalogueFile(text, file: "ours.jsonl"))
    let reader = FailureReader(catalogue)
    #expect(reader.read(Failure(exit: .code(1), stderr: ["E429 slow down: Connection refused"])).reason == "ours.busy")
    #expect(reader.read(Failure(exit: .code(1), stderr: ["come back later"])).reason == "http.503")
    #expect(catalogue.version.hasPrefix("1+file:"))
  }

  @Test("a file has bounds")
  func bounds() {
    let entry = #"{"id":"ID",\#(Self.good),"patterns":["E429"]}"#
    let many = (0...CatalogueFile.entryLimit).map { entry.replacing("ID", with: "e\($0)") }.joined(separator: "\n")
    let longer = String(repeating: "#", count: CatalogueFile.byteLimit + 1)
    for text in [many, longer, "\(entry)\n\(entry)"] {
      #expect(throws: CatalogueError.self) { try CatalogueFile(text, file: "ours.jsonl") }
    }
  }
}
