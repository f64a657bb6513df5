internal import Glibc
internal import Logging
internal import Synchronization

/// Has supervisors forked by a `LaunchService`: a process that is started when the first is needed, and when the next one
/// is after it died.
///
/// One at a time: the service has one thread, and a copy takes it less than a millisecond.
final class Launcher: Sendable {
  private let program: String
  private let dataDirectory: String
  private let environment: [String: String]
  private let watcher: Watcher
  private let logger: Logger
  private let state = Mutex(State())
  private let clock = ContinuousClock()

  private struct State {
    var service: Service?
    /// Not before: the last one was of no use.
    var nextTry: ContinuousClock.Instant?
    var isEnded = false
  }

  private final class Service: Sendable {
    let process: ProcessReference
    let socket: MessageSocket

    init(process: ProcessReference, socket: consuming MessageSocket) {
      self.process = process
      self.socket = socket
    }
  }

  /// An answer comes within milliseconds; who takes so long was stopped.
  private static let patience: Duration = .seconds(10)
  private static let pause: Duration = .seconds(10)
  /// Of an attempt's name and what else is in a supervisor's arguments.
  private static let room = 512

  init(
    program: String, dataDirectory: String, environment: [String: String], watcher: Watcher, logger: Logger
  ) {
    self.program = program
    self.dataDirectory = dataDirectory
    self.environment = environment
    self.watcher = watcher
    self.logger = logger
  }

  /// The service's process; nil while there is none.
  var process: ProcessReference? { state.withLock { $0.service?.process } }

  /// A new supervisor, which has the other end of this link. Nil: it did not come about, or nobody knows.
  func fork(linkedBy link: borrowing MessageSocket) -> ProcessReference? {
    let raw = link.rawDescriptor
    return state.withLock { state in
      guard let service = service(&state) else { return nil }
      do throws(SystemError) {
        try service.socket.send(LaunchService.request, with: raw)
        guard let message = try service.socket.receive(limit: LaunchService.Answer.size) else {
          throw SystemError("recvmsg", code: ECONNRESET)
        }
        let answer = LaunchService.Answer(message.bytes)
        if let answer, answer.error != 0 {
          // The machine has no room for another process; the launcher is well.
          let error = SystemError("fork", code: answer.error)
          logger.warning("the launcher could not fork", metadata: ["error": "\(error)"])
          return nil
        }
        guard let answer, let supervisor = ProcessReference(started: answer, by: message) else {
          throw SystemError("fork", code: EPROTO)
        }
        state.nextTry = nil
        return supervisor
      } catch {
        logger.warning(
          "the launcher failed; supervisors are started without it",
          metadata: ["pid": "\(service.process.identity.pid)", "error": "\(error)"])
        service.process.signal(SIGKILL)
        state.service = nil
        return nil
      }
    }
  }

  private func service(_ state: inout State) -> Service? {
    if state.isEnded { return nil }
    if let service = state.service { return service }
    if let nextTry = state.nextTry, clock.now < nextTry { return nil }
    state.nextTry = clock.now + Self.pause
    do throws(SystemError) {
      let pair = try MessageSocket.pair()
      try pair.one.setPatience(Self.patience)
      // Its copies take over the memory that its arguments are in, and theirs are longer.
      let arguments = [
        program, "supervise", LaunchService.option, dataDirectory, "--socket", "3",
        String(repeating: " ", count: Self.room),
      ]
      let process = try ProcessReference.Child(
        arguments: arguments, environment: environment, directory: "/"
      ).start(output: nil, error: nil, extra: pair.other.rawDescriptor)
      let service = Service(process: process, socket: pair.takeOne())
      state.service = service
      try watcher.whenEnded(process) { [weak self] in
        process.reap()
        self?.state.withLock { state in if state.service === service { state.service = nil } }
      }
      return service
    } catch {
      logger.warning("the launcher cannot be started", metadata: ["error": "\(error)"])
      return state.service
    }
  }

  /// No launch after it; supervisors go on. Returns when the service is gone.
  func end() {
    let process = state.withLock { state -> ProcessReference? in
      defer { state.service = nil }
      state.isEnded = true
      return state.service?.process
    }
    guard let process else { return }
    if !process.waitForEnd(Self.patience) {
      process.signal(SIGKILL)
      _ = process.waitForEnd(Self.patience)
    }
    process.reap()
  }
}
