/// A pattern over the bytes of one line. It is matched in time linear in the line, whatever the pattern and the line are.
///
/// It knows literals, classes, `. ? * + {m,n}`, groups, `|`, `^ $ \b`, `(?i)` at its beginning, and at most two captures,
/// with or without a name. Every match of it must hold a literal of three bytes, so that it costs nothing where none of
/// its literals stands.
package struct Pattern: Sendable {
  package static let byteLimit = 512
  package static let stateLimit = 2000
  package static let literalMinimum = 3
  /// Of literals, one of which every match holds.
  static let literalsLimit = 64

  package let text: String
  package let captureNames: [String?]
  let instructions: [Instruction]
  /// In lower case.
  let literals: [[UInt8]]
  /// The bytes of which one begins every match; nil where a match can be empty.
  let firstBytes: ByteSet?

  enum Instruction: Sendable {
    case byte(ByteSet)
    /// Both ways are open; the first one is preferred.
    case fork(Int, Int)
    case jump(Int)
    /// Notes the place: the beginning (even) or the end (odd) of a capture.
    case note(Int)
    case place(PatternPlace)
    case matched
  }

  package init(_ text: String) throws(PatternError) {
    guard text.utf8.count <= Self.byteLimit else {
      throw PatternError("it is longer than \(Self.byteLimit) bytes")
    }
    var parser = PatternParser(text)
    let node = try parser.parse()
    guard let literals = node.requiredLiterals, PatternNode.shortest(literals) >= Self.literalMinimum,
      literals.count <= Self.literalsLimit
    else {
      throw PatternError(
        "every match must hold a literal of \(Self.literalMinimum) bytes or more, one of at most \(Self.literalsLimit)")
    }
    try self.init(text, node, literals: literals, captureNames: parser.captureNames)
  }

  init(_ text: String, _ node: PatternNode, literals: [[UInt8]], captureNames: [String?]) throws(PatternError) {
    var program = Program()
    try program.add(node)
    program.instructions.append(.matched)
    self.text = text
    self.literals = literals
    self.captureNames = captureNames
    instructions = program.instructions
    firstBytes = program.firstBytes
  }
}

/// The instructions of a pattern while it is compiled.
private struct Program {
  var instructions: [Pattern.Instruction] = []

  mutating func add(_ node: PatternNode) throws(PatternError) {
    guard instructions.count < Pattern.stateLimit else {
      throw PatternError("it needs more than \(Pattern.stateLimit) states; repeat less")
    }
    switch node {
    case .bytes(let set): instructions.append(.byte(set))
    case .place(let place): instructions.append(.place(place))
    case .sequence(let nodes): for node in nodes { try add(node) }
    case .captured(let node, let number):
      instructions.append(.note(number * 2))
      try add(node)
      instructions.append(.note(number * 2 + 1))
    case .choice(let nodes): try addChoice(nodes[...])
    case .repeated(let node, let least, let most): try addRepeated(node, least, most)
    }
  }

  var firstBytes: ByteSet? {
    var bytes = ByteSet()
    var seen: Set<Int> = []
    var open = [0]
    while let state = open.popLast() {
      guard seen.insert(state).inserted else { continue }
      switch instructions[state] {
      case .byte(let set): bytes = bytes.union(set)
      case .fork(let one, let other): open += [one, other]
      case .jump(let target): open.append(target)
      case .note, .place: open.append(state + 1)
      case .matched: return nil
      }
    }
    return bytes
  }

  private mutating func addChoice(_ nodes: ArraySlice<PatternNode>) throws(PatternError) {
    var ends: [Int] = []
    for node in nodes.dropLast() {
      let fork = reserve()
      try add(node)
      ends.append(reserve())
      instructions[fork] = .fork(fork + 1, instructions.count)
    }
    if let last = nodes.last { try add(last) }
    for end in ends { instructions[end] = .jump(instructions.count) }
  }

  private mutating func addRepeated(_ node: PatternNode, _ least: Int, _ most: Int?) throws(PatternError) {
    for _ in 0..<least {
      let before = instructions.count
      try add(node)
      // What has no states is the same however often it is repeated.
      if instructions.count == before { return }
    }
    guard let most else {
      let fork = reserve()
      try add(node)
      instructions.append(.jump(fork))
      instructions[fork] = .fork(fork + 1, instructions.count)
      return
    }
    var forks: [Int] = []
    for _ in least..<most {
      forks.append(reserve())
      try add(node)
    }
    for fork in forks { instructions[fork] = .fork(fork + 1, instructions.count) }
  }

  /// A place for an instruction whose target is not known yet.
  private mutating func reserve() -> Int {
    instructions.append(.matched)
    return instructions.count - 1
  }
}
