@testable import MendReading

/// Matches by trying one way after the other, as the meaning of patterns is usually told. Exponential.
struct NaiveMatcher {
  let text: [UInt8]

  /// The end of the preferred match that begins at each place, for the first place that has one.
  func firstMatch(of node: PatternNode) -> Range<Int>? {
    for start in 0...text.count {
      var end: Int?
      if match(
        node, start,
        then: {
          end = $0
          return true
        }), let end
      {
        return start..<end
      }
    }
    return nil
  }

  private func match(_ node: PatternNode, _ place: Int, then next: (Int) -> Bool) -> Bool {
    switch node {
    case .bytes(let set): return place < text.count && set.contains(text[place]) && next(place + 1)
    case .place(let condition): return condition.holds(at: place, in: text[...]) && next(place)
    case .captured(let node, _): return match(node, place, then: next)
    case .choice(let nodes): return nodes.contains { match($0, place, then: next) }
    case .sequence(let nodes):
      guard let first = nodes.first else { return next(place) }
      return match(first, place) { match(.sequence(Array(nodes.dropFirst())), $0, then: next) }
    case .repeated(let node, let least, let most):
      if least > 0 {
        return match(node, place) {
          match(.repeated(node, least: least - 1, most: most.map { $0 - 1 }), $0, then: next)
        }
      }
      let rest = PatternNode.repeated(node, least: 0, most: most.map { $0 - 1 })
      // A round of an unbounded repetition that takes no byte is no round.
      if most != 0, match(node, place, then: { ($0 > place || most != nil) && match(rest, $0, then: next) }) {
        return true
      }
      return next(place)
    }
  }
}
