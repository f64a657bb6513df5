/// One observation: what was observed, by whom, and when.
public struct Evidence: Hashable, Codable, Sendable {
  /// One sentence or figure.
  public var observed: String
  public var observer: Observer
  public var at: Instant
  /// Figures by name, for programs.
  public var values: [String: String]

  public enum Observer: String, Hashable, Codable, Sendable, CaseIterable {
    case kernel, supervisor, executor, worker, ledger, scheduler, clock, caller
  }

  public init(_ observed: String, by observer: Observer, at: Instant, values: [String: String] = [:]) {
    self.observed = observed
    self.observer = observer
    self.at = at
    self.values = values
  }
}

extension Evidence: Described {
  public static var blank: Evidence { Evidence("", by: .kernel, at: Instant(milliseconds: 0)) }

  public mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.prose(1, "observed", &observed)
    try v.name(2, "observer", &observer, of: "observer")
    try v.instant(3, "at_ms", &at)
    try v.texts(4, "values", .plain, &values)
  }
}
