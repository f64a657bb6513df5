#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define CLOSE_ON_EXEC_RANGE 4u  // CLOSE_RANGE_CLOEXEC of linux/close_range.h

static void supervisor_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGCHLD);
}

// Pointers to the strings of a NUL-separated list, ended by NULL, as exec wants them.
static char **string_pointers(const char *strings, size_t count) {
  char **pointers = calloc(count + 1, sizeof *pointers);
  for (size_t i = 0; pointers && i < count; i++) {
    pointers[i] = (char *)strings;
    strings += strlen(strings) + 1;
  }
  return pointers;
}

static void set_limit(int resource, uint64_t value) {
  struct rlimit limit = {value, value};
  if (value != UINT64_MAX) setrlimit(resource, &limit);
}

static void set_soft_limit(int resource, uint64_t value) {
  struct rlimit limit;
  if (value == UINT64_MAX || getrlimit(resource, &limit) < 0) return;
  limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
  setrlimit(resource, &limit);
}

static void write_oom_score(int score) {
  char digits[8];
  int length = 0;
  for (int rest = score > 999 ? 999 : score; rest > 0; rest /= 10) digits[sizeof digits - ++length] = '0' + rest % 10;
  int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)!write(file, digits + sizeof digits - length, (size_t)length);
  close(file);
}

// Puts `source[i]` at descriptor i. Moved out of the way first, for a source may be another's destination.
static int place_descriptors(int *source, int count, int *report) {
  int moved = fcntl(*report, F_DUPFD_CLOEXEC, 64);
  if (moved < 0) return -1;
  *report = moved;
  for (int i = 0; i < count; i++)
    if ((source[i] = fcntl(source[i], F_DUPFD_CLOEXEC, 64)) < 0) return -1;
  for (int i = 0; i < count; i++)
    if (dup2(source[i], i) < 0) return -1;
  return (int)syscall(SYS_close_range, (unsigned)count, ~0u, CLOSE_ON_EXEC_RANGE);
}

typedef struct {
  const cprocess_child *child;
  char **arguments, **environment;
  pid_t parent;
  int report;
} start;

// Runs in the child, in the memory of a process that may have other threads: async-signal-safe calls only.
static int become(void *argument) {
  const start *start = argument;
  const cprocess_child *child = start->child;
  int report = start->report;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  for (int i = 1; i < NSIG; i++) sigaction(i, &action, NULL);
  sigset_t mask;
  if (child->signals_blocked) supervisor_signals(&mask);
  else sigemptyset(&mask);
  sigprocmask(SIG_SETMASK, &mask, NULL);

  if (setsid() < 0) goto failed;
  if (child->oom_score > 0) write_oom_score(child->oom_score);
  set_limit(RLIMIT_CORE, child->limit_core);
  set_limit(RLIMIT_AS, child->limit_address_space);
  if (child->directory && chdir(child->directory) < 0) goto failed;
  if (child->group >= 0) {
    gid_t group = (gid_t)child->group;
    if (syscall(SYS_setgroups, 1, &group) < 0 || syscall(SYS_setresgid, group, group, group) < 0) goto failed;
  }
  if (child->user >= 0) {
    umask(022);
    uid_t user = (uid_t)child->user;
    if (syscall(SYS_setresuid, user, user, user) < 0) goto failed;
  }
  // After the change of user, which forgets it.
  if (child->death_signal) {
    prctl(PR_SET_PDEATHSIG, child->death_signal);
    if (getppid() != start->parent) _exit(127);  // it ended before the line above
  }
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int source[4] = {child->input < 0 ? null : child->input, child->output < 0 ? null : child->output,
                   child->error < 0 ? null : child->error, child->extra};
  if (place_descriptors(source, child->extra < 0 ? 3 : 4, &report) < 0) goto failed;
  // Last: it may be less than the numbers used above.
  set_limit(RLIMIT_NOFILE, child->limit_open_files);
  if (child->limit_open_files == UINT64_MAX) set_soft_limit(RLIMIT_NOFILE, child->soft_limit_open_files);
  execve(start->arguments[0], start->arguments, start->environment);
failed:;
  int error = errno;
  (void)!write(report, &error, sizeof error);
  _exit(127);
}

#define STACK_SIZE (64 * 1024)

// Sanitizers keep accounts of this process's memory and descriptors, which a child in the same memory would spoil.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define COPIES_ALWAYS 1
#endif
#endif
#ifndef COPIES_ALWAYS
#define COPIES_ALWAYS 0
#endif

// As posix_spawn does it: the child borrows this memory, on a stack of its own, until it calls exec, while this thread
// waits. No page tables are copied, which is most of what a fork costs. But a change of user is noted at the memory
// (it cannot be dumped then), so that takes a copy. The pidfd comes without a gap in which the pid could be reused.
static pid_t start_child(start *start, int *pidfd) {
  char *stack = malloc(STACK_SIZE);
  if (!stack) return -1;
  int changes_user = start->child->user >= 0 || start->child->group >= 0;
  int flags = CLONE_PIDFD | SIGCHLD | (changes_user || COPIES_ALWAYS ? 0 : CLONE_VM | CLONE_VFORK);
  char *top = stack + STACK_SIZE;
  pid_t pid = clone(become, top - (uintptr_t)top % 16, flags, start, pidfd);
  int saved = errno;
  free(stack);
  errno = saved;
  return pid;
}

int cprocess_spawn(const cprocess_child *child, pid_t *pid, int *pidfd) {
  if (child->argument_count == 0) return EINVAL;
  char **arguments = string_pointers(child->arguments, child->argument_count);
  char **environment = string_pointers(child->environment, child->environment_count);
  int report[2] = {-1, -1};
  int result = 0;
  if (!arguments || !environment) result = ENOMEM;
  else if (pipe2(report, O_CLOEXEC) < 0) result = errno;
  if (result) goto done;

  // No handler of this process may run in the child before its handlers are reset.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  start start = {child, arguments, environment, getpid(), report[1]};
  *pid = start_child(&start, pidfd);
  if (*pid < 0) result = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(report[1]);
  report[1] = -1;
  if (result) goto done;

  int error = 0;
  ssize_t count;
  do count = read(report[0], &error, sizeof error);
  while (count < 0 && errno == EINTR);
  if (count == (ssize_t)sizeof error) {
    waitpid(*pid, NULL, 0);
    close(*pidfd);
    result = error;
  }
done:
  if (report[0] >= 0) close(report[0]);
  if (report[1] >= 0) close(report[1]);
  free(arguments);
  free(environment);
  return result;
}

int cprocess_spawn_closing_from(posix_spawn_file_actions_t *actions, int first) {
  return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int cprocess_pipe(int *reading, int *writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return errno;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  *reading = ends[0];
  *writing = ends[1];
  return 0;
}

int cprocess_pidfd_open(pid_t pid) {
  int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? errno : 0;
}

int cprocess_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? errno : 0; }

int cprocess_reap_any(pid_t *pid, int *exit_code, int *signal) {
  int status;
  do *pid = waitpid(-1, &status, WNOHANG);
  while (*pid < 0 && errno == EINTR);
  if (*pid <= 0) return *pid;
  *signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  return 1;
}

int cprocess_reap(int pidfd) {
  siginfo_t information;
  return waitid((idtype_t)P_PIDFD, (id_t)pidfd, &information, WEXITED | WNOHANG) < 0 ? errno : 0;
}

void cprocess_kill_child(int pidfd) {
  siginfo_t information;
  cprocess_pidfd_signal(pidfd, SIGKILL);
  while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &information, WEXITED) < 0 && errno == EINTR) {}
}

double cprocess_children_cpu_seconds(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_CHILDREN, &usage) < 0) return 0;
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int cprocess_file_handle(const char *path, unsigned char bytes[CPROCESS_HANDLE_BYTES]) {
  struct {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
  } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount;
  if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0) != 0) return -errno;
  memcpy(bytes, &handle.head.handle_type, 4);
  memcpy(bytes + 4, handle.head.f_handle, handle.head.handle_bytes);
  return 4 + (int)handle.head.handle_bytes;
}

uint32_t cprocess_file_system_kind(const char *path) {
  struct statfs found;
  return statfs(path, &found) == 0 ? (uint32_t)found.f_type : 0;
}

// struct xfs_fsop_geom_v1 of XFS, which has no header of the kernel's.
struct xfs_geometry {
  unsigned char sizes[64];
  unsigned char id[CPROCESS_XFS_ID_BYTES];
  unsigned char rest[32];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

int cprocess_xfs_id(const char *path, unsigned char id[CPROCESS_XFS_ID_BYTES]) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return -errno;
  struct xfs_geometry geometry = {0};
  int code = ioctl(descriptor, XFS_GEOMETRY, &geometry) < 0 ? -errno : 0;
  close(descriptor);
  if (code == 0) memcpy(id, geometry.id, sizeof geometry.id);
  return code;
}

int cprocess_memory_file(void) {
  int descriptor = memfd_create("mend", MFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

void cprocess_spread_subdirectories(int directory) {
  int flags;
  if (ioctl(directory, FS_IOC_GETFLAGS, &flags) < 0) return;
  flags |= FS_TOPDIR_FL;
  ioctl(directory, FS_IOC_SETFLAGS, &flags);
}
