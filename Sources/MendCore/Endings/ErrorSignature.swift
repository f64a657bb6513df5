// What programs, their runtimes and the C library say when they end badly, and what it means.

/// One line of the table of error signatures: a text is evidence of the lowest rank, so nothing that follows from it is
/// certain (<doc:Domain#Why-an-attempt-failed>).
struct ErrorSignature: Sendable, Hashable {
  /// For tests and for who reads the table.
  let name: String
  /// Exceptions, any of them, by their own name: with modules where another one is called so, too.
  let exceptions: [String]
  /// Any of them, as it is written by who says it, in whole words.
  let texts: [String]
  /// What it is evidence of; nil where the exit code or the signal stands as the cause, and the words only say more.
  let cause: FailureCause?
  let confidence: Confidence
  /// What happened, in words that go on after "by its own words".
  let meaning: String
  /// What to do, without a full stop.
  let resolution: String
  /// It ran into a limit of its own, which more memory of Mend's does not raise.
  let isOwnLimit: Bool

  init(
    _ name: String, exceptions: [String] = [], _ texts: [String], _ cause: FailureCause? = nil,
    _ confidence: Confidence = .medium, meaning: String, resolution: String, isOwnLimit: Bool = false
  ) {
    self.name = name
    self.exceptions = exceptions
    self.texts = texts
    self.cause = cause
    self.confidence = confidence
    self.meaning = meaning
    self.resolution = resolution
    self.isOwnLimit = isOwnLimit
  }

  /// The first line of the table that a message matches.
  ///
  /// - Parameter names: what the documents are called that it may be about; what they are called says nothing.
  static func matching(_ message: String, names: [String] = []) -> ErrorSignature? {
    if message.isEmpty { return nil }
    let line = ErrorLine(message, names: names)
    return all.first { signature in
      signature.exceptions.contains(where: line.isException) || signature.texts.contains(where: line.says)
    }
  }

  static func named(_ name: String) -> ErrorSignature? { all.first { $0.name == name } }

  /// True where it is evidence of the cause, or says more of one that stands without it.
  func says(somethingOf cause: FailureCause) -> Bool {
    self.cause == cause || (self.cause == nil && (cause == .exitCode || cause == .signal))
  }

  /// With the words, as far as a sentence bears them.
  func evidence(_ message: String, at now: Instant) -> Evidence {
    Evidence(
      "by its own words (\(Figures.excerpt(message))), \(meaning)", by: .scheduler, at: now,
      values: [Self.evidenceName: name])
  }

  /// Of the value that names it in evidence.
  static let evidenceName = "known_message"
}

extension Evidence {
  /// It says what a program's last words were found to mean.
  var namesErrorSignature: Bool { values[ErrorSignature.evidenceName] != nil }
}

extension ErrorSignature {
  /// In the order in which they win: what is special stands before what is common.
  static let all: [ErrorSignature] = memory + machine + programFile + network + input + program

  static let exceptionNames = Set(all.flatMap(\.exceptions))

  private static let memory = [
    ErrorSignature(
      "gpu memory",
      exceptions: ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"],
      ["CUDA out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "hipErrorOutOfMemory"],
      meaning: "the memory of its GPU was full; more memory for the job is no help",
      resolution: "Give it smaller portions or a GPU with more memory, and see that nobody else uses the GPU"),
    ErrorSignature(
      "threads and processes",
      [
        "unable to create native thread", "unable to create new native thread", "can't start new thread", "Cannot fork",
        "fork: Resource temporarily unavailable", "fork: retry", "pthread_create failed",
        "Resource temporarily unavailable: fork", "[Errno 11] Resource temporarily unavailable",
      ], .resourceLimit,
      meaning: "no further process or thread could be started: a limit of its account or of the machine was reached",
      resolution: "See that it starts no more processes and threads than it needs, or raise the limit (ulimit -u)"),
    ErrorSignature(
      "managed heap",
      exceptions: ["java.lang.OutOfMemoryError"],
      ["JavaScript heap out of memory", "Reached heap limit"], .oom,
      meaning: "the heap that its own runtime allows it was full",
      resolution: "Raise its runtime's own heap limit (-Xmx, --max-old-space-size)",
      isOwnLimit: true),
    ErrorSignature(
      "memory",
      exceptions: ["MemoryError", "_ArrayMemoryError", "ArrayMemoryError", "NoMemoryError", "OutOfMemoryException"],
      [
        "Cannot allocate memory", "cannot allocate memory", "std::bad_alloc", "Out of memory!",
        "runtime: out of memory", "memory allocation of ", "memory exhausted", "ENOMEM", "instance of 'std::bad_alloc'",
      ], .oom,
      meaning: "it was refused memory", resolution: "Split the file, or see that it needs less memory"),
  ]

  private static let machine = [
    ErrorSignature(
      "open files", ["Too many open files", "EMFILE"], .resourceLimit,
      meaning: "it was refused to open one more file: its limit of open files was reached",
      resolution: "See that it closes what it opens, or raise the limit of open files"),
    ErrorSignature(
      "full disk", ["No space left on device", "Disk quota exceeded", "ENOSPC", "EDQUOT", "disk is full"],
      .environmentSetup,
      meaning: "the disk that it wrote to was full, or its quota was used up (ENOSPC, EDQUOT)",
      resolution: "Make room on the disk that it writes to"),
    ErrorSignature(
      "read-only file system", ["Read-only file system", "EROFS"], .environmentSetup,
      meaning: "what it wrote to is mounted read-only: on purpose, or by the kernel after an error of the disk",
      resolution: "Look at the mount (a disk with errors is made read-only), or write elsewhere"),
    ErrorSignature(
      "file system that is gone",
      [
        "Stale file handle", "Stale NFS file handle", "Transport endpoint is not connected", "Input/output error",
        "Remote I/O error", "Host is down",
      ], .environmentSetup,
      meaning: "the file system under it did not answer: a network mount that is gone, or a disk with errors",
      resolution: "Look at the mount and the kernel's log where it ran, mount it again"),
    ErrorSignature(
      "file size", ["File too large", "EFBIG"], .resourceLimit,
      meaning: "a file grew past the size that it may have (ulimit -f, or the file system's own)",
      resolution: "See whether its file must be so large, or raise the limit"),
  ]

  private static let programFile = [
    ErrorSignature(
      "shared library",
      [
        "error while loading shared libraries", "cannot open shared object file", "symbol lookup error",
        "version `GLIBC_", "Library not loaded",
      ], .environmentSetup,
      meaning: "a shared library that its program needs is missing where it ran, or is another version",
      resolution: "Install the shared library that it names where attempts run"),
    ErrorSignature(
      "missing module",
      exceptions: ["ModuleNotFoundError", "ImportError", "NoClassDefFoundError", "ClassNotFoundException"],
      ["Cannot find module", "ERR_MODULE_NOT_FOUND", "Could not find or load main class", "(LoadError)"],
      .environmentSetup,
      meaning: "a module that its program needs is not installed where it ran",
      resolution: "Install the module that it names where attempts run, or correct its path"),
    ErrorSignature(
      "interpreter", ["bad interpreter", "required file not found"], .entrypointNotFound,
      meaning: "the interpreter that its script names in the first line (#!) is not there",
      resolution: "Install the interpreter, or correct the script's first line"),
    ErrorSignature(
      "program format", ["Exec format error", "cannot execute binary file", "cannot execute: "], .entrypointNotFound,
      meaning:
        "its program is not one for this machine: built for another processor, or a script without a first line (#!)",
      resolution: "Build the program for the machines that attempts run on, or give the script its first line (#!)"),
    ErrorSignature(
      "program being written", ["Text file busy", "ETXTBSY"], .entrypointNotFound,
      meaning: "its program was being written when it was to be started",
      resolution: "Replace a program by renaming the new one over it"),
  ]

  private static let network = [
    ErrorSignature(
      "name resolution",
      exceptions: ["UnknownHostException"],
      [
        "Name or service not known", "Temporary failure in name resolution", "nodename nor servname",
        "Could not resolve host", "no such host", "ENOTFOUND", "EAI_AGAIN", "No address associated with hostname",
      ], .environmentSetup, .low,
      meaning: "the name of a host was not found: the name is wrong, or name resolution fails where it ran",
      resolution: "Look the name up where attempts run (getent hosts NAME); correct it, or mend DNS"),
    ErrorSignature(
      "connection",
      exceptions: ["ConnectionRefusedError", "ConnectionResetError"],
      [
        "Connection refused", "ECONNREFUSED", "connection refused", "Connection reset by peer", "ECONNRESET",
        "No route to host", "Network is unreachable", "Connection timed out", "ETIMEDOUT",
        "Failed to establish a new connection",
      ], .environmentSetup, .low,
      meaning: "a service that it needs did not answer: it is down, or its address is wrong",
      resolution: "See that the service answers from where attempts run, and that its address is right"),
    ErrorSignature(
      "certificate", ["CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "x509: certificate"],
      .environmentSetup, .low,
      meaning: "it did not trust the certificate of a service that it called",
      resolution: "Correct the service's certificate, or the authorities (CA) that are trusted where attempts run"),
    ErrorSignature(
      "own time limit", exceptions: ["TimeoutError", "TimeoutException", "ReadTimeout"],
      ["context deadline exceeded", "timed out"],
      meaning: "something that it waited for did not answer within a time limit of its own",
      resolution: "See what it waits for, and whether that answers; raise its own limit if it is only slow"),
  ]

  private static let input = [
    ErrorSignature(
      "permission",
      exceptions: ["PermissionError", "AccessDeniedException"],
      ["Permission denied", "permission denied", "EACCES", "Operation not permitted", "AccessDenied"],
      meaning: "it was not allowed to open or change something",
      resolution: "Give the account that attempts run as the right to what it names"),
    ErrorSignature(
      "missing file", exceptions: ["FileNotFoundError", "NoSuchFileException"],
      ["No such file or directory", "ENOENT"],
      meaning: "a file that it names is not there",
      resolution: "See that the file that it names is there where attempts run, and that its path is right"),
    ErrorSignature(
      "form of the input",
      exceptions: [
        "UnicodeDecodeError", "JSONDecodeError", "ParserError", "ParseError", "BadZipFile", "BadGzipFile",
        "UnidentifiedImageError", "zlib.error", "EOFError", "MalformedInputException", "csv.Error", "_csv.Error",
      ],
      [
        "invalid utf-8", "invalid UTF-8", "stream did not contain valid UTF-8", "Unexpected end of JSON input",
        "is not valid JSON", "invalid character", "unexpected EOF",
      ],
      meaning: "its input was not in the form that it expects",
      resolution: "Look at the input: correct or replace it, or teach the program its form"),
  ]

  private static let program = [
    ErrorSignature(
      "stack",
      exceptions: ["StackOverflowError", "RecursionError"],
      [
        "maximum recursion depth", "has overflowed its stack", "stack overflow", "Maximum call stack size exceeded",
        "stack exceeds",
      ],
      meaning: "its stack was full: it calls itself without an end, or too deep for what it was given",
      resolution:
        "Correct the recursion, or raise its stack's limit (ulimit -s); see whether one document brings it about"),
    ErrorSignature(
      "damaged heap",
      [
        "free(): ", "malloc(): ", "realloc(): ", "double free or corruption", "corrupted size vs. prev_size",
        "malloc_consolidate", "munmap_chunk()", "stack smashing detected", "buffer overflow detected",
        "AddressSanitizer",
      ],
      meaning: "native code of it had damaged its own memory, and was ended by the C library's check",
      resolution: "Correct the native code: run it on a document in process then, under AddressSanitizer or valgrind"),
    ErrorSignature(
      "deadlock", ["all goroutines are asleep"],
      meaning: "all of it waited for each other: a deadlock", resolution: "Correct the program"),
    ErrorSignature(
      "error not handled",
      exceptions: [
        "TypeError", "AttributeError", "KeyError", "IndexError", "NameError", "SyntaxError", "IndentationError",
        "ValueError", "ZeroDivisionError", "NullPointerException", "ReferenceError", "RuntimeError",
        "UnboundLocalError", "NotImplementedError", "AssertionError",
      ],
      [
        "panic: ", "panicked at", "fatal error: ", "Fatal error: ", "terminate called", "Fatal Python error",
        "Exception in thread", "unhandled exception", "Unhandled exception", "Assertion", "assertion failed",
      ],
      meaning: "the program met an error that it did not handle",
      resolution: "Correct the program: run it by hand on a document that was in process"),
  ]
}
