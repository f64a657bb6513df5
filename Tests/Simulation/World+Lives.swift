import Logging
import MendCore
import MendRuntime

@testable import MendExecutors

// The server's lives, and what its driver does in them.

extension World {
  func start() {
    guard server == nil, broken == nil else { return }
    life += 1
    lifeBegan = now
    do {
      try store.reopen()
    } catch {
      return fail(.recovery, "the store cannot be opened again: \(error)")
    }
    var settings = RuntimeSettings()
    settings.eventsPerRound = plan.eventsPerRound
    settings.tickInterval = .seconds(10)
    // The world goes from one event to the next: that the server looks later than it meant to is no suspension here.
    settings.suspensionThreshold = .seconds(1_000_000)
    var limits = Limits()
    limits.retireAfter = .seconds(30)
    limits.unreachableGrace = .seconds(60)
    limits.endTimeout = .seconds(40)
    limits.quotas = plan.quotas
    limits.notifies = true
    let capacities = capacitiesAtStart()
    let core = Core(
      limits: limits, capacities: capacities, generator: Random(seed: UInt64(life) &+ random.next()))
    let runtime = Runtime(
      core: core, store: store, executors: capacities.all.map { WorldExecutor(self, $0.executor) },
      clock: WorldClock(self),
      settings: settings, logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
    guard let stepper = RuntimeStepper(runtime) else { return fail(.recovery, "the runtime has no core") }
    server = Server(runtime, stepper)
    if life > 1 {
      note("restart")
    } else {
      for capacity in capacities.all { note(Script.directive(.capacity(capacity))) }
    }
    do throws(StoreError) {
      try stepper.recover()
    } catch {
      return die("\(error)")
    }
    checkRecovery()
    afterRound()
  }

  /// What the executors say at a start.
  func capacitiesAtStart() -> Capacities {
    let standard = actual[.simulated] ?? plan.capacity
    guard let other = plan.other, !isChaotic || life != plan.lifeWithoutOther else { return Capacities(standard) }
    guard plan.otherIsUnknownAtFirst else { return Capacities(standard, [actual[other.executor] ?? other]) }
    after(.seconds(1) + some(.seconds(3))) { [life] world in
      guard world.life == life, let known = world.actual[other.executor], world.outages[other.executor] == nil else {
        return
      }
      world.observe(.capacity(known))
    }
    return Capacities(standard, [.unknown(other.executor, other.traits)])
  }

  /// kill -9: what is in memory is gone, calls under way are cut, the executor keeps what it has.
  func die(_ why: String) {
    guard server != nil else { return }
    cover("death")
    server = nil
    calls = []
    callsBusyUntil = now
    let cut = waiting.sorted { $0.key < $1.key }.map(\.value)
    waiting = [:]
    for answer in cut { answer(.failure(.unavailable("the line was cut"))) }
    after(.milliseconds(100) + some(.seconds(4))) { $0.start() }
  }

  /// The machine goes down: what ran is gone, and its end is found by who looks for it afterwards.
  func reboot() {
    die("the machine went down")
    cover("reboot")
    for key in processes.keys.sorted() {
      guard var process = processes[key], process.attempt.phase != .over else { continue }
      process.attempt.vanish(.unknown("the machine was restarted"), at: now)
      if !process.isEnded { process.diedOf = process.attempt.cause }
      processes[key] = process
    }
  }

  func death() -> CheckedStore.Death {
    guard isChaotic, random.chance(plan.crashes) else { return .none }
    let isBefore = random.chance(500)
    cover(isBefore ? "death before a commit" : "death after a commit")
    return isBefore ? .before : .after
  }

  /// Something is in the mailbox: the writer gets to it in a while, with whatever else has come by then.
  func wakeWriter() {
    guard let server, server.roundAt == nil else { return }
    let delay = some(.milliseconds(3))
    server.roundAt = now + delay
    after(delay) { [life] world in if world.life == life { world.round() } }
  }

  private func round() {
    guard let server else { return }
    server.roundAt = nil
    do throws(StoreError) {
      // All of it, as the writer does that never sleeps while there is something.
      while try server.stepper.round() {}
    } catch {
      return die("\(error)")
    }
    afterRound()
    // As the snapshotter does, beside the writer.
    guard plan.snapshots > 0, random.chance(plan.snapshots) else { return }
    cover("snapshot")
    for key in store.models.keys.sorted() {
      guard let batch = server.runtime.view(of: key)?.batch, batch.status != .created else { continue }
      do throws(StoreError) {
        try store.keepSnapshot(of: key, documents: batch.documents)
      } catch {
        fail(.recovery, "no snapshot of \(key): \(error)")
      }
    }
  }

  private func afterRound() {
    guard let server else { return }
    if let aside = server.runtime.setAside.first { fail(.history, "\(aside)") }
    let asked = calls
    calls = []
    let slow: Duration = isChaotic ? .milliseconds(800) : .milliseconds(5)
    for call in asked {
      // In their order, as every executor carries them out: none overtakes one of an earlier round.
      callsBusyUntil = max(callsBusyUntil, now) + some(slow)
      after(callsBusyUntil - now) { [life] world in if world.life == life { call(world) } }
    }
    let alarm = server.stepper.alarm
    if alarm != server.tickAt, alarm < .distantFuture {
      server.tickAt = alarm
      after(max(.zero, alarm - now)) { [life] world in world.tick(alarm, life) }
    }
    checkViews()
  }

  private func tick(_ alarm: Instant, _ life: Int) {
    guard let server, self.life == life, server.tickAt == alarm else { return }
    server.tickAt = .distantFuture
    server.stepper.tick()
    wakeWriter()
  }
}

final class WorldClock: Clock {
  private unowned let world: World
  init(_ world: World) { self.world = world }
  func now() -> Instant { world.now }
  /// Nobody sleeps in a world that is stepped.
  func sleep(until deadline: Instant) async {}
}
