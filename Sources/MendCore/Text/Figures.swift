/// How figures are written in the sentences of a diagnosis: the same unit, spacing and plural everywhere.
package enum Figures {
  static let kibibyte: Int64 = 1 << 10
  static let mebibyte: Int64 = 1 << 20
  static let gibibyte: Int64 = 1 << 30
  static let tebibyte: Int64 = 1 << 40

  /// "312 s"; below ten seconds with a tenth where there is one, "1.5 s"; "40 ms" where there is less than a tenth.
  package static func seconds(_ duration: Duration) -> String {
    let milliseconds = max(0, duration.milliseconds)
    if (1..<100).contains(milliseconds) { return "\(milliseconds) ms" }
    let tenth = milliseconds % 1000 / 100
    return milliseconds < 10_000 && tenth != 0 ? "\(milliseconds / 1000).\(tenth) s" : "\(milliseconds / 1000) s"
  }

  /// "256 MiB", "1.5 GiB".
  package static func bytes(_ bytes: Int64) -> String {
    let (unit, name) =
      switch bytes {
      case tebibyte...: (tebibyte, "TiB")
      case gibibyte...: (gibibyte, "GiB")
      case mebibyte...: (mebibyte, "MiB")
      case kibibyte...: (kibibyte, "KiB")
      default: (Int64(1), "bytes")
      }
    // Rounded as the program rounds what it shows beside these sentences.
    let tenths = (Double(bytes) / Double(unit) * 10).rounded() / 10
    return "\(number(tenths)) \(name)"
  }

  /// Two amounts of memory, to the byte where they would read the same.
  static func apart(_ one: Int64, _ other: Int64) -> (String, String) {
    let (first, second) = (bytes(one), bytes(other))
    return first == second ? ("\(one) bytes", "\(other) bytes") : (first, second)
  }

  /// The largest amount of memory that a text names, in bytes: "926. GiB", "8589934592 bytes"; nil where it names none.
  static func largestSize(in text: String) -> Double? {
    let words = text.split { " \t,;()".contains($0) }
    let sizes = zip(words, words.dropFirst()).compactMap { number, unit -> Double? in
      let digits = number.last == "." ? number.dropLast() : number
      return Double(String(digits)).flatMap { value in
        units.first { unit.hasPrefix($0.0) }.map { value * $0.1 }
      }
    }
    return sizes.max()
  }

  private static let units: [(String, Double)] = [
    ("KiB", 0x1p10), ("MiB", 0x1p20), ("GiB", 0x1p30), ("TiB", 0x1p40), ("PiB", 0x1p50), ("EiB", 0x1p60), ("kB", 1e3),
    ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12), ("PB", 1e15), ("bytes", 1),
  ]

  /// "1", "0.5": without the fraction where it is none.
  package static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }

  /// "1 document", "3 documents".
  package static func count(_ count: some BinaryInteger, _ noun: String, plural: String? = nil) -> String {
    count == 1 ? "1 \(noun)" : "\(count) \(plural ?? noun + "s")"
  }

  /// "1 CPU", "1.5 CPUs".
  static func cpus(_ cpus: Double) -> String { cpus == 1 ? "1 CPU" : "\(number(cpus)) CPUs" }

  /// "1st", "22nd", "13th".
  static func ordinal(_ number: Int) -> String {
    let suffix =
      switch (number % 10, number % 100) {
      case (1, let two) where two != 11: "st"
      case (2, let two) where two != 12: "nd"
      case (3, let two) where two != 13: "rd"
      default: "th"
      }
    return "\(number)\(suffix)"
  }

  /// "1 document is", "3 documents are": a count with the verb that goes with it.
  static func count(_ count: Int, _ noun: String, _ one: String, _ many: String) -> String {
    "\(self.count(count, noun)) \(count == 1 ? one : many)"
  }

  /// "90 %" of a share between 0 and 1.
  static func percent(_ share: Double) -> String { "\(Int(saturating: (share * 100).rounded())) %" }

  /// "1 CPU, 512 MiB and a GPU".
  package static func resources(_ resources: Resources) -> String {
    var parts = [cpus(resources.cpus)]
    if resources.memoryBytes > 0 { parts.append(bytes(resources.memoryBytes)) }
    if resources.requiresGPU { parts.append("a GPU") }
    return list(parts)
  }

  /// The same of what several attempts hold together.
  static func resources(_ use: ResourceUse) -> String {
    var parts = [cpus(use.cpus)]
    if use.memoryBytes > 0 { parts.append(bytes(use.memoryBytes)) }
    if use.gpus > 0 { parts.append(count(use.gpus, "GPU")) }
    return list(parts)
  }

  /// "a", "a and b", "a, b and c".
  static func list(_ parts: [String], _ word: String = "and") -> String {
    guard let last = parts.last, parts.count > 1 else { return parts.first ?? "" }
    return parts.dropLast().joined(separator: ", ") + " \(word) " + last
  }

  /// The name that people know a signal by, "SIGKILL"; its number where it has none here.
  static func signal(_ number: Int32) -> String { SignalMeaning.named(number)?.name ?? "signal \(number)" }

  /// As much of a text as a sentence bears; evidence has all of it.
  package static func excerpt(_ text: String) -> String {
    text.count <= excerptLength ? text : text.prefix(excerptLength - 1) + "…"
  }

  private static let excerptLength = 240
}
