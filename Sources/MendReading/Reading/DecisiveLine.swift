import MendCore

/// The lines of one stream with their roles, and which of them tells why the program failed.
struct DecisiveLine {
  struct Read {
    var text: String
    /// Nil where the line says nothing of a failure that is known.
    var role: CatalogueEntry.Role?
    var match: Catalogue.Match?
    var isInner = false
    /// It quotes something, or names a path or the document.
    var hasForeignWords = false

    var isSpecific: Bool { match.map { $0.entry.role == .root && !$0.entry.isCommon } ?? false }
  }

  let lines: [Read]
  /// The place of the line that tells; nil where no line has a letter.
  private(set) var place: Int?
  private(set) var outerPlace: Int?
  /// True where the line stands apart from the last failure: others came between.
  private(set) var isFar = false

  var decisive: Read? { place.map { lines[$0] } }

  init(_ texts: [String], _ failure: Failure, _ catalogue: Catalogue, _ matcher: inout PatternMatcher) {
    lines = Self.roles(of: texts, failure, catalogue, &matcher)
    choose()
  }

  private static func roles(
    of texts: [String], _ failure: Failure, _ catalogue: Catalogue, _ matcher: inout PatternMatcher
  ) -> [Read] {
    let surroundings = Surroundings(failure)
    return zip(texts, Trace.forms(of: texts)).map { text, form in
      var read = Read(text: text)
      if form == .frame || form == .link {
        read.role = .noise
        return read
      }
      read.isInner = form == .inner
      let line = OutputLine(text, knownExceptions: catalogue.knownExceptions, names: failure.names)
      read.hasForeignWords = line.hasForeignWords
      if let match = catalogue.matches(in: line, in: surroundings, &matcher).first {
        read.role = match.entry.role
        read.match = match
      } else if ErrorWords.weight(of: line) > .none {
        read.role = .root
      }
      return read
    }
  }

  private mutating func choose() {
    let run = lastRun()
    guard !run.isEmpty else {
      place = lines.lastIndex { $0.role == nil } ?? lines.lastIndex { $0.text.contains(where: \.isLetter) }
      return
    }
    let chained = innerFirst(run)
    if let specific = chained.first(where: { lines[$0].isSpecific }) {
      place = specific
    } else if let specific = lines.lastIndex(where: \.isSpecific) {
      place = specific
      isFar = true
    } else if let common = chained.first(where: { lines[$0].match != nil }) {
      place = common
    } else {
      let common = lines.lastIndex { $0.role == .root && $0.match != nil }
      place = common ?? chained.first
      isFar = common != nil
    }
    if let outer = chained.last, outer != place { outerPlace = outer }
  }

  /// The roots that the output ends with, past all that follows from them, while they stand together.
  private func lastRun() -> [Int] {
    guard let last = lines.lastIndex(where: { $0.role == .root }) else { return [] }
    let start = lines[...last].lastIndex { $0.role == nil }.map { $0 + 1 } ?? 0
    return (start...last).filter { lines[$0].role == .root }
  }

  /// In a chain that is told from the outside in, the last one is the root.
  private func innerFirst(_ run: [Int]) -> [Int] {
    var chains: [[Int]] = []
    for place in run {
      if lines[place].isInner, !chains.isEmpty {
        chains[chains.count - 1].insert(place, at: 0)
      } else {
        chains.append([place])
      }
    }
    return chains.flatMap(\.self)
  }
}
