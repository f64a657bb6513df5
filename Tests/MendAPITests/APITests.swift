import MendAPI
import MendProtobuf
import MendRPC
import Testing

@Suite("The generated API")
struct APITests {
  @Test("A payload is the message's bytes, and a malformed one says what was wrong where")
  func payloads() throws {
    let request = GetBatchRequest {
      $0.batchID = "b1"
      $0.includeErrors = false
    }
    var buffer: [UInt8] = [9]
    request.encodePayload(into: &buffer)
    #expect(buffer == [9] + request.serialized())
    #expect(try GetBatchRequest(serialized: Array(buffer.dropFirst())) == request)
    let cut: [UInt8] = [0x0a, 0x05, 0x61]
    do throws(PayloadError) {
      _ = try GetBatchRequest.decode(payload: cut.span.bytes)
      Issue.record("a cut message was decoded")
    } catch {
      #expect(error.message == "mend.v1.GetBatchRequest is malformed at byte 1: a length says 5 bytes, 1 are left")
    }
  }

  @Test("Services describe their methods with the shapes and paths of the schema")
  func descriptors() {
    #expect(Batches.descriptor.name == "mend.v1.Batches")
    #expect(Batches.descriptor.methods.contains(Batches.Methods.diagnose))
    #expect(Batches.Methods.diagnose.path == "/mend.v1.Batches/Diagnose")
    #expect(Batches.Methods.watchProgress.shape == .serverStreaming)
    #expect(GRPCHealth.Methods.check.path == "/grpc.health.v1.Health/Check")
  }

  @Test("Answers have the schema's names in JSON, and states in lower case")
  func answers() throws {
    let entry = BatchListEntry {
      $0.batchID = "b1"
      $0.status = .running
      $0.overallProgress = 12.5
      $0.createdAt = GoogleTimestamp { $0.seconds = 1_700_000_000 }
    }
    let json = try entry.jsonValue()
    #expect(json["status"] == "running")
    #expect(json["overall_progress"] == 12.5)
    #expect(json["created_at"] == "2023-11-14T22:13:20Z")
    #expect(json["completed_at"] == nil)
    #expect(try BatchListEntry(json: json) == entry)
  }

  @Test(
    "A duration that no JSON can say is refused, the most negative too", arguments: [Int64.min, .max, -315_576_000_001])
  func durationOutOfRange(seconds: Int64) throws {
    let duration = try GoogleDuration(serialized: GoogleDuration { $0.seconds = seconds }.serialized())
    #expect(throws: JSONEncodingError.self) { try duration.jsonValue() }
  }

  @Test("Durations, field masks and Any have their own JSON")
  func wellKnown() throws {
    #expect(try RetryInfo(1, 500_000_000).jsonValue() == ["retry_delay": "1.500s"])
    #expect(try RetryInfo(-1, -1).jsonValue() == ["retry_delay": "-1.000000001s"])
    #expect(try GoogleRetryInfo(jsonText: #"{"retryDelay": "1.5s"}"#) == RetryInfo(1, 500_000_000))
    #expect(throws: JSONDecodingError.self) { try GoogleRetryInfo(jsonText: #"{"retryDelay": "1.5"}"#) }
    #expect(throws: JSONEncodingError.self) { try RetryInfo(1, -1).jsonValue() }
    let request = try GetBatchRequest(jsonText: #"{"fields": "timing,batchName,next_page_token"}"#)
    #expect(request.fields?.paths == ["timing", "batch_name", "next_page_token"])
    #expect(try request.jsonValue()["fields"] == "timing,batch_name,next_page_token")
    #expect(try request.jsonValue(.canonical)["fields"] == "timing,batchName,nextPageToken")
    #expect(throws: JSONEncodingError.self) {
      try GetBatchResponse { $0.timing = Timing { $0.createdAt = GoogleTimestamp { $0.seconds = .max } } }.jsonValue()
    }
  }

  private func RetryInfo(_ seconds: Int64, _ nanos: Int32) -> GoogleRetryInfo {
    GoogleRetryInfo {
      $0.retryDelay = GoogleDuration {
        $0.seconds = seconds
        $0.nanos = nanos
      }
    }
  }

  @Test("A status's details are read by the types that the module knows, and shown in base64 otherwise")
  func details() throws {
    let info = GoogleErrorInfo {
      $0.reason = "QUOTA"
      $0.metadata = ["limit": "5"]
    }
    let status = GoogleStatus {
      $0.code = 8
      $0.details = [
        GoogleAny {
          $0.typeURL = "type.googleapis.com/google.rpc.ErrorInfo"
          $0.value = info.serialized()
        }
      ]
    }
    var encoding = JSONEncodingOptions()
    encoding.includeDefaults = false
    #expect(
      try status.jsonValue(encoding)["details"] == [
        ["@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": .string(Base64.encode(info.serialized()))]
      ])
    encoding.types = TypeRegistry(Schema.files)
    var decoding = JSONDecodingOptions()
    decoding.types = encoding.types
    let json = try status.jsonValue(encoding)
    #expect(
      json["details"] == [
        ["@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA", "metadata": ["limit": "5"]]
      ])
    #expect(try GoogleStatus(json: json, options: decoding) == status)
  }

  /// Found by random input: `C\ud800` was written as it is, and read back as `_c\ud800`.
  @Test(
    "A FieldMask's path that JSON could not give back is refused",
    arguments: ["\u{4}C\\ud800", "Status", "a,b", "", "a_b,"])
  func fieldMaskPaths(_ path: String) throws {
    let mask = GoogleFieldMask { $0.paths = ["status", path] }
    #expect(throws: JSONEncodingError.self) { try mask.jsonValue() }
    #expect(throws: JSONEncodingError.self) { try mask.jsonValue(.canonical) }
    let others = GoogleFieldMask { $0.paths = ["status", "batch_id", "tiers.extractor_name"] }
    for options in [JSONEncodingOptions(), .canonical] {
      #expect(try GoogleFieldMask(json: others.jsonValue(options), options: JSONDecodingOptions()) == others)
    }
    // Only where names are written in camel case would these become others.
    for path in ["a__b", "a_", "a_1"] {
      #expect(throws: JSONEncodingError.self) { try GoogleFieldMask { $0.paths = [path] }.jsonValue(.canonical) }
    }
  }

  @Test("Every schema is listed with its descriptor")
  func files() {
    #expect(Schema.files.map(\.path).contains("mend/v1/batches.proto"))
    for file in Schema.files {
      let path = Array(file.path.utf8)
      #expect(file.descriptor.starts(with: [0x0a, UInt8(path.count)] + path))
    }
  }
}
