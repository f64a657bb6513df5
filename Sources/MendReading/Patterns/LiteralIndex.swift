/// Finds which of many literals a text holds, in one pass over it (Aho and Corasick's method). Case does not count.
struct LiteralIndex: Sendable {
  /// A state is what of a literal was read last.
  private struct State: Sendable {
    var edges: [(byte: UInt8, target: Int32)] = []
    /// The state of the longest shorter end that begins a literal, too.
    var shorter: Int32 = 0
    /// What is found here, and at shorter ends.
    var found: [Int32] = []
    /// The nearest shorter end at which something is found; 0 means none.
    var nextFound: Int32 = 0
  }

  private var states = [State()]
  private var first = [Int32](repeating: 0, count: 256)

  /// - Parameter literals: in lower case, each with the number that `numbers(in:)` gives for it.
  init(_ literals: [(text: [UInt8], number: Int)]) {
    for (text, number) in literals {
      var state: Int32 = 0
      for byte in text { state = edge(from: state, byte) ?? add(to: state, byte) }
      states[Int(state)].found.append(Int32(number))
    }
    for edge in states[0].edges { first[Int(edge.byte)] = edge.target }
    link()
  }

  private func edge(from state: Int32, _ byte: UInt8) -> Int32? {
    states[Int(state)].edges.first { $0.byte == byte }?.target
  }

  private mutating func add(to state: Int32, _ byte: UInt8) -> Int32 {
    states.append(State())
    states[Int(state)].edges.append((byte, Int32(states.count - 1)))
    return Int32(states.count - 1)
  }

  /// Level by level, so that shorter ends are linked before longer ones.
  private mutating func link() {
    var level = states[0].edges.map(\.target)
    while !level.isEmpty {
      var below: [Int32] = []
      for state in level {
        for (byte, target) in states[Int(state)].edges {
          let shorter = step(states[Int(state)].shorter, byte)
          states[Int(target)].shorter = shorter
          states[Int(target)].nextFound =
            states[Int(shorter)].found.isEmpty ? states[Int(shorter)].nextFound : shorter
          below.append(target)
        }
      }
      level = below
    }
  }

  private func step(_ from: Int32, _ byte: UInt8) -> Int32 {
    var state = from
    while state != 0 {
      if let target = edge(from: state, byte) { return target }
      state = states[Int(state)].shorter
    }
    return first[Int(byte)]
  }

  /// The numbers of the literals that stand in the text, ascending, each once.
  func numbers(in text: ArraySlice<UInt8>) -> [Int] {
    var numbers: Set<Int32> = []
    var state: Int32 = 0
    for byte in text {
      state = step(state, byte.lowercased)
      var place = states[Int(state)].found.isEmpty ? states[Int(state)].nextFound : state
      while place != 0 {
        numbers.formUnion(states[Int(place)].found)
        place = states[Int(place)].nextFound
      }
    }
    return numbers.sorted().map(Int.init)
  }
}
