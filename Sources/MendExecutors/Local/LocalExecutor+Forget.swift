internal import Dispatch
internal import Glibc
internal import Logging
internal import MendCore
internal import Synchronization

/// Files of attempts that are not needed any more. Each directory is renamed first, and deleted later, so that a batch of
/// the same name never finds a part of it.
extension LocalExecutor {
  func forgetFiles(of batch: BatchKey) {
    let isFirst = state.withLock { state in
      defer {
        state.lastGeneration += 1
        state.forgotten[batch] = state.lastGeneration
        // Nobody asks for them any more, and nobody is told of them.
        if !state.unreached.isEmpty { state.unreached = state.unreached.filter { $0.batch != batch } }
      }
      return state.forgotten.isEmpty
    }
    if isFirst { enqueue(on: removals) { self.removeForgotten() } }
  }

  /// Keeps the files of a batch that is in use: it is another one of the same name.
  func remember(_ batch: BatchKey) { state.withLock { _ = $0.forgotten.removeValue(forKey: batch) } }

  /// Goes through all attempts' directories once for all batches forgotten until then, and again for later ones.
  private func removeForgotten() {
    while case let batches = state.withLock({ $0.forgotten }), !batches.isEmpty {
      guard let all = try? AttemptDirectory.all(below: attemptsDirectory) else {
        return watcher.after(Self.slowestCleaningInterval) { [self] in enqueue(on: removals) { self.removeForgotten() }
        }
      }
      for (key, directory) in all where batches[key.batch] != nil {
        lane(of: key).sync {
          let isForgotten = state.withLock { state in
            guard case .running = state.phase else { return false }
            return state.forgotten[key.batch] == batches[key.batch] && state.attempts[key] == nil
          }
          if isForgotten { _ = takeAway(directory) }
        }
      }
      state.withLock { state in state.forgotten = state.forgotten.filter { batches[$0.key] != $0.value } }
    }
  }

  /// Deletes what an earlier server had no time to delete.
  func deleteTakenAway() {
    for name in (try? FileSystem.names(in: removedDirectory)) ?? [] { delete(name) }
  }

  /// Searches, again after each interval, for files of batches that are forgotten: a server that ended early leaves them,
  /// and so does a directory that was in use. Removes those that have not been written to for an interval.
  func removeUnknown() {
    guard let isKnown = settings.isKnown else { return }
    var known: [BatchKey: Bool] = [:]
    // What cannot be seen now is in a later look.
    for (key, directory) in (try? AttemptDirectory.all(below: attemptsDirectory)) ?? [] {
      if known[key.batch] == nil { known[key.batch] = (try? isKnown(key.batch)) ?? true }
      guard known[key.batch] == false, isOld(directory) else { continue }
      lane(of: key).sync {
        // A batch may have come by that name.
        guard state.withLock({ $0.attempts[key] }) == nil, (try? isKnown(key.batch)) == false else { return }
        if takeAway(directory) {
          settings.logger.info("files of an attempt without a batch are removed", metadata: ["attempt": "\(key)"])
        }
      }
    }
    watcher.after(settings.unknownScanInterval) { [self] in enqueue(on: removals) { self.removeUnknown() } }
  }

  private func isOld(_ directory: AttemptDirectory) -> Bool {
    let last = [directory.path, directory.records, directory.standardOutput, directory.standardError].compactMap {
      (try? FileSystem.modificationTime(of: $0)) ?? nil
    }.max()
    return last.map { FileSystem.wallClockMilliseconds() - $0 >= settings.unknownScanInterval.milliseconds } ?? false
  }

  /// Whether the files are of a forgotten batch of the same name, so that they describe another attempt. Its server died
  /// before it had removed them, or is about to.
  func isOfAnother(_ directory: AttemptDirectory, _ launch: Launch) throws(SystemError) -> Bool {
    guard let record = try directory.read(AttemptRecords.launch) else { return false }
    let token = record.environment[AttemptEnvironment.tokenName]
    return token.map { $0 != launch.token } ?? false || !settings.identity.owns(record.server ?? "")
  }

  /// Whether the files came with a copy of another data directory, whose server ends what they name.
  func isOfAnotherServer(_ directory: AttemptDirectory) throws(SystemError) -> Bool {
    guard let record = try directory.read(AttemptRecords.launch) else { return false }
    return !settings.identity.owns(record.server ?? "")
  }

  /// Removes it, in the attempt's lane. Returns false if something of it may run, or the file system refuses.
  func takeAway(_ directory: AttemptDirectory) -> Bool {
    // The lock says that nothing supervises it; what a killed supervisor left is to be ended before its files are gone.
    guard let lock = try? directory.tryLock() else { return false }
    let name = TreeRemoval.newName()
    do throws(SystemError) {
      let records = try AttemptRecords(in: directory)
      if records.mayHaveRun, !records.has(AttemptRecords.exit), settings.identity.owns(records.server),
        !(try Leftovers(directory: directory).kill().isEmpty)
      {
        return false
      }
      _ = try FileSystem.createDirectory(removedDirectory)
      try FileSystem.rename(directory.path, to: "\(removedDirectory)/\(name)")
    } catch {
      settings.logger.warning(
        "an attempt's files cannot be removed", metadata: ["at": "\(directory.path)", "error": "\(error)"])
      return false
    }
    _ = lock
    enqueue(on: removals) { self.delete(name) }
    return true
  }

  private func delete(_ name: String) {
    do throws(SystemError) {
      try TreeRemoval.remove(name, in: removedDirectory)
    } catch {
      settings.logger.warning(
        "an attempt's files cannot be removed", metadata: ["at": "\(removedDirectory)", "error": "\(error)"])
    }
  }
}
