/// Where a stream stands in an escape sequence of a terminal (ECMA-48).
enum EscapeState: Sendable, Hashable {
  case none
  /// Behind ESC.
  case begun
  /// In a control sequence: `ESC [ … letter`.
  case control(Int)
  /// In a text for the terminal: `ESC ] … BEL` or `ESC ] … ESC \`.
  case text(Int)

  /// A sequence that is longer is none: what follows is output again.
  private static let limit = 256

  /// True where the byte belongs to a sequence.
  mutating func takes(_ byte: UInt8) -> Bool {
    if byte == 0x1B {
      self = .begun
      return true
    }
    switch self {
    case .none:
      return false
    case .begun:
      switch byte {
      case UInt8(ascii: "["): self = .control(0)
      case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "_"), UInt8(ascii: "^"): self = .text(0)
      case 0x20..<0x30: break
      case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
        self = .none
        return false
      default: self = .none
      }
    case .control(let length):
      if byte < 0x20 || length > Self.limit {
        self = .none
        return byte >= 0x20
      }
      self = byte < 0x40 ? .control(length + 1) : .none
    case .text(let length):
      if byte == UInt8(ascii: "\n") || length > Self.limit {
        self = .none
        return byte != UInt8(ascii: "\n")
      }
      self = byte == 0x07 ? .none : .text(length + 1)
    }
    return true
  }
}
