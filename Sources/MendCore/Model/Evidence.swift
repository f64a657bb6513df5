/// One observation: what was observed, by whom, and when.
package struct Evidence: Hashable, Codable, Sendable {
  /// One sentence or figure.
  package var observed: String
  package var observer: Observer
  package var at: Instant
  /// Figures by name, for programs.
  package var values: [String: String]

  package enum Observer: String, Hashable, Codable, Sendable, CaseIterable {
    case kernel, supervisor, executor, worker, ledger, scheduler, clock, caller
  }

  package init(_ observed: String, by observer: Observer, at: Instant, values: [String: String] = [:]) {
    self.observed = observed
    self.observer = observer
    self.at = at
    self.values = values
  }
}

extension Evidence: Described {
  package static var blank: Evidence { Evidence("", by: .kernel, at: Instant(milliseconds: 0)) }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    try v.prose(1, "observed", &observed)
    try v.name(2, "observer", &observer, of: "observer")
    try v.instant(3, "at_ms", &at)
    try v.texts(4, "values", .plain, &values)
  }
}
