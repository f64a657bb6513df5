import MendProtobuf

/// What was measured.
struct BenchResult {
  let options: Bench
  let method: String
  let seconds: Double
  let histogram: Histogram
  let errors: [String: Int]
  let watchMessages: Int
  let watchFailures: Int

  private var perSecond: Double { seconds > 0 ? Double(histogram.count) / seconds : 0 }
  private static let quantiles: [(String, Double)] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]

  var json: String {
    var latency = JSONObject()
    for (name, quantile) in Self.quantiles { latency[name] = .number(micro(histogram.quantile(quantile))) }
    latency["max"] = .number(micro(histogram.maximum))
    latency["mean"] = .number(histogram.mean / 1000)
    var codes = JSONObject()
    for (code, count) in errors.sorted(by: { $0.key < $1.key }) { codes[code] = .integer(Int64(count)) }
    var object = JSONObject()
    object["call"] = .string(method)
    object["connections"] = .integer(Int64(options.connections))
    object["streams"] = .integer(Int64(options.streams))
    object["calls"] = .integer(Int64(histogram.count))
    object["seconds"] = .number(seconds)
    object["calls_per_second"] = .number(perSecond)
    object["latency_microseconds"] = .object(latency)
    object["errors"] = .object(codes)
    if options.watchers > 0 {
      object["watchers"] = .integer(Int64(options.watchers))
      object["watch_messages"] = .integer(Int64(watchMessages))
      object["watch_failures"] = .integer(Int64(watchFailures))
    }
    return JSONValue.object(object).pretty()
  }

  var table: String {
    var lines = [
      "\(method): \(histogram.count) calls in \(fixed(seconds, 2)) s, \(Int(perSecond.rounded())) a second "
        + "(\(options.connections) connections, \(options.streams) callers each)"
    ]
    var latencies = Self.quantiles.map { "\($0.0) \(time(histogram.quantile($0.1)))" }
    latencies.append("max \(time(histogram.maximum))")
    lines.append("latency: " + latencies.joined(separator: ", "))
    let codes = errors.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    lines.append("errors: " + (codes.isEmpty ? "none" : codes.joined(separator: ", ")))
    if options.watchers > 0 {
      lines.append("watchers: \(options.watchers), \(watchMessages) messages, \(watchFailures) failed")
    }
    return lines.joined(separator: "\n")
  }

  private func micro(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1000 }

  private func time(_ nanoseconds: UInt64) -> String {
    switch nanoseconds {
    case ..<1_000_000: "\(fixed(Double(nanoseconds) / 1e3, 0)) µs"
    case ..<1_000_000_000: "\(fixed(Double(nanoseconds) / 1e6, 2)) ms"
    default: "\(fixed(Double(nanoseconds) / 1e9, 2)) s"
    }
  }

  private func fixed(_ value: Double, _ digits: Int) -> String {
    let scale = digits == 0 ? 1 : digits == 1 ? 10 : 100
    let scaled = Int((value * Double(scale)).rounded())
    if digits == 0 { return String(scaled) }
    let fraction = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}
