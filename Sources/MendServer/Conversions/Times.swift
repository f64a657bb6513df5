import MendAPI
import MendCore

extension GoogleTimestamp {
  init(_ instant: Instant) {
    self.init()
    let (quotient, remainder) = instant.milliseconds.quotientAndRemainder(dividingBy: 1000)
    let borrow: Int64 = remainder < 0 ? 1 : 0
    seconds = quotient - borrow
    nanos = Int32((remainder + borrow * 1000) * 1_000_000)
  }

  /// Unset if it is unknown.
  init?(_ instant: Instant?) {
    guard let instant else { return nil }
    self.init(instant)
  }
}
