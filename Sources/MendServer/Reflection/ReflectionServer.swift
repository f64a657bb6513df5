import MendAPI
import MendProtobuf
import MendRPC

/// grpc.reflection.v1.ServerReflection, and v1alpha with the same encoding: the services and the schemas that describe
/// them.
///
/// Only the schemas of services are shown, with what they import. Everything shown is
/// public, so reflection requires no token.
struct ReflectionServer: GRPCServerReflectionService {
  private struct File: Sendable {
    var descriptor: [UInt8]
    var imports: [String]
  }

  private let services: [String]
  private let files: [String: File]
  private let fileOfSymbol: [String: String]
  /// The full names of all messages.
  private let messages: Set<String>

  init(services: [ServiceDescriptor], schema: [SchemaFile]) {
    self.services = services.map(\.name).sorted()
    var known: [String: (file: File, outline: FileOutline)] = [:]
    for file in schema {
      let descriptor = file.descriptor
      let outline = FileOutline(descriptor: descriptor)
      known[file.path] = (File(descriptor: descriptor, imports: outline.imports), outline)
    }
    let shown = Set(self.services)
    var paths = known.filter { !shown.isDisjoint(with: $0.value.outline.symbols) }.map(\.key)
    var files: [String: File] = [:]
    var fileOfSymbol: [String: String] = [:]
    var messages: Set<String> = []
    while let path = paths.popLast() {
      guard files[path] == nil, let (file, outline) = known[path] else { continue }
      files[path] = file
      for symbol in outline.symbols { fileOfSymbol[symbol] = path }
      messages.formUnion(outline.messages)
      paths += file.imports
    }
    self.files = files
    self.fileOfSymbol = fileOfSymbol
    self.messages = messages
  }

  /// Serves both names: tools from before 2023 ask for v1alpha, whose messages differ from v1's only in their package.
  func install(in router: inout Router) {
    router.register(self)
    router.bidirectional(GRPCV1AlphaServerReflection.Methods.serverReflectionInfo) {
      (
        requests: RequestStream<GRPCServerReflectionRequest>, writer: ResponseWriter<GRPCServerReflectionResponse>,
        context
      ) async throws(RPCError) in
      try await serverReflectionInfo(requests, writer: writer, context: context)
    }
  }

  func serverReflectionInfo(
    _ requests: RequestStream<GRPCServerReflectionRequest>, writer: ResponseWriter<GRPCServerReflectionResponse>,
    context: ServerContext
  ) async throws(RPCError) {
    for try await request in requests {
      var response = GRPCServerReflectionResponse()
      response.validHost = request.host
      response.originalRequest = request
      response.messageResponse = answer(request)
      try await writer.write(response)
    }
  }

  private func answer(_ request: GRPCServerReflectionRequest) -> GRPCServerReflectionResponse.MessageResponse {
    switch request.messageRequest {
    case .listServices:
      var list = GRPCListServiceResponse()
      list.service = services.map { name in
        var service = GRPCServiceResponse()
        service.name = name
        return service
      }
      return .listServicesResponse(list)
    case .fileByFilename(let path):
      return with(path) ?? error(.notFound, "no schema \(path.quotedShort) here")
    case .fileContainingSymbol(let symbol):
      return fileOfSymbol[symbol].flatMap(with) ?? error(.notFound, "no symbol \(symbol.quotedShort) here")
    case .fileContainingExtension(let request):
      let type = request.containingType
      guard messages.contains(type) else { return error(.notFound, "no message \(type.quotedShort) here") }
      return error(
        .notFound,
        "\(type.quotedShort) has no extension \(request.extensionNumber), nor any other: the schemas are proto3")
    case .allExtensionNumbersOfType(let type):
      guard messages.contains(type) else { return error(.notFound, "no message \(type.quotedShort) here") }
      var numbers = GRPCExtensionNumberResponse()
      numbers.baseTypeName = type
      return .allExtensionNumbersResponse(numbers)
    case nil:
      return error(.invalidArgument, "the request asks for nothing: set one of message_request")
    }
  }

  /// The file, then all its imports, each once.
  private func with(_ path: String) -> GRPCServerReflectionResponse.MessageResponse? {
    guard files[path] != nil else { return nil }
    var response = GRPCFileDescriptorResponse()
    var seen: Set<String> = []
    var paths = [path]
    var next = 0
    while next < paths.count {
      defer { next += 1 }
      guard seen.insert(paths[next]).inserted, let file = files[paths[next]] else { continue }
      response.fileDescriptorProto.append(file.descriptor)
      paths += file.imports
    }
    return .fileDescriptorResponse(response)
  }

  private func error(_ code: StatusCode, _ message: String) -> GRPCServerReflectionResponse.MessageResponse {
    var error = GRPCErrorResponse()
    error.errorCode = Int32(code.rawValue)
    error.errorMessage = message
    return .errorResponse(error)
  }
}
