internal import Glibc

/// The other side of a `Launcher`: what `mend supervise --launches DATA --socket N` is,
/// and `mend launcher --data DATA` in the process table, for it supervises nothing.
///
/// A supervisor that begins with exec spends more on its libraries than on its work. This process has loaded them once,
/// stays small, and forks: each copy becomes a supervisor that works for the server (a session and a name in the process
/// table of its own, no descriptor but its link to the server) and is nobody's child to be waited for. It ends with the
/// server, and supervisors with an attempt in hand outlive both. One thread, for ever: nothing here may start another.
struct LaunchService: ~Copyable {
  private let socket: MessageSocket
  private let area: ArgumentArea
  private let program: String

  static let option = "--launches"
  /// A request is a byte, and the link that the new supervisor is to have.
  static let request: [UInt8] = [UInt8(ascii: "F")]

  /// What the service says of a launch: errno or 0, and whom it started, whose pidfd comes with it.
  struct Answer: Equatable {
    var error: Int32
    var pid: Int32
    var startTicks: UInt64

    static let size = 16

    init(error: Int32, pid: Int32 = 0, startTicks: UInt64 = 0) {
      self.error = error
      self.pid = pid
      self.startTicks = startTicks
    }

    init?(_ bytes: [UInt8]) {
      guard bytes.count == Self.size else { return nil }
      func number(_ range: Range<Int>) -> UInt64 { range.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) } }
      self.init(
        error: Int32(truncatingIfNeeded: number(0..<4)), pid: Int32(truncatingIfNeeded: number(4..<8)),
        startTicks: number(8..<16))
    }

    var bytes: [UInt8] {
      func bytes(_ number: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
      }
      return bytes(UInt64(UInt32(bitPattern: error)), 4) + bytes(UInt64(UInt32(bitPattern: pid)), 4)
        + bytes(startTicks, 8)
    }
  }

  init(data: String, socket: Int32) throws(SystemError) {
    let program = try ProcessTable.arguments(of: ProcessTable.ownPID).first ?? "mend"
    let area = try ArgumentArea()
    try area.replace(by: [program, "launcher", "--data", data])
    // Of whatever crashes, the copies too.
    try Fork.writeOutput(to: "\(data)/supervisors.log")
    // What a killed supervisor leaves comes here instead of to init, and is seen to be nobody's (`Leftovers`).
    try OwnChildren.becomeSubreaper()
    self.socket = MessageSocket(owning: socket)
    self.area = area
    self.program = program
  }

  /// Returns when the server is gone; never in a copy.
  func serve() throws(SystemError) {
    // What is read, resolved or set up at its first use is so here, once, instead of in every copy.
    Supervisor.rehearse()
    while let message = try socket.receive(limit: Self.request.count) {
      guard let link = message.descriptor else {
        // It was sent, and this process has no room for another descriptor.
        try socket.send(Answer(error: EMFILE).bytes)
        continue
      }
      do throws(SystemError) {
        switch try Fork.fork() {
        case .child: beSupervisor(link: link.rawValue)
        case .parent(let pid, let pidfd):
          defer { Fork.forgetChildren() }
          let status: ProcessTable.Status?
          do throws(SystemError) {
            status = try ProcessTable.status(of: pid)
          } catch {
            // It has nothing in hand yet, and could not be told from another.
            Fork.kill(pidfd)
            throw error
          }
          try socket.send(
            Answer(error: 0, pid: pid, startTicks: status?.startTicks ?? 0).bytes, with: pidfd.rawValue)
        }
      } catch {
        try socket.send(Answer(error: error.code).bytes)
      }
    }
  }

  /// What exec would have done for it.
  private func beSupervisor(link: Int32) -> Never {
    do throws(SystemError) {
      try Fork.closeAll(but: link)
      let link = try ServerLink(owning: link)
      _exit(WaitingSupervisor(link: link, area: area, program: program).serve())
    } catch {
      Supervisor.complain("\(error)")
      _exit(Supervisor.statusFailed)
    }
  }
}
