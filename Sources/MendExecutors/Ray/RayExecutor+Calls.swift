internal import Logging
internal import MendCore

extension RayExecutor {
  func answer(to call: RayAttempts.Call) async -> RayAttempts.Answer {
    switch call {
    case .submit(let id, let submission):
      do throws(RayError) {
        try await jobs.submit(submission)
        return .submitted(id: id, .success(()))
      } catch {
        settings.logger.warning(
          "a submission failed or has no valid answer", metadata: ["job": "\(id)", "error": "\(error)"])
        return .submitted(id: id, .failure(error))
      }
    case .look(let id, let thoroughly):
      return .seen(id: id, await look(id, thoroughly: thoroughly))
    case .examine(let id):
      var result = await look(id, thoroughly: true)
      let end = try? await jobs.log(id, keepingEnd: 256 << 10, lines: 2000)
      if case .success(var sight) = result {
        sight.logEnd = String(decoding: end?.bytes ?? [], as: UTF8.self)
        result = .success(sight)
      }
      return .seen(id: id, result)
    case .stop(let id):
      do throws(RayError) { return .stopped(id: id, .success(try await jobs.stop(id))) } catch {
        return .stopped(id: id, .failure(error))
      }
    case .delete(let id):
      do throws(RayError) { return .deleted(id: id, .success(try await jobs.delete(id))) } catch {
        return .deleted(id: id, .failure(error))
      }
    case .list:
      let start = clock.now
      do throws(RayError) { return .listed(.success(try await jobs.jobs()), took: clock.now - start) } catch {
        return .listed(.failure(error), took: clock.now - start)
      }
    case .nodes(let withStatus):
      do throws(RayError) {
        let nodes = try await jobs.nodes()
        guard withStatus else { return .nodes(.success(nodes)) }
        return .nodes(.success(nodes), try? await jobs.status())
      } catch {
        return .nodes(.failure(error))
      }
    case .version:
      do throws(RayError) { return .version(.success(try await jobs.version())) } catch {
        return .version(.failure(error))
      }
    }
  }

  private func look(_ id: String, thoroughly: Bool) async -> Result<RayAttempts.Sight, RayError> {
    do throws(RayError) {
      var sight = RayAttempts.Sight(job: try await jobs.job(id))
      guard thoroughly else { return .success(sight) }
      let cluster = await cluster.value()
      sight.session = cluster.session
      if let job = sight.job, !job.driverNodeID.isEmpty, let nodes = cluster.nodes {
        let known = nodes.first { $0.id == job.driverNodeID }?.isAlive
        // A failed job's node that Ray has forgotten is dead; a live job's may only be beyond the list's end.
        sight.nodeIsAlive = known ?? (job.status == .failed ? false : nil)
      }
      return .success(sight)
    } catch {
      return .failure(error)
    }
  }
}
