/// The errors of a job's failed documents. Documents that failed alike share one error: a million that failed by one
/// death take one sentence and four bytes each.
package struct DocumentErrors: Hashable, Codable, Sendable {
  private struct Entry: Hashable, Codable {
    var error: DocumentError
    /// How many documents have the error; 0 if the entry is free.
    var count: Int
  }

  private var entries: [Entry] = []
  /// Places of `entries` that may be used again.
  private var free: [Int] = []
  /// For each document the place of its error, counted from 1.
  private var places = DocumentNumbers()
  package private(set) var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }

  package subscript(position: Int) -> DocumentError? {
    let place = Int(places[position])
    return place == 0 ? nil : entries[place - 1].error
  }

  /// Every document of the set failed with it, whatever was said of it before.
  package mutating func set(_ error: DocumentError, for documents: DocumentSet) {
    if documents.isEmpty { return }
    remove(documents)
    let entry = Entry(error: error, count: documents.count)
    let place: Int
    if let last = free.popLast() {
      place = last
      entries[place] = entry
    } else {
      place = entries.count
      entries.append(entry)
    }
    for position in documents { places[position] = UInt32(place + 1) }
    count += documents.count
  }

  package mutating func remove(_ position: Int) {
    let place = Int(places[position]) - 1
    guard place >= 0 else { return }
    places[position] = 0
    count -= 1
    entries[place].count -= 1
    if entries[place].count == 0 { free.append(place) }
    if isEmpty { self = DocumentErrors() }
  }

  package mutating func remove(_ documents: DocumentSet) {
    if isEmpty { return }
    for position in documents { remove(position) }
  }

  /// How many documents failed so; looks at each error once.
  package func count(where holds: (DocumentError) -> Bool) -> Int {
    entries.reduce(0) { $0 + ($1.count > 0 && holds($1.error) ? $1.count : 0) }
  }

  /// The documents that failed so.
  package func documents(where holds: (DocumentError) -> Bool) -> DocumentSet {
    var documents = DocumentSet()
    let chosen = entries.map { $0.count > 0 && holds($0.error) }
    guard chosen.contains(true) else { return documents }
    places.forEach { position, place in if chosen[Int(place) - 1] { documents.insert(position) } }
    return documents
  }

  /// Every document in order, with what its error stands for.
  ///
  /// - Parameter group: is asked once for each error.
  func forEach<Group>(group: (DocumentError) -> Group, _ body: (Int, Group) -> Void) {
    let groups = entries.map { $0.count > 0 ? group($0.error) : nil }
    places.forEach { position, place in if let group = groups[Int(place) - 1] { body(position, group) } }
  }
}
