import Frames
import MendProtobuf
import SuiteSchemas

/// What the conformance suite's runner drives: decodes a message from one format and encodes it in another.
///
/// Frames with a `ConformanceRequest` in, frames with a `ConformanceResponse` out. What Mend doesn't have (proto2, the
/// text format, JSPB) is answered as skipped.
@main
enum Testee {
  private static let types = TypeRegistry(Schema.files)

  static func main() throws {
    while let frame = try Frames.read() {
      let request = try ConformanceRequest(serialized: frame)
      try Frames.write(ConformanceResponse { $0.result = answer(to: request) }.serialized())
    }
  }

  private static func answer(to request: ConformanceRequest) -> ConformanceResponse.Result {
    // The runner's first question: which tests are known to fail. It has its own list.
    if request.messageType == "conformance.FailureSet" { return .protobufPayload(FailureSet().serialized()) }
    guard request.messageType == TestAllTypesProto3.protobufName else { return .skipped("no proto2") }
    let message: TestAllTypesProto3
    switch request.payload {
    case .protobufPayload(let bytes):
      do { message = try TestAllTypesProto3(serialized: bytes) } catch { return .parseError("\(error)") }
    case .jsonPayload(let text):
      var options = JSONDecodingOptions()
      options.types = types
      options.ignoreUnknownFields = request.testCategory == .jsonIgnoreUnknownParsingTest
      do { message = try TestAllTypesProto3(jsonText: text, options: options) } catch { return .parseError("\(error)") }
    default: return .skipped("only the binary format and JSON are read")
    }
    switch request.requestedOutputFormat {
    case .protobuf: return .protobufPayload(message.serialized())
    case .json:
      var options = JSONEncodingOptions.canonical
      options.types = types
      do { return .jsonPayload(try message.jsonValue(options).compact()) } catch { return .serializeError("\(error)") }
    default: return .skipped("only the binary format and JSON are written")
    }
  }
}
