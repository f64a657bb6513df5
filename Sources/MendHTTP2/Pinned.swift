/// A value at a fixed place in memory, shared by reference on one thread.
///
/// Like a class, but without the runtime's check for overlapping accesses at each use of a variable: those checks were
/// a quarter of a call's cost. Accesses can't overlap here: all of them are on one thread, and none calls code that
/// makes another.
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
