internal import FoundationEssentials
internal import MendProtobuf

/// What Ray says of one job. Everything but its status may be missing; what is not known here is passed over.
struct RayJob: Hashable, Sendable, Decodable {
  enum Status: Hashable, Sendable {
    case pending, running, stopped, succeeded, failed
    /// A later version's.
    case other(String)

    var isFinal: Bool {
      switch self {
      case .stopped, .succeeded, .failed: true
      case .pending, .running, .other: false
      }
    }
  }

  /// `SUBMISSION`, or `DRIVER` for what was not submitted through the Jobs API.
  var type = "SUBMISSION"
  var submissionID = ""
  var status: Status
  var message = ""
  var errorType = ""
  /// Milliseconds since the epoch by the cluster's clock; 0 is not known.
  var endTime: Int64 = 0
  var metadata: [String: String] = [:]
  var driverNodeID = ""
  var driverExitCode: Int32?
  var entrypoint = ""
  /// What its runtime environment has beside variables: pip, working_dir and so on, sorted.
  var runtimeParts: [String] = []

  init(submissionID: String = "", status: Status) {
    self.submissionID = submissionID
    self.status = status
  }

  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    func read<T: Decodable>(_ name: Field) -> T? { try? fields.decodeIfPresent(T.self, forKey: name) }
    status = Status(try fields.decode(String.self, forKey: .status))
    type = read(.type) ?? "SUBMISSION"
    submissionID = read(.submissionID) ?? ""
    message = read(.message) ?? ""
    errorType = read(.errorType) ?? ""
    endTime = read(.endTime) ?? 0
    metadata = read(.metadata) ?? [:]
    driverNodeID = read(.driverNodeID) ?? ""
    driverExitCode = read(.driverExitCode)
    entrypoint = read(.entrypoint) ?? ""
    let runtime: RuntimeParts? = read(.runtimeEnvironment)
    runtimeParts = runtime?.names.filter { $0 != "env_vars" && !$0.hasPrefix("_") }.sorted() ?? []
  }

  /// The names alone: the variables among them may be large, and are no business of the poller's.
  private struct RuntimeParts: Decodable {
    var names: [String]

    init(from decoder: any Decoder) throws {
      names = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue)
    }

    private struct Name: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }
  }

  private enum Field: String, CodingKey {
    case type, status, message, metadata, entrypoint
    case runtimeEnvironment = "runtime_env"
    case submissionID = "submission_id"
    case errorType = "error_type"
    case endTime = "end_time"
    case driverNodeID = "driver_node_id"
    case driverExitCode = "driver_exit_code"
  }
}

extension RayJob.Status {
  /// As Ray writes it.
  var text: String {
    switch self {
    case .pending: "PENDING"
    case .running: "RUNNING"
    case .stopped: "STOPPED"
    case .succeeded: "SUCCEEDED"
    case .failed: "FAILED"
    case .other(let text): text
    }
  }

  init(_ text: String) {
    switch text {
    case "PENDING": self = .pending
    case "RUNNING": self = .running
    case "STOPPED": self = .stopped
    case "SUCCEEDED": self = .succeeded
    case "FAILED": self = .failed
    default: self = .other(text)
    }
  }
}

/// A list in which one element of an unknown shape costs only itself.
struct TolerantList<Element: Decodable & Sendable>: Decodable, Sendable {
  var elements: [Element]

  init(from decoder: any Decoder) throws {
    elements = try decoder.singleValueContainer().decode([Attempted].self).compactMap(\.value)
  }

  private struct Attempted: Decodable {
    var value: Element?
    init(from decoder: any Decoder) throws { value = try? Element(from: decoder) }
  }
}

struct RayVersion: Hashable, Sendable, Decodable {
  /// Names one life of the head; another one means that it was restarted.
  var sessionName: String
  var rayVersion: String

  init(sessionName: String, rayVersion: String) {
    self.sessionName = sessionName
    self.rayVersion = rayVersion
  }

  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    rayVersion = try fields.decode(String.self, forKey: .rayVersion)
    sessionName = (try? fields.decode(String.self, forKey: .sessionName)) ?? ""
  }

  private enum Field: String, CodingKey {
    case sessionName = "session_name"
    case rayVersion = "ray_version"
  }
}

struct RayNode: Hashable, Sendable, Decodable {
  var id: String
  var isAlive: Bool
  /// As Ray names them: CPU, GPU, memory (bytes).
  var resources: [String: Double]

  init(id: String, isAlive: Bool, resources: [String: Double] = [:]) {
    self.id = id
    self.isAlive = isAlive
    self.resources = resources
  }

  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    id = try fields.decode(String.self, forKey: .id)
    isAlive = try fields.decode(String.self, forKey: .state) == "ALIVE"
    resources = (try? fields.decode([String: Double].self, forKey: .resources)) ?? [:]
  }

  private enum Field: String, CodingKey {
    case state
    case id = "node_id"
    case resources = "resources_total"
  }
}

extension RayNode {
  /// "2 live nodes with 6 CPU, 1 GPU, 0.5 GiB of memory in all".
  static func summary(of nodes: [RayNode]) -> String {
    let live = nodes.filter(\.isAlive)
    var totals: [String: Double] = [:]
    // Each node is a resource of its own name, and the object store none that is asked for.
    for (name, amount) in live.flatMap(\.resources)
    where !name.hasPrefix("node:") && !["object_store_memory", "objectStoreMemory"].contains(name) {
      totals[name, default: 0] += amount
    }
    var parts = totals.filter { $0.key != "memory" }.sorted { $0.key < $1.key }.prefix(8)
      .map { "\(number($0.value)) \($0.key)" }
    if let memory = totals["memory"] {
      parts.append("\(gibibytes(memory)) GiB of memory")
    }
    return "\(live.count) live \(live.count == 1 ? "node" : "nodes")"
      + (parts.isEmpty ? "" : " with \(parts.joined(separator: ", ")) in all")
  }

  static func number(_ value: Double) -> String {
    Int64(exactly: value).map { "\($0)" } ?? "\((value * 10).rounded() / 10)"
  }

  static func gibibytes(_ bytes: Double) -> String { number((bytes / Double(1 << 30) * 10).rounded() / 10) }
}

/// What a cluster's resources are used for, and what its autoscaler is asked for.
struct RayClusterStatus: Hashable, Sendable, Decodable {
  /// Of each resource: what is in use, and what there is.
  var usage: [String: [Double]]
  /// Requests that nothing runs yet: what each asks for, and how many do.
  var demands: [Demand]

  struct Demand: Hashable, Sendable {
    var resources: [String: Double]
    var count: Int
  }

  init(from decoder: any Decoder) throws {
    let report = try Answer(from: decoder).data.clusterStatus.loadMetricsReport
    usage = report.usage
    demands = report.resourceDemand?.elements.map { Demand(resources: $0.resources, count: $0.count) } ?? []
  }

  /// "2 of 2 CPU in use; unmet demand: 1 × 64 CPU"; of many demands the first.
  var summary: String {
    var parts: [String] = []
    if let cpu = usage["CPU"], cpu.count == 2 {
      parts.append("\(RayNode.number(cpu[0])) of \(RayNode.number(cpu[1])) CPU in use")
    }
    let asked = demands.prefix(4).map { demand in
      let resources = demand.resources.sorted { $0.key < $1.key }.map { name, amount in
        name == "memory" ? "\(RayNode.gibibytes(amount)) GiB" : "\(RayNode.number(amount)) \(name)"
      }
      return "\(demand.count) × \(resources.joined(separator: " and "))"
    }
    if !asked.isEmpty { parts.append("unmet demand: \(asked.joined(separator: ", "))") }
    return parts.joined(separator: "; ")
  }

  private struct Answer: Decodable { var data: Data }
  private struct Data: Decodable { var clusterStatus: Status }
  private struct Status: Decodable { var loadMetricsReport: Report }
  private struct Report: Decodable {
    var usage: [String: [Double]]
    var resourceDemand: TolerantList<Asked>?
  }
  /// A list of two: the resources, how many.
  private struct Asked: Decodable, Sendable {
    var resources: [String: Double]
    var count: Int
    init(from decoder: any Decoder) throws {
      var list = try decoder.unkeyedContainer()
      resources = try list.decode([String: Double].self)
      count = try list.decode(Int.self)
    }
  }
}

/// The nodes as the dashboard's own page has them, where there is no state API: data.summary, each with its raylet.
struct RayNodeSummary: Decodable, Sendable {
  var nodes: [RayNode] {
    data.summary.elements.map { entry in
      RayNode(
        id: entry.raylet.nodeId, isAlive: entry.raylet.state == "ALIVE", resources: entry.raylet.resourcesTotal ?? [:])
    }
  }
  private var data: Data
  private struct Data: Decodable { var summary: TolerantList<Entry> }
  private struct Entry: Decodable, Sendable { var raylet: Raylet }
  private struct Raylet: Decodable, Sendable {
    var nodeId: String
    var state: String
    var resourcesTotal: [String: Double]?
  }
}

/// The state API's wrapping: data.result.result.
struct RayNodeList: Decodable, Sendable {
  var nodes: [RayNode] { data.result.result.elements }
  private var data: Data
  private struct Data: Decodable { var result: Result }
  private struct Result: Decodable { var result: TolerantList<RayNode> }
}

/// What is submitted. Ray echoes none of the resources.
struct RaySubmission: Hashable, Sendable {
  var submissionID: String
  var entrypoint: String
  var environment: [String: String]
  /// Further parts of the runtime environment: working_dir, pip and so on.
  var runtime: [String: JSONValue] = [:]
  var metadata: [String: String]
  var cpus: Double
  var gpus: Int
  var memoryBytes: Int64
  /// Ray's custom resources.
  var resources: [String: Double] = [:]

  /// As Ray reads it, without what is not asked for.
  var json: JSONValue {
    func object(_ members: [String: JSONValue]) -> JSONValue {
      let members = members.sorted { $0.key < $1.key }.map { JSONObject.Member($0.key, $0.value) }
      return .object(JSONObject(unique: members))
    }
    func strings(_ members: [String: String]) -> JSONValue { object(members.mapValues { .string($0) }) }
    var runtime = runtime
    runtime["env_vars"] = strings(environment)
    var fields: [String: JSONValue] = [
      "entrypoint": .string(entrypoint), "submission_id": .string(submissionID), "runtime_env": object(runtime),
      "metadata": strings(metadata),
    ]
    if cpus > 0 { fields["entrypoint_num_cpus"] = .number(cpus) }
    if gpus > 0 { fields["entrypoint_num_gpus"] = .integer(Int64(gpus)) }
    if memoryBytes > 0 { fields["entrypoint_memory"] = .integer(memoryBytes) }
    if !resources.isEmpty { fields["entrypoint_resources"] = object(resources.mapValues { .number($0) }) }
    return object(fields)
  }
}
