import Glibc
import MendAPI
import MendClient
import MendRPC

/// Carries out the actions of `WorkerState`: each is a child task whose end is the next event.
struct WorkerLoop {
  let client: MendClient
  let token: String
  let assignment: StartAttemptResponse
  let commands = DocumentCommands()
  /// Distinguishes its claims and reports from those of another worker of the same attempt.
  private let worker = String(UInt64.random(in: 0...UInt64.max), radix: 36)
  private let clock = ContinuousClock()
  private let start = ContinuousClock.now

  init(client: MendClient, token: String, assignment: StartAttemptResponse) {
    self.client = client
    self.token = token
    self.assignment = assignment
  }

  /// The longest wait before the server is asked again, whatever it requests.
  private static let longestWait: Duration = .seconds(300)

  /// Reports that the attempt runs, however long the server is unreachable. An untrusted certificate is not waited for.
  static func begin(
    _ client: MendClient, token: String, endRequest: EndRequest
  ) async throws(MendError) -> StartAttemptResponse {
    var backoff = Backoff(from: .milliseconds(50), to: .seconds(2))
    while true {
      do throws(MendError) {
        return try await client.startAttempt(token: token)
      } catch {
        guard error.isRetryable || error.code == .deadlineExceeded, error.connectionFault?.isOfTrust != true else {
          throw error
        }
        guard !endRequest.hasCome else { throw MendError(.cancelled, "the worker was told to end") }
        let wait = max(backoff.next(), min(error.details.retryAfter ?? .zero, longestWait))
        do { try await Task.sleep(for: wait) } catch { throw MendError(.cancelled, "the worker was told to end") }
      }
    }
  }

  /// Works until nothing is left or the attempt is over.
  func run(endRequest: EndRequest) async -> WorkerState.Ending {
    let limits = WorkerState.Limits(
      slots: (1...1024).contains(assignment.numCpus) ? Int(assignment.numCpus) : assignment.numCpus > 1024 ? 1024 : 1,
      heartbeatSeconds: assignment.heartbeatSeconds > 0 ? min(assignment.heartbeatSeconds, 3600) : 60)
    var state = WorkerState(limits: limits, at: now)
    return await withTaskGroup(of: WorkerState.Event.self) { group in
      group.addTask {
        await endRequest.wait()
        return .terminated
      }
      var ticks: [Double] = []
      var event = WorkerState.Event.tick
      var isToldToEnd = false
      while true {
        var actions: [WorkerState.Action] = []
        // A command that ended after the attempt was asked to end says nothing about its document.
        if !isToldToEnd, endRequest.hasCome {
          isToldToEnd = true
          actions += state.step(.terminated, at: now)
        }
        actions += state.step(event, at: now)
        for action in actions {
          switch action {
          case .finish(let ending):
            group.cancelAll()
            return ending
          case .signal(let signal):
            if signal != SIGTERM || !endRequest.isFromParent { commands.signalAll(signal) }
          case .claim(let maximum, let number):
            group.addTask { await claim(maximum, number) }
          case .report(let request):
            group.addTask { await report(request) }
          case .run(let document):
            group.addTask { await execute(document) }
          }
        }
        // A timer is set only if none fires earlier; later ones fire without effect.
        let due = state.nextTick(at: now)
        ticks.removeAll { $0 <= now }
        if due.isFinite, due < ticks.min() ?? .infinity {
          ticks.append(due)
          group.addTask { await tick(at: due) }
        }
        guard let next = await group.next() else { return .terminated }
        event = next
      }
    }
  }

  private var now: Double { seconds(clock.now - start) }

  private func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }

  private func tick(at due: Double) async -> WorkerState.Event {
    try? await Task.sleep(until: start + .seconds(due), tolerance: .milliseconds(2), clock: clock)
    return .tick
  }

  private func claim(_ maximum: Int32, _ number: Int) async -> WorkerState.Event {
    do throws(MendError) {
      let answer = try await client.claimDocuments(
        token: token, maximum: maximum, claimID: "\(worker)-\(number)")
      return .claimed(
        answer.documents, finished: answer.finished,
        retryAfter: answer.retryAfterSeconds > 0 ? min(answer.retryAfterSeconds, 3600) : 0)
    } catch {
      return .claimFailed(fault(error))
    }
  }

  private func report(_ request: ReportRequest) async -> WorkerState.Event {
    var request = request
    request.attemptToken = token
    request.reportID = "\(worker)-\(request.reportID)"
    do throws(MendError) {
      let answer = try await client.report(request)
      return .reported(stop: answer.stop)
    } catch {
      return .reportFailed(fault(error))
    }
  }

  private func execute(_ document: Document) async -> WorkerState.Event {
    let told = CommandDocument(id: document.documentID, uri: document.uri)
    return .ended(document, await commands.run(assignment.documentCommand, for: told))
  }

  private func fault(_ error: MendError) -> WorkerState.WorkerFault {
    switch error.code {
    case .aborted, .unauthenticated:
      .fenced(error.message)
    case .unavailable, .deadlineExceeded, .resourceExhausted, .unknown, .internal, .cancelled:
      .away(
        isUncertain: !error.isCertainlyNotDone,
        retryAfter: error.details.retryAfter.map { min(seconds($0), seconds(Self.longestWait)) } ?? 0)
    default:
      .refused(error.description)
    }
  }
}
