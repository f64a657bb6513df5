internal import Logging
internal import MendCore
internal import MendRuntime
internal import Synchronization

/// How an attempt ends whose supervisor is gone.
extension LocalExecutor {
  func supervisorEnded(_ key: AttemptKey, _ generation: UInt64) {
    guard let attempt = withWatched(key, generation, { $0 }) else { return }
    attempt.process.reap()
    let directory = directory(of: key)
    do throws(SystemError) {
      let records = try AttemptRecords(in: directory)
      announceStart(key, generation)
      let words = try FileSystem.readRegular(directory.supervisorLog, limit: 1 << 20) ?? []
      wasReached(key)
      if let watch = attempt.recordsWatch { watcher.forget(watch) }
      conclude(key, attempt, records, words, in: directory)
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) { self.supervisorEnded(key, generation) }
    }
  }

  /// Decides by its records, which are complete; `words` are the supervisor's last.
  private func conclude(
    _ key: AttemptKey, _ attempt: WatchedAttempt, _ records: AttemptRecords, _ words: [UInt8],
    in directory: AttemptDirectory
  ) {
    if let exit = records.read(AttemptRecords.exit) {
      forget(key)
      emit(.ended(key, exit.record, exit.receipt.value))
    } else if let exit = attempt.unkept {
      conclude(key, exit, in: directory)
    } else if records.mayHaveRun || attempt.startAnnounced {
      cleanUp(key, after: attempt.process.identity, in: directory, forced: attempt)
    } else {
      forget(key)
      if !words.isEmpty {
        let said = String(decoding: words.suffix(512), as: UTF8.self)
        emit(.launchFailed(key, .environmentSetup, message: "its supervisor did not start: \(said)"))
      } else {
        // Killed, for it has words where it fails; and it had started nothing, or there were a record of it.
        let place = "\(settings.dataDirectory)/supervisors.log"
        emit(
          .lost(key, message: "its supervisor ended before it had started anything; it may have said why in \(place)"))
      }
    }
  }

  func forget(_ key: AttemptKey) { state.withLock { _ = $0.attempts.removeValue(forKey: key) } }

  /// Reports all events of an attempt that ended while no server watched it.
  func report(_ key: AttemptKey, _ exit: ExitAccount, in directory: AttemptDirectory) {
    if let records = try? AttemptRecords(in: directory) {
      if let identity = records.read(AttemptRecords.supervisor) { emit(.taken(key, handle(identity))) }
      if records.has(AttemptRecords.started) { emit(.started(key)) }
    }
    emit(.ended(key, exit.record, exit.receipt.value))
  }

  /// Ends what a killed supervisor left running, writes the missing exit record, and reports it.
  func cleanUp(
    _ key: AttemptKey, after identity: ProcessIdentity, in directory: AttemptDirectory, token: String? = nil,
    forced: WatchedAttempt? = nil
  ) {
    state.withLock { $0.attempts[key] = .cleaning }
    do throws(SystemError) {
      let records = try AttemptRecords(in: directory)
      let limit = records.read(AttemptRecords.launch)?.memoryLimitBytes ?? 0
      guard identity.bootID == ProcessTable.bootID else {
        var exit = ExitAccount.machineRestarted(memoryLimitBytes: limit)
        exit.lastStderrLine = lastLine(of: directory.standardError)
        return conclude(key, exit, in: directory)
      }
      var leftovers = try Leftovers(directory: directory, token: token)
      leftovers.launcher = launcher.process?.identity
      let damage = records.damage.map { "\(directory.records) \($0)" }
      if let damage {
        settings.logger.warning(
          "an attempt's records are damaged", metadata: ["attempt": "\(key)", "damage": "\(damage)"])
      }
      cleaningPass(key, leftovers, killed: forced?.forced ?? [], interval: Self.cleaningInterval) { killed in
        let (message, how) =
          forced?.isForced == true
          ? ("the supervisor did not answer and was killed", "SIGKILL by the server")
          : (
            damage.map { "\($0); how the attempt ended is not known" }
              ?? "the supervisor was killed; nobody saw how the attempt ended",
            killed.isEmpty ? "nothing was left running" : "SIGKILL, left running by a killed supervisor"
          )
        var exit = ExitAccount.unknown(
          message, receipt: .init(processes: killed.count, how: how), memoryLimitBytes: limit)
        exit.lastStderrLine = self.lastLine(of: directory.standardError)
        self.conclude(key, exit, in: directory)
      }
    } catch {
      wasNotReached(key, error)
      perform(for: key, after: Self.slowestCleaningInterval) {
        self.cleanUp(key, after: identity, in: directory, token: token, forced: forced)
      }
    }
  }

  private func cleaningPass(
    _ key: AttemptKey, _ leftovers: Leftovers, killed: Set<ProcessIdentity>, interval: Duration,
    then done: @escaping @Sendable (Set<ProcessIdentity>) -> Void
  ) {
    var killed = killed
    do throws(SystemError) {
      let found = try leftovers.kill()
      wasReached(key)
      if found.isEmpty { return done(killed) }
      killed.formUnion(found)
      if interval == Self.slowestCleaningInterval {
        settings.logger.warning("processes do not end", metadata: ["attempt": "\(key)", "count": "\(found.count)"])
      }
    } catch {
      // What was not seen may run.
      wasNotReached(key, error)
    }
    perform(for: key, after: interval) { [killed] in
      self.cleaningPass(
        key, leftovers, killed: killed, interval: min(interval * 2, Self.slowestCleaningInterval), then: done)
    }
  }

  private func conclude(_ key: AttemptKey, _ exit: ExitAccount, in directory: AttemptDirectory) {
    do throws(SystemError) {
      var file = try AttemptRecordFile(in: directory)
      try file.append(exit, as: AttemptRecords.exit)
    } catch {
      // The next adoption comes to the same end.
      settings.logger.warning("the exit record was not stored", metadata: ["attempt": "\(key)", "error": "\(error)"])
    }
    forget(key)
    report(key, exit, in: directory)
  }

  private func lastLine(of path: String) -> String {
    var last = LastStderrLine()
    let log = AttemptLog(path: path)
    var offset: Int64 = 0
    // No more than there can be: a job may have put anything there.
    for _ in 0..<4096 {
      guard let piece = log.piece(from: offset, limit: 64 * 1024), !piece.bytes.isEmpty else { break }
      last.append(piece.bytes[...])
      offset = piece.offset + Int64(piece.bytes.count)
    }
    return last.text
  }
}
