import MendCore
import MendServer
import Testing

@Suite("How advice spells the program's commands")
struct CommandLineTests {
  @Test(
    "A remedy's command line is one that the program takes",
    arguments: [
      (
        .retry(tier: 1, jobs: [JobID(tier: 1, index: 2)], Job.Overrides(cpus: 2.5, requiresGPU: true), .all),
        "mend retry b1 --tier 1 --job t1-j2 --cpus 2.5 --gpu --scope all"
      ),
      (
        .retry(tier: 0, jobs: [], Job.Overrides(memoryBytes: 2 << 30, runTimeout: .some(.seconds(90))), .failed),
        "mend retry b1 --tier 0 --memory 2GiB --run-timeout 90"
      ),
      (
        .retry(tier: 0, jobs: [], Job.Overrides(priority: 80, runTimeout: .some(nil)), .failed),
        "mend retry b1 --tier 0 --priority 80 --run-timeout 0"
      ),
      (.heal(.killDuplicates, tier: nil), "mend heal b1 --action kill-duplicates"),
      (.cancel(.batch), "mend cancel b1"),
      (.cancel(.job(JobID(tier: 0, index: 1))), "mend cancel b1 --job t0-j1"),
    ] as [(Remedy.Call, String)])
  func commandLine(call: Remedy.Call, expected: String) {
    #expect(call.commandLine(batchID: "b1") == expected)
  }

  @Test(
    "What a server is to be started with",
    arguments: [
      ([.capacity(.local, isStandard: true, cpus: 8, memoryBytes: 2 << 30)], "--cpus 8 --memory 2GiB"),
      ([.capacity(.ray, isStandard: false, cpus: 8, memoryBytes: 2000)], "--capacity ray=cpus:8,memory:2000"),
      (
        [.quota(namespace: "n", Quota(cpus: 1.5, memoryBytes: 1 << 20, gpus: 1, batches: 9))],
        "--quota n=cpus:1.5,memory:1MiB,gpus:1,batches:9"
      ),
    ] as [([ServerOption], String)])
  func serve(options: [ServerOption], expected: String) {
    #expect(Advice("Serve with more", .serve(options)).text(batchID: "b") == "Serve with more: mend serve \(expected)")
  }

  @Test("A command alone has no text before it, and a text alone no colon after it")
  func texts() {
    #expect(Advice("", .resume).text(batchID: "b") == "mend resume b")
    #expect(Advice("nothing to do").text(batchID: "b") == "nothing to do")
  }
}
