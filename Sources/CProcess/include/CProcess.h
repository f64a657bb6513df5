// What Swift cannot reach of Linux's process calls: variadic system calls, macros, and the code between clone and exec.
// Everything returns 0 or a positive errno unless it says otherwise. No state is kept.
#pragma once
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
  // Strings one after the other, each ended by NUL. The first argument is the program's absolute path.
  const char *arguments;
  size_t argument_count;
  const char *environment;
  size_t environment_count;
  const char *directory;  // NULL: stay
  // -1: /dev/null. `extra` becomes descriptor 3; -1: none. Every other descriptor is closed by exec.
  int input, output, error, extra;
  uint64_t limit_core, limit_address_space;  // bytes; UINT64_MAX: leave
  uint64_t limit_open_files;                 // soft and hard; UINT64_MAX: leave
  uint64_t soft_limit_open_files;            // where there is none of the above; UINT64_MAX: leave
  int64_t user, group;                       // whom it runs as, with no other groups; negative: as the caller
  int death_signal;                          // what the child gets when the calling thread ends; 0: nothing
  int signals_blocked;                       // not 0: start with the signals of cprocess_signal_descriptor blocked
  int oom_score;                             // of /proc/self/oom_score_adj; 0: leave
} cprocess_child;

// Starts a child in its own session with default signal handling. Returns once it has called exec; if it could not,
// errno's value is returned and nothing is left of it. `pidfd` is close-on-exec.
int cprocess_spawn(const cprocess_child *child, pid_t *pid, int *pidfd);

// To a spawn's actions: closes every descriptor from `first` on.
int cprocess_spawn_closing_from(posix_spawn_file_actions_t *actions, int first);

// Both ends close-on-exec; the reading one does not block.
int cprocess_pipe(int *reading, int *writing);

// Pins a process: a descriptor, or the negative errno. Close-on-exec by the kernel.
int cprocess_pidfd_open(pid_t pid);
int cprocess_pidfd_signal(int pidfd, int signal);

// Orphaned descendants become children of this process instead of init's.
int cprocess_become_subreaper(void);

// Collects one ended child without waiting: 1 (pid, and the exit code or the signal), 0 (none has ended), -1 (there are
// no children at all, ended or not).
int cprocess_reap_any(pid_t *pid, int *exit_code, int *signal);
// Collects the child behind a pidfd if it has ended. ECHILD: not a child of this process.
int cprocess_reap(int pidfd);
// Ends the child behind a pidfd and collects it.
void cprocess_kill_child(int pidfd);
// Of all children that were collected, and of those that they collected.
double cprocess_children_cpu_seconds(void);

// Blocks SIGTERM, SIGINT, SIGCHLD, ignores SIGHUP, SIGPIPE and SIGXFSZ, and gives a non-blocking descriptor that reads the
// former (or the negative errno).
int cprocess_signal_descriptor(void);
// The next signal that arrived, 0 if none.
int cprocess_next_signal(int descriptor);

// Blocks SIGTERM and SIGINT in this thread and in those that it starts from now on, and gives a non-blocking descriptor
// that reads them (or the negative errno).
int cprocess_end_signal_descriptor(void);
// The next one that arrived and who sent it, 0 if none: certain from the moment of its sending, where every thread
// blocks them.
int cprocess_end_signal_next(int descriptor, pid_t *sender);
// Lets SIGTERM or SIGINT, with its default action, end this process.
void cprocess_end_by(int signal_number);

// epoll, reduced to "is readable": a descriptor or the negative errno.
int cprocess_poll_create(void);
int cprocess_poll_add(int poll, int descriptor, uint64_t token);
int cprocess_poll_remove(int poll, int descriptor);
// How many of `tokens` are set; 0 at the time-out or after a signal. Milliseconds; -1 waits for ever.
int cprocess_poll_wait(int poll, uint64_t *tokens, int capacity, int timeout);

// A non-blocking counter that a poll sees as readable: a descriptor or the negative errno.
int cprocess_event_create(void);
void cprocess_event_raise(int descriptor);
void cprocess_event_clear(int descriptor);

// FS_TOPDIR_FL, where the file system has it.
void cprocess_spread_subdirectories(int directory);

// inotify, reduced to "this file was written to".
int cprocess_write_watch_create(void);
// A watch number or the negative errno.
int cprocess_write_watch_add(int descriptor, const char *file);
void cprocess_write_watch_remove(int descriptor, int watch);
// The watch numbers that have news; how many, 0 if there are none (any more). -1 stands for "some were dropped".
int cprocess_write_watch_next(int descriptor, int *watches, int capacity);

// A pair of sockets that keep messages apart; both close-on-exec.
int cprocess_message_pair(int *one, int *other);
// How long sending and receiving may take from now on; then EAGAIN.
int cprocess_message_patience(int socket, int milliseconds);
// The same of sending alone.
int cprocess_message_sending_patience(int socket, int milliseconds);
// One message, and with it a descriptor (-1: none).
int cprocess_message_send(int socket, const void *bytes, size_t count, int descriptor);
// The length of the next message; 0 when the other end was closed, else the negative errno. `descriptor` is what came
// with it, close-on-exec, or -1, also if this process has no room for another one. A message that is longer than
// `capacity` is EMSGSIZE.
ssize_t cprocess_message_receive(int socket, void *bytes, size_t capacity, int *descriptor);

// Forks a process that has one thread. In the child: 0 with `*pid` 0, and the signals of cprocess_signal_descriptor are
// blocked. In the parent: the child, pinned; ended, it stays until cprocess_forget_children.
int cprocess_fork(pid_t *pid, int *pidfd);
// From now to the next fork children vanish as they end.
void cprocess_forget_children(void);
// Closes every descriptor but 0, 1, 2 and this one.
int cprocess_close_all_but(int descriptor);
// Standard output and error go to the end of this file.
int cprocess_output_to(const char *path);

// Where the kernel reads this process's command line from.
typedef struct {
  uintptr_t start;
  size_t size;
} cprocess_area;
int cprocess_argument_area(cprocess_area *area);
// Replaces it by strings that are each ended by NUL; what is left of it becomes NUL. E2BIG: they do not fit.
int cprocess_set_arguments(const cprocess_area *area, const char *strings, size_t count);

// What the kernel knows a file by on its file system, wherever that is mounted: its type in four bytes, and its own. Gives
// the length, or the negative errno; EOPNOTSUPP where the file system has no such thing.
#define CPROCESS_HANDLE_BYTES 132
int cprocess_file_handle(const char *path, unsigned char bytes[CPROCESS_HANDLE_BYTES]);
// As statfs numbers the kinds; 0: it does not say.
uint32_t cprocess_file_system_kind(const char *path);
// The id of the XFS file system that a directory is on: 0 or the negative errno.
#define CPROCESS_XFS_ID_BYTES 16
int cprocess_xfs_id(const char *path, unsigned char id[CPROCESS_XFS_ID_BYTES]);

// A file in memory, without a name, that ends with this process: a descriptor or the negative errno. Close-on-exec.
int cprocess_memory_file(void);

// What a thread has in hand when the process crashes by a signal of its own making (a trap, a bad access, an abort) is
// written into a file, for the next process to find. SIGKILL and a power cut leave nothing, and what another process
// sends accuses nobody. This part keeps state.
#define CPROCESS_CRASH_TEXT 160
// Empties the file, and takes the signals' handlers. Once a process.
int cprocess_crash_note_open(const char *path);
// From now on this thread has `first/second` in hand; longer ones are left out.
void cprocess_crash_note_begin(const char *first, size_t first_length, const char *second, size_t second_length);
void cprocess_crash_note_end(void);
// The signal that an earlier process crashed by, and what it had in hand; 0: it did not crash.
// `text` has room for CPROCESS_CRASH_TEXT bytes.
int cprocess_crash_note_read(const char *path, char *text, size_t *length);
