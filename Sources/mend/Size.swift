import ArgumentParser
import MendCore

/// A number of bytes as people write it: `256MiB`, `512M`, `1G`, `1073741824`. All units are binary.
struct Size: Hashable, Sendable, ExpressibleByArgument, CustomStringConvertible {
  static let accepted =
    "expected a number with K, M, G or T (or KiB, MiB, GiB, TiB; all binary), or "
    + "without a unit for bytes, such as 256MiB, 1.5G or 1073741824, up to 65536TiB"

  var bytes: Int64

  init(_ bytes: Int64) { self.bytes = bytes }

  init?(argument: String) {
    guard let bytes = Self.parse(argument) else { return nil }
    self.bytes = bytes
  }

  /// Nil for a text that `accepted` does not describe, for zero and below, and above `ValueLimit.memoryBytes`.
  static func parse(_ text: String) -> Int64? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(digits.count).lowercased()
    let shift: Int
    switch unit {
    case "", "b": shift = 0
    case "k", "kb", "kib": shift = 10
    case "m", "mb", "mib": shift = 20
    case "g", "gb", "gib": shift = 30
    case "t", "tb", "tib": shift = 40
    default: return nil
    }
    if let whole = Int64(digits) {
      let (bytes, overflow) = whole.multipliedReportingOverflow(by: 1 << Int64(shift))
      return overflow || !(1...ValueLimit.memoryBytes).contains(bytes) ? nil : bytes
    }
    guard shift > 0, digits.first != ".", digits.last != ".", let decimal = Double(digits) else { return nil }
    let bytes = (decimal * Double(Int64(1) << Int64(shift))).rounded()
    return bytes >= 1 && bytes <= Double(ValueLimit.memoryBytes) ? Int64(bytes) : nil
  }

  var description: String { Figures.bytes(bytes) }

  /// The size as an argument that parses to the same number of bytes: `512MiB`.
  var argument: String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] as [(String, Int64)]
    where bytes > 0 && bytes % (1 << shift) == 0 {
      return "\(bytes >> shift)\(unit)"
    }
    return String(bytes)
  }

  /// For `@Option(transform:)`. The error says what is accepted.
  static func option(_ text: String) throws -> Size {
    guard let bytes = parse(text) else {
      throw ValidationError("invalid size '\(text)'; \(accepted).")
    }
    return Size(bytes)
  }
}
