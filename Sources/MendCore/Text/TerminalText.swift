/// Text that is safe to show on a terminal: control characters, and those that change the direction of text, are
/// escaped as in JSON. U+009B begins a control sequence like ESC [; U+202E shows a name backwards.
package enum TerminalText {
  package static func escaped(_ text: String, keepingLines: Bool) -> String {
    if text.unicodeScalars.allSatisfy({ !isObeyed($0) || keepingLines && $0 == "\n" }) { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
      if !isObeyed(scalar) || keepingLines && scalar == "\n" {
        shown.unicodeScalars.append(scalar)
      } else {
        shown += escape(scalar)
      }
    }
    return shown
  }

  package static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069, 0x200E, 0x200F, 0x061C: true
    default: false
    }
  }

  private static func escape(_ scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    default:
      let digits = String(scalar.value, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
  }
}
