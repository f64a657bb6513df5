/// Comparisons whose duration does not depend on the content.
enum ConstantTime {
  /// Whether both have the same bytes. Compares every byte, wherever the first difference is: measuring the time
  /// reveals the length of a secret, but not how much of it was right.
  static func areEqual(_ left: some Sequence<UInt8>, _ right: some Sequence<UInt8>) -> Bool {
    var difference: UInt8 = 0
    var others = right.makeIterator()
    for byte in left {
      guard let other = others.next() else { return false }
      difference |= byte ^ other
    }
    return others.next() == nil && difference == 0
  }
}
