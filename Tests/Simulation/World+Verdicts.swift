import MendCore
import MendRuntime

// What is said of batches: to who asks, in the history, to who is to be told.

extension World {
  /// What Diagnose says for longer than a look takes is in the history.
  func checkSaid(_ batch: Batch, _ health: Health) {
    guard let model = store.models[batch.key], let server else { return }
    count(.saidAloud)
    let isStuck = health == .stuck
    if isStuck == (model.saidHealth == .stuck) || batch.status.isFinal {
      unsaid[batch.key] = nil
      return
    }
    let since = unsaid[batch.key].flatMap { $0.life == life ? $0.at : nil } ?? now
    unsaid[batch.key] = (life: life, at: since)
    _ = server
    if now - since > .seconds(25) {
      fail(
        .saidAloud,
        "\(batch.key.batchID) is \(health) for \((now - since).inSeconds) s, and its history says \(model.saidHealth)")
    }
  }

  /// Of one commit: who is to be told of its facts is told with them, and of nothing else.
  func checkNotifications(_ writes: [Write]) {
    var expected: [String: Int] = [:]
    for case .record(let record) in writes {
      guard store.models[record.batch]?.specification.notificationEnabled == true else { continue }
      switch record.fact {
      case .batchStatusChanged(let changed) where changed.status.isFinal:
        expected["\(record.batch) final", default: 0] += 1
      case .verdictChanged(let summary):
        if summary.health == .stuck, lastSaid[record.batch] != .stuck {
          expected["\(record.batch) stuck", default: 0] += 1
        }
      case .healed: expected["\(record.batch) healed", default: 0] += 1
      default: break
      }
    }
    for case .record(let record) in writes {
      if case .verdictChanged(let summary) = record.fact { lastSaid[record.batch] = summary.health }
    }
    for case .notification(let notification) in writes {
      expected["\(notification.batch) \(notification.kind.rawValue)", default: 0] -= 1
      toBeTold.insert(notification.eventID)
      count(.saidAloud)
    }
    if let (what, number) = expected.first(where: { $0.value != 0 }) {
      fail(.saidAloud, "\(what): \(abs(number)) \(number > 0 ? "not told" : "told of nothing")")
    }
  }

  // MARK: Webhooks

  /// Sends what is due, over a line that fails as the plan has it.
  func sendNotifications() {
    after(.seconds(2)) { $0.sendNotifications() }
    guard let server, let due = try? store.base.notifications(dueAt: now, limit: 16) else { return }
    for pending in due {
      let id = pending.notification.eventID
      if let until = putOffUntil[id], until > now { continue }
      if random.chance(plan.refusals), isChaotic {
        cover("webhook refused")
        putOffUntil[id] = now + .seconds(5)
        continue
      }
      cover("webhook delivered")
      if !toBeTold.contains(id) { fail(.saidAloud, "\(id) is sent, and nothing of it was decided") }
      delivered.insert(id)
      putOffUntil[id] = now + .seconds(30)
      server.stepper.post(
        NotificationOutcome(eventID: id, delivered: true, attempts: 1, detail: "200"), of: pending.notification.batch)
      wakeWriter()
    }
  }

  // MARK: Estimates

  /// What was foretold, in time that is worked in.
  struct Foretold {
    var worked: Duration
    var left: Duration
  }

  func noteEstimate(_ batch: Batch, _ diagnosis: Diagnosis) {
    guard let estimate = diagnosis.estimatedCompletion, batch.status == .running, let model = store.models[batch.key]
    else { return }
    foretold[batch.key, default: []].append(Foretold(worked: model.worked(until: now), left: estimate - now))
  }

  /// A steady batch is completed: were the estimates right, in working time?
  func checkEstimates(_ model: Model) {
    for said in foretold[model.key] ?? [] {
      count(.estimates)
      let left = (model.worked(until: now) - said.worked).inSeconds
      let slack = 8.0
      if said.left.inSeconds > left * 3 + slack || said.left.inSeconds < left / 3 - slack {
        return fail(
          .estimates,
          "\(model.key.batchID) had \(left) s of work left, and \(said.left.inSeconds) s were foretold")
      }
    }
  }

  // MARK: Advice

  /// What is to be typed next restarts no job that a caller cancelled by its name, beside others that failed.
  func checkAdvice(_ diagnosis: Diagnosis, of key: BatchKey) {
    guard let model = store.models[key] else { return }
    for action in diagnosis.nextActions {
      guard case .call(.retry(let tier, let jobs, _, _))? = action.command, model.tiers.indices.contains(tier) else {
        continue
      }
      let state = model.tiers[tier].jobs
      count(.advice)
      guard state.contains(where: { $0.status == .failed }) else { continue }
      let started = jobs.isEmpty ? state : jobs.filter(model.knows).map { model[$0] }
      if let cancelled = started.first(where: { $0.status == .cancelled && $0.isCancelledAlone }) {
        fail(.advice, "\(key.batchID): '\(action)' starts \(cancelled.id), which was cancelled by hand")
      }
    }
  }
}
