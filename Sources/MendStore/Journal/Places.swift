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
  init(_ job: JobID, _ number: Int) {
    self.init()
    tier = Int32(clamping: job.tier)
    index = Int32(clamping: job.index)
    self.number = Int32(clamping: number)
  }

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
