import Glibc

// libFuzzer's driver around one target, which MEND_FUZZ_TARGET names; the arguments are libFuzzer's own. A target traps
// when something that has to hold does not: for libFuzzer that is a crash, and it keeps the input.

private typealias Callback = @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
private typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>, _ callback: Callback
) -> CInt

nonisolated(unsafe) private var target: ([UInt8]) -> Void = { _ in }

private let targets: [String: () -> ([UInt8]) -> Void] = [
  "frames": { FramesTarget().run },
  "messages": { MessagesTarget().run },
  "schema": { SchemaTarget().run },
  "journal": { JournalTarget().run },
]

let name = getenv("MEND_FUZZ_TARGET").map { String(cString: $0) } ?? ""
guard let chosen = targets[name] else {
  print("MEND_FUZZ_TARGET is one of \(targets.keys.sorted().joined(separator: ", "))")
  exit(64)
}
target = chosen()
private var count = CommandLine.argc
private var arguments: Arguments = CommandLine.unsafeArgv
exit(
  runDriver(&count, &arguments) { data, size in
    target(Array(UnsafeBufferPointer(start: data, count: size)))
    return 0
  })

/// Numbers that an input determines: the same input is cut into the same pieces each time.
struct InputGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(_ input: [UInt8]) {
    state = input.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }

  /// SplitMix64.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
