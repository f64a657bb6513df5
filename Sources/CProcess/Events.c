// Waiting for things: signals, descriptors, renames.
#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

int cprocess_signal_descriptor(void) {
  struct sigaction ignore;
  memset(&ignore, 0, sizeof ignore);
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGHUP, &ignore, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  sigaction(SIGXFSZ, &ignore, NULL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGCHLD);
  int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (error) return -error;
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_next_signal(int descriptor) {
  struct signalfd_siginfo information;
  return read(descriptor, &information, sizeof information) == (ssize_t)sizeof information
             ? (int)information.ssi_signo
             : 0;
}

static void end_signals(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGINT);
}

int cprocess_end_signal_descriptor(void) {
  sigset_t set;
  end_signals(&set);
  int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (error) return -error;
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_end_signal_next(int descriptor, pid_t *sender) {
  struct signalfd_siginfo information;
  if (read(descriptor, &information, sizeof information) != (ssize_t)sizeof information) return 0;
  *sender = (pid_t)information.ssi_pid;
  return (int)information.ssi_signo;
}

void cprocess_end_by(int signal_number) {
  sigset_t set;
  end_signals(&set);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int cprocess_poll_create(void) {
  int descriptor = epoll_create1(EPOLL_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_poll_add(int poll, int descriptor, uint64_t token) {
  struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = token}};
  return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? errno : 0;
}

int cprocess_poll_remove(int poll, int descriptor) {
  return epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, NULL) < 0 ? errno : 0;
}

int cprocess_poll_wait(int poll, uint64_t *tokens, int capacity, int timeout) {
  struct epoll_event events[64];
  int count = epoll_wait(poll, events, capacity < 64 ? capacity : 64, timeout);
  for (int i = 0; i < count; i++) tokens[i] = events[i].data.u64;
  return count < 0 ? 0 : count;
}

int cprocess_event_create(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

void cprocess_event_raise(int descriptor) {
  uint64_t one = 1;
  (void)!write(descriptor, &one, sizeof one);
}

void cprocess_event_clear(int descriptor) {
  uint64_t count;
  (void)!read(descriptor, &count, sizeof count);
}

int cprocess_write_watch_create(void) {
  int descriptor = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

int cprocess_write_watch_add(int descriptor, const char *file) {
  int watch = inotify_add_watch(descriptor, file, IN_MODIFY);
  return watch < 0 ? -errno : watch;
}

void cprocess_write_watch_remove(int descriptor, int watch) { inotify_rm_watch(descriptor, watch); }

int cprocess_write_watch_next(int descriptor, int *watches, int capacity) {
  // The kernel hands out whole events only; one takes at most this much.
  char buffer[8 * (sizeof(struct inotify_event) + NAME_MAX + 1)]
      __attribute__((aligned(__alignof__(struct inotify_event))));
  ssize_t length = read(descriptor, buffer, sizeof buffer);
  int count = 0;
  for (ssize_t at = 0; at < length && count < capacity;) {
    const struct inotify_event *event = (const struct inotify_event *)(buffer + at);
    if (event->mask & (IN_MODIFY | IN_Q_OVERFLOW)) watches[count++] = event->wd;
    at += (ssize_t)sizeof *event + event->len;
  }
  return count;
}
