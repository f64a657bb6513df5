/// Finds positions by a hash of their documents' ids: open addressing over positions and a byte of each hash, so that
/// an id is looked at where it is nearly surely the one that is wanted. Seven bytes a document or so.
///
/// The hash is the standard library's, seeded anew by every process: nobody can choose ids that collide.
struct DocumentIndex: Sendable {
  /// Position + 1; 0 is an empty place.
  private var positions: [UInt32] = []
  private var tags: [UInt8] = []
  private var count = 0

  init() {}

  /// An empty index with room for so many.
  init(for count: Int) {
    let capacity = count + count / 2 + 16
    positions = Array(repeating: 0, count: capacity)
    tags = Array(repeating: 0, count: capacity)
  }

  static func hash(_ id: [UInt8]) -> UInt {
    var hasher = Hasher()
    id.withUnsafeBytes { hasher.combine(bytes: $0) }
    return UInt(bitPattern: hasher.finalize())
  }

  private static func tag(_ hash: UInt) -> UInt8 { UInt8(truncatingIfNeeded: hash) }

  private func home(_ hash: UInt) -> Int { Int(hash.multipliedFullWidth(by: UInt(positions.count)).high) }

  /// The position with that hash that `isWanted`, or nil.
  func find(_ hash: UInt, _ isWanted: (Int) -> Bool) -> Int? {
    guard !positions.isEmpty else { return nil }
    let tag = Self.tag(hash)
    var place = home(hash)
    while positions[place] != 0 {
      if tags[place] == tag, isWanted(Int(positions[place]) - 1) { return Int(positions[place]) - 1 }
      place = place + 1 == positions.count ? 0 : place + 1
    }
    return nil
  }

  /// One more would make it slow: it is to be made anew.
  var isFull: Bool { (count + 1) * 8 > positions.count * 7 }

  /// Adds a position that is not there, to an index that is not full.
  mutating func place(_ position: Int, _ hash: UInt) {
    var place = home(hash)
    while positions[place] != 0 { place = place + 1 == positions.count ? 0 : place + 1 }
    positions[place] = UInt32(position) + 1
    tags[place] = Self.tag(hash)
    count += 1
  }
}
