import Foundation

/// The command: schemas in, Swift files out.
@main
enum Schemac {
  static let help = """
    schemac: proto3 schemas to Swift for MendProtobuf

    usage: schemac --proto-path DIR --out-dir DIR [--rpc MODULE] FILE.proto ...

      --proto-path DIR  where imports are looked up; can be given several times
      --out-dir DIR     gets one a_b_c.pb.swift for each a/b/c.proto, and schema_files.pb.swift about all of them;
                        files that would not change are left alone
      --rpc MODULE      also services and clients, for MODULE's types (RPCMessage, Router, RPCChannel ...)
      --help            this text

    All files of one Swift module are given together, so that names that collide are found. Faults are printed as
    file:line:column: error: ..., all that can be found in one run, and end it with status 1. Wrong usage is status 64.

    example: schemac --proto-path proto --out-dir generated --rpc MendRPC proto/mend/v1/*.proto
    """

  static func main() {
    do throws(UsageError) {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      if arguments.wantsHelp { return print(help) }
      exit(run(arguments))
    } catch {
      printError("schemac: \(error.message)\ntry: schemac --help")
      exit(64)
    }
  }

  private static func run(_ arguments: Arguments) -> Int32 {
    let compiler = Compiler(rpcModule: arguments.rpcModule) { path in
      for directory in arguments.protoPaths {
        let file = directory + "/" + path
        if let content = try? String(contentsOfFile: file, encoding: .utf8) {
          return Loader.Text(content: content, displayName: file)
        }
      }
      return nil
    }
    let (outputs, diagnostics) = compiler.compile(arguments.inputs)
    guard diagnostics.isEmpty else {
      printError(diagnostics.map(\.description).joined(separator: "\n"))
      return 1
    }
    do {
      try FileManager.default.createDirectory(atPath: arguments.outDirectory, withIntermediateDirectories: true)
      for output in outputs {
        let path = arguments.outDirectory + "/" + output.name
        // An untouched file isn't compiled again.
        if let current = try? String(contentsOfFile: path, encoding: .utf8), current == output.text { continue }
        try output.text.write(toFile: path, atomically: true, encoding: .utf8)
      }
      return 0
    } catch {
      printError("schemac: error: \(arguments.outDirectory) cannot be written: \(error.localizedDescription)")
      return 1
    }
  }

  private static func printError(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
  }
}

struct UsageError: Error {
  var message: String
}

struct Arguments {
  var protoPaths: [String] = []
  var outDirectory = ""
  var rpcModule: String?
  /// As imports would name them.
  var inputs: [String] = []
  var wantsHelp = false

  init(_ arguments: some Sequence<String>) throws(UsageError) {
    var rest = Array(arguments)[...]
    var files: [String] = []
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h":
        wantsHelp = true
        return
      case "--proto-path", "--out-dir", "--rpc":
        guard let value = rest.popFirst() else { throw UsageError(message: "\(argument) needs a value") }
        switch argument {
        case "--proto-path": protoPaths.append(Self.withoutTrailingSlash(value))
        case "--out-dir": outDirectory = Self.withoutTrailingSlash(value)
        default: rpcModule = value
        }
      case _ where argument.hasPrefix("-"): throw UsageError(message: "there is no option \(argument)")
      default: files.append(argument)
      }
    }
    if protoPaths.isEmpty { throw UsageError(message: "--proto-path is missing") }
    if outDirectory.isEmpty { throw UsageError(message: "--out-dir is missing") }
    if files.isEmpty { throw UsageError(message: "no .proto file is given") }
    for file in files {
      guard let directory = protoPaths.first(where: { file.hasPrefix($0 + "/") }) else {
        throw UsageError(message: "\(file) is in no --proto-path")
      }
      inputs.append(String(file.dropFirst(directory.count + 1)))
    }
  }

  private static func withoutTrailingSlash(_ path: String) -> String {
    path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  }
}
