import Testing

@testable import MendRPC

@Suite struct TextTests {
  @Test("A message survives percent-encoding, and broken escapes stay as they are")
  func percent() {
    let text = "50 % grün\n~\u{7f}"
    #expect(PercentEncoding.encode(text.utf8) == Array("50 %25 gr%C3%BCn%0A~%7F".utf8))
    #expect(PercentEncoding.decode(PercentEncoding.encode(text.utf8)[...]) == text)
    #expect(PercentEncoding.decode(Array("%4a%zz%4".utf8)[...]) == "J%zz%4")
    // A header's value may not begin or end with a blank: peers end the stream for it.
    for (blank, encoded) in [(" a b ", "%20a b%20"), (" ", "%20"), ("", ""), ("x:  ", "x: %20")] {
      #expect(PercentEncoding.encode(blank.utf8) == Array(encoded.utf8))
      #expect(PercentEncoding.decode(Array(encoded.utf8)[...]) == blank)
    }
  }

  @Test("Timeouts are read in every unit and written in the finest that fits, rounded up")
  func timeouts() {
    let cases: [(String, Int64?)] = [
      ("1n", 1), ("2u", 2000), ("3m", 3_000_000), ("4S", 4_000_000_000), ("5M", 300_000_000_000),
      ("6H", 21_600_000_000_000), ("99999999H", 3_153_600_000_000_000_000), ("0S", 0), ("", nil), ("1", nil),
      ("S", nil), ("123456789S", nil), ("-1S", nil), ("1s", nil),
    ]
    for (text, value) in cases { #expect(TimeoutText.parse(Array(text.utf8)[...]) == value, "\(text)") }
    #expect(TimeoutText.format(nanoseconds: 99_999_999) == "99999999n")
    #expect(TimeoutText.format(nanoseconds: 100_000_001) == "100001u")
    #expect(TimeoutText.format(nanoseconds: 3_600_000_000_001) == "3600001m")
  }

  @Test("Metadata compares names without case, keeps order, and hides the protocol's names")
  func metadata() {
    var metadata: Metadata = ["A": "1", "b": "2"]
    metadata.add("3", for: "a")
    metadata.add("no", for: "grpc-status")
    #expect(metadata.values("a") == ["1", "3"])
    #expect(metadata["grpc-status"] == nil)
    #expect(metadata.map(\.name) == ["a", "b", "a"])
    metadata["a"] = "4"
    #expect(metadata.map(\.name) == ["b", "a"])
    metadata.addBinary([1], for: "raw")
    #expect(metadata.binary("raw-bin") == [1])
    #expect(metadata == metadata)
    #expect(metadata != ["b": "2"])
    #expect(Metadata() == [:])
  }
}
