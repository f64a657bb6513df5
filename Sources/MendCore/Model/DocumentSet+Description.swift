/// A batch has no more.
let documentsLimit = Limits().documentsPerBatch

/// Positions of documents as runs: pairs of a start, counted from the end of the run before, and a length.
extension DocumentSet: Described {
  package static var blank: DocumentSet { DocumentSet() }

  package mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    if v.rewrites { return }
    var runs: [UInt32] = v.reads ? [] : self.runs
    try v.numbers(1, "runs", &runs)
    if v.reads { self = try DocumentSet(runs: runs) }
  }

  private var runs: [UInt32] {
    var runs: [UInt32] = []
    var end = 0
    for range in ranges {
      runs.append(UInt32(clamping: range.lowerBound - end))
      runs.append(UInt32(clamping: range.count))
      end = range.upperBound
    }
    return runs
  }

  /// A set that names more documents than a batch may have is damaged.
  private init(runs: [UInt32]) throws(FormatFault) {
    guard runs.count.isMultiple(of: 2) else { throw FormatFault("a document set with half a run") }
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(runs.count / 2)
    var end = 0
    for index in stride(from: 0, to: runs.count, by: 2) {
      let start = end + Int(runs[index])
      end = start + Int(runs[index + 1])
      guard end <= documentsLimit else { throw FormatFault("a document set that ends at \(end)") }
      ranges.append(start..<end)
    }
    self.init(ranges: ranges)
  }
}

/// Positions of documents as runs with a step, so that the documents of one shard of many are short: triples of a start,
/// counted from the last position before, the distance of neighbours, and their number.
struct DocumentSteps: Described {
  var documents: DocumentSet

  static var blank: DocumentSteps { DocumentSteps(documents: DocumentSet()) }

  mutating func describe(_ v: FieldVisitor) throws(FormatFault) {
    if v.rewrites { return }
    var runs: [UInt32] = v.reads ? [] : self.runs
    try v.numbers(1, "runs", &runs)
    if v.reads { documents = try Self.documents(runs: runs) }
  }

  private var runs: [UInt32] {
    var runs: [UInt32] = []
    var last = 0
    var run: (start: Int, step: Int, count: Int)?
    func close(_ run: (start: Int, step: Int, count: Int)) {
      runs += [UInt32(clamping: run.start - last), UInt32(clamping: run.step), UInt32(clamping: run.count)]
      last = run.start + run.step * (run.count - 1)
    }
    for position in documents {
      guard let open = run else {
        run = (position, 0, 1)
        continue
      }
      let step = position - (open.start + open.step * (open.count - 1))
      if open.count == 1 || step == open.step {
        run = (open.start, step, open.count + 1)
      } else {
        close(open)
        run = (position, 0, 1)
      }
    }
    if let run { close(run) }
    return runs
  }

  /// A set that names more documents than a batch may have is damaged.
  private static func documents(runs: [UInt32]) throws(FormatFault) -> DocumentSet {
    guard runs.count.isMultiple(of: 3) else { throw FormatFault("a document set with a part of a run") }
    let limit = documentsLimit
    var documents = DocumentSet()
    var last = 0
    for index in stride(from: 0, to: runs.count, by: 3) {
      let (start, step, count) = (last + Int(runs[index]), Int(runs[index + 1]), Int(runs[index + 2]))
      guard count > 0, count == 1 || step > 0, count <= limit, start + step * (count - 1) < limit else {
        throw FormatFault("a document set with a run of \(count) from \(start)")
      }
      last = start + step * (count - 1)
      if step == 1 {
        documents.formUnion(DocumentSet(ranges: [start..<last + 1]))
      } else {
        for position in stride(from: start, through: last, by: max(1, step)) { documents.insert(position) }
      }
    }
    return documents
  }
}
