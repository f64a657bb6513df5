/// Which failures are told as one.
package enum FailureGroup {
  /// The id of a group: `g` and 13 characters. It depends on the extractor, on the reason with what was captured or, where
  /// no entry knows the failure, on the masked line; on no batch, job or time.
  package static func id(extractor: String, _ reading: Reading, names: [String] = []) -> String {
    var hash = FixedHash()
    hash.add("\(Mask.version)")
    hash.add(extractor)
    hash.add(reading.reason)
    if reading.basis == .said {
      for capture in reading.captures { hash.add(capture) }
    } else {
      hash.add(Mask(names: names).masked(reading.line?.text ?? ""))
    }
    return "g" + characters(of: hash.finished)
  }

  /// Thirteen characters of five bits each, without those that look alike.
  private static func characters(of hash: UInt64) -> String {
    let alphabet = Array("0123456789abcdefghjkmnpqrstvwxyz")
    return String((0..<13).map { alphabet[Int(hash >> UInt64(60 - $0 * 5) & 31)] })
  }
}
