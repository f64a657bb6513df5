/// Columns of text, as wide as their contents need; numbers to the right.
struct Table {
  enum Alignment { case left, right }

  private var columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: (String, Alignment)...) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

  var isEmpty: Bool { rows.isEmpty }

  /// A cell is on one line: what would begin another one, or move the terminal's cursor, is written out.
  mutating func add(_ cells: String...) { rows.append(cells.map(\.escaped)) }

  /// The lines, with the titles above them; columns that are empty in all rows are left out.
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
  /// On one line, cut with an ellipsis beyond `width` characters.
  func clipped(to width: Int) -> String {
    let line = replacing("\n", with: " ").replacing("\t", with: " ")
    return line.count <= width ? line : line.prefix(max(1, width - 1)) + "…"
  }

  /// Without what a terminal obeys, but line feeds: a file's name and a command's stderr may hold any of it.
  var printable: String { TerminalText.escaped(self, keepingLines: true) }

  /// On one line, without what a terminal obeys: for a value that comes from outside.
  var escaped: String { TerminalText.escaped(self, keepingLines: false) }

  /// As a word of a shell's command line.
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
