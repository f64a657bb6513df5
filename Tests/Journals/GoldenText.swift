import Foundation
import Testing

/// A file of expected lines in a release's folder.
struct GoldenText {
  var name: String
  var archive: JournalArchive

  init(name: String, in archive: JournalArchive) {
    self.name = name
    self.archive = archive
  }

  /// Records an issue with the first lines that differ, under the journal that they are of.
  func compare(_ found: [String]) throws {
    if JournalTests.rewrites { return try rewrite(found) }
    let expected = try archive.lines(of: name)
    if found == expected { return }
    var differences: [String] = []
    var journal = ""
    for change in found.difference(from: expected).sorted(by: { Self.place($0) < Self.place($1) }).prefix(40) {
      let (lines, offset, sign, text) =
        switch change {
        case .insert(let offset, let text, _): (found, offset, "+", text)
        case .remove(let offset, let text, _): (expected, offset, "-", text)
        }
      let heading = lines[...offset].last { $0.hasPrefix("journal ") } ?? ""
      if heading != journal { differences.append(heading) }
      journal = heading
      differences.append("\(sign) \(text)")
    }
    Issue.record("\(name) is otherwise now:\n\(differences.joined(separator: "\n"))")
  }

  private static func place(_ change: CollectionDifference<String>.Change) -> Int {
    switch change {
    case .insert(let offset, _, _), .remove(let offset, _, _): offset
    }
  }

  private func rewrite(_ found: [String]) throws {
    let text = found.map { $0 + "\n" }.joined()
    try text.write(to: archive.release.appending(path: name), atomically: true, encoding: .utf8)
  }
}
