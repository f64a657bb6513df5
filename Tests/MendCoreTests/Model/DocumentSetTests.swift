import MendCore
import Testing

@Suite("Document sets")
struct DocumentSetTests {
  @Test("A document set does what a set of positions does", arguments: [UInt64(1), 2, 3, 4])
  func likeASet(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    func random() -> (DocumentSet, Set<Int>) {
      let start = Int.random(in: 0..<2000, using: &generator)
      let positions = (0..<60).map { _ in start + Int.random(in: 0..<300, using: &generator) }
      return (DocumentSet(positions), Set(positions))
    }
    for _ in 0..<200 {
      let (left, leftSet) = random()
      let (right, rightSet) = random()
      #expect(Array(left) == leftSet.sorted() && left.count == leftSet.count)
      #expect(Set(left.union(right)) == leftSet.union(rightSet))
      #expect(Set(left.subtracting(right)) == leftSet.subtracting(rightSet))
      #expect(Set(left.intersection(right)) == leftSet.intersection(rightSet))
      #expect(left.union(right).count == leftSet.union(rightSet).count)
      #expect(left.subtracting(right).count == leftSet.subtracting(rightSet).count)
      #expect(left.intersection(right).count == leftSet.intersection(rightSet).count)
      #expect(DocumentSet(ranges: left.ranges) == left)
      let start = Int.random(in: 0..<2500, using: &generator)
      #expect(left.next(from: start) == leftSet.filter { $0 >= start }.min())
      let wanted = leftSet.subtracting(rightSet).filter { $0 >= start }.sorted().prefix(7)
      #expect(left.positions(from: start, limit: 7, excluding: right, DocumentSet(), right) == Array(wanted))
    }
  }

  @Test("Equality goes by what is in a set, not by how it came about")
  func equality() {
    var set = DocumentSet([5, 700])
    set.remove(700)
    #expect(set == DocumentSet([5]) && set.hashValue == DocumentSet([5]).hashValue)
    #expect(DocumentSet(all: 130).count == 130 && Array(DocumentSet(all: 130)) == Array(0..<130))
    #expect(DocumentSet(all: 0).isEmpty && DocumentSet().next(from: 9) == nil)
  }

  @Test("Times are kept of what was touched")
  func times() {
    var times = DocumentTimes()
    times.claim(5000, offset: 7)
    times.claim(5000, offset: 9)
    times.settle(3, offset: 0)
    // Weeks after the batch was created they go on, to the second.
    let weeks: Int64 = 90 * 24 * 3_600_000 + 123
    times.settle(8, offset: weeks)
    times.settle(9, offset: (1 << 31) - 1)
    #expect(times.settledOffset(8) == weeks - 123 && times.settledOffset(9) == (1 << 31) - 1)
    #expect(times.startedOffset(5000) == 7 && times.startedOffset(0) == nil)
    #expect(times.settledOffset(3) == 1 && times.settledOffset(5000) == nil)
  }
}
