/// Identifies the attempts that a server may touch: those of its own data directory.
///
/// Attempts name the data directory that they were begun from. A copy of its journal names processes, and jobs of a
/// cluster, that are the original's: they are never adopted, ended or launched again by whoever serves the copy.
package struct ServerIdentity: Hashable, Sendable {
  /// Of the data directory; empty where it has none.
  package var id: String
  /// Attempts without a name are its own: they are older than names, and were begun here.
  package var ownsNameless: Bool

  package init(id: String, ownsNameless: Bool) {
    self.id = id
    self.ownsNameless = ownsNameless
  }

  /// Of a server without a data directory: it has what it is given.
  package static let none = ServerIdentity(id: "", ownsNameless: true)

  package func owns(_ name: String) -> Bool { name == id || (name.isEmpty && ownsNameless) }
}
