import ArgumentParser
import Foundation
import Glibc
import MendCore
import MendProtobuf
import MendServer

struct Token: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Creates, lists and revokes the tokens of callers.",
    discussion: """
      EXAMPLES
        mend token create --tokens tokens.jsonl --namespace reports --role operator
        mend token list --tokens tokens.jsonl
        mend token revoke --tokens tokens.jsonl ci
      """,
    subcommands: [Create.self, List.self, Revoke.self])

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Creates a token, prints it once, and adds its hash to a file.",
      discussion: """
        A running server with this file accepts the token within a second. mend token revoke revokes it.

        EXAMPLES
          mend token create --tokens tokens.jsonl --namespace reports --role operator
          export MEND_TOKEN=$(mend token create --tokens tokens.jsonl --namespace reports --role viewer)
        """)

    @Option(help: ArgumentHelp("The file of hashes; created if it is missing.", valueName: "F"))
    var tokens: String

    @Option(help: ArgumentHelp("The namespace that the token opens; '*' opens all.", valueName: "N"))
    var namespace: String

    @Option(
      help: """
        viewer may read; operator may also run and repair batches; worker may claim documents and report; admin may do \
        everything.
        """)
    var role: RoleName

    @Option(help: ArgumentHelp("Owner of the token, recorded in histories.", valueName: "name"))
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
        throw ValidationError("--namespace must be 1 to 64 letters, digits or hyphens, or '*'.")
      }
      // The name is shown in histories, logs and tables.
      guard name.unicodeScalars.count <= 64, !name.unicodeScalars.contains(where: TerminalText.isObeyed) else {
        throw ValidationError("--name must be at most 64 characters, without control characters.")
      }
      if let why = TokenEntry.whyNameIsTaken(name, role: role.role) { throw ValidationError("--name \(why).") }
    }

    func run() throws {
      let (secret, entry) = Tokens.create(namespace: namespace, role: role.role, name: name, at: Int64(time(nil)))
      // Printed first: a token that nobody could read must not be valid.
      Standard.output(secret + "\n", orSay: "no token was created")
      do throws(TokensError) {
        try Tokens.append(entry, to: tokens)
      } catch {
        throw ProgramError(.refused, "\(error.message); the token that was printed is not valid")
      }
    }
  }

  /// The file that a command changes or shows.
  struct FileOption: ParsableArguments {
    @Option(name: .customLong("tokens"), help: ArgumentHelp("The file of hashes.", valueName: "F"))
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
      abstract: "Lists the tokens in a tokens file: their ids and what they open, never the tokens.",
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
      abstract: "Revokes a token by its id or its name. A server with the file refuses it within a second.",
      discussion: """
        A name revokes every token that has it. Prints the ids of the revoked tokens.

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
            + "\(tokens.path.shellQuoted) lists what it has")
      }
      for entry in revoked { Standard.output("\(entry.id)\n") }
    }
  }
}
