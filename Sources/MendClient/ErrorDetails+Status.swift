internal import MendAPI
internal import MendProtobuf

extension ErrorDetails {
  /// Reads a serialized google.rpc.Status. Unknown or malformed parts are left out.
  init(status bytes: [UInt8]) {
    self.init()
    guard !bytes.isEmpty, let status = try? GoogleStatus(serialized: bytes) else { return }
    for detail in status.details {
      if let info = Self.read(GoogleErrorInfo.self, detail) {
        reason = info.reason
        metadata = info.metadata
      } else if let request = Self.read(GoogleBadRequest.self, detail) {
        fieldViolations += request.fieldViolations.map { FieldViolation(field: $0.field, rule: $0.description) }
      } else if let info = Self.read(GoogleResourceInfo.self, detail) {
        resourceType = info.resourceType
        resourceID = info.resourceName
      } else if let info = Self.read(GoogleRetryInfo.self, detail), let delay = info.retryDelay {
        retryAfter = min(
          .seconds(max(0, delay.seconds)) + .nanoseconds(Int64(max(0, delay.nanos))), Self.longestRetryAfter)
      } else if let info = Self.read(GoogleRequestInfo.self, detail) {
        requestID = info.requestID
      }
    }
  }

  /// The longest `retry_delay`; a longer one is cut to this.
  private static let longestRetryAfter: Duration = .seconds(24 * 3600)

  /// The content of the Any, if it has that type.
  private static func read<Detail: Message>(_ type: Detail.Type, _ any: GoogleAny) -> Detail? {
    guard any.typeURL.split(separator: "/").last.map(String.init) == Detail.protobufName else { return nil }
    return try? Detail(serialized: any.value)
  }
}
