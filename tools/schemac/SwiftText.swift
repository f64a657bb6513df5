/// Swift source under construction: lines, indented by the blocks that they stand in.
struct SwiftText {
  private(set) var text = ""
  private var level = 0

  mutating func line(_ line: String = "") {
    if !line.isEmpty { text += String(repeating: "  ", count: level) + line }
    text += "\n"
  }

  /// `header {`, the body, `}`.
  mutating func block(_ header: String, _ body: (inout SwiftText) -> Void) {
    line(header + " {")
    level += 1
    body(&self)
    level -= 1
    line("}")
  }

  mutating func doc(_ lines: [String], isDeprecated: Bool = false) {
    for text in lines { line(text.isEmpty ? "///" : "/// \(text)") }
    if isDeprecated {
      if !lines.isEmpty { line("///") }
      line("/// Deprecated in the schema.")
    }
  }

  /// A Swift string literal.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f: result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
