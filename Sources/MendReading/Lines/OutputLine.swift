/// A line that a program wrote when it failed: what it says itself, and not what it only quotes.
///
/// What stands in quotes, a path, and a name that the reader knows (of a document, of a file) are somebody else's words:
/// a file may be called "Too many open files".
struct OutputLine {
  let text: String
  let bytes: [UInt8]
  private let foreign: [Range<Int>]
  /// The exception that the line is about, with its modules, as `java.lang.OutOfMemoryError`; nil where it names none.
  let exception: Substring?

  /// - Parameters:
  ///   - knownExceptions: names that are exceptions' though they have not the form of one.
  ///   - names: what documents and files are called; in a line they say nothing.
  init(_ text: String, knownExceptions: Set<String>, names: [String] = []) {
    self.text = text
    bytes = Array(text.utf8)
    foreign = ForeignWords.ranges(in: bytes, names: names)
    exception = ExceptionName.find(in: text, known: knownExceptions)
  }

  /// Whether it quotes anything, names a path or a known name.
  var hasForeignWords: Bool { !foreign.isEmpty }

  /// What its exception may be called in a catalogue: with its modules and, if they are a runtime's or a library's,
  /// without them. A program's own `billing.MemoryError` is another one than `MemoryError`.
  var exceptionNames: [String] {
    guard let exception else { return [] }
    let short = ExceptionName.withoutModules(exception)
    if short == exception { return [String(exception)] }
    return ExceptionName.hasKnownHome(exception) ? [String(exception), String(short)] : [String(exception)]
  }

  /// The first match that is not all in foreign words.
  func firstMatch(of pattern: Pattern, _ matcher: inout PatternMatcher) -> PatternMatch? {
    var start = 0
    while let match = matcher.firstMatch(of: pattern, in: bytes[...], from: start) {
      guard
        let words = foreign.first(where: {
          $0.lowerBound <= match.range.lowerBound && match.range.upperBound <= $0.upperBound
        })
      else { return match }
      start = max(words.upperBound, match.range.lowerBound + 1)
    }
    return nil
  }
}
