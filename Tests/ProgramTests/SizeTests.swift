import Testing

@testable import mend

@Suite("Sizes")
struct SizeTests {
  @Test(
    "Units are binary, with or without iB",
    arguments: [
      ("256MiB", 268_435_456), ("512M", 536_870_912), ("1G", 1_073_741_824), ("1073741824", 1_073_741_824),
      ("1.5GiB", 1_610_612_736), ("4k", 4096), ("2tb", 2_199_023_255_552), ("100B", 100),
    ] as [(String, Int64)])
  func accepted(_ text: String, _ bytes: Int64) {
    #expect(Size.parse(text) == bytes)
  }

  @Test(
    "Everything else is refused",
    arguments: ["", "0", "-1", "5x", "M", "1..5G", "1e9", " 1G", "9999999999T", "1.5", ".5G", "1 G", "१G"])
  func refused(_ text: String) {
    #expect(Size.parse(text) == nil)
  }

  @Test("They are written in the largest whole unit, else with one decimal")
  func written() {
    #expect(Size(536_870_912).description == "512 MiB")
    #expect(Size(68_030_464).description == "64.9 MiB")
    #expect(Size(100).description == "100 bytes")
    #expect(Size(1_610_612_736).argument == "1536MiB")
    #expect(Size.parse(Size(1_610_612_736).argument) == 1_610_612_736)
  }
}
