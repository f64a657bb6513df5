/// Comparisons whose time says nothing of what is compared.
enum ConstantTime {
  /// Whether both have the same bytes. Looks at every one, wherever the first difference is: who measures answers learns
  /// how long a secret is, and not how much of it was right.
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
