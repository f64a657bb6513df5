internal import MendCore

/// The messages between a server and a supervisor that works for it, over a socket that keeps messages apart.
///
/// The attempt's directory has everything too, and each side uses it if the other is gone: the link only makes things fast.
enum SupervisorLink {
  /// The most bytes of a launch in a message; a longer one is read in the directory.
  static let launchLimit = 32 * 1024
  /// The most bytes of a request: a launch and a directory's path.
  static let requestLimit = launchLimit + 4096
  /// The most bytes of news: a whole exit record.
  static let newsLimit = 64 * 1024

  /// A message from the server.
  enum Request: Equatable {
    /// Run an attempt, whose lock comes with the message. Without a launch, read it in the directory.
    case attempt(directory: String, LaunchRecord?)
    /// End the current attempt.
    case end(graceMilliseconds: Int64)

    init?(_ bytes: [UInt8]) {
      switch bytes.first {
      case UInt8(ascii: "A"):
        let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
        self = .attempt(
          directory: String(decoding: bytes[1..<end], as: UTF8.self), LaunchRecord(fields: bytes[end...].dropFirst()))
      case UInt8(ascii: "E"):
        guard let milliseconds = Int64(String(decoding: bytes.dropFirst(), as: UTF8.self)) else { return nil }
        self = .end(graceMilliseconds: milliseconds)
      default: return nil
      }
    }

    var bytes: [UInt8] {
      switch self {
      case .attempt(let directory, let launch):
        var bytes = [UInt8(ascii: "A")] + directory.utf8
        if let fields = launch?.fields, fields.count < SupervisorLink.launchLimit {
          bytes.append(0)
          bytes += fields
        }
        return bytes
      case .end(let milliseconds): return [UInt8(ascii: "E")] + "\(milliseconds)".utf8
      }
    }
  }

  /// A message from the supervisor about the current attempt.
  enum News: Equatable {
    case started
    /// It ended, and there is no room for its exit record yet. `ended` follows.
    case unkept(exit: [UInt8])
    /// It ended, with this exit record; the supervisor waits for another attempt.
    case ended(exit: [UInt8])
    /// There was no room for its first record or its entrypoint: nothing was started, and the supervisor waits for
    /// another attempt.
    case noRoom(SystemError)

    init?(_ bytes: [UInt8]) {
      switch bytes.first {
      case UInt8(ascii: "N"):
        let parts = bytes.dropFirst().split(separator: UInt8(ascii: " "), maxSplits: 1)
          .map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 2, let code = Int32(parts[0]) else { return nil }
        self = .noRoom(SystemError(parts[1], code: code))
      case UInt8(ascii: "S") where bytes.count == 1: self = .started
      case UInt8(ascii: "U"): self = .unkept(exit: Array(bytes.dropFirst()))
      case UInt8(ascii: "X"): self = .ended(exit: Array(bytes.dropFirst()))
      default: return nil
      }
    }

    var bytes: [UInt8] {
      switch self {
      case .started: [UInt8(ascii: "S")]
      case .unkept(let exit): [UInt8(ascii: "U")] + exit
      case .ended(let exit): [UInt8(ascii: "X")] + exit
      case .noRoom(let error): [UInt8(ascii: "N")] + "\(error.code) \(error.operation)".utf8
      }
    }
  }
}

extension LaunchRecord {
  /// Its fields, each ended by NUL, which none of them can contain.
  fileprivate var fields: [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(1024)
    func append(_ field: String) {
      bytes += field.utf8
      bytes.append(0)
    }
    func append(_ number: (some BinaryInteger)?) { append(number.map { String($0) } ?? "") }
    append(workDirectory)
    append(memoryLimitBytes)
    append(logLimitBytes)
    append(graceMilliseconds)
    append(cpuLimitSeconds?.bitPattern)
    append(openFilesLimit)
    append(processesLimit)
    append(account?.user)
    append(account?.group)
    append(account?.home ?? "")
    append(bootID ?? "")
    append(server ?? "")
    append(softOpenFilesLimit)
    append(arguments.count)
    for argument in arguments { append(argument) }
    for (name, value) in environment { append("\(name)=\(value)") }
    let count = Self.plainFields + arguments.count + environment.count
    return bytes.count { $0 == 0 } == count ? bytes : nil
  }

  private static let plainFields = 14

  fileprivate init?(fields bytes: ArraySlice<UInt8>) {
    guard bytes.last == 0 else { return nil }
    let fields = bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    guard fields.count >= Self.plainFields, let memory = Int64(fields[1]), let log = Int(fields[2]),
      let grace = Int64(fields[3]), let argumentCount = Int(fields[13]),
      (0...fields.count - Self.plainFields).contains(argumentCount)
    else { return nil }
    let rest = fields[Self.plainFields...]
    var environment: [String: String] = [:]
    for entry in rest.dropFirst(argumentCount) {
      guard let equals = entry.firstIndex(of: "=") else { return nil }
      environment[String(entry[..<equals])] = String(entry[entry.index(after: equals)...])
    }
    var account: AttemptAccount?
    if let user = UInt32(fields[7]), let group = UInt32(fields[8]) {
      account = AttemptAccount(user: user, group: group, home: fields[9])
    }
    self.init(
      arguments: Array(rest.prefix(argumentCount)), environment: environment, workDirectory: fields[0],
      memoryLimitBytes: memory, logLimitBytes: log, graceMilliseconds: grace,
      cpuLimitSeconds: UInt64(fields[4]).map { Double(bitPattern: $0) }, openFilesLimit: Int(fields[5]),
      processesLimit: Int(fields[6]), account: account, bootID: fields[10].isEmpty ? nil : fields[10],
      server: fields[11].isEmpty ? nil : fields[11], softOpenFilesLimit: Int(fields[12]))
  }
}

/// The supervisor's end of the link.
final class ServerLink {
  private let socket: MessageSocket
  /// The server is gone or does not listen, so the link is of no use any more.
  private(set) var isOver = false {
    didSet { if isOver { keepLastEnd() } }
  }
  /// The last end that was sent. A server makes it durable, unless it dies before.
  private var lastEnd: AttemptDirectory?

  /// How long to wait for a server that does not read, because it is stopped.
  private static let patience: Duration = .seconds(10)

  struct Order: ~Copyable {
    let request: SupervisorLink.Request
    let lock: Descriptor?

    consuming func takeLock() -> Descriptor? { lock }
  }

  init(owning rawDescriptor: Int32) throws(SystemError) {
    socket = MessageSocket(owning: rawDescriptor)
    try socket.setSendingPatience(Self.patience)
  }

  var rawDescriptor: Int32 { socket.rawDescriptor }

  /// Blocks until the next order; returns nil if there will be none.
  func next() -> Order? {
    while !isOver {
      guard let message = try? socket.receive(limit: SupervisorLink.requestLimit) else {
        isOver = true
        return nil
      }
      let request = SupervisorLink.Request(message.bytes)
      if let request { return Order(request: request, lock: message.takeDescriptor()) }
    }
    return nil
  }

  /// Sends news. If that fails, this process's end makes the server read the directory.
  func tell(_ news: SupervisorLink.News, of directory: AttemptDirectory) {
    if case .ended = news { lastEnd = directory }
    if (try? socket.send(news.bytes)) == nil { isOver = true }
  }

  /// Waits, and notices the end of the link meanwhile.
  func wait(_ time: Duration) {
    if Wait.untilReadable(socket.rawDescriptor, time) { _ = next() }
  }

  private func keepLastEnd() {
    // Nobody is left to be told of a disk that does not take it.
    if let lastEnd { try? AttemptRecordFile.synchronize(in: lastEnd) }
    lastEnd = nil
  }

  /// Makes the server's further orders fail; those already sent still arrive.
  func close() { socket.endReceiving() }
}
