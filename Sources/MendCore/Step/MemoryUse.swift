// What batches in memory take of it, and its bounds: one caller must not take everybody's memory.

/// A bound on memory that batches take.
package struct MemoryLimit: Hashable, Sendable {
  /// Of all namespaces together, in bytes.
  package var all: Int
  package var perNamespace: Int
  /// A namespace with no more than this goes on when `all` is taken, as long as `forSmallNamespaces` beyond it is left.
  package var ofSmallNamespace = 1 << 20
  package var forSmallNamespaces = 64 << 20

  /// One namespace may take half of it.
  package init(_ all: Int) {
    self.all = all
    perNamespace = all / 2
  }
}

/// Bytes that batches in memory take, of all and of each namespace.
struct MemoryUse {
  private(set) var all = 0
  private var namespaces: [String: Int] = [:]

  func of(_ namespace: String) -> Int { namespaces[namespace] ?? 0 }

  mutating func change(_ namespace: String, by bytes: Int) {
    all += bytes
    let sum = of(namespace) + bytes
    namespaces[namespace] = sum > 0 ? sum : nil
  }

  /// Refuses what there is no room for. Two namespaces that take all there is leave the others a little.
  ///
  /// - Parameters:
  ///   - names: of the limits of all namespaces and of one.
  ///   - what: what takes the memory: "the documents".
  func requireRoom(
    for bytes: Int, of namespace: String, in limit: MemoryLimit,
    _ names: (all: Refusal.Limit, perNamespace: Refusal.Limit), _ what: String, todo: String
  ) throws(Refusal) {
    let (used, wanted) = (of(namespace), of(namespace) + bytes)
    func refusal(_ name: Refusal.Limit, _ whose: String, _ used: Int, _ limit: Int) -> Refusal {
      .exhausted(
        limit: name,
        "\(what) of \(whose) take \(Figures.bytes(Int64(used))) of memory, and with \(Figures.bytes(Int64(bytes))) more they "
          + "would take more than \(Figures.bytes(Int64(limit))); wait until some minutes after batches have finished, "
          + "cancel some, \(todo)",
        retryAfter: .seconds(60))
    }
    if wanted > limit.perNamespace {
      throw refusal(names.perNamespace, "namespace \(namespace)", used, limit.perNamespace)
    }
    if all + bytes > limit.all + (wanted <= limit.ofSmallNamespace ? limit.forSmallNamespaces : 0) {
      throw refusal(names.all, "all batches", all, limit.all)
    }
  }
}

extension DocumentTable {
  /// About what so many documents take in memory besides their texts, in a batch of so many jobs: places in the table,
  /// times, and a few bits for each job.
  static func memoryBytes(of count: Int, jobs: Int) -> Int { count * (40 + jobs) / 2 }
}

extension Batch {
  /// About what its documents take in memory.
  var documentBytes: Int {
    documents.packedBytes + DocumentTable.memoryBytes(of: documents.count, jobs: specification.jobCount)
  }
}

extension Core {
  /// Bytes that the specifications and jobs of all batches take, and their documents.
  package var memoryUse: (specifications: Int, documents: Int) { (index.specifications.use.all, index.documents.all) }

  /// Refuses documents for which there is no room; none more, where there is too much already.
  func requireRoom(
    for documents: [Document], of specification: BatchSpecification, in namespace: String
  ) throws(Refusal) {
    let text = documents.reduce(0) { $0 + $1.id.utf8.count + $1.uri.utf8.count + $1.mediaType.utf8.count }
    try index.documents.requireRoom(
      for: text + DocumentTable.memoryBytes(of: documents.count, jobs: specification.jobCount), of: namespace,
      in: limits.documentMemory, (.documentMemory, .documentMemoryPerNamespace), "the documents",
      todo: "or ask for fewer shards")
  }
}
