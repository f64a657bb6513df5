internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import MendCore
internal import Synchronization

extension LocalExecutor {
  /// The time that a supervisor gets to write the exit record after the server has killed its tree.
  private static let accountTime: Duration = .milliseconds(500)
  /// Long enough for a supervisor to write its record.
  private static let startingPatience: Duration = .seconds(1)
  /// The time between the two looks at a stray.
  private static let strayConfirmation: Duration = .milliseconds(500)

  /// `startingSince` is when its supervisor was first found to be starting.
  func endNow(_ key: AttemptKey, grace: Duration, startingSince: ContinuousClock.Instant? = nil) {
    let directory = directory(of: key)
    switch state.withLock({ $0.attempts[key] }) {
    case .cleaning: return
    case .watched(let attempt): return requestEnd(key, attempt, grace: grace, in: directory)
    case .waiting: forget(key)
    case nil: break
    }
    do throws(SystemError) {
      guard try FileSystem.exists(directory.path) else {
        wasReached(key)
        return emit(.lost(key, message: "there is no \(directory.path)"))
      }
      if try isOfAnotherServer(directory) {
        wasReached(key)
        return emit(.lost(key, message: "\(directory.path) belongs to another data directory"))
      }
      let finding = try examine(directory)
      wasReached(key)
      switch finding {
      case .neverStarted: emit(.lost(key, message: "its supervisor was never started"))
      case .starting: try endStarting(key, grace: grace, since: startingSince, in: directory)
      case .alive(let process):
        watch(key, process, in: directory)
        endNow(key, grace: grace)
      case .ended(let exit): emit(.ended(key, exit.record, exit.receipt.value))
      case .killed(let identity): cleanUp(key, after: identity, in: directory)
      }
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.endNow(key, grace: grace) }
    }
  }

  /// Ends a supervisor that finds no room on the disk for its first record. It would start an attempt that is not wanted
  /// any more as soon as there is room.
  private func endStarting(
    _ key: AttemptKey, grace: Duration, since: ContinuousClock.Instant?, in directory: AttemptDirectory
  ) throws(SystemError) {
    let now = ContinuousClock().now
    let since = since ?? now
    var interval = Self.startingInterval
    if now - since >= Self.startingPatience {
      interval = Self.slowestCleaningInterval
      if let process = try supervisor(of: directory) {
        // It may have found room in the meantime: then it hands this on to the entrypoint.
        try? directory.write(EndRequest(graceMilliseconds: grace.milliseconds))
        process.signal(SIGTERM)
      }
    }
    perform(for: key, after: interval) { self.endNow(key, grace: grace, startingSince: since) }
  }

  private func requestEnd(
    _ key: AttemptKey, _ attempt: WatchedAttempt, grace: Duration, in directory: AttemptDirectory
  ) {
    if let exit = attempt.unkept { return emit(.ended(key, exit.record, exit.receipt.value)) }
    let generation = attempt.generation
    withWatched(key, generation) { $0.isAskedToEnd = true }
    perform(for: key, after: grace + settings.endMargin) { self.force(key, generation, quietSince: nil) }
    // Not by a signal, which could find it with its next attempt.
    if let supervisor = attempt.supervisor { return supervisor.end(grace: grace) }
    do throws(SystemError) {
      try directory.write(EndRequest(graceMilliseconds: grace.milliseconds))
    } catch {
      // A full disk is no reason to let it run: the supervisor takes its own grace.
      settings.logger.warning(
        "the shorter grace did not reach the supervisor", metadata: ["attempt": "\(key)", "error": "\(error)"])
    }
    attempt.process.signal(SIGTERM)
  }

  /// Kills the tree, and then the supervisor, which did not end the tree in time.
  private func force(
    _ key: AttemptKey, _ generation: UInt64, quietSince: ContinuousClock.Instant?,
    interval: Duration = LocalExecutor.startingInterval
  ) {
    guard let known = withWatched(key, generation, { $0.forced }) else { return }
    let directory = directory(of: key)
    let killed: Set<ProcessIdentity>
    let isAlone: Bool
    let process: ProcessReference?
    do throws(SystemError) {
      let found = try Leftovers(directory: directory).kill()
      killed = found
      process = withWatched(key, generation) { attempt in
        attempt.isForced = true
        attempt.forced.formUnion(found)
        return attempt.process
      }
      // What this server may not end (a program that became another user's) is still the supervisor's to wait for: a
      // cancel is over when nothing runs.
      isAlone =
        try process.map { process throws(SystemError) in
          try ProcessTable.descendants(of: process.identity.pid).isEmpty
        } ?? true
      wasReached(key)
    } catch {
      // The supervisor keeps what could not be seen from being lost.
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.force(key, generation, quietSince: nil) }
      return
    }
    let now = ContinuousClock().now
    let quiet = killed.isEmpty && isAlone ? quietSince ?? now : nil
    if let quiet, now - quiet >= Self.accountTime {
      settings.logger.warning("a supervisor does not answer and is killed", metadata: ["attempt": "\(key)"])
      process?.signal(SIGKILL)
      return
    }
    // Where nothing came of it there is no hurry: each look is at all processes.
    let isStuck = quiet == nil && killed.isSubset(of: known)
    let next = isStuck ? min(interval * 2, Self.slowestCleaningInterval) : Self.startingInterval
    if next == Self.slowestCleaningInterval, interval < next {
      settings.logger.warning("processes do not end", metadata: ["attempt": "\(key)", "count": "\(killed.count)"])
    }
    perform(for: key, after: next) { self.force(key, generation, quietSince: quiet, interval: next) }
  }

  // MARK: strays

  /// Ends a launch by its id or by its supervisor, as in `ExecutorHandle.reference`. Ends only supervisors of this data
  /// directory.
  func endStrayNow(_ key: AttemptKey, reference: String) {
    do throws(SystemError) {
      var stray = AttemptKey(reference)
      if stray == nil { stray = try attempt(supervisedBy: reference, instead: key) }
      wasReached(key)
      guard let stray else { return }
      enqueue(for: stray) { self.endNow(stray, grace: self.settings.grace) }
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.endStrayNow(key, reference: reference) }
    }
  }

  private func attempt(
    supervisedBy reference: String, instead key: AttemptKey
  ) throws(SystemError) -> AttemptKey? {
    guard let identity = ProcessIdentity(reference: reference) else { return nil }
    // It may not have said so yet.
    if case .watched(let attempt) = state.withLock({ $0.attempts[key] }), attempt.process.identity == identity {
      return key
    }
    if try directory(of: key).read(AttemptRecords.supervisor) == identity { return key }
    guard try ProcessReference(identity) != nil else { return nil }
    return try attempt(inArgumentsOf: identity.pid)
  }

  /// Searches, again after each interval, for supervisors of this data directory that were neither launched nor adopted
  /// since the start. Reports those that a second look finds too: at the first one they may be starting or ending.
  func reportStrays() {
    // What cannot be seen now is in a later look.
    for process in (try? ProcessTable.ownedProcesses()) ?? [] {
      let identity = ProcessIdentity(pid: process.pid, startTicks: process.startTicks, bootID: ProcessTable.bootID)
      guard let key = try? attempt(inArgumentsOf: process.pid), (try? isStray(identity, key)) == true else { continue }
      watcher.after(Self.strayConfirmation) { [self] in
        enqueue(for: key) {
          if (try? self.isStray(identity, key)) == true {
            self.emit(.duplicate(key, reference: identity.reference))
          }
        }
      }
    }
    watcher.after(settings.strayScanInterval) { [self] in enqueue(on: 0) { self.reportStrays() } }
  }

  private func isStray(_ identity: ProcessIdentity, _ key: AttemptKey) throws(SystemError) -> Bool {
    switch state.withLock({ $0.attempts[key] }) {
    case .cleaning, .waiting: return false
    case .watched(let attempt) where attempt.process.identity == identity: return false
    case .watched, nil: break
    }
    let records = try AttemptRecords(in: directory(of: key))
    guard records.read(AttemptRecords.supervisor) == identity, !records.has(AttemptRecords.exit) else { return false }
    guard settings.identity.owns(records.server) else { return false }
    return try ProcessReference(identity) != nil
  }

  /// Returns the attempt of this data directory that a process supervises.
  private func attempt(inArgumentsOf pid: Int32) throws(SystemError) -> AttemptKey? {
    let arguments = try ProcessTable.arguments(of: pid)
    guard arguments.count > 3, arguments[1] == "supervise", let name = arguments[3].split(separator: "/").last,
      let key = AttemptKey(name), directory(of: key).path == arguments[3]
    else { return nil }
    return key
  }
}
