internal import CNghttp2

/// A header list that never changes and lives as long as the process: the library sends it without copying it.
///
/// Make one per constant, not per call: its memory is never given back.
@safe package struct StaticHeaders: @unchecked Sendable {
  // Unchecked: the memory is written here, once, and only read afterwards.
  let fields: UnsafeMutablePointer<nghttp2_nv>
  let count: Int

  package init(_ list: [(name: StaticString, value: StaticString)]) {
    unsafe fields = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: max(1, list.count))
    count = list.count
    let flags = UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
    for (index, field) in list.enumerated() {
      unsafe (fields + index).initialize(
        to: nghttp2_nv(
          name: UnsafeMutablePointer(mutating: field.name.utf8Start),
          value: UnsafeMutablePointer(mutating: field.value.utf8Start),
          namelen: field.name.utf8CodeUnitCount, valuelen: field.value.utf8CodeUnitCount, flags: flags))
    }
  }
}

extension HeaderBlock {
  /// Calls `body` with the fields as the library wants them; the library copies what it keeps.
  @unsafe
  func withNameValues<R>(_ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> R) -> R {
    unsafe bytes.withUnsafeBufferPointer { all in
      unsafe withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: max(1, fields.count)) { list in
        for (index, field) in fields.enumerated() {
          let name = unsafe UnsafeMutablePointer(mutating: all.baseAddress! + field.name.lowerBound)
          // A token must not be guessable from compressed sizes (RFC 7541 7.1): credentials stay out of the table.
          let secret = isName(field, "authorization") && !field.value.isEmpty
          unsafe (list.baseAddress! + index).initialize(
            to: nghttp2_nv(
              name: name, value: name + field.name.count, namelen: field.name.count, valuelen: field.value.count,
              flags: UInt8(secret ? NGHTTP2_NV_FLAG_NO_INDEX.rawValue : NGHTTP2_NV_FLAG_NONE.rawValue)))
        }
        return unsafe body(list.baseAddress!, fields.count)
      }
    }
  }
}
