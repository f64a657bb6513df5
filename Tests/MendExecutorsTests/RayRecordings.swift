import FoundationEssentials
import MendCore
import Testing

@testable import MendExecutors

/// Answers of a real Ray head, one call a file: {http_status, body | body_text} (RayAnswers).
struct Recording: Decodable {
  var status: Int
  var body: [UInt8]

  static let directory = "\(#filePath)".split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/RayAnswers"

  init(_ name: String) throws {
    let path = "\(Self.directory)/\(name).json"
    let bytes = try #require(FileManager.default.contents(atPath: path), "there is no recording \(path)")
    self = try JSONDecoder().decode(Recording.self, from: bytes)
  }

  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    status = try fields.decode(Int.self, forKey: .status)
    if let text = try fields.decodeIfPresent(String.self, forKey: .text) {
      body = Array(text.utf8)
    } else {
      body = Array(try JSONEncoder().encode(try fields.decode(JSON.self, forKey: .body)))
    }
  }

  private enum Field: String, CodingKey {
    case body
    case status = "http_status"
    case text = "body_text"
  }

  /// Any JSON, to be written again as it is.
  private enum JSON: Codable {
    case null, bool(Bool), number(Double), text(String), list([JSON]), object([String: JSON])

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if value.decodeNil() {
        self = .null
      } else if let bool = try? value.decode(Bool.self) {
        self = .bool(bool)
      } else if let number = try? value.decode(Double.self) {
        self = .number(number)
      } else if let text = try? value.decode(String.self) {
        self = .text(text)
      } else if let list = try? value.decode([JSON].self) {
        self = .list(list)
      } else {
        self = .object(try value.decode([String: JSON].self))
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .null: try container.encodeNil()
      case .bool(let value): try container.encode(value)
      case .number(let value):
        if let whole = Int64(exactly: value) { try container.encode(whole) } else { try container.encode(value) }
      case .text(let value): try container.encode(value)
      case .list(let value): try container.encode(value)
      case .object(let value): try container.encode(value)
      }
    }
  }
}

/// Answers every request with one recording.
struct RecordedTransport: RayTransport {
  var recording: Recording

  init(_ name: String) throws { recording = try Recording(name) }

  func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse {
    RayResponse(status: recording.status, body: recording.body)
  }
}

/// Answers each request by what its path begins with, the longest that fits; 404 without words where nothing does.
struct ScriptedTransport: RayTransport {
  var answers: [String: RayResponse]

  func send(_ request: RayRequest, keepingEnd: Int?) async throws(RayError) -> RayResponse {
    let fits = answers.keys.filter { request.path.hasPrefix($0) }.max { $0.count < $1.count }
    var response = fits.flatMap { answers[$0] } ?? RayResponse(status: 404, body: [])
    if let keepingEnd {
      response.leftOutBytes = Int64(max(0, response.body.count - keepingEnd))
      response.body = response.body.suffix(keepingEnd)
    }
    return response
  }
}

extension RayResponse {
  init(_ name: String) throws {
    let recording = try Recording(name)
    self.init(status: recording.status, body: recording.body)
  }
}

func recordedJob(_ name: String, _ id: String) async throws -> RayJob {
  try #require(try await RayClient(try RecordedTransport(name)).job(id))
}
