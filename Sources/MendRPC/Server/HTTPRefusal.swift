internal import MendHTTP2

/// A request that is no gRPC call, and what its sender is told in HTTP's own words.
enum HTTPRefusal {
  case method, contentType

  var answer: (headers: HeaderBlock, text: String) {
    var headers = HeaderBlock()
    let text: String
    switch self {
    case .method:
      headers.append(":status", "405")
      headers.append("allow", "POST")
      text = "This is a gRPC server: a call is a POST.\n"
    case .contentType:
      headers.append(":status", "415")
      headers.append("accept", "application/grpc")
      text = "This is a gRPC server: the content-type of a call is application/grpc.\n"
    }
    headers.append("content-type", "text/plain")
    return (headers, text)
  }
}
