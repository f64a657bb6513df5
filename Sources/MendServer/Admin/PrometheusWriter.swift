import MendCore

/// Writes metrics in Prometheus' text format, version 0.0.4: one family after the other, each with its samples.
///
/// The names of the metrics are in ``AdminPages``, ``CallMetrics`` and ``TLSFigures``.
struct PrometheusWriter {
  enum Kind: String { case counter, gauge, histogram }

  private(set) var text = ""
  private var family = ""

  /// Begins a family; the samples that follow belong to it.
  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    family = name
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
  }

  mutating func sample(_ labels: KeyValuePairs<String, String>, _ value: Double) {
    line(family, Array(labels), value)
  }

  mutating func counter(_ name: String, _ help: String, _ value: Double) {
    family(name, .counter, help)
    sample([:], value)
  }

  mutating func gauge(_ name: String, _ help: String, _ value: Double) {
    family(name, .gauge, help)
    sample([:], value)
  }

  /// - Parameter buckets: counts between the bounds, not cumulative; one more than there are bounds.
  mutating func histogram(
    _ labels: KeyValuePairs<String, String>, bounds: [Double], buckets: [UInt64], sum: Double
  ) {
    let labels = Array(labels)
    var total: UInt64 = 0
    for (index, count) in buckets.enumerated() {
      total += count
      let bound = index < bounds.count ? Figures.number(bounds[index]) : "+Inf"
      line(family + "_bucket", labels + [(key: "le", value: bound)], Double(total))
    }
    line(family + "_sum", labels, sum)
    line(family + "_count", labels, Double(total))
  }

  private mutating func line(_ name: String, _ labels: [(key: String, value: String)], _ value: Double) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",") + "}"
    }
    text += " \(Figures.number(value))\n"
  }

  private static func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
  }
}
