/// One .proto file, for reflection and `Any`.
public struct SchemaFile: Sendable {
  /// The path by which other files import it: `mend/v1/batches.proto`.
  public let path: String
  /// Every message that it declares, nested ones too.
  public let messages: [any Message.Type]
  private let descriptorBase64: String

  public init(path: String, messages: [any Message.Type], descriptor: String) {
    self.path = path
    self.messages = messages
    descriptorBase64 = descriptor
  }

  /// The file as a serialized `google.protobuf.FileDescriptorProto`.
  public var descriptor: [UInt8] { Base64.decode(descriptorBase64) ?? [] }
}

extension TypeRegistry {
  public init(_ files: [SchemaFile]) { self.init(files.flatMap(\.messages)) }
}
