/// Counts durations in buckets that grow by about 1.6 %: 64 to each doubling, from 1 ns to five minutes and more. Its
/// memory is fixed and merging is adding.
struct Histogram {
  private static let bits = 6
  private static let subBuckets = 1 << bits
  private var counts = [UInt64](repeating: 0, count: subBuckets * 40)
  private(set) var count: UInt64 = 0
  private(set) var maximum: UInt64 = 0
  private(set) var sum: UInt64 = 0

  mutating func record(_ nanoseconds: UInt64) {
    counts[Self.index(nanoseconds)] += 1
    count += 1
    sum &+= nanoseconds
    maximum = max(maximum, nanoseconds)
  }

  mutating func merge(_ other: Histogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    sum &+= other.sum
    maximum = max(maximum, other.maximum)
  }

  /// The upper end of the bucket that the quantile falls into; 0 without any value.
  func quantile(_ quantile: Double) -> UInt64 {
    guard count > 0 else { return 0 }
    let rank = max(1, UInt64((quantile * Double(count)).rounded(.up)))
    var seen: UInt64 = 0
    for (index, bucket) in counts.enumerated() where bucket > 0 {
      seen += bucket
      if seen >= rank { return min(maximum, Self.upperEnd(index)) }
    }
    return maximum
  }

  var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) }

  private static func index(_ value: UInt64) -> Int {
    guard value >= UInt64(subBuckets) else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - bits
    let index = ((shift + 1) << bits) + Int(value >> UInt64(shift)) - subBuckets
    return min(index, subBuckets * 40 - 1)
  }

  private static func upperEnd(_ index: Int) -> UInt64 {
    guard index >= subBuckets else { return UInt64(index) }
    let shift = UInt64(index >> bits) - 1
    let sub = UInt64(index & (subBuckets - 1)) + UInt64(subBuckets)
    return ((sub + 1) << shift) - 1
  }
}
