import Glibc
import MendAPI
import MendCore
import MendJournal
import MendProtobuf

/// An exported history: JSON lines, first a header with the format's version, then one record on each line.
struct HistoryFile {
  static let format = "mend-history"
  /// Incremented if a reader of the previous version would misread the file; new facts do not count.
  static let version: Int64 = 1
  /// The most bytes that are read: about a million facts.
  static let bytesLimit = 1 << 30

  var key: BatchKey
  var writtenBy: String
  var capacity: Capacity
  var records: [Record]

  // MARK: - Writing

  static func header(_ page: ListEventsResponse, namespace: String) -> String {
    var capacity = JSONObject()
    capacity["executor"] = .string(page.capacity.map { Wording.name($0.executor) } ?? "local")
    capacity["cpus"] = .number(page.capacity?.cpus ?? 0)
    capacity["memory_bytes"] = .integer(page.capacity?.memoryBytes ?? 0)
    capacity["gpus"] = .integer(Int64(page.capacity?.gpus ?? 0))
    var header = JSONObject()
    header["format"] = .string(format)
    header["version"] = .integer(version)
    header["written_by"] = .string(Mend.version)
    header["namespace"] = .string(namespace)
    header["batch_id"] = .string(page.batchID)
    header["sequence"] = .integer(Int64(clamping: page.sequence))
    header["capacity"] = .object(capacity)
    return JSONValue.object(header).compact()
  }

  static func line(_ event: BatchEvent) throws -> String {
    do throws(FormatFault) {
      return try Record(journalBytes: event.record, of: BatchKey(namespace: "", batchID: "")).json.compact()
    } catch {
      throw ProgramError(
        .refused,
        "event \(event.sequence) has a record that this version cannot write: \(error); "
          + "use the server's version of mend")
    }
  }

  static func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw ProgramError.usage("\(path) cannot be written: \(Standard.systemError())") }
    defer { close(descriptor) }
    guard Standard.write(Array(text.utf8), to: descriptor) else {
      throw ProgramError(.refused, "\(path) cannot be written: \(Standard.systemError())")
    }
  }

  // MARK: - Reading

  init(path: String) throws {
    let text = try Standard.text(of: path, limit: Self.bytesLimit)
    let lines = text.split(separator: "\n")
    guard let first = lines.first, case .object(let header)? = try? JSONValue(parsing: String(first)),
      header["format"] == .string(Self.format)
    else {
      throw ProgramError.usage("\(path) is not an exported history; mend history BATCH --export FILE writes one")
    }
    guard case .integer(let version)? = header["version"], version == Self.version else {
      throw ProgramError.usage(
        "\(path) has a format of another version of Mend (\(header["written_by"]?.text ?? "unknown")); replay it with that version"
      )
    }
    key = BatchKey(namespace: header["namespace"]?.text ?? "", batchID: header["batch_id"]?.text ?? "")
    writtenBy = header["written_by"]?.text ?? ""
    let given = header["capacity"]
    capacity = Capacity(
      executor: ExecutorKind(rawValue: given?["executor"]?.text ?? "") ?? .local,
      cpus: try Self.number(given, "cpus", atMost: ValueLimit.cpus, path),
      memoryBytes: Int64(try Self.number(given, "memory_bytes", atMost: Double(ValueLimit.memoryBytes), path)),
      gpus: Int(try Self.number(given, "gpus", atMost: Double(ValueLimit.gpus), path)))
    capacity.traits = capacity.executor.traits
    records = []
    var documents = 0
    for (index, line) in lines.dropFirst().enumerated() {
      do {
        records.append(try Record(jsonText: String(line), of: key))
      } catch {
        throw ProgramError.usage("\(path):\(index + 2): not a record: \(error)")
      }
      if case .documentsAdded(let added) = records[index].fact { documents += added.count }
      if let place = records[index].fact.lastDocument, place >= documents {
        throw ProgramError.usage("\(path):\(index + 2): not a record: it names document \(place) of \(documents)")
      }
      guard records[index].sequence == UInt64(index) + 1 else {
        throw ProgramError.usage(
          "\(path):\(index + 2): record \(records[index].sequence) stands where \(index + 1) is expected; export it again"
        )
      }
    }
    guard !records.isEmpty else { throw ProgramError.usage("\(path) has no records; export it again") }
  }

  /// A number of the header; 0 if it is missing.
  private static func number(
    _ object: JSONValue?, _ name: String, atMost most: Double, _ path: String
  ) throws -> Double {
    guard let number = object?[name]?.double else { return 0 }
    guard (0...most).contains(number) else {
      throw ProgramError.usage("\(path):1: capacity.\(name) must be 0 to \(Int(most)), is \(number)")
    }
    return number
  }
}

extension JSONValue {
  fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }

  fileprivate var double: Double? {
    switch self {
    case .integer(let number): Double(number)
    case .number(let number): number
    default: nil
    }
  }
}
