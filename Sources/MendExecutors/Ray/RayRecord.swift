internal import FoundationEssentials
internal import MendCore

/// The file DATA/ray.json: this server's name on its cluster, the cluster's last known capacity, for a start while the
/// cluster is unreachable, and the forgotten batches whose records are still to be deleted.
struct RayRecord: Codable, Hashable, Sendable {
  var installation: String
  var cpus: Double?
  var memoryBytes: Int64?
  var gpus: Int?
  /// Forgotten batches that may have records at Ray, each as NAMESPACE/BATCH.
  var forgotten: [String]?

  var capacity: Capacity? {
    guard let cpus, let memoryBytes else { return nil }
    return Capacity(executor: .ray, cpus: cpus, memoryBytes: memoryBytes, gpus: gpus ?? 0)
  }

  mutating func setCapacity(_ capacity: Capacity) {
    cpus = capacity.cpus
    memoryBytes = capacity.memoryBytes
    gpus = capacity.gpus
  }

  var forgottenBatches: [BatchKey] {
    (forgotten ?? []).compactMap { text in
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, parts.allSatisfy(Identifier.isValid) else { return nil }
      return BatchKey(namespace: parts[0], batchID: parts[1])
    }
  }

  mutating func setForgotten(_ batches: [BatchKey]) {
    forgotten = batches.isEmpty ? nil : batches.map { "\($0.namespace)/\($0.batchID)" }
  }

  private static let name = "ray.json"

  /// Reads the file; nil if there is none yet.
  ///
  /// - Throws: if it cannot be read. With a new name, the server would not recognize its own jobs at Ray.
  static func read(in directory: String) throws(RayExecutor.SetupError) -> RayRecord? {
    let path = "\(directory)/\(name)"
    func unreadable(_ reason: String) -> RayExecutor.SetupError {
      RayExecutor.SetupError(
        description:
          "\(path), which marks this server's jobs at Ray, \(reason); restore it from a backup, or remove it: "
          + "then jobs and records at Ray that belong to no batch here stay there")
    }
    let bytes: [UInt8]
    do throws(SystemError) {
      guard let read = try FileSystem.readRegular(path, limit: 16 << 20) else { return nil }
      bytes = read
    } catch {
      throw unreadable("cannot be read (\(error.reason))")
    }
    guard let record = try? JSONDecoder().decode(RayRecord.self, from: Data(bytes)), !record.installation.isEmpty else {
      throw unreadable("is damaged (\(bytes.count) bytes)")
    }
    return record
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
