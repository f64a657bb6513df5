import MendAPI
import MendCore
import MendProtobuf

/// Figures and times for people.
enum Wording {
  /// `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 4 min`, `3 d 2 h`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0 else { return "-" }
    if seconds < 0.9995 { return "\(Int((seconds * 1000).rounded())) ms" }
    if seconds < 9.95 { return "\(decimal(seconds)) s" }
    let whole = Int(saturating: seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return pair(whole / 60, "min", whole % 60, "s") }
    if whole < 86_400 { return pair(whole / 3600, "h", whole % 3600 / 60, "min") }
    return pair(whole / 86_400, "d", whole % 86_400 / 3600, "h")
  }

  private static func pair(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
    small == 0 ? "\(large) \(largeUnit)" : "\(large) \(largeUnit) \(small) \(smallUnit)"
  }

  /// With one decimal, or none if it is zero.
  static func decimal(_ value: Double) -> String {
    let tenths = Int(saturating: (value * 10).rounded())
    return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths / 10).\(abs(tenths % 10))"
  }

  /// `42 %`; never 100 before the end, never 0 once something is done.
  static func percentage(_ value: Double) -> String {
    if value >= 100 { return "100 %" }
    // Also for NaN.
    guard value > 0 else { return "0 %" }
    return "\(min(99, max(1, Int(value.rounded())))) %"
  }

  /// `42 %` of what is processed, failures counted: all of it, too, for a batch that is over and went through all.
  static func processed(_ progress: Double, _ status: MendAPI.BatchStatus) -> String {
    let isOver = status == .failed || status == .cancelled
    return percentage(isOver && progress >= 99.9 ? 100 : progress)
  }

  /// ` (2 h 4 min with pauses and waits for a retry)`; empty if the work took all of the span.
  static func span(_ span: Double, around work: Double) -> String {
    span - work >= max(1, work / 100) ? " (\(duration(span)) with pauses and waits for a retry)" : ""
  }

  /// `2026-11-22 12:04:31`, UTC.
  static func time(_ time: GoogleTimestamp?) -> String {
    guard let time, let text = RFC3339.text(seconds: time.seconds, nanos: 0) else { return "" }
    return text.replacing("T", with: " ").replacing("Z", with: "")
  }

  static func seconds(_ time: GoogleTimestamp) -> Double { Double(time.seconds) + Double(time.nanos) / 1e9 }

  /// `1 document`, `2 documents`.
  static func count(_ count: some BinaryInteger, _ noun: String) -> String { Figures.count(count, noun) }

  /// A bar of `width` characters, filled to `percentage`.
  static func bar(_ percentage: Double, width: Int) -> String {
    let filled = min(width, max(0, Int(saturating: percentage / 100 * Double(width))))
    return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
  }

  /// An enum's short name; empty if it is unset.
  static func name(_ value: some Enum) -> String { value.rawValue == 0 ? "" : value.shortName }
}
