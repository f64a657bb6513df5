import Testing

@testable import mend

@Suite("Spelling")
struct SpellingTests {
  @Test(
    "What is fewest mistakes away is meant; without that, what begins alike",
    arguments: [
      ("cancle", ["cancel"]), ("diagnoes", ["diagnose"]), ("lsit", ["list"]), ("cause", ["causes"]),
      ("subnit", ["submit"]), ("he", ["heal", "help"]), ("xyz", []),
      (String(repeating: "x", count: 100_000), []),
    ])
  func near(word: String, meant: [String]) {
    let words = ["cancel", "causes", "diagnose", "heal", "help", "list", "submit"]
    #expect(Spelling.near(word, among: words) == meant)
  }
}
