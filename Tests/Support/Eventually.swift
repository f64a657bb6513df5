/// Waits for what other tasks, threads and processes bring about; false when it does not come within so long. The limit is
/// for a machine that is busy.
public func eventually(within limit: Duration = .seconds(20), _ condition: () async -> Bool) async -> Bool {
  let deadline = ContinuousClock.now + limit
  while await !condition() {
    guard ContinuousClock.now < deadline else { return false }
    await Task.yield()
  }
  return true
}
