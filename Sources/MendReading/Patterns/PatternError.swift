/// Why a text is no pattern.
package struct PatternError: Error, Sendable, Hashable, CustomStringConvertible {
  /// In words that go on after the pattern's name.
  package let reason: String
  /// The byte at which the fault was found, from 1; nil where it is the whole pattern's.
  package let column: Int?

  init(_ reason: String, at index: Int? = nil) {
    self.reason = reason
    column = index.map { $0 + 1 }
  }

  package var description: String { column.map { "\(reason), at byte \($0) of the pattern" } ?? reason }
}
