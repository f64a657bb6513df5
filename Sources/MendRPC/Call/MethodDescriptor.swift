/// How many messages go each way.
public enum CallShape: Sendable, Hashable {
  case unary, clientStreaming, serverStreaming, bidirectional
}

/// A method's name on the wire, and its shape.
public struct MethodDescriptor: Sendable, Hashable {
  /// The service's full name, such as `mend.v1.Batches`.
  public let service: String
  public let method: String
  /// The path of its requests: `/service/method`.
  public let path: String
  public let shape: CallShape

  public init(service: String, method: String, shape: CallShape) {
    self.service = service
    self.method = method
    self.path = "/\(service)/\(method)"
    self.shape = shape
  }
}

public struct ServiceDescriptor: Sendable, Hashable {
  public let name: String
  public let methods: [MethodDescriptor]

  public init(name: String, methods: [MethodDescriptor]) {
    self.name = name
    self.methods = methods
  }
}
