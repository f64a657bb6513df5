import CProcess
import Foundation
import Glibc
import MendRuntime

/// The place of a directory: its path, and what tells it from a copy at the same path.
struct Place: Equatable, Sendable {
  var path: String
  var device: Int64
  var inode: Int64
  /// The machine's boot id. Devices get new numbers at each boot.
  var boot: String
  /// What tells this file system from others: `id-` and its own id, which it has wherever it is mounted; `mount-` and what
  /// may be another after the next mount; or `handle-` and the directory's handle. Empty where nothing does.
  var fileSystem: String

  init(path: String, device: Int64, inode: Int64, boot: String, fileSystem: String) {
    self.path = path
    self.device = device
    self.inode = inode
    self.boot = boot
    self.fileSystem = fileSystem
  }

  init(of directory: String) throws(StoreError) {
    var status = stat()
    guard unsafe stat(directory, &status) == 0, let real = unsafe realpath(directory, nil) else {
      throw StoreError(
        operation: "identify", message: "\(directory) cannot be looked at: \(SystemFault.words(errno))")
    }
    defer { unsafe free(real) }
    let boot = try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
    self.init(
      path: unsafe String(cString: real), device: Int64(bitPattern: UInt64(status.st_dev)),
      inode: Int64(bitPattern: UInt64(status.st_ino)),
      boot: boot?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "",
      fileSystem: Self.fileSystem(of: directory, device: UInt64(status.st_dev)))
  }

  /// Whether what was found here earlier is what is found at `now`.
  ///
  /// Numbers alone do not say it. The root of a mount has the same inode on every file system of a kind, and so has the
  /// first directory below it; device numbers repeat from mount to mount and from machine to machine. So the file system's
  /// own id decides wherever it has one. Two with one id are block clones: the same path, or the same device, is the same
  /// place. Without an id, the device says it until the machine starts anew, and then only the path is left.
  func isSame(as now: Place) -> Bool {
    guard inode == now.inode else { return false }
    if hasID && now.hasID { return fileSystem == now.fileSystem && (path == now.path || device == now.device) }
    // It had an id, and what is there now is of a kind that has none. Earlier journals call `id-` what is `mount-` now.
    if hasID && !now.fileSystem.hasPrefix("mount-") { return false }
    if boot == now.boot && device == now.device { return true }
    return path == now.path && (boot != now.boot || (!fileSystem.isEmpty && fileSystem == now.fileSystem))
  }

  private var hasID: Bool { fileSystem.hasPrefix("id-") }

  private static func fileSystem(of directory: String, device: UInt64) -> String {
    var found = statvfs()
    guard unsafe statvfs(directory, &found) == 0 else { return "" }
    switch unsafe cprocess_file_system_kind(directory) {
    case 0x5846_5342:  // XFS: statvfs has the device's number.
      var id = [UInt8](repeating: 0, count: Int(CPROCESS_XFS_ID_BYTES))
      if unsafe cprocess_xfs_id(directory, &id) == 0 { return "id-" + hexadecimal(id) }
    // ext2 to ext4, btrfs (of the subvolume), ZFS (of the data set), Ceph.
    case 0xEF53, 0x9123_683E, 0x2FC1_2FC1, 0x00C3_6400:
      if found.f_fsid != 0 { return "id-" + String(found.f_fsid, radix: 16) }
    default: break
    }
    // tmpfs has one for each mount, overlay that of what lies below.
    if found.f_fsid != 0, UInt64(found.f_fsid) != device { return "mount-" + String(found.f_fsid, radix: 16) }
    // NFS has none.
    var handle = [UInt8](repeating: 0, count: Int(CPROCESS_HANDLE_BYTES))
    let length = unsafe cprocess_file_handle(directory, &handle)
    return length > 0 ? "handle-" + hexadecimal(handle.prefix(Int(length))) : ""
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
