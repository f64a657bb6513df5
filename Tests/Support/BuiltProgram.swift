import Foundation

/// The real program, which some tests run.
public enum BuiltProgram {
  /// $MEND_BINARY, or the `mend` that was built beside the tests; nil where there is none.
  public static let mend: String? = {
    if let named = ProcessInfo.processInfo.environment["MEND_BINARY"] {
      let url = URL(filePath: named)
      return FileManager.default.isExecutableFile(atPath: url.path) ? url.path : nil
    }
    var directory = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    while directory.path != "/" {
      let candidate = directory.appending(path: "mend").path
      var isDirectory: ObjCBool = false
      if FileManager.default.fileExists(atPath: candidate, isDirectory: &isDirectory), !isDirectory.boolValue {
        return candidate
      }
      directory.deleteLastPathComponent()
    }
    return nil
  }()
}
