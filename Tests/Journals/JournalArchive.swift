import CZlib
import Foundation
import MendCore

/// The files of a release in this folder.
struct JournalArchive {
  let release: URL

  static let firstRelease = JournalArchive(
    release: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "first-release"))

  /// One journal as it stands in an archive: `scenario default/b`, and each row of the store's table with its bytes.
  struct Journal {
    var name: String
    /// mend.v1.JournalEntry, one for each commit.
    var entries: [ArraySlice<UInt8>]

    /// The serialized mend.v1.JournalRecord messages of all entries, in order.
    var records: [ArraySlice<UInt8>] {
      get throws { try commits.flatMap(\.self) }
    }

    /// Those of each entry: what became durable together.
    var commits: [[ArraySlice<UInt8>]] {
      get throws {
        try entries.map { entry in
          var records: [ArraySlice<UInt8>] = []
          var reader = FieldReader(entry)
          while let field = try reader.next() {
            if field.number == Self.recordsField { records.append(field.value) }
          }
          return records
        }
      }
    }

    /// JournalEntry.records.
    private static let recordsField = 2

    var key: BatchKey {
      let parts = name.split(separator: " ").last?.split(separator: "/") ?? []
      return BatchKey(namespace: parts.first.map(String.init) ?? "", batchID: parts.last.map(String.init) ?? "")
    }
  }

  /// All journals of `NAME.journals`: for each its name, the number of its entries, and the entries; name and entries
  /// with their length before them.
  func journals(_ name: String) throws -> [Journal] {
    let bytes = try bytes(of: "\(name).journals")
    var reader = FieldReader(bytes[...])
    var journals: [Journal] = []
    while !reader.isAtEnd {
      let name = String(decoding: try reader.lengthDelimited(), as: UTF8.self)
      var entries: [ArraySlice<UInt8>] = []
      for _ in 0..<(try reader.varint()) { entries.append(try reader.lengthDelimited()) }
      journals.append(Journal(name: name, entries: entries))
    }
    return journals
  }

  func lines(of file: String) throws -> [String] {
    String(decoding: try bytes(of: file), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
      .dropLast().map(String.init)
  }

  /// A file's bytes; those of `FILE.gz` where it is packed.
  func bytes(of file: String) throws -> [UInt8] {
    let plain = release.appending(path: file)
    if FileManager.default.fileExists(atPath: plain.path) { return [UInt8](try Data(contentsOf: plain)) }
    return try Self.gunzip([UInt8](Data(contentsOf: release.appending(path: "\(file).gz"))))
  }

  private static func gunzip(_ bytes: [UInt8]) throws -> [UInt8] {
    var stream = z_stream()
    guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw ArchiveFault("no memory to unpack with")
    }
    defer { inflateEnd(&stream) }
    var bytes = bytes
    var out: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    return try bytes.withUnsafeMutableBufferPointer { input in
      stream.next_in = input.baseAddress
      stream.avail_in = UInt32(input.count)
      while true {
        let result = chunk.withUnsafeMutableBufferPointer { output in
          stream.next_out = output.baseAddress
          stream.avail_out = UInt32(output.count)
          return inflate(&stream, Z_NO_FLUSH)
        }
        guard result == Z_OK || result == Z_STREAM_END else { throw ArchiveFault("it is no gzip: \(result)") }
        out += chunk[..<(chunk.count - Int(stream.avail_out))]
        if result == Z_STREAM_END { return out }
      }
    }
  }
}

/// Length-delimited fields of a message, one after the other, by nothing of Mend's own: what is read here must not depend on
/// what is tested.
struct FieldReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }

  /// The number and the bytes of the next field; nil at the end.
  mutating func next() throws -> (number: Int, value: ArraySlice<UInt8>)? {
    guard !isAtEnd else { return nil }
    let tag = try varint()
    guard tag & 7 == 2 else { throw ArchiveFault("a field of wire type \(tag & 7)") }
    return (tag >> 3, try lengthDelimited())
  }

  mutating func lengthDelimited() throws -> ArraySlice<UInt8> {
    let count = try varint()
    guard count >= 0, count <= rest.count else { throw ArchiveFault("it ends before its end") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  mutating func varint() throws -> Int {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = rest.popFirst() {
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return Int(truncatingIfNeeded: value) }
      shift += 7
    }
    throw ArchiveFault("it ends within a number")
  }
}

struct ArchiveFault: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
