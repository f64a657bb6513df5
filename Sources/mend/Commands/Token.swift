import ArgumentParser
import Foundation
import MendProtobuf
import MendServer

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

struct Token: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tokens that a server knows its callers by.",
    discussion: """
      EXAMPLES
        mend token create --tokens tokens.jsonl --namespace reports --role operator
        mend token list --tokens tokens.jsonl
        mend token revoke --tokens tokens.jsonl ci
      """,
    subcommands: [Create.self, List.self, Revoke.self])

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a token, prints it once, and adds its hash to a file.",
      discussion: """
        A server that runs with the file takes the token within a second. mend token revoke takes it back.

        EXAMPLES
          mend token create --tokens tokens.jsonl --namespace reports --role operator
          export MEND_TOKEN=$(mend token create --tokens tokens.jsonl --namespace reports --role viewer)
        """)

    @Option(help: ArgumentHelp("Where the hashes are kept; made where it is missing.", valueName: "F"))
    var tokens: String

    @Option(help: ArgumentHelp("Whose batches it opens; '*' is everybody's.", valueName: "N"))
    var namespace: String

    @Option(help: "viewer reads; operator runs and mends, too; worker takes documents; admin may do all.")
    var role: RoleName

    @Option(help: ArgumentHelp("Whom it is for; histories show it.", valueName: "name"))
    var name = ""

    enum RoleName: String, ExpressibleByArgument, CaseIterable {
      case viewer, `operator`, worker, admin

      var role: Role {
        switch self {
        case .viewer: .viewer
        case .operator: .operator
        case .worker: .worker
        case .admin: .admin
        }
      }
    }

    func validate() throws {
      let letters = namespace.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2D
      }
      guard namespace == TokenEntry.everyNamespace || (letters && (1...64).contains(namespace.utf8.count)) else {
        throw ValidationError("--namespace has 1 to 64 letters, digits or hyphens, or is '*'.")
      }
      // Histories, logs and tables show it.
      guard name.unicodeScalars.count <= 64, !name.unicodeScalars.contains(where: TerminalText.isObeyed) else {
        throw ValidationError("--name has at most 64 characters, and no control characters.")
      }
    }

    func run() throws {
      let (secret, entry) = Tokens.create(namespace: namespace, role: role.role, name: name, at: Int64(time(nil)))
      do throws(TokensError) {
        try Tokens.append(entry, to: tokens)
      } catch {
        throw ProgramError(.refused, error.message)
      }
      Standard.output(secret + "\n")
    }
  }

  /// Whose file it is that a command changes or shows.
  struct FileOption: ParsableArguments {
    @Option(name: .customLong("tokens"), help: ArgumentHelp("Where the hashes are kept.", valueName: "F"))
    var path: String

    var file: TokensFile { TokensFile(path: path) }

    func run<T>(_ body: (TokensFile) throws(TokensError) -> T) throws -> T {
      do throws(TokensError) {
        return try body(file)
      } catch {
        throw ProgramError(.refused, error.message)
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Which tokens a file lets in: their ids and what they open, never the tokens.",
      discussion: """
        EXAMPLES
          mend token list --tokens tokens.jsonl
          mend token list --tokens tokens.jsonl -o jsonl
        """)

    @OptionGroup var tokens: FileOption
    @OptionGroup var format: OutputOptions

    func run() throws {
      let entries = try tokens.run { file throws(TokensError) in try file.entries() }
      switch format.output {
      case .table:
        var table = Table(("ID", .left), ("NAMESPACE", .left), ("ROLE", .left), ("NAME", .left), ("CREATED", .left))
        for entry in entries {
          table.add(entry.id, entry.namespace, entry.role.rawValue, entry.name, Self.time(entry.createdAt))
        }
        Standard.output((table.isEmpty ? "no tokens\n" : table.text()).printable)
      case .json:
        let all: JSONValue = ["tokens": .array(entries.map(Self.json))]
        Standard.output(all.pretty() + "\n")
      case .jsonl:
        for entry in entries { Standard.output(Self.json(entry).compact() + "\n") }
      }
    }

    private static func json(_ entry: TokenEntry) -> JSONValue {
      [
        "id": .string(entry.id), "namespace": .string(entry.namespace), "role": .string(entry.role.rawValue),
        "name": .string(entry.name), "created_at": .string(time(entry.createdAt)),
      ]
    }

    private static func time(_ seconds: Int64) -> String {
      Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
    }
  }

  struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Takes a token back, by its id or its name: a server with the file refuses it within a second.",
      discussion: """
        A name takes back every token that has it. Prints what was taken back; mend token list shows what there is.

        EXAMPLES
          mend token revoke --tokens tokens.jsonl 3f9a0c11d2e4
          mend token revoke --tokens tokens.jsonl ci
        """)

    @OptionGroup var tokens: FileOption

    @Argument(help: ArgumentHelp("The token's id or name, as mend token list shows them.", valueName: "token"))
    var which: String

    func run() throws {
      let revoked = try tokens.run { file throws(TokensError) in try file.revoke(which) }
      guard !revoked.isEmpty else {
        throw ProgramError(
          .refused,
          "\(tokens.path) has no token with the id or name \(which.shellQuoted); mend token list --tokens "
            + "\(tokens.path.shellQuoted) shows what is there")
      }
      for entry in revoked { Standard.output("\(entry.id)\n") }
    }
  }
}
