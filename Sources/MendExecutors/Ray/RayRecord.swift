internal import FoundationEssentials
internal import MendCore

/// What the executor keeps in DATA/ray.json: a name of this server on its cluster, and what the cluster had to give when
/// it was last asked, for a start while the cluster is away.
struct RayRecord: Codable, Hashable, Sendable {
  var installation: String
  var cpus: Double?
  var memoryBytes: Int64?
  var gpus: Int?

  private static let name = "ray.json"

  static func read(in directory: String) -> RayRecord? {
    guard let bytes = FileSystem.read("\(directory)/\(name)") else { return nil }
    return try? JSONDecoder().decode(RayRecord.self, from: Data(bytes))
  }

  func write(in directory: String) throws(SystemError) {
    let bytes = (try? JSONEncoder().encode(self)).map { Array($0) } ?? []
    try FileSystem.write(bytes, to: Self.name, in: directory, durable: true)
  }

  static func make() -> RayRecord {
    let name = String(UInt64.random(in: 0 ... .max), radix: 16)
    return RayRecord(installation: String(repeating: "0", count: 16 - name.count) + name)
  }
}
