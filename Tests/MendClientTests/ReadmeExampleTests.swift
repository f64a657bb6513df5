import Foundation
import Testing

@Suite("README's example")
struct ReadmeExampleTests {
  @Test("what README shows is what is compiled")
  func isCompiled() throws {
    let here = URL(filePath: #filePath).deletingLastPathComponent()
    let example = try String(contentsOf: here.appending(path: "ReadmeExample.swift"), encoding: .utf8)
    let readme = try String(contentsOf: here.appending(path: "../../README.md").standardized, encoding: .utf8)
    let lines = example.components(separatedBy: "\n")
    let begin = try #require(lines.firstIndex(of: "  // begin"))
    let end = try #require(lines.firstIndex(of: "  // end"))
    let body = lines[(begin + 1)..<end].map { $0.hasPrefix("  ") ? String($0.dropFirst(2)) : $0 }
    let shown = "```swift\nimport MendClient\n\n" + body.joined(separator: "\n") + "\n```"
    #expect(readme.contains(shown))
  }
}
