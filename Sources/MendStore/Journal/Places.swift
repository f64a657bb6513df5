import MendAPI
import MendCore

extension JournalJob {
  init(_ job: JobID) {
    self.init()
    tier = Int32(clamping: job.tier)
    index = Int32(clamping: job.index)
  }

  var job: JobID { JobID(tier: Int(tier), index: Int(index)) }
}

extension JournalAttempt {
  init(_ attempt: AttemptID) { self.init(attempt.job, attempt.number) }

  init(_ job: JobID, _ number: Int) {
    self.init()
    tier = Int32(clamping: job.tier)
    index = Int32(clamping: job.index)
    self.number = Int32(clamping: number)
  }

  var id: AttemptID { AttemptID(job: job, number: place) }

  var job: JobID { JobID(tier: Int(tier), index: Int(index)) }
  var place: Int { Int(number) }
}

extension JournalDocumentSet {
  init(_ documents: DocumentSet) {
    self.init()
    var end = 0
    for range in documents.ranges {
      runs.append(UInt32(clamping: range.lowerBound - end))
      runs.append(UInt32(clamping: range.count))
      end = range.upperBound
    }
  }

  /// A set that names more documents than a batch may have is damaged.
  func documents() throws(JournalFault) -> DocumentSet {
    guard runs.count.isMultiple(of: 2) else { throw JournalFault("a document set with half a run") }
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(runs.count / 2)
    var end = 0
    for index in stride(from: 0, to: runs.count, by: 2) {
      let start = end + Int(runs[index])
      end = start + Int(runs[index + 1])
      guard end <= Limits().documentsPerBatch else { throw JournalFault("a document set that ends at \(end)") }
      ranges.append(start..<end)
    }
    return DocumentSet(ranges: ranges)
  }
}

extension JournalDocumentSteps {
  init(_ documents: DocumentSet) {
    self.init()
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
  }

  /// A set that names more documents than a batch may have is damaged.
  func documents() throws(JournalFault) -> DocumentSet {
    guard runs.count.isMultiple(of: 3) else { throw JournalFault("a document set with a part of a run") }
    let limit = Limits().documentsPerBatch
    var documents = DocumentSet()
    var last = 0
    for index in stride(from: 0, to: runs.count, by: 3) {
      let (start, step, count) = (last + Int(runs[index]), Int(runs[index + 1]), Int(runs[index + 2]))
      guard count > 0, count == 1 || step > 0, count <= limit, start + step * (count - 1) < limit else {
        throw JournalFault("a document set with a run of \(count) from \(start)")
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

extension MendAPI.Document {
  init(journaling document: MendCore.Document) {
    self.init()
    documentID = document.id
    uri = document.uri
    mediaType = document.mediaType
    sizeBytes = document.size < 0 ? nil : document.size
  }

  var journaled: MendCore.Document {
    MendCore.Document(id: documentID, uri: uri, mediaType: mediaType, size: sizeBytes ?? -1)
  }
}

extension JournalStartHistory {
  init(_ history: StartHistory) {
    self.init()
    shape = history.shape
    samplesMs = history.samples
    cursor = Int32(clamping: history.cursor)
  }

  func history(slot: Int) -> StartHistory {
    StartHistory(
      slot: slot, shape: shape, samples: Array(samplesMs.suffix(StartHistory.samplesLimit)), cursor: Int(cursor))
  }
}
