// What a document's size says about its failure: it is empty, or far larger than the others.

extension Batch {
  /// The size that a worker measured, else the one that the caller gave; nil if neither is known.
  private func size(of position: Int, in job: Job) -> Int64? {
    if let measured = job.errors[position]?.measuredSize { return measured }
    guard (0..<documents.count).contains(position) else { return nil }
    let said = documents[position].size
    return said >= 0 ? said : nil
  }

  /// The median of a sample over the whole batch; nil where fewer than two sizes are known.
  private var typicalSize: Int64? {
    let count = documents.count
    let step = max(1, count / Self.sizeSamples)
    let sizes = stride(from: 0, to: count, by: step).map { documents[$0].size }.filter { $0 >= 0 }.sorted()
    return sizes.count > 1 ? sizes[sizes.count / 2] : nil
  }

  private static let sizeSamples = 64
  /// A file of at least this size, and this many times the typical one, is reported.
  private static let outsizeFactor: Int64 = 16
  private static let outsizeBytes: Int64 = 64 << 20

  /// Failed documents that are empty, or far larger than the others of the batch.
  func sizeEvidence(of positions: [Int], in job: Job) -> [Evidence] {
    let typical = typicalSize
    return positions.compactMap { position in
      guard let size = size(of: position, in: job), documents.count > position else { return nil }
      let id = documents.id(at: position)
      let values = ["document_id": id, "size_bytes": "\(size)"]
      let at = job.errors[position]?.at ?? updatedAt
      if size == 0 { return Evidence("\(id) is empty: 0 bytes", by: .worker, at: at, values: values) }
      guard size >= Self.outsizeBytes, typical.map({ size / max(1, $0) >= Self.outsizeFactor }) ?? true else {
        return nil
      }
      let others = typical.map { ", the others \(Figures.bytes($0)) or so" } ?? ""
      return Evidence("\(id) is \(Figures.bytes(size)) large\(others)", by: .worker, at: at, values: values)
    }
  }

  /// Whether all documents that failed so are empty while others succeeded: then the input is at fault, not the command.
  func areRefusedForEmptiness(_ positions: [Int], of job: Job) -> Bool {
    !job.committed.isEmpty && !positions.isEmpty && positions.allSatisfy { size(of: $0, in: job) == 0 }
  }
}
