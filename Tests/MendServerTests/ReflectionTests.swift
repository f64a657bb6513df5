import MendAPI
import MendProtobuf
import MendRPC
import Testing

@testable import MendServer

@Suite("Reflection", .timeLimit(.minutes(1)))
struct ReflectionTests {
  private typealias Request = GRPCServerReflectionRequest.MessageRequest
  private typealias Response = GRPCServerReflectionResponse.MessageResponse

  private static let methods = [
    GRPCServerReflection.Methods.serverReflectionInfo, GRPCV1AlphaServerReflection.Methods.serverReflectionInfo,
  ]

  /// The answers to `questions`, in their order, under one of the two names.
  private func ask(_ questions: [Request], _ method: MethodDescriptor) async throws -> [Response] {
    let asked = questions.map { question in
      GRPCServerReflectionRequest {
        $0.host = "here"
        $0.messageRequest = question
      }
    }
    let answers = AsyncStream.makeStream(of: GRPCServerReflectionResponse.self)
    try await ServedOverSockets.run { _, channel in
      try await channel.bidirectional(method, options: CallOptions()) {
        (requests: RequestWriter<GRPCServerReflectionRequest>) async throws(RPCError) in
        for request in asked { try await requests.write(request) }
      } responses: { (stream: ResponseStream<GRPCServerReflectionResponse>) async throws(RPCError) in
        for try await answer in stream { answers.continuation.yield(answer) }
      }
      answers.continuation.finish()
    }
    var all: [Response] = []
    for await answer in answers.stream {
      #expect(answer.validHost == "here")
      #expect(answer.originalRequest == asked[all.count])
      all.append(try #require(answer.messageResponse))
    }
    return all
  }

  private func files(_ response: Response) -> [FileOutline] {
    guard case .fileDescriptorResponse(let files) = response else { return [] }
    return files.fileDescriptorProto.map { FileOutline(descriptor: $0) }
  }

  private func code(_ response: Response) -> StatusCode? {
    guard case .errorResponse(let error) = response, !error.errorMessage.isEmpty else { return nil }
    return StatusCode(rawValue: Int(error.errorCode))
  }

  @Test("both names list the same services, both of themselves among them", arguments: methods)
  func services(method: MethodDescriptor) async throws {
    let answers = try await ask([.listServices("")], method)
    guard case .listServicesResponse(let list)? = answers.first else {
      Issue.record("no list: \(answers)")
      return
    }
    #expect(
      list.service.map(\.name) == [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
        "mend.v1.Batches", "mend.v1.Worker",
      ])
  }

  @Test("a file comes with all that it imports, each once, whatever of it is named", arguments: methods)
  func symbols(method: MethodDescriptor) async throws {
    let names = [
      "mend.v1.Batches", "mend.v1.Batches.Diagnose", "mend.v1.GetBatchRequest", "mend.v1.GetBatchRequest.batch_id",
    ]
    let answers = try await ask(
      [.fileByFilename("mend/v1/batches.proto")] + names.map { .fileContainingSymbol($0) }, method)
    let byName = try #require(answers.first)
    #expect(files(byName).first?.symbols.contains("mend.v1.Batches") == true)
    // Whatever is imported is there, too.
    let symbols = Set(files(byName).flatMap(\.symbols))
    #expect(symbols.contains("mend.v1.Document") && symbols.contains("google.protobuf.Timestamp"))
    #expect(Set(files(byName).map { $0.symbols.first ?? "" }).count == files(byName).count)
    for answer in answers { #expect(answer == byName) }
    #expect(answers.count == 1 + names.count)
  }

  @Test("each service's own schema has its own package", arguments: methods)
  func early(method: MethodDescriptor) async throws {
    let names = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
    for (answer, name) in zip(try await ask(names.map { .fileContainingSymbol($0) }, method), names) {
      #expect(files(answer).first?.symbols.contains(name) == true)
      #expect(files(answer).first?.symbols.contains(name + ".ServerReflectionInfo") == true)
    }
  }

  @Test("what is not there is an error in the answer, and the stream goes on", arguments: methods)
  func unknown(method: MethodDescriptor) async throws {
    let answers = try await ask(
      [
        .fileByFilename("nothing.proto"), .fileContainingSymbol("mend.v1.Nothing"),
        .fileContainingSymbol("mend.v1.JournalEntry"),
        .fileContainingExtension(
          GRPCExtensionRequest {
            $0.containingType = "mend.v1.Document"
            $0.extensionNumber = 100
          }),
        .fileContainingExtension(GRPCExtensionRequest { $0.containingType = "mend.v1.Nothing" }),
        .allExtensionNumbersOfType("mend.v1.Nothing"), .allExtensionNumbersOfType("mend.v1.Batches"),
        .listServices(""),
      ], method)
    #expect(answers.count == 8)
    for answer in answers.dropLast() { #expect(code(answer) == .notFound) }
    if let last = answers.last { #expect(code(last) == nil) }
  }

  @Test("a message has no extensions, and says so; an empty request is refused", arguments: methods)
  func extensions(method: MethodDescriptor) async throws {
    let answers = try await ask([.allExtensionNumbersOfType("mend.v1.Document")], method)
    guard case .allExtensionNumbersResponse(let numbers)? = answers.first else {
      Issue.record("no numbers: \(answers)")
      return
    }
    #expect(numbers.baseTypeName == "mend.v1.Document" && numbers.extensionNumber.isEmpty)
  }
}
