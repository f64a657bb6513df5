// What specifications take in memory: commands and environments are kept whole for as long as a batch is.

/// Bytes of the specifications of all batches in memory.
struct SpecificationSizes {
  private(set) var all = 0
  private var namespaces: [String: Int] = [:]

  func of(_ namespace: String) -> Int { namespaces[namespace] ?? 0 }

  mutating func add(_ specification: BatchSpecification, of namespace: String) {
    all += specification.memoryBytes
    namespaces[namespace, default: 0] += specification.memoryBytes
  }

  mutating func remove(_ specification: BatchSpecification, of namespace: String) {
    all -= specification.memoryBytes
    let left = of(namespace) - specification.memoryBytes
    namespaces[namespace] = left > 0 ? left : nil
  }
}

extension BatchSpecification {
  /// About what it takes in memory: its texts, and so much for each thing that has some.
  var memoryBytes: Int {
    var bytes = 512 + bucketID.utf8.count + batchName.utf8.count
    for tier in tiers {
      for extractor in tier.extractors {
        bytes += 512 + extractor.name.utf8.count + extractor.collectionID.utf8.count
        switch extractor.work {
        case .documentCommand(let text), .entrypoint(let text): bytes += text.utf8.count
        }
        for (name, value) in extractor.environment { bytes += 64 + name.utf8.count + value.utf8.count }
        for rule in extractor.retryRules { bytes += 128 + 4 * rule.exitCodes.count }
      }
    }
    return bytes
  }
}

extension Core {
  /// Refuses a specification for which there is no room: one caller's commands must not take everybody's memory.
  func requireRoom(for specification: BatchSpecification, in namespace: String) throws(Refusal) {
    let bytes = specification.memoryBytes
    let todo = "wait until batches have finished, cancel some, or put long commands into files"
    if index.specifications.of(namespace) + bytes > limits.specificationBytesPerNamespace {
      throw .exhausted(
        limit: "specification_bytes_per_namespace",
        "the specifications of namespace \(namespace) would take more than "
          + "\(Figures.bytes(Int64(limits.specificationBytesPerNamespace))) of memory; \(todo)",
        retryAfter: .seconds(60))
    }
    if index.specifications.all + bytes > limits.specificationBytes {
      throw .exhausted(
        limit: "specification_bytes",
        "the specifications of all batches would take more than \(Figures.bytes(Int64(limits.specificationBytes))) of "
          + "memory; \(todo)", retryAfter: .seconds(60))
    }
  }
}
