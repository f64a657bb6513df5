import MendAPI
import MendProtobuf

/// A batch as JSON: the schema's BatchSpecification with `documents` and, optionally, `batch_id`.
enum BatchSpecificationFile {
  /// The most bytes that are read.
  static let bytesMaximum = 512 * 1024 * 1024

  /// - Parameter source: a file's path, or `-` for standard input.
  static func read(_ source: String) throws -> CreateBatchRequest {
    try parse(
      try Standard.text(of: source, limit: bytesMaximum), name: source == "-" ? "standard input" : source)
  }

  /// - Throws: `ProgramError` (wrong usage) with the location, what was wrong there, and similar names for unknown keys.
  static func parse(_ text: String, name: String) throws -> CreateBatchRequest {
    do {
      guard case .object(var batch) = try JSONValue(parsing: text) else {
        throw ProgramError.usage("\(name): expected an object with tiers and documents")
      }
      var outer = JSONObject()
      for key in outerKeys {
        outer[key] = batch[key]
        batch[key] = nil
      }
      for member in batch.members { try checkKey(member.name, in: name) }
      var request = try CreateBatchRequest(json: .object(outer))
      let directory = FileDocuments.currentDirectory()
      for index in request.documents.indices {
        request.documents[index].uri = FileDocuments.absoluteURI(request.documents[index].uri, in: directory)
      }
      request.batch = try BatchSpecification(json: .object(batch))
      return request
    } catch let error as JSONDecodingError {
      throw ProgramError.usage("\(name): \(error)")
    }
  }

  /// The keys besides the specification's own fields.
  private static let outerKeys = ["documents", "batch_id", "idempotency_key"]

  private static func checkKey(_ key: String, in name: String) throws {
    let known = BatchSpecification.fieldNames
    if known.contains(where: { $0.schema == key || $0.camelCase == key }) { return }
    let names = known.map(\.schema) + outerKeys
    let near = names.filter { isNear(key.lowercased(), $0) }
    throw ProgramError.usage(
      "\(name): $: a batch has no '\(key)'; \(near.isEmpty ? "known are: " : "did you mean: ")"
        + (near.isEmpty ? names : near).joined(separator: ", "))
  }

  /// Whether one contains the other, or most of their letters are in the same order.
  private static func isNear(_ left: String, _ right: String) -> Bool {
    if left.count > 2, left.contains(right) || right.contains(left) { return true }
    var common = [Int](repeating: 0, count: right.utf8.count + 1)
    for a in left.utf8 {
      var diagonal = 0
      for (index, b) in right.utf8.enumerated() {
        let above = common[index + 1]
        common[index + 1] = a == b ? diagonal + 1 : max(above, common[index])
        diagonal = above
      }
    }
    return common[right.utf8.count] * 4 >= max(left.utf8.count, right.utf8.count) * 3
  }
}
