import ArgumentParser
import MendAPI
import MendClient

struct Worker: AsyncParsableCommand {
  static let name = "worker"
  static let configuration = CommandConfiguration(
    commandName: name,
    abstract: "The built-in worker: runs a job's command for each document. Started by the server, not by people.",
    discussion: """
      Reads MEND_ENDPOINT and MEND_ATTEMPT_TOKEN, claims documents, runs the job's command for each by /bin/sh with \
      MEND_PATH, MEND_URI and MEND_DOCUMENT_ID in its environment, and reports the results. While the server is \
      unreachable it continues with what it has claimed, and reports when the server is back.

      EXAMPLES
        MEND_ENDPOINT=unix:data/mend.sock MEND_ATTEMPT_TOKEN=... mend worker
      """)

  func run() async throws {
    throw ProgramError.usage("mend worker is given alone, without options before it")
  }

  func run(until endRequest: EndRequest) async throws {
    let attempt = try AttemptEnvironment.read()
    var settings = try attempt.settings()
    // The loop retries; a failed call should return soon.
    settings.limits.attemptsPerCall = 1
    let client = MendClient(attempt.endpoint, settings: settings)
    let ending: WorkerState.Ending
    do throws(MendError) {
      let assignment = try await WorkerLoop.begin(client, token: attempt.token, endRequest: endRequest)
      guard !assignment.documentCommand.isEmpty else {
        throw MendError(
          .failedPrecondition, "job \(assignment.jobID) has no document_command; its entrypoint works itself")
      }
      ending = await WorkerLoop(client: client, token: attempt.token, assignment: assignment)
        .run(endRequest: endRequest)
    } catch {
      await client.close()
      throw ProgramError(ofAttempt: error, server: client.server)
    }
    await client.close()
    switch ending {
    case .done, .stopped: return
    case .fenced(let message): throw ProgramError(.refused, "this attempt is no longer the current one: \(message)")
    case .refused(let message): throw ProgramError(.refused, message)
    case .terminated: endRequest.obey()
    }
  }
}
