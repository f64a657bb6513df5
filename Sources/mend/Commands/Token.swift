import ArgumentParser
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
      """,
    subcommands: [Create.self])

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a token, prints it once, and adds its hash to a file.",
      discussion: """
        A server that runs with the file takes the token within a second. To take one back, delete its line.

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
}
