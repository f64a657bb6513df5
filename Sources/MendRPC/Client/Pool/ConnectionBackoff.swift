/// The delays between attempts to connect: gRPC's connection backoff.
///
/// The first attempt is made at once. After a failure the next one waits until the delay has passed since the failed
/// one *began*. A successful connection resets the delays.
public struct ConnectionBackoff: Hashable, Sendable {
  /// The delay after the first failure.
  public var initial = Duration.seconds(1)
  /// Each further failure multiplies the delay.
  public var multiplier = 1.6
  /// The delay never grows beyond this.
  public var maximum = Duration.seconds(120)
  /// Each delay is changed at random by up to this part of it, so that many clients spread out.
  public var jitter = 0.2

  public init() {}

  /// The delay after so many failures in a row, from 1.
  func delay(failures: Int, using generator: inout some RandomNumberGenerator) -> Duration {
    var delay = initial
    for _ in 1..<max(1, min(failures, 1000)) where delay < maximum { delay = delay * multiplier }
    return min(delay, maximum) * Double.random(in: (1 - jitter)...(1 + jitter), using: &generator)
  }
}

/// SplitMix64: the same numbers for the same seed.
public struct SeededGenerator: RandomNumberGenerator, Hashable, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
    return value ^ (value >> 31)
  }
}
