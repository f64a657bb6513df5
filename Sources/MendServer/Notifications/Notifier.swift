package import Logging
import MendAPI
import MendCore
import MendProtobuf
package import MendRuntime

/// Sends the notifications in the outbox to a receiver: at least once, with growing waits between attempts, until each
/// is delivered or given up. The result goes into the batch's history and removes the notification from the outbox.
///
/// What is being sent when the server dies is sent again by the next one, with the same event id.
package final class Notifier: Sendable {
  private let runtime: Runtime
  private let settings: WebhookSettings
  private let webhook: Webhook
  private let logger: Logger

  package init(runtime: Runtime, settings: WebhookSettings, logger: Logger) {
    self.runtime = runtime
    self.settings = settings
    webhook = Webhook(settings)
    self.logger = logger
  }

  /// How long to wait before the outbox is read again: if nothing is known to be in it, and after a failed read.
  private static let idleInterval: Duration = .seconds(60)
  private static let faultInterval: Duration = .seconds(1)
  /// The time within which a settled notification leaves the outbox, unless the store is full.
  private static let settlingLimit: Duration = .seconds(30)

  /// Runs until the task is cancelled.
  package func run() async {
    // Notifications that are settled but still in the outbox, since when. One that stays there is sent again.
    var settled: [String: Instant] = [:]
    while !Task.isCancelled {
      do throws(ReadError) {
        try await limitOutbox(&settled)
        let due = try await runtime.notifications(limit: settings.concurrency + settled.count)
        let ids = Set(due.map(\.notification.eventID))
        let now = runtime.now()
        settled = settled.filter { ids.contains($0.key) && now - $0.value < Self.settlingLimit }
        let fresh = due.filter { settled[$0.notification.eventID] == nil }
        if fresh.isEmpty {
          let state = try await runtime.outboxState()
          let idle = runtime.now() + (settled.isEmpty ? Self.idleInterval : .milliseconds(50))
          let next = settled.isEmpty ? state.next ?? idle : idle
          await runtime.newNotifications(until: min(idle, max(next, runtime.now() + .milliseconds(1))))
          continue
        }
        await withTaskGroup(of: String?.self) { group in
          for pending in fresh { group.addTask { await self.send(pending) } }
          for await id in group { if let id { settled[id] = runtime.now() } }
        }
      } catch {
        logger.warning("the outbox cannot be read", metadata: ["error": "\(error)"])
        await runtime.newNotifications(until: runtime.now() + Self.faultInterval)
      }
    }
  }

  /// The event id, if the notification is settled.
  private func send(_ pending: PendingNotification) async -> String? {
    let notification = pending.notification
    let eventID = notification.eventID
    let attempts = pending.attempts + 1
    let seconds = runtime.now().milliseconds / 1000
    let outcome = await webhook.send(
      NotificationBody.bytes(of: notification), eventID: eventID, attempt: attempts, at: seconds)
    guard !Task.isCancelled else { return nil }
    switch outcome {
    case .delivered(let status):
      await settle(notification, delivered: true, attempts, "status \(status)")
      return eventID
    case .gone:
      await settle(notification, delivered: false, attempts, "status 410: the receiver is gone for good")
      return eventID
    case .failed(let detail):
      guard attempts < settings.attemptsLimit else {
        await settle(notification, delivered: false, attempts, detail)
        return eventID
      }
      await putOff(eventID, attempts, detail)
      return nil
    }
  }

  private func settle(
    _ notification: MendCore.Notification, delivered: Bool, _ attempts: Int, _ detail: String
  ) async {
    await runtime.settle(
      NotificationOutcome(
        eventID: notification.eventID, delivered: delivered, attempts: attempts, detail: detail),
      of: notification.batch)
  }

  private func putOff(_ eventID: String, _ attempts: Int, _ detail: String) async {
    let wait = backoff(after: attempts)
    logger.debug(
      "notification failed",
      metadata: ["event": "\(eventID)", "attempts": "\(attempts)", "detail": "\(detail)", "next": "\(wait)"])
    do throws(ReadError) {
      try await runtime.putOff(eventID, attempts: attempts, until: runtime.now() + wait)
    } catch {
      logger.warning("an attempt cannot be noted", metadata: ["event": "\(eventID)", "error": "\(error)"])
      await runtime.newNotifications(until: runtime.now() + Self.faultInterval)
    }
  }

  /// The wait doubles, with jitter, so that a receiver that comes back is not hit by all notifications at once.
  private func backoff(after attempts: Int) -> Duration {
    let wait = settings.wait(after: attempts)
    return .milliseconds(wait.milliseconds - .random(in: 0...max(0, wait.milliseconds / 5)))
  }

  /// Gives up the notifications beyond the limit.
  private func limitOutbox(_ settled: inout [String: Instant]) async throws(ReadError) {
    let surplus = try await runtime.outboxState().count - settled.count - settings.outboxLimit
    guard surplus > 0 else { return }
    let waiting = try await runtime.waitingNotifications(limit: min(surplus, 1000) + settled.count)
    for pending in waiting where settled[pending.notification.eventID] == nil {
      settled[pending.notification.eventID] = runtime.now()
      await settle(
        pending.notification, delivered: false, pending.attempts,
        "\(settings.outboxLimit) notifications wait already")
    }
  }
}

/// A notification as JSON, with the schema's names.
enum NotificationBody {
  static func bytes(of notification: MendCore.Notification) -> [UInt8] {
    var progress = JSONObject()
    progress["completed"] = .integer(Int64(notification.progress.completed))
    progress["failed"] = .integer(Int64(notification.progress.failed))
    progress["pending"] = .integer(Int64(notification.progress.pending))
    progress["processing"] = .integer(Int64(notification.progress.processing))
    progress["total"] = .integer(Int64(notification.progress.total))
    var body = JSONObject()
    body["event_id"] = .string(notification.eventID)
    body["type"] = .string("batch.\(notification.kind.rawValue)")
    body["at"] = .string(
      RFC3339.text(
        seconds: notification.at.milliseconds / 1000, nanos: notification.at.milliseconds % 1000 * 1_000_000) ?? "")
    body["namespace"] = .string(notification.batch.namespace)
    body["batch_id"] = .string(notification.batch.batchID)
    body["batch_name"] = .string(notification.batchName)
    body["sequence"] = .integer(Int64(clamping: notification.sequence))
    body["status"] = .string(notification.status.rawValue)
    body["health"] = .string(notification.health.rawValue)
    body["health_reason"] = .string(notification.reason.rawValue)
    body["message"] = .string(notification.message)
    body["progress"] = .object(progress)
    return Array(JSONValue.object(body).compact().utf8)
  }
}
