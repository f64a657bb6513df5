import CProcess
import MendCore
import MendRuntime

/// DATA/crash: the batch that a thread of this server was processing when it crashed.
struct CrashFile: CrashNote {
  /// What the previous server left, if it crashed over a batch.
  struct Crash {
    var signal: Int32
    var batch: BatchKey?
  }

  /// Nil if the file cannot be created, as on a full disk.
  init?(path: String) {
    guard cprocess_crash_note_open(path) == 0 else { return nil }
  }

  /// Reads the file before it is opened again.
  static func last(at path: String) -> Crash? {
    var text = [CChar](repeating: 0, count: Int(CPROCESS_CRASH_TEXT))
    var length = 0
    let signal = cprocess_crash_note_read(path, &text, &length)
    guard signal != 0 else { return nil }
    let name = String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { return Crash(signal: signal, batch: nil) }
    return Crash(signal: signal, batch: BatchKey(namespace: parts[0], batchID: parts[1]))
  }

  func begin(_ batch: BatchKey) {
    var (namespace, id) = (batch.namespace, batch.batchID)
    namespace.withUTF8 { first in
      id.withUTF8 { second in
        first.withMemoryRebound(to: CChar.self) { first in
          second.withMemoryRebound(to: CChar.self) { second in
            cprocess_crash_note_begin(first.baseAddress, first.count, second.baseAddress, second.count)
          }
        }
      }
    }
  }

  func end() { cprocess_crash_note_end() }
}
