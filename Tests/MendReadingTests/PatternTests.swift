import Testing

@testable import MendReading

@Suite("Patterns")
struct PatternTests {
  private func captures(_ pattern: String, _ text: String) throws -> [String]? {
    let bytes = Array(text.utf8)
    var matcher = PatternMatcher()
    return matcher.firstMatch(of: try Pattern(pattern), in: bytes[...]).map { match in
      ([match.range] + match.captures.compactMap(\.self)).map { String(decoding: bytes[$0], as: UTF8.self) }
    }
  }

  @Test(
    "finds the first match and what it captures",
    arguments: [
      ("No module named '([^']+)'", "E: No module named 'a.b'", ["No module named 'a.b'", "a.b"]),
      ("^HTTP/[\\d.]+ (429)\\b", "HTTP/1.1 429 Too Many", ["HTTP/1.1 429", "429"]),
      ("(?i)out of memory", "CUDA OUT of Memory", ["OUT of Memory"]),
      ("line (?<line>\\d{1,3}), col (\\d+)$", "at line 1234, line 12, col 7", ["line 12, col 7", "12", "7"]),
      ("(?:abc|abcd)e?", "abcde", ["abc"]), ("abc.*d", "abcdxd", ["abcdxd"]), ("größe+", "größeee", ["größeee"]),
      ("ab\\.c[^]x]", "ab.c]ab.cy", ["ab.cy"]), ("abc{2,3}", "abccccc", ["abccc"]),
      ("foo[\\s-]bar", "foo-bar", ["foo-bar"]),
      ("(x)?abc", "abc", ["abc"]), ("\\bkill\\b", "skills kill", ["kill"]),
    ])
  func finds(_ pattern: String, _ text: String, _ expected: [String]) throws {
    #expect(try captures(pattern, text) == expected)
  }

  @Test("does not match", arguments: [("^bcd", "abcd"), ("bcd$", "bcde"), ("\\bill\\b", "kill"), ("a\\dbcd", "axbcd")])
  func differs(_ pattern: String, _ text: String) throws { #expect(try captures(pattern, text) == nil) }

  @Test(
    "refuses what it does not know, with the place",
    arguments: [
      ("ab", "literal"), ("a|bcd", "literal"), ("[abc]*", "literal"), ("(abc", "not closed"),
      ("abc)", "closes nothing"),
      ("abc[", "not closed"), ("abc**", "repetition"), ("abc+?", "repetition"), ("*abc", "nothing to repeat"),
      ("abc{65}", "at most 64"), ("abc{3,2}", "{m,n}"), ("abc{x}", "{m,n}"), ("abc\\q", "escape"),
      ("abc\\", "backslash"),
      ("abc(?=d)", "known"), ("(a)(b)(c)def", "captures"), ("(?<a>b)(?<a>c)def", "once"), ("abc[z-a]", "range"),
      ("abc[é]", "ASCII"), ("abc(?:(?:(?:x{64}){64}){64})", "states"),
      ("abc(((((){64}){64}){64}){64}){64}", "captures"),
      (String(repeating: "a", count: 513), "512"), (String(repeating: "(?:", count: 40) + "abc", "too deep"),
      ("abc^*", "nothing to repeat"),
    ])
  func refuses(_ pattern: String, _ reason: String) {
    let error = #expect(throws: PatternError.self) { try Pattern(pattern) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  @Test("matches as one who tries each way would, on random patterns and texts", arguments: 0..<40)
  func asNaive(_ seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    for _ in 0..<60 {
      let text = random.pattern(depth: 3)
      var parser = PatternParser(text)
      guard let node = try? parser.parse() else { continue }
      let pattern = try Pattern(text, node, literals: [], captureNames: [])
      for _ in 0..<8 {
        let line = (0..<Int.random(in: 0...9, using: &random)).map { _ in
          "abc _".utf8.randomElement(using: &random) ?? 97
        }
        let expected = NaiveMatcher(text: line).firstMatch(of: node)
        var matcher = PatternMatcher()
        let found = matcher.firstMatch(of: pattern, in: line[...])
        #expect(found?.range == expected, "\(text) on '\(String(decoding: line, as: UTF8.self))'")
        let lower = line.map(\.lowercased)
        if expected != nil, let literals = node.requiredLiterals {
          #expect(
            literals.contains { literal in
              lower.indices.contains { lower[$0...].starts(with: literal) }
            }, "\(text) on '\(String(decoding: line, as: UTF8.self))'")
        }
      }
    }
  }

  @Test(
    "costs steps in proportion to the line, whatever the pattern",
    arguments: [
      "(?:a*)*bcd", "(?:a|a)*bcd", "(?:a|aa)+bcd", "(?:(?:a+)+)+bcd", "a?a?a?a?a?a?a?a?a?a?aaaaaaaaaabcd",
      "(?:.*a){20}bcd", ".*.*.*.*bcd",
    ])
  func linear(_ pattern: String) throws {
    let pattern = try Pattern(pattern)
    func steps(_ length: Int) -> Int {
      var matcher = PatternMatcher(steps: .max)
      _ = matcher.firstMatch(of: pattern, in: Array(repeating: UInt8(ascii: "a"), count: length)[...])
      return .max - matcher.stepsLeft
    }
    #expect(steps(2000) < steps(1000) * 21 / 10)
    #expect(steps(1000) < 1000 * 4 * pattern.instructions.count)
  }

  @Test("stops when its steps are used up, and says so")
  func exhausted() throws {
    var matcher = PatternMatcher(steps: 100)
    let line = Array(String(repeating: "a", count: 1000).utf8)
    #expect(matcher.firstMatch(of: try Pattern("a*abc|aaa"), in: line[...]) == nil)
    #expect(matcher.isExhausted)
  }

  @Test("all literals are found in one pass, whatever begins or ends with another", arguments: 0..<50)
  func literals(_ seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    func word(_ length: ClosedRange<Int>) -> [UInt8] {
      (0..<Int.random(in: length, using: &random)).map { _ in "ab".utf8.randomElement(using: &random) ?? 97 }
    }
    let literals = (0..<30).map { _ in word(1...6) }
    let index = LiteralIndex(literals.enumerated().map { (text: $1, number: $0) })
    let text = word(0...40)
    let expected = literals.indices.filter { number in
      text.indices.contains { text[$0...].starts(with: literals[number]) }
    }
    #expect(index.numbers(in: text.map { $0 - 32 }[...]) == expected)
  }
}

struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// The text of a pattern over a few letters.
  mutating func pattern(depth: Int) -> String {
    let atoms = ["a", "b", "c", "[ab]", "[^a]", ".", "\\w", "\\b", "^", "$", "_"]
    guard depth > 0 else { return atoms.randomElement(using: &self) ?? "a" }
    return (0..<Int.random(in: 1...3, using: &self)).map { _ in
      switch Int.random(in: 0..<8, using: &self) {
      case 0: "(?:\(pattern(depth: depth - 1))|\(pattern(depth: depth - 1)))"
      case 1: "(?:\(pattern(depth: depth - 1)))?"
      case 2: "(?:\(pattern(depth: depth - 1)))*"
      case 3: "(?:\(pattern(depth: depth - 1))){1,2}"
      case 4: "(?:a\(pattern(depth: depth - 1)))+"
      default: atoms.randomElement(using: &self) ?? "a"
      }
    }.joined()
  }
}
