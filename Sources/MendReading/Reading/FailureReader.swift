import MendCore

/// Reads failures by a catalogue. What was measured outranks what the program says, and that outranks what an exit code
/// usually means.
package struct FailureReader: Sendable {
  package let catalogue: Catalogue

  package init(_ catalogue: Catalogue = .builtIn) { self.catalogue = catalogue }

  package func read(_ failure: Failure) -> Reading {
    var matcher = PatternMatcher()
    let stderr = DecisiveLine(failure.stderr, failure, catalogue, &matcher)
    var (chosen, stream) = (stderr, Reading.Line.Stream.stderr)
    if stderr.decisive?.isSpecific != true {
      let stdout = DecisiveLine(failure.stdout, failure, catalogue, &matcher)
      if stdout.decisive?.isSpecific == true || stderr.place == nil { (chosen, stream) = (stdout, .stdout) }
    }
    var reading = reason(of: failure, chosen)
    if let place = chosen.place {
      reading.line = Reading.Line(text: chosen.lines[place].text.cut(Reading.lineLimit), stream: stream, index: place)
      reading.outerLine = chosen.outerPlace.map { chosen.lines[$0].text.cut(Reading.lineLimit) }
    }
    var others: Set<String> = [reading.reason]
    reading.others = chosen.lines.compactMap { $0.match?.entry.id }.filter { others.insert($0).inserted }
    reading.isIncomplete = matcher.isExhausted
    return reading
  }

  private func reason(of failure: Failure, _ output: DecisiveLine) -> Reading {
    if let measured = failure.measured { return reading(of: measured) }
    let exit = failure.exit.flatMap { ExitMeaning.of($0, catalogue) }
    let decisive = output.decisive
    if let exit, exit.outranksWords { return exit.reading }
    if let match = decisive?.match, decisive?.isSpecific == true {
      return reading(of: match, in: failure, output)
    }
    if let exit, exit.isOwn, let match = decisive?.match, decisive?.role == .root {
      return reading(of: match, in: failure, output)
    }
    if var reading = exit?.reading {
      // Words that nobody knows may say something else.
      if reading.basis == .exit, decisive != nil { reading.confidence = .low }
      return reading
    }
    if let guess = failure.guess, output.place == nil {
      return Reading(reason: "worker", cause: guess, confidence: .low, basis: .guessed)
    }
    if let match = decisive?.match, match.entry.role == .root { return reading(of: match, in: failure, output) }
    return Reading(reason: "exit.code", cause: .exitCode, confidence: .low, basis: .nothing)
  }

  private func reading(of match: Catalogue.Match, in failure: Failure, _ output: DecisiveLine) -> Reading {
    var entry = match.entry
    var confidence = output.isFar ? .low : entry.confidence
    if let other = entry.documentReason.flatMap({ catalogue[$0] }), let line = output.decisive {
      func names(_ text: String) -> Bool { failure.names.contains { text.contains($0) } }
      if names(line.text) {
        entry = other
      } else if !line.hasForeignWords {
        // It names nothing: what the output names elsewhere is meant, perhaps.
        confidence = .low
        if output.lines.contains(where: { names($0.text) }) { entry = other }
      }
    }
    return Reading(
      reason: entry.id, cause: entry.cause ?? .exitCode, confidence: confidence, basis: .said, captures: match.captures,
      namedCaptures: match.namedCaptures)
  }

  private func reading(of measured: Failure.Measured) -> Reading {
    switch measured {
    case .beyondMemoryLimit:
      Reading(reason: "memory.limit", cause: .oom, confidence: .high, basis: .measured)
    case .beyondTimeLimit:
      Reading(reason: "document.timeout", cause: .runTimeout, confidence: .high, basis: .measured)
    case .found(let cause, let confidence):
      Reading(reason: "executor", cause: cause, confidence: confidence, basis: .measured)
    }
  }
}

extension String {
  /// At most so many bytes of it, in whole characters.
  func cut(_ limit: Int) -> String {
    guard utf8.count > limit else { return self }
    var text = self[...]
    while text.utf8.count > limit { text.removeLast() }
    return String(text)
  }
}
