internal import NIOSSL

/// A PEM file that TLS needs: read as a whole, and refused with its path, what is wrong with it, and what to do.
struct TLSFile {
  /// The file's purpose in error messages: `certificate`, `trusted authorities`.
  let purpose: String
  let path: String

  /// Certificate chains are a few KiB, the system's authorities 200 KiB.
  private static let maxBytes = 16 * 1024 * 1024

  func certificates() throws(RPCError) -> [NIOSSLCertificate] {
    let text = try contents()
    guard text.contains("-----BEGIN CERTIFICATE-----") else {
      throw fault("it has no PEM certificate (-----BEGIN CERTIFICATE-----)\(hint(text))")
    }
    do {
      return try NIOSSLCertificate.fromPEMBytes(Array(text.utf8))
    } catch {
      throw fault("a certificate in it is damaged: its base64 or what it encodes can't be read")
    }
  }

  func privateKey() throws(RPCError) -> NIOSSLPrivateKey {
    let text = try contents()
    guard text.contains("PRIVATE KEY-----") else {
      throw fault("it has no PEM private key (-----BEGIN PRIVATE KEY-----)\(hint(text))")
    }
    guard !text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----"), !text.contains("Proc-Type: 4,ENCRYPTED") else {
      throw fault("the key is encrypted with a passphrase; write it without one: openssl pkey -in \(path) -out FILE")
    }
    do {
      return try NIOSSLPrivateKey(bytes: Array(text.utf8), format: .pem)
    } catch {
      throw fault("the private key in it is damaged: its base64 or what it encodes can't be read")
    }
  }

  /// The file's bytes as text; what is no UTF-8 in it is replaced, and then there is no PEM in it either.
  private func contents() throws(RPCError) -> String {
    let bytes: [UInt8]
    do throws(WholeFile.Fault) { bytes = try WholeFile.bytes(of: path, limit: Self.maxBytes) } catch {
      throw fault("\(error)")
    }
    guard !bytes.isEmpty else { throw fault("it is empty") }
    // DER begins with a SEQUENCE of a two-byte length.
    guard !bytes.starts(with: [0x30, 0x82]) else {
      throw fault("it is DER, not PEM; convert it: openssl x509 -inform der -in \(path) (or openssl pkey for a key)")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func hint(_ text: String) -> String {
    guard let begin = text.firstRange(of: "-----BEGIN ") else { return "" }
    return "; it has: \(text[begin.upperBound...].prefix { $0 != "-" && !$0.isNewline }.prefix(40))"
  }

  func fault(_ why: String) -> RPCError {
    RPCError(.failedPrecondition, "can't use \(path) as TLS \(purpose): \(why)")
  }
}
