import MendHTTP2
import Testing

@testable import MendRPC

/// What may refuse a call before its handler runs, in the order in which it is looked at.
@Suite struct CallAdmissionTests {
  private func server() -> ServerShared {
    var router = Router()
    router.unary(MethodDescriptor(service: "s.S", method: "M", shape: .unary)) {
      (request: RawMessage, _) async throws(RPCError) -> RawMessage in request
    }
    var configuration = ServerConfiguration()
    configuration.limits.maxRunningCalls = 5
    configuration.limits.maxUnsentResponseBytes = 100
    return ServerShared(router, configuration)
  }

  private func refusal(
    _ fields: [(String, String)] = [], path: String = "/s.S/M", load: ConnectionLoad = ConnectionLoad()
  ) -> RPCError? {
    var block = HeaderBlock()
    let plain = [(":method", "POST"), (":path", path), ("content-type", "application/grpc")]
    for (name, value) in plain + fields { block.append(name, value) }
    let head = RequestHead(block)
    #expect(head.nonGRPC == nil)
    do throws(RPCError) {
      let route = try server().admit(head, block, load)
      #expect(route.method.path == "/s.S/M")
      return nil
    } catch {
      return error
    }
  }

  @Test("A call is admitted up to each limit, and refused above it")
  func limits() {
    #expect(refusal([("grpc-timeout", "1S"), ("grpc-encoding", "gzip")]) == nil)
    #expect(refusal(load: ConnectionLoad(runningCalls: 4, unsentBytes: 100, heldBytes: 1 << 40)) == nil)
    #expect(refusal(load: ConnectionLoad(runningCalls: 5))?.limit == .runningCalls)
    let unread = refusal(load: ConnectionLoad(unsentBytes: 101))
    #expect(unread?.code == .resourceExhausted)
    #expect(unread?.message.hasPrefix("101 bytes of responses are unread") == true)
    #expect(refusal(load: ConnectionLoad(heldBytes: 7, isOverBudget: true))?.limit == .heldBytes)
  }

  @Test("What is wrong with the call itself is said before what the connection lacks")
  func order() {
    let busy = ConnectionLoad(runningCalls: 9, unsentBytes: 999, isOverBudget: true)
    #expect(refusal(path: "/s.S/No", load: busy)?.message == "service s.S has no method No")
    #expect(
      refusal([("grpc-encoding", "br")], load: busy)?.message.hasPrefix("grpc-encoding br is not supported") == true)
    #expect(refusal([("grpc-timeout", "soon")], load: busy)?.message == "grpc-timeout soon is not a timeout")
    #expect(refusal([("grpc-timeout", "0S")], load: busy)?.code == .deadlineExceeded)
    #expect(refusal(load: busy)?.limit == .runningCalls)
  }

  @Test("A request is gRPC's where it is a POST of its content type")
  func heads() {
    func nonGRPC(_ method: String, _ type: String) -> NonGRPCRequest? {
      var block = HeaderBlock()
      block.append(":method", method)
      block.append("content-type", type)
      return RequestHead(block).nonGRPC
    }
    #expect(nonGRPC("POST", "application/grpc+proto") == nil)
    #expect(nonGRPC("GET", "text/html") == .method)
    #expect(nonGRPC("POST", "text/html") == .contentType)
  }
}
