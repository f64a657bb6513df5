// How the records are written. `AttemptRecords.swift` says how they are read; a test holds the two together.

extension ProcessIdentity: JSONWritable {
  func write(to text: inout JSONText) {
    text.add(CodingKeys.bootID, bootID)
    text.add(CodingKeys.pid, pid)
    text.add(CodingKeys.startTicks, startTicks)
  }
}

extension LaunchRecord: JSONWritable {
  func write(to text: inout JSONText) {
    text.add(CodingKeys.account, account.map { account in { $0.add(account) } })
    text.add(CodingKeys.arguments, arguments)
    text.add(CodingKeys.bootID, bootID)
    text.add(CodingKeys.cpuLimitSeconds, cpuLimitSeconds)
    text.add(CodingKeys.environment, environment)
    text.add(CodingKeys.graceMilliseconds, graceMilliseconds)
    text.add(CodingKeys.logLimitBytes, logLimitBytes)
    text.add(CodingKeys.memoryLimitBytes, memoryLimitBytes)
    text.add(CodingKeys.openFilesLimit, openFilesLimit)
    text.add(CodingKeys.processesLimit, processesLimit)
    text.add(CodingKeys.server, server)
    text.add(CodingKeys.softOpenFilesLimit, softOpenFilesLimit)
    text.add(CodingKeys.workDirectory, workDirectory)
  }
}

extension EndRequest: JSONWritable {
  func write(to text: inout JSONText) { text.add(CodingKeys.graceMilliseconds, graceMilliseconds) }
}

extension ExitAccount: JSONWritable {
  func write(to text: inout JSONText) {
    text.add(CodingKeys.atMilliseconds, atMilliseconds)
    text.add(CodingKeys.cpuSeconds, cpuSeconds)
    text.add(CodingKeys.lastStderrLine, lastStderrLine)
    text.add(
      CodingKeys.limitExceeded,
      limitExceeded.map { limit in
        {
          $0.add(LimitExceeded.CodingKeys.isMeasured, limit.isMeasured)
          $0.add(LimitExceeded.CodingKeys.text, limit.text)
        }
      })
    text.add(CodingKeys.machineRestarted, machineRestarted)
    text.add(CodingKeys.memoryLimitBytes, memoryLimitBytes)
    text.add(CodingKeys.memoryLimitExceeded, memoryLimitExceeded)
    text.add(CodingKeys.memoryLimitExceededAtMilliseconds, memoryLimitExceededAtMilliseconds)
    text.add(CodingKeys.peakMemoryBytes, peakMemoryBytes)
    text.add(CodingKeys.receipt) {
      $0.add(Receipt.CodingKeys.how, receipt.how)
      $0.add(Receipt.CodingKeys.processes, receipt.processes)
    }
    text.add(CodingKeys.termination) {
      $0.add(Termination.CodingKeys.kind, termination.kind.rawValue)
      $0.add(Termination.CodingKeys.message, termination.message)
      $0.add(Termination.CodingKeys.number, termination.number)
    }
    text.add(CodingKeys.wasAskedToEnd, wasAskedToEnd)
  }
}

extension JSONText {
  fileprivate mutating func add(_ account: AttemptAccount) {
    add(AttemptAccount.CodingKeys.group, account.group)
    add(AttemptAccount.CodingKeys.home, account.home)
    add(AttemptAccount.CodingKeys.user, account.user)
  }
}
