import MendCore

/// Columns of text, as wide as their contents; numbers are right-aligned.
struct Table {
  enum Alignment { case left, right }

  private var columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: (String, Alignment)...) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

  var isEmpty: Bool { rows.isEmpty }

  /// Adds a row. Line breaks and control characters in a cell are escaped.
  mutating func add(_ cells: String...) { rows.append(cells.map(\.escaped)) }

  /// The lines below their titles. Columns that are empty in all rows are left out.
  func lines(indent: Int = 0) -> [String] {
    let used = columns.indices.filter { index in rows.contains { !($0[index].isEmpty) } }
    let widths = used.map { index in
      max(columns[index].title.count, rows.lazy.map { $0[index].count }.max() ?? 0)
    }
    let all = [columns.map(\.title)] + rows
    return all.map { row in
      var line = String(repeating: " ", count: indent)
      for (position, index) in used.enumerated() {
        let padding = String(repeating: " ", count: widths[position] - row[index].count)
        line += columns[index].alignment == .left ? row[index] + padding : padding + row[index]
        if position < used.count - 1 { line += "  " }
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  func text(indent: Int = 0) -> String { lines(indent: indent).map { $0 + "\n" }.joined() }
}

extension String {
  /// The text on one line, cut with an ellipsis beyond `width` characters.
  func clipped(to width: Int) -> String {
    let line = replacing("\n", with: " ").replacing("\t", with: " ")
    return line.count <= width ? line : line.prefix(max(1, width - 1)) + "…"
  }

  /// The text without control characters other than line feeds: file names and stderr may have any of them.
  var printable: String { TerminalText.escaped(self, keepingLines: true) }

  /// The text on one line, without control characters: for a value that comes from outside.
  var escaped: String { TerminalText.escaped(self, keepingLines: false) }

  /// The text as one word of a shell command line.
  var shellQuoted: String {
    let safe =
      !isEmpty
      && unicodeScalars.allSatisfy { scalar in
        scalar.isASCII
          && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            || "-_./:=,@%+".unicodeScalars.contains(scalar))
      }
    return safe ? self : "'" + replacing("'", with: "'\\''") + "'"
  }
}
