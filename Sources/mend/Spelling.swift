/// What somebody may have meant by a word that is none of those expected.
enum Spelling {
  /// The words that are fewest typing mistakes away, a third of its letters at most; without one, those that begin alike.
  static func near(_ word: String, among words: [String]) -> [String] {
    let close = words.map { (word: $0, mistakes: mistakes(word, $0)) }.filter { $0.mistakes <= max(1, word.count / 3) }
    guard let least = close.map(\.mistakes).min() else { return words.filter { $0.hasPrefix(word.prefix(2)) } }
    return close.filter { $0.mistakes == least }.map(\.word)
  }

  /// Letters to add, leave out, replace, or swap with the next one (optimal string alignment).
  private static func mistakes(_ from: String, _ to: String) -> Int {
    let (from, to) = (Array(from.utf8), Array(to.utf8))
    // What is far too long is near to nothing.
    guard from.count <= 64 else { return .max }
    var beforeLast: [Int] = []
    var last = Array(0...to.count)
    for row in from.indices {
      var this = [row + 1]
      for column in to.indices {
        var least = min(last[column + 1], this[column]) + 1
        least = min(least, last[column] + (from[row] == to[column] ? 0 : 1))
        if row > 0, column > 0, from[row] == to[column - 1], from[row - 1] == to[column] {
          least = min(least, beforeLast[column - 1] + 1)
        }
        this.append(least)
      }
      (beforeLast, last) = (last, this)
    }
    return last[to.count]
  }
}
