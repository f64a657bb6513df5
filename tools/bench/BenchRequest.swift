import ArgumentParser
import MendAPI
import MendProtobuf

/// The request of every call, from JSON and the batch's id.
struct BenchRequest: Sendable {
  /// A change with the same key would be answered from memory: each call has its own.
  let needsKey: Bool
  private let template: any BenchMessage

  init(method: String, json: String?, batch: String?) throws {
    guard let type = Self.types[method] else { throw ValidationError("\(method) takes no request that is known here.") }
    do {
      var message = try type.init(jsonText: json ?? "{}")
      message.setBatch(batch)
      template = message
      needsKey = message.hasKey
    } catch {
      throw ValidationError("--request: \(error)")
    }
  }

  func bytes(key: String) -> [UInt8] {
    guard needsKey else { return template.serialized() }
    var message = template
    message.setKey(key)
    return message.serialized()
  }

  private static let types: [String: any BenchMessage.Type] = [
    "CreateBatch": CreateBatchRequest.self, "AddDocuments": AddDocumentsRequest.self,
    "SubmitBatch": SubmitBatchRequest.self, "GetBatch": GetBatchRequest.self, "ListBatches": ListBatchesRequest.self,
    "Diagnose": DiagnoseRequest.self, "Retry": RetryRequest.self, "Heal": HealRequest.self,
    "CancelJob": CancelJobRequest.self, "CancelTier": CancelTierRequest.self, "CancelBatch": CancelBatchRequest.self,
    "PauseBatch": PauseBatchRequest.self, "ResumeBatch": ResumeBatchRequest.self,
    "StartAttempt": StartAttemptRequest.self, "ClaimDocuments": ClaimDocumentsRequest.self,
    "Report": ReportRequest.self,
  ]
}

/// A request whose batch and key can be set, by their names in the schema.
protocol BenchMessage: Message {}

extension BenchMessage {
  var hasKey: Bool { Self.fieldNames.contains { $0.schema == "idempotency_key" } }

  mutating func setBatch(_ batch: String?) {
    guard let batch, Self.fieldNames.contains(where: { $0.schema == "batch_id" }) else { return }
    set("batch_id", batch)
  }

  mutating func setKey(_ key: String) { set("idempotency_key", key) }

  /// A string field is set by merging a message that has nothing else.
  private mutating func set(_ name: String, _ value: String) {
    guard let field = try? Self(json: .object(JSONObject([JSONObject.Member(name, .string(value))]))) else { return }
    try? merge(serialized: field.serialized().span.bytes)
  }
}

extension CreateBatchRequest: BenchMessage {}
extension AddDocumentsRequest: BenchMessage {}
extension SubmitBatchRequest: BenchMessage {}
extension GetBatchRequest: BenchMessage {}
extension ListBatchesRequest: BenchMessage {}
extension DiagnoseRequest: BenchMessage {}
extension RetryRequest: BenchMessage {}
extension HealRequest: BenchMessage {}
extension CancelJobRequest: BenchMessage {}
extension CancelTierRequest: BenchMessage {}
extension CancelBatchRequest: BenchMessage {}
extension PauseBatchRequest: BenchMessage {}
extension ResumeBatchRequest: BenchMessage {}
extension StartAttemptRequest: BenchMessage {}
extension ClaimDocumentsRequest: BenchMessage {}
extension ReportRequest: BenchMessage {}
