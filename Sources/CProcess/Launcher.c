// A process that forks supervisors: messages that carry a descriptor, the fork, and the child's new name.
#define _GNU_SOURCE
#include "CProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

int cprocess_message_pair(int *one, int *other) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return errno;
  *one = ends[0];
  *other = ends[1];
  return 0;
}

static int set_patience(int socket, int option, int milliseconds) {
  struct timeval time = {milliseconds / 1000, (milliseconds % 1000) * 1000};
  return setsockopt(socket, SOL_SOCKET, option, &time, sizeof time) < 0 ? errno : 0;
}

int cprocess_message_patience(int socket, int milliseconds) {
  int error = set_patience(socket, SO_RCVTIMEO, milliseconds);
  return error ? error : set_patience(socket, SO_SNDTIMEO, milliseconds);
}

int cprocess_message_sending_patience(int socket, int milliseconds) {
  return set_patience(socket, SO_SNDTIMEO, milliseconds);
}

int cprocess_message_send(int socket, const void *bytes, size_t count, int descriptor) {
  struct iovec part = {(void *)bytes, count};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

ssize_t cprocess_message_receive(int socket, void *bytes, size_t capacity, int *descriptor) {
  struct iovec part = {bytes, capacity};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control.room;
  *descriptor = -1;
  ssize_t count;
  do count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
      memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
  if (message.msg_flags & MSG_TRUNC) {
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
    return -EMSGSIZE;
  }
  return count;
}

static void child_signal(void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigaction(SIGCHLD, &action, NULL);
}

int cprocess_fork(pid_t *pid, int *pidfd) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, &before);
  // Until it is pinned an ended child has to stay, for its pid must not become another's.
  child_signal(SIG_DFL);
  *pidfd = -1;
  *pid = fork();
  if (*pid == 0) return 0;
  int error = *pid < 0 ? errno : 0;
  if (!error && (*pidfd = (int)syscall(SYS_pidfd_open, *pid, 0)) < 0) {
    error = errno;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  return error;
}

void cprocess_forget_children(void) {
  child_signal(SIG_IGN);
  // Those that ended before the line above.
  while (waitpid(-1, NULL, WNOHANG) > 0) {}
}

int cprocess_close_all_but(int descriptor) {
  if (descriptor > 3 && syscall(SYS_close_range, 3u, (unsigned)descriptor - 1, 0u) < 0) return errno;
  return syscall(SYS_close_range, (unsigned)descriptor + 1, ~0u, 0u) < 0 ? errno : 0;
}

int cprocess_output_to(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return errno;
  int error = dup2(file, 1) < 0 || dup2(file, 2) < 0 ? errno : 0;
  close(file);
  return error;
}

int cprocess_argument_area(cprocess_area *area) {
  char text[2048];
  int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  if (count <= 0) return EIO;
  text[count] = 0;
  const char *at = strrchr(text, ')');
  // The name is field 2; arg_start and arg_end are 48 and 49.
  for (int field = 2; at && field < 48; field++) at = strchr(at + 1, ' ');
  unsigned long start = 0, end = 0;
  if (!at || sscanf(at, "%lu %lu", &start, &end) != 2 || end <= start) return ENOTSUP;
  area->start = start;
  area->size = end - start;
  return 0;
}

int cprocess_set_arguments(const cprocess_area *area, const char *strings, size_t count) {
  if (count > area->size) return E2BIG;
  memcpy((char *)area->start, strings, count);
  memset((char *)area->start + count, 0, area->size - count);
  return 0;
}
