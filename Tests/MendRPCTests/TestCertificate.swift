import Foundation
import TestSupport
import Testing

/// A self-signed certificate for localhost.
enum TestCertificate {
  /// One for all tests, made once.
  static let files: Result<(certificate: String, key: String), any Error> = Result {
    try make(in: directory.get().path)
  }
  private static let directory = Result { try TemporaryDirectory() }

  static func make(
    in directory: String, certificate: String = "cert.pem", key: String = "key.pem"
  ) throws -> (certificate: String, key: String) {
    try openssl(
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
      "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate, in: directory)
    return ("\(directory)/\(certificate)", "\(directory)/\(key)")
  }
}

func openssl(_ arguments: String..., in directory: String) throws {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = ["openssl"] + arguments
  process.currentDirectoryURL = URL(filePath: directory)
  process.standardError = FileHandle.nullDevice
  process.standardOutput = FileHandle.nullDevice
  try process.run()
  process.waitUntilExit()
  try #require(process.terminationStatus == 0, "openssl \(arguments)")
}
