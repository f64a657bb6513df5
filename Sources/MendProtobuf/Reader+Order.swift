extension Reader {
  /// The rest of this message with its fields by ascending number, and the reader behind it; nil where they are in order
  /// already, and then the reader stays.
  package mutating func fieldsInOrder() throws(DecodingError) -> [UInt8]? {
    let start = position
    var last: UInt32 = 0
    while let tag = try nextTag() {
      guard tag >> 3 >= last else {
        position = start
        return try sortedFields()
      }
      last = tag >> 3
      try skip(tag)
    }
    position = start
    return nil
  }

  private mutating func sortedFields() throws(DecodingError) -> [UInt8] {
    var fields: [(number: UInt32, range: Range<Int>)] = []
    var start = position
    while let tag = try nextTag() {
      try skip(tag)
      fields.append((tag >> 3, start..<position))
      start = position
    }
    // A stable sort: of a field that stands twice the later one counts.
    let order = fields.indices.sorted { (fields[$0].number, $0) < (fields[$1].number, $1) }
    return order.flatMap { copy(fields[$0].range) }
  }
}
