import MendRuntime
import Synchronization
import Testing

@testable import MendExecutors

/// Logs as a Ray has them, and how often they were fetched.
private final class Source: Sendable {
  private struct State {
    var logs: [String: [UInt8]] = [:]
    var fetches = 0
    var atOnce = 0
    var most = 0
  }

  private let state = Mutex(State())

  var fetches: Int { state.withLock { $0.fetches } }
  var mostAtOnce: Int { state.withLock { $0.most } }

  func append(_ text: String, to id: String) { state.withLock { $0.logs[id, default: []] += Array(text.utf8) } }

  func fetch(_ id: String, _ count: Int) async throws(RayError) -> RayLog? {
    state.withLock { state in
      state.fetches += 1
      state.atOnce += 1
      state.most = max(state.most, state.atOnce)
    }
    for _ in 0..<20 { await Task.yield() }
    return state.withLock { state in
      state.atOnce -= 1
      return state.logs[id].map { log in RayLog(start: Int64(max(0, log.count - count)), bytes: log.suffix(count)) }
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct RayLogsTests {
  private let source = Source()

  private func settings(_ change: (inout RayLogs.Settings) -> Void = { _ in }) -> RayLogs.Settings {
    var settings = RayLogs.Settings()
    settings.interval = .zero
    settings.costFactor = 0
    change(&settings)
    return settings
  }

  private func read(
    _ logs: RayLogs, _ id: String = "a", from offset: Int64, limit: Int = 4, isGrowing: Bool = false
  ) async throws(RayError) -> LogPiece? {
    try await logs.piece(of: id, from: offset, limit: limit, isGrowing: isGrowing) { id, count throws(RayError) in
      try await source.fetch(id, count)
    }
  }

  private func piece(_ offset: Int64, _ text: String) -> LogPiece { LogPiece(offset: offset, bytes: Array(text.utf8)) }

  @Test func `a log is fetched once and handed out piece by piece, and again at its end`() async throws {
    let logs = RayLogs(settings())
    #expect(try await read(logs, from: 0) == nil)
    source.append("abcdefghij", to: "a")
    #expect(try await read(logs, from: 0) == piece(0, "abcd"))
    #expect(try await read(logs, from: 4) == piece(4, "efgh"))
    #expect(try await read(logs, from: 8) == piece(8, "ij"))
    #expect(source.fetches == 2)
    #expect(try await read(logs, from: 10) == piece(10, ""))
    source.append("k", to: "a")
    #expect(try await read(logs, from: 10) == piece(10, "k"))
    #expect(source.fetches == 4)
    #expect(try await read(logs, from: 100) == piece(11, ""))
  }

  @Test func `of a log that is too long the newest part is kept, and its place says what is left out`() async throws {
    let logs = RayLogs(settings { $0.keptBytes = 6 })
    source.append("abcdefghij", to: "a")
    #expect(try await read(logs, from: 0) == piece(4, "efgh"))
    #expect(try await read(logs, from: 8) == piece(8, "ij"))
    #expect(logs.counts.bytes == 6)
    // Followed too slowly, what was passed over is left out as well.
    source.append("klmnopqrst", to: "a")
    #expect(try await read(logs, from: 10) == piece(14, "opqr"))
  }

  @Test func `a growing log's end is an answer until the next fetch is due`() async throws {
    let logs = RayLogs(settings { $0.interval = .seconds(1000) })
    source.append("ab", to: "a")
    #expect(try await read(logs, from: 0, isGrowing: true) == piece(0, "ab"))
    source.append("cd", to: "a")
    #expect(try await read(logs, from: 2, isGrowing: true) == piece(2, ""))
    // A reader who begins gets what was just fetched.
    #expect(try await read(logs, from: 0, isGrowing: true) == piece(0, "ab"))
    #expect(source.fetches == 1)
  }

  @Test func `the end of an ended log is waited for`() async throws {
    let logs = RayLogs(settings { $0.interval = .milliseconds(20) })
    source.append("ab", to: "a")
    #expect(try await read(logs, from: 0) == piece(0, "ab"))
    source.append("cd", to: "a")
    #expect(try await read(logs, from: 2) == piece(2, "cd"))
    #expect(source.fetches == 2)
  }

  @Test func `many readers fetch one log once, and few logs at once`() async throws {
    let logs = RayLogs(
      settings {
        $0.interval = .seconds(1000)
        $0.keptLogs = 100
      })
    for id in 0..<10 { source.append("abc", to: "\(id)") }
    try await withThrowingTaskGroup(of: LogPiece?.self) { group in
      for number in 0..<50 { group.addTask { try await read(logs, "\(number % 10)", from: 0) } }
      for try await found in group { #expect(found == piece(0, "abc")) }
    }
    #expect(source.fetches == 10)
    #expect(source.mostAtOnce <= RayLogs.Settings().fetchesAtOnce)
  }

  @Test func `a few logs are kept, and those that nobody reads are forgotten`() async throws {
    let logs = RayLogs(
      settings {
        $0.keptLogs = 2
        $0.keptFor = .zero
      })
    for id in ["a", "b", "c"] {
      source.append("abc", to: id)
      _ = try await read(logs, id, from: 0)
    }
    #expect(logs.counts == (2, 6))
    logs.clean()
    #expect(logs.counts == (0, 0))
  }

  @Test func `a reader that is cancelled gives up its turn`() async throws {
    let logs = RayLogs(settings { $0.interval = .seconds(1000) })
    source.append("abc", to: "a")
    _ = try await read(logs, from: 0)
    await withTaskGroup(of: Bool.self) { group in
      group.addTask { (try? await read(logs, from: 3)) == nil }
      group.cancelAll()
      for await isOver in group { #expect(isOver) }
    }
  }
}
