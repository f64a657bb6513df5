// The core's own kinds of values, each as a kind of field. What an older server took, or a file that was changed by hand
// holds, is brought within what the core takes.

extension FieldVisitor {
  package func string(_ number: UInt32, _ name: String, _ value: inout String) throws(FormatFault) {
    try text(number, name, .plain, &value)
  }

  package func prose(_ number: UInt32, _ name: String, _ value: inout String) throws(FormatFault) {
    try text(number, name, .prose, &value)
  }

  package func quoted(_ number: UInt32, _ name: String, _ value: inout String) throws(FormatFault) {
    try text(number, name, .quoted, &value)
  }

  package func secret(_ number: UInt32, _ name: String, _ value: inout String) throws(FormatFault) {
    try text(number, name, .secret, &value)
  }

  private func text(
    _ number: UInt32, _ name: String, _ role: TextRole, _ value: inout String
  ) throws(FormatFault) {
    var text: String? = value
    try self.text(number, name, role, &text, isOptional: false)
    if assigns { value = text ?? "" }
  }

  /// A value of a small set, by its name.
  package func name<E: RawRepresentable>(
    _ number: UInt32, _ name: String, _ value: inout E, of kind: String
  ) throws(FormatFault) where E.RawValue == String {
    var text: String? = value.rawValue
    try self.text(number, name, .plain, &text, isOptional: false)
    guard reads else { return }
    guard let known = E(rawValue: text ?? "") else {
      throw FormatFault("no \(kind) \(String((text ?? "").prefix(40)).debugDescription)")
    }
    value = known
  }

  package func flag(_ number: UInt32, _ name: String, _ value: inout Bool) throws(FormatFault) {
    var flag: Bool? = value
    try self.flag(number, name, &flag, isOptional: false)
    if reads { value = flag ?? false }
  }

  // MARK: Numbers

  /// A number that fits into an Int32: a priority, or a position among few.
  package func small(_ number: UInt32, _ name: String, _ value: inout Int) throws(FormatFault) {
    var whole: Int64? = Int64(Int32(clamping: value))
    try self.number(number, name, .int32, &whole, isOptional: false)
    if reads { value = Int(whole ?? 0) }
  }

  package func small(_ number: UInt32, _ name: String, _ value: inout Int?) throws(FormatFault) {
    var whole = value.map { Int64(Int32(clamping: $0)) }
    try self.number(number, name, .int32, &whole, isOptional: true)
    if reads { value = whole.map { Int($0) } }
  }

  /// A count of things or bytes.
  package func count(_ number: UInt32, _ name: String, _ value: inout Int) throws(FormatFault) {
    var whole: Int64? = Int64(value)
    try self.number(number, name, .int64, &whole, isOptional: false)
    if reads { value = FieldBounds.count(whole ?? 0) }
  }

  package func count(_ number: UInt32, _ name: String, _ value: inout Int?) throws(FormatFault) {
    var whole = value.map { Int64($0) }
    try self.number(number, name, .int64, &whole, isOptional: true)
    if reads { value = whole.map(FieldBounds.count) }
  }

  /// A number that nothing is computed with.
  package func number(_ number: UInt32, _ name: String, _ value: inout Int64) throws(FormatFault) {
    var whole: Int64? = value
    try self.number(number, name, .int64, &whole, isOptional: false)
    if reads { value = whole ?? 0 }
  }

  package func sequence(_ number: UInt32, _ name: String, _ value: inout UInt64) throws(FormatFault) {
    var whole: Int64? = Int64(bitPattern: value)
    try self.number(number, name, .uint64, &whole, isOptional: false)
    if reads { value = UInt64(bitPattern: whole ?? 0) }
  }

  /// - Parameter isOptional: Whether a zero is left out.
  package func hash(
    _ number: UInt32, _ name: String, _ value: inout UInt64, isOptional: Bool = false
  ) throws(FormatFault) {
    var whole: Int64? = isOptional && value == 0 ? nil : Int64(bitPattern: value)
    try self.number(number, name, .fixed64, &whole, isOptional: isOptional)
    if reads { value = UInt64(bitPattern: whole ?? 0) }
  }

  package func memory(_ number: UInt32, _ name: String, _ value: inout Int64) throws(FormatFault) {
    var whole: Int64? = value
    try self.number(number, name, .int64, &whole, isOptional: false)
    if reads { value = FieldBounds.memory(whole ?? 0) }
  }

  package func memory(_ number: UInt32, _ name: String, _ value: inout Int64?) throws(FormatFault) {
    try self.number(number, name, .int64, &value, isOptional: true)
    if reads { value = value.map(FieldBounds.memory) }
  }

  package func real(
    _ number: UInt32, _ name: String, _ value: inout Double, within bounds: (Double) -> Double
  ) throws(FormatFault) {
    var real: Double? = value
    try self.real(number, name, &real, isOptional: false)
    if reads { value = bounds(real ?? 0) }
  }

  // MARK: Times

  package func instant(_ number: UInt32, _ name: String, _ value: inout Instant) throws(FormatFault) {
    var whole: Int64? = value.milliseconds
    try self.number(number, name, .int64, &whole, isOptional: false)
    if reads { value = FieldBounds.instant(whole ?? 0) }
  }

  package func instant(_ number: UInt32, _ name: String, _ value: inout Instant?) throws(FormatFault) {
    var whole = value?.milliseconds
    try self.number(number, name, .int64, &whole, isOptional: true)
    if reads { value = whole.map(FieldBounds.instant) }
  }

  package func span(_ number: UInt32, _ name: String, _ value: inout Duration) throws(FormatFault) {
    var whole: Int64? = value.milliseconds
    try self.number(number, name, .int64, &whole, isOptional: false)
    if reads { value = FieldBounds.span(whole ?? 0) }
  }

  package func span(_ number: UInt32, _ name: String, _ value: inout Duration?) throws(FormatFault) {
    var whole = value?.milliseconds
    try self.number(number, name, .int64, &whole, isOptional: true)
    if reads { value = whole.map(FieldBounds.span) }
  }

  // MARK: Values with fields of their own

  /// A value of an enum.
  package func choice<E: SchemaEnum>(_ number: UInt32, _ name: String, _ value: inout E?) throws(FormatFault) {
    var whole = value?.number
    try self.choice(number, name, &whole, of: E.self)
    guard reads else { return }
    value = nil
    guard let whole else { return }
    guard let known = E(number: whole) else { throw FormatFault("no value \(whole) of \(E.schemaName)") }
    value = known
  }

  /// A value of an enum that is required.
  package func choice<E: SchemaEnum>(_ number: UInt32, _ name: String, _ value: inout E) throws(FormatFault) {
    var choice: E? = value
    try self.choice(number, name, &choice)
    guard reads else { return }
    guard let choice else { throw FormatFault("no value 0 of \(E.schemaName)") }
    value = choice
  }

  package func message<D: Described>(_ number: UInt32, _ name: String, _ value: inout D?) throws(FormatFault) {
    guard reads else {
      guard value != nil, try enter(number, name, D.self, element: nil) else { return }
      try value?.describe(self)
      return try leave()
    }
    value = nil
    while try enter(number, name, D.self, element: nil) {
      var message = value ?? D.blank
      try message.describe(self)
      try leave()
      value = message
    }
  }

  package func messages<D: Described>(_ number: UInt32, _ name: String, _ values: inout [D]) throws(FormatFault) {
    try list(number, name)
    guard reads else {
      for place in values.indices where try enter(number, name, D.self, element: place) {
        if assigns {
          try values[place].describe(self)
        } else {
          var element = values[place]
          try element.describe(self)
        }
        try leave()
      }
      return
    }
    values = []
    while try enter(number, name, D.self, element: values.count) {
      var element = D.blank
      try element.describe(self)
      try leave()
      values.append(element)
    }
  }

  /// A value that is required.
  package func field<D: Described>(_ number: UInt32, _ name: String, _ value: inout D) throws(FormatFault) {
    var field: D? = value
    try message(number, name, &field)
    guard assigns else { return }
    guard let field else { throw FormatFault("no \(name)") }
    value = field
  }

  /// A set of documents; empty if it is absent.
  package func documents(
    _ number: UInt32, _ name: String, _ value: inout DocumentSet
  ) throws(FormatFault) {
    var documents: DocumentSet? = value
    try message(number, name, &documents)
    if reads { value = documents ?? DocumentSet() }
  }

  // MARK: Unions

  /// One case of a union. Reading, the union is nil before the first, and after the last where none was there.
  ///
  /// - Parameter present: The number of the case that the union is; nil where only `unwrap` says it.
  package func member<U, D: Described>(
    _ number: UInt32, _ name: String, of union: inout U?, as present: UInt32? = nil, _ wrap: (D) -> U,
    _ unwrap: (U) -> D?
  ) throws(FormatFault) {
    if let present { if present != number { return } } else if isPast(number) { return }
    var payload = reads ? nil : union.flatMap(unwrap)
    guard reads || payload != nil else { return }
    try message(number, name, &payload)
    if let payload { try set(name, of: &union) { wrap(payload) } }
  }

  /// One case of a union whose value is a text.
  package func textMember<U>(
    _ number: UInt32, _ name: String, _ role: TextRole, of union: inout U?, _ wrap: (String) -> U,
    _ unwrap: (U) -> String?
  ) throws(FormatFault) {
    var payload = reads ? nil : union.flatMap(unwrap)
    guard reads || payload != nil else { return }
    try text(number, name, role, &payload, isOptional: true)
    if let payload { try set(name, of: &union) { wrap(payload) } }
  }

  /// One case of a union whose value is a number.
  package func numberMember<U>(
    _ number: UInt32, _ name: String, of union: inout U?, _ wrap: (Int32) -> U, _ unwrap: (U) -> Int32?
  ) throws(FormatFault) {
    var payload = reads ? nil : union.flatMap(unwrap).map { Int64($0) }
    guard reads || payload != nil else { return }
    try self.number(number, name, .int32, &payload, isOptional: true)
    if let payload { try set(name, of: &union) { wrap(Int32(truncatingIfNeeded: payload)) } }
  }

  private func set<U>(
    _ name: String, of union: inout U?, _ value: () throws(FormatFault) -> U
  ) throws(FormatFault) {
    guard assigns else { return }
    if reads, union != nil { try refuseSecond(name) }
    union = try value()
  }
}

/// The bounds that numbers of a journal are clamped to.
enum FieldBounds {
  static func count(_ count: Int64) -> Int { Int(count.clamped(to: 0...Int64(ValueLimit.count))) }

  static func memory(_ bytes: Int64) -> Int64 { bytes.clamped(to: 0...ValueLimit.memoryBytes) }

  static func instant(_ milliseconds: Int64) -> Instant {
    Instant(milliseconds: milliseconds.clamped(to: ValueLimit.milliseconds))
  }

  /// A span of time, which is never negative.
  static func span(_ milliseconds: Int64) -> Duration {
    .milliseconds(milliseconds.clamped(to: 0...Int64(ValueLimit.spanSeconds * 1000)))
  }

  /// 0 for what is no number.
  static func cpus(_ cpus: Double) -> Double { cpus.isNaN ? 0 : cpus.clamped(to: 0...ValueLimit.cpus) }

  static func seconds(_ seconds: Double) -> Double {
    seconds.isNaN ? 0 : seconds.clamped(to: 0...ValueLimit.spanSeconds)
  }

  static func factor(_ factor: Double) -> Double { factor.isNaN ? 1 : factor.clamped(to: 1...ValueLimit.memoryFactor) }

  static func any(_ real: Double) -> Double { real }
}

extension Comparable {
  fileprivate func clamped(to range: ClosedRange<Self>) -> Self { min(max(self, range.lowerBound), range.upperBound) }
}

/// Enums whose cases are in the order of the schema's numbers, from 1 on.
extension SchemaEnum where Self: CaseIterable & RawRepresentable, RawValue == String, AllCases: RandomAccessCollection {
  package var number: Int32 {
    guard let place = Self.allCases.firstIndex(of: self) else { return 0 }
    return Int32(Self.allCases.distance(from: Self.allCases.startIndex, to: place)) + 1
  }

  package init?(number: Int32) {
    guard let value = Self.allCases.dropFirst(Int(max(number, 1)) - 1).first, number > 0 else { return nil }
    self = value
  }

  package init?(schemaName: String) {
    if let value = Self.allCases.first(where: { schemaName == $0.rawValue }) {
      self = value
      return
    }
    let name = schemaName.lowercased()
    let prefix = Self.schemaName.split(separator: ".").last?.reduce(into: "") { prefix, letter in
      prefix += (letter.isUppercase && !prefix.isEmpty ? "_" : "") + letter.lowercased()
    }
    guard let value = Self.allCases.first(where: { name == $0.rawValue || name == "\(prefix ?? "")_\($0.rawValue)" })
    else { return nil }
    self = value
  }

  package var name: String { rawValue }
}
