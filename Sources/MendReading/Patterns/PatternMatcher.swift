/// Where a pattern matched.
struct PatternMatch: Sendable, Hashable {
  var range: Range<Int>
  /// What each capture holds; nil for one that had no part in the match.
  var captures: [Range<Int>?]
}

/// Runs patterns over lines: all of a pattern's ways at once, byte by byte (Thompson's and Pike's method).
///
/// Its steps are bounded for all lines that it reads. Once they are used up it finds nothing any more, and says so.
struct PatternMatcher {
  /// For the output of one failure: some five milliseconds.
  static let stepLimit = 2_000_000

  private(set) var stepsLeft: Int
  private var current = Ways()
  private var next = Ways()

  init(steps: Int = stepLimit) { stepsLeft = steps }

  var isExhausted: Bool { stepsLeft <= 0 }

  /// One way through a pattern, with the place where it began and what it captured.
  private struct Way {
    var state: Int
    var start: Int
    var notes: SIMD4<Int32>
  }

  /// Ways in the order in which they are preferred, each state once.
  private struct Ways {
    var ways: [Way] = []
    private var places: [Int] = []
    private var open: [Way] = []

    mutating func reset(states: Int) {
      ways.removeAll(keepingCapacity: true)
      if places.count < states { places = Array(repeating: 0, count: states) }
    }

    /// False where the state is there already: the earlier way to it is preferred.
    private mutating func insert(_ way: Way) -> Bool {
      let place = places[way.state]
      if place < ways.count, ways[place].state == way.state { return false }
      places[way.state] = ways.count
      ways.append(way)
      return true
    }

    /// Adds all states that can be reached without another byte.
    mutating func follow(
      _ way: Way, at place: Int, _ instructions: [Pattern.Instruction], _ text: ArraySlice<UInt8>, steps: inout Int
    ) {
      open.append(way)
      while var way = open.popLast() {
        steps -= 1
        guard insert(way) else { continue }
        switch instructions[way.state] {
        case .byte, .matched: break
        case .jump(let target):
          way.state = target
          open.append(way)
        case .fork(let preferred, let other):
          way.state = other
          open.append(way)
          way.state = preferred
          open.append(way)
        case .note(let number):
          way.notes[number] = Int32(place)
          way.state += 1
          open.append(way)
        case .place(let condition):
          guard condition.holds(at: place, in: text) else { continue }
          way.state += 1
          open.append(way)
        }
      }
    }
  }

  /// The first match that begins at `start` or later: of several that begin there, the one that the pattern prefers.
  mutating func firstMatch(of pattern: Pattern, in text: ArraySlice<UInt8>, from start: Int? = nil) -> PatternMatch? {
    let instructions = pattern.instructions
    current.reset(states: instructions.count)
    var found: Way?
    var end = text.startIndex
    var place = start ?? text.startIndex
    while place <= text.endIndex, !isExhausted {
      if found == nil {
        if let first = pattern.firstBytes, current.ways.isEmpty {
          // Nothing is under way: on to the next byte that can begin a match.
          while place < text.endIndex, !first.contains(text[place]) { place += 1 }
          if place == text.endIndex { break }
        }
        current.follow(
          Way(state: 0, start: place, notes: SIMD4(repeating: -1)), at: place, instructions, text, steps: &stepsLeft)
      } else if current.ways.isEmpty {
        break
      }
      next.reset(states: instructions.count)
      for way in current.ways {
        stepsLeft -= 1
        switch instructions[way.state] {
        case .byte(let set) where place < text.endIndex && set.contains(text[place]):
          var way = way
          way.state += 1
          next.follow(way, at: place + 1, instructions, text, steps: &stepsLeft)
          continue
        case .matched:
          found = way
          end = place
        default: continue
        }
        // Ways after this one are preferred less.
        break
      }
      swap(&current, &next)
      place += 1
    }
    guard let found, !isExhausted else { return nil }
    let captures = pattern.captureNames.indices.map { number -> Range<Int>? in
      let (low, high) = (Int(found.notes[number * 2]), Int(found.notes[number * 2 + 1]))
      return low >= 0 && high >= low ? low..<high : nil
    }
    return PatternMatch(range: found.start..<end, captures: captures)
  }
}
