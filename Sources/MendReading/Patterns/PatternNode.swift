/// A parsed pattern.
indirect enum PatternNode: Sendable, Hashable {
  /// One byte of a set.
  case bytes(ByteSet)
  case sequence([PatternNode])
  /// The first that matches wins.
  case choice([PatternNode])
  /// As often as it can; `most` nil means without a bound.
  case repeated(PatternNode, least: Int, most: Int?)
  case captured(PatternNode, Int)
  case place(PatternPlace)
}

/// A condition on a place between two bytes.
enum PatternPlace: Sendable, Hashable {
  case lineStart, lineEnd
  /// Between a letter, digit or `_` and something else.
  case wordBoundary

  func holds(at place: Int, in text: ArraySlice<UInt8>) -> Bool {
    switch self {
    case .lineStart: return place == text.startIndex
    case .lineEnd: return place == text.endIndex
    case .wordBoundary:
      let before = place > text.startIndex && text[place - 1].isWordByte
      return before != (place < text.endIndex && text[place].isWordByte)
    }
  }
}

// MARK: what every match holds

extension PatternNode {
  /// Texts in lower case of which every match holds at least one; nil where there are none.
  var requiredLiterals: [[UInt8]]? {
    if let literal { return literal.isEmpty ? nil : [literal] }
    switch self {
    case .bytes, .place: return nil
    case .captured(let node, _): return node.requiredLiterals
    case .repeated(let node, let least, _): return least > 0 ? node.requiredLiterals : nil
    case .choice(let nodes):
      var all: [[UInt8]] = []
      for node in nodes {
        guard let literals = node.requiredLiterals else { return nil }
        all += literals
      }
      return all
    case .sequence(let nodes):
      var best: [[UInt8]]?
      var run: [UInt8] = []
      func consider(_ literals: [[UInt8]]?) {
        if let literals, Self.shortest(literals) > Self.shortest(best ?? []) { best = literals }
      }
      for node in nodes {
        if let literal = node.literal {
          run += literal
          continue
        }
        // What is repeated stands at least so often behind what stands before it.
        consider([run + node.leastLiteral])
        consider(node.requiredLiterals)
        run = node.leastLiteral
      }
      consider([run])
      return best
    }
  }

  /// The one text in lower case that it matches.
  private var literal: [UInt8]? {
    switch self {
    case .bytes(let set): return set.onlyByte.map { [$0] }
    case .place: return []
    case .captured(let node, _): return node.literal
    case .choice, .repeated: return nil
    case .sequence(let nodes):
      var text: [UInt8] = []
      for node in nodes {
        guard let literal = node.literal else { return nil }
        text += literal
      }
      return text
    }
  }

  /// The text that a repetition begins and ends with whenever it matches, if it repeats one text.
  private var leastLiteral: [UInt8] {
    guard case .repeated(let node, let least, _) = self, let literal = node.literal else { return [] }
    return (0..<least).flatMap { _ in literal }
  }

  static func shortest(_ literals: [[UInt8]]) -> Int { literals.map(\.count).min() ?? 0 }
}
