/// Waits that double up to a limit. Each is drawn from the upper half of its step, so that many clients spread out.
public struct Backoff: Sendable {
  public let minimum: Duration
  public let maximum: Duration
  private var step: Duration

  public init(from minimum: Duration, to maximum: Duration) {
    self.minimum = minimum
    self.maximum = maximum
    self.step = minimum
  }

  /// The next wait.
  public mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
    let wait = step * Double.random(in: 0.5...1, using: &generator)
    step = min(step * 2, maximum)
    return wait
  }

  /// The next wait, with the system's random numbers.
  public mutating func next() -> Duration {
    var generator = SystemRandomNumberGenerator()
    return next(using: &generator)
  }

  public mutating func reset() { step = minimum }
}
