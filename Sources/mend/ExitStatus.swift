import ArgumentParser
import Glibc
import MendClient

/// The program's exit status. Part of the command line's contract.
enum ExitStatus: Int32 {
  case done = 0
  /// The server refused, or the requested work did not succeed.
  case refused = 1
  case wrongUsage = 2
  case noServer = 3
}

/// Why a command failed: its status, and the message on stderr.
struct ProgramError: Error {
  var status: ExitStatus
  var message: String

  init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }

  /// An error in the arguments that only the command itself can find.
  static func usage(_ message: String) -> ProgramError { ProgramError(.wrongUsage, message) }
}

extension ExitStatus {
  /// Prints the reason to stderr and ends the program.
  static func end(with error: any Error) -> Never {
    switch error {
    case let error as ProgramError:
      Standard.error("mend: \(error.message.printable)\n")
      exit(error.status.rawValue)
    case let error as MendError:
      // A failure that no command has turned into a message.
      Standard.error("mend: \(error.message.isEmpty ? error.code.rawValue : error.message)\n")
      exit(ExitStatus.refused.rawValue)
    case let code as ExitCode:
      exit(code == .validationFailure ? ExitStatus.wrongUsage.rawValue : code.rawValue)
    default:
      break
    }
    // ArgumentParser's own: help and version are not errors; everything else is wrong usage (its own status would be
    // 64).
    let code = Mend.exitCode(for: error)
    let text = Mend.fullMessage(for: error)
    if code.isSuccess {
      Standard.output(text.isEmpty ? "" : text + "\n")
      exit(ExitStatus.done.rawValue)
    }
    Standard.error(text.isEmpty ? "" : text + "\n")
    exit(code == .validationFailure ? ExitStatus.wrongUsage.rawValue : ExitStatus.refused.rawValue)
  }
}
