import ArgumentParser
import MendCore

/// One `--capacity EXECUTOR=cpus:64,memory:256GiB,gpus:4`: what all jobs on it together may reserve. Parts may be
/// missing.
struct CapacityOption: Hashable, Sendable {
  var executor: ExecutorKind
  var cpus: Double?
  var memoryBytes: Int64?
  var gpus: Int?

  static let accepted =
    "expected EXECUTOR=PART,... with the executors local, ray and simulated, and the parts cpus:NUMBER, memory:SIZE "
    + "and gpus:NUMBER, such as ray=cpus:64,memory:256GiB; up to 1000000 CPUs and GPUs, and 65536TiB"
}

extension CapacityOption: ExpressibleByArgument {
  /// For `@Option(transform:)`. The error says what is accepted.
  static func option(_ text: String) throws -> CapacityOption {
    guard let option = CapacityOption(argument: text) else {
      throw ValidationError("invalid capacity '\(text)'; \(accepted).")
    }
    return option
  }

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "="), let executor = ExecutorKind(rawValue: String(argument[..<equals]))
    else { return nil }
    self.executor = executor
    let given = argument[argument.index(after: equals)...].split(separator: ",", omittingEmptySubsequences: false)
    for part in given {
      let words = part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
      guard words.count == 2, take(words[0], words[1]) else { return nil }
    }
  }

  /// False if it is not a part, or the second of its kind.
  private mutating func take(_ name: String, _ value: String) -> Bool {
    switch name {
    case "cpus":
      guard cpus == nil, let cpus = Double(value), cpus > 0, cpus <= ValueLimit.cpus else { return false }
      self.cpus = cpus
    case "memory":
      guard memoryBytes == nil, let memory = Size.parse(value) else { return false }
      memoryBytes = memory
    case "gpus":
      guard gpus == nil, let gpus = Int(value), (0...ValueLimit.gpus).contains(gpus) else { return false }
      self.gpus = gpus
    default:
      return false
    }
    return true
  }
}

extension Serve {
  /// The stated capacity of an executor: from --capacity, or for the --executor from --cpus and the like.
  func stated(_ executor: ExecutorKind) -> CapacityOption {
    var stated = capacities.first { $0.executor == executor } ?? CapacityOption(executor: executor)
    if executor == self.executor.kind {
      stated.cpus = stated.cpus ?? cpus
      stated.memoryBytes = stated.memoryBytes ?? memory?.bytes
      stated.gpus = stated.gpus ?? gpus
    }
    return stated
  }

  /// The executors of the server, the default one first.
  var executorKinds: [ExecutorKind] {
    var kinds = [executor.kind]
    if executor == .ray, !noLocal { kinds.append(.local) }
    if executor != .ray, ray != nil { kinds.append(.ray) }
    return kinds
  }

  func checkCapacities() throws {
    var seen: Set<ExecutorKind> = []
    for option in capacities {
      let name = option.executor.rawValue
      guard seen.insert(option.executor).inserted else {
        throw ValidationError("--capacity names \(name) twice: combine them.")
      }
      guard executorKinds.contains(option.executor) else {
        throw ValidationError("--capacity names \(name), an executor that this server does not have.")
      }
      if option.executor == executor.kind,
        option.cpus != nil && cpus != nil || option.memoryBytes != nil && memory != nil
          || option.gpus != nil && gpus != nil
      {
        throw ValidationError(
          "--capacity \(name) and --cpus, --memory or --gpus set the same of --executor \(name): give only one of them."
        )
      }
    }
  }
}

extension CapacityOption {
  /// Returns the reported capacity with these values in place of the reported ones.
  func over(_ capacity: Capacity) -> Capacity {
    var capacity = capacity
    capacity.cpus = cpus ?? capacity.cpus
    capacity.memoryBytes = memoryBytes ?? capacity.memoryBytes
    capacity.gpus = gpus ?? capacity.gpus
    return capacity
  }
}
