/// What stands in the journal and cannot be read back: a fact or value of a later version, or damage.
struct JournalFault: Error, Hashable {
  /// What was found: "an unknown fact", "no value 9 of mend.v1.TierStatus".
  var found: String
  init(_ found: String) { self.found = found }
}

/// A field that is always written and is not there.
func required<Value>(_ value: Value?, _ name: String) throws(JournalFault) -> Value {
  guard let value else { throw JournalFault("no \(name)") }
  return value
}
