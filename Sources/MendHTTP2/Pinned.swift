/// A value at a fixed place in memory, shared by reference on one thread.
///
/// What a class would be, without the check for overlapping accesses that the runtime makes at every use of a class's
/// variable: those were a quarter of a call. Overlap can't happen where this is used: everything that touches it runs
/// on one thread, and none holds an access while it calls something that makes another.
@safe
package struct Pinned<Value: ~Copyable> {
  @usableFromInline let pointer: UnsafeMutablePointer<Value>

  @inlinable
  package init(_ value: consuming Value) {
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: value)
  }

  /// The value; every copy of this struct sees the same one.
  @inlinable
  package var value: Value {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(pointer) }
    @inline(__always) nonmutating unsafeMutableAddress { unsafe pointer }
  }

  /// Ends the value. No copy may be used afterwards.
  @inlinable
  package func free() {
    unsafe pointer.deinitialize(count: 1)
    unsafe pointer.deallocate()
  }
}
