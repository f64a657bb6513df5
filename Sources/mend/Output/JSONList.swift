import MendProtobuf

/// One indented JSON document, `{"batch_id": ..., NAME: [...]}`, printed element by element: a stream of any length needs
/// little memory, and a stream that broke off leaves an incomplete document.
struct JSONList {
  private let batchID: String
  private let name: String
  private var isOpen = false

  init(_ name: String, of batchID: String) {
    self.name = name
    self.batchID = batchID
  }

  /// The text of the next element.
  mutating func element(_ value: JSONValue) -> String {
    let start = isOpen ? "," : opening
    isOpen = true
    // Strings have no line breaks of their own.
    return start + "\n    " + value.pretty().replacing("\n", with: "\n    ")
  }

  /// The rest of the document.
  func end() -> String { (isOpen ? "\n  " : opening) + "]\n}\n" }

  private var opening: String {
    "{\n  \"batch_id\": \(JSONValue.string(batchID).compact()),\n  \"\(name)\": ["
  }
}
