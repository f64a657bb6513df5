extension Generator {
  func write(_ service: ServiceDeclaration, package: String, to out: inout SwiftText) {
    let name = names.type(service.fullName)
    writeDescriptors(service, name, to: &out)
    writeProtocol(service, name, to: &out)
    writeClient(service, name, to: &out)
  }

  private func writeDescriptors(_ service: ServiceDeclaration, _ name: String, to out: inout SwiftText) {
    out.line()
    out.doc(service.doc, isDeprecated: service.isDeprecated)
    out.block("public enum \(name)") { out in
      let methods = service.methods.map { "Methods.\(SwiftNames.method($0.name.text))" }.joined(separator: ", ")
      let fullName = SwiftText.quoted(service.fullName)
      out.line("public static let descriptor = \(rpc("ServiceDescriptor"))(")
      out.line("  name: \(fullName), methods: [\(methods)])")
      out.line()
      out.block("public enum Methods") { out in
        for method in service.methods {
          out.line("public static let \(SwiftNames.method(method.name.text)) = \(rpc("MethodDescriptor"))(")
          out.line("  service: \(fullName), method: \(SwiftText.quoted(method.name.text)), shape: .\(shape(method)))")
        }
      }
    }
  }

  private func writeProtocol(_ service: ServiceDeclaration, _ name: String, to out: inout SwiftText) {
    let fails = "async throws(\(rpc("RPCError")))"
    let context = rpc("ServerContext")
    out.line()
    out.line("/// What a server of \(service.fullName) answers.")
    out.block("public protocol \(name)Service: \(rpc("RPCService"))") { out in
      for method in service.methods {
        out.doc(method.doc, isDeprecated: method.isDeprecated)
        let (input, output) = (valueType(method.input), valueType(method.output))
        let request =
          method.streamsInput ? "_ requests: \(rpc("RequestStream"))<\(input)>" : "_ request: \(input)"
        let writer = method.streamsOutput ? ", writer: \(rpc("ResponseWriter"))<\(output)>" : ""
        let result = method.streamsOutput ? "" : " -> \(output)"
        let function = SwiftNames.method(method.name.text)
        out.line("func \(function)(\(request)\(writer), context: \(context)) \(fails)\(result)")
      }
    }
    out.line()
    out.block("extension \(name)Service") { out in
      out.line("public static var descriptor: \(rpc("ServiceDescriptor")) { \(name).descriptor }")
      out.line()
      out.block("public func register(with router: inout \(rpc("Router")))") { out in
        for method in service.methods {
          let function = SwiftNames.method(method.name.text)
          let (input, output) = (valueType(method.input), valueType(method.output))
          let request = method.streamsInput ? "requests: \(rpc("RequestStream"))<\(input)>" : "request: \(input)"
          let argument = method.streamsInput ? "requests" : "request"
          let writer = method.streamsOutput ? ", writer: \(rpc("ResponseWriter"))<\(output)>" : ""
          let result = method.streamsOutput ? swift("Void") : output
          let signature = "(\(request)\(writer), context: \(context)) \(fails) -> \(result)"
          out.block("router.\(shape(method))(\(name).Methods.\(function))") { out in
            out.line("\(signature) in")
            let passed = method.streamsOutput ? ", writer: writer" : ""
            out.line("try await self.\(function)(\(argument)\(passed), context: context)")
          }
        }
      }
    }
  }

  private func writeClient(_ service: ServiceDeclaration, _ name: String, to out: inout SwiftText) {
    let fails = "async throws(\(rpc("RPCError")))"
    let options = "options: \(rpc("CallOptions")) = \(rpc("CallOptions"))()"
    out.line()
    out.line("/// Calls \(service.fullName).")
    out.block("public struct \(name)Client: \(swift("Sendable"))") { out in
      out.line("public let channel: any \(rpc("RPCChannel"))")
      out.line()
      out.line("public init(_ channel: any \(rpc("RPCChannel"))) { self.channel = channel }")
      for method in service.methods {
        let function = SwiftNames.method(method.name.text)
        let (input, output) = (valueType(method.input), valueType(method.output))
        let responses = "\(rpc("ResponseStream"))<\(output)>"
        out.line()
        out.doc(method.doc, isDeprecated: method.isDeprecated)
        if method.streamsInput {
          let reads = method.streamsOutput
          // A message of that name would be hidden by it.
          let generic = names.declared.contains("ResponsesResult") ? "_ResponsesResult" : "ResponsesResult"
          let result = reads ? generic : output
          out.line("public func \(function)\(reads ? "<\(result)>" : "")(")
          out.line("  \(options),")
          let writes = "(\(rpc("RequestWriter"))<\(input)>) \(fails) -> \(swift("Void"))"
          let requests = "requests: @escaping @Sendable \(writes)"
          out.line("  \(requests)\(reads ? "," : "")")
          if reads { out.line("  responses: (\(responses)) \(fails) -> \(result)") }
          out.block(") \(fails) -> \(result)") { out in
            let more = reads ? ", responses: responses" : ""
            out.line(
              "try await channel.\(shape(method))("
                + "\(name).Methods.\(function), options: options, requests: requests\(more))")
          }
        } else {
          out.line("public func \(function)(")
          out.line("  _ request: \(input), \(options)")
          out.block(") \(fails) -> \(method.streamsOutput ? responses : output)") { out in
            out.line("try await channel.\(shape(method))(\(name).Methods.\(function), request, options: options)")
          }
        }
      }
    }
  }

  private func shape(_ method: ServiceDeclaration.Method) -> String {
    switch (method.streamsInput, method.streamsOutput) {
    case (false, false): "unary"
    case (true, false): "clientStreaming"
    case (false, true): "serverStreaming"
    case (true, true): "bidirectional"
    }
  }

  /// The RPC runtime's name, with its module where the schema declares one that hides it.
  func rpc(_ name: String) -> String {
    names.declared.contains(name) ? "\(rpcModule ?? "").\(name)" : name
  }
}
