extension FixedWidthInteger {
  /// The sum, or the largest or smallest number there is where it would be beyond.
  package func addingSaturated(_ other: Self) -> Self {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other < 0 ? .min : .max) : sum
  }

  /// The difference, or the largest or smallest number there is where it would be beyond.
  package func subtractingSaturated(_ other: Self) -> Self {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other < 0 ? .max : .min) : difference
  }

  /// The whole number nearest to zero beside `value`; the largest or smallest one there is where it is beyond, 0 for NaN.
  package init(saturating value: Double) {
    self = Self(exactly: value.rounded(.towardZero)) ?? (value.isNaN ? 0 : value < 0 ? .min : .max)
  }
}

extension Sequence where Element: FixedWidthInteger {
  /// The sum of all of them, saturated.
  package func saturatedSum() -> Element { reduce(0) { $0.addingSaturated($1) } }
}
