#define _GNU_SOURCE
#include "CProcess.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// What is written when the process crashes. Stands in a file that is mapped, so the kernel keeps it.
typedef struct {
  uint32_t signal;
  uint32_t length;
  char text[CPROCESS_CRASH_TEXT];
} crash_page;

static crash_page *page;

// Each thread's own; in the program itself, so a signal's handler may read it.
static __thread struct {
  volatile uint32_t length;
  char text[CPROCESS_CRASH_TEXT];
} hand;

// Where the handler runs: of a thread that has used up its stack, nothing else is left. The kernel's part of it depends on
// the processor, and is at most some KiB.
static __thread struct {
  int is_set;
  char bytes[32 * 1024];
} spare;

static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
enum { SIGNALS = sizeof signals / sizeof *signals };
// Who took them before, such as a language's own backtraces.
static struct sigaction before[SIGNALS];

static void crashed(int number, siginfo_t *info, void *context) {
  (void)context;
  // What another process sent says nothing of what is in hand.
  int is_sent = info->si_code == SI_USER || info->si_code == SI_QUEUE || info->si_code == SI_TKILL;
  uint32_t length = is_sent && info->si_pid != getpid() ? 0 : hand.length;
  if (page && page->signal == 0) {
    memcpy(page->text, hand.text, length);
    page->length = length;
    page->signal = (uint32_t)number;
  }
  for (int i = 0; i < SIGNALS; i++) {
    if (signals[i] == number) sigaction(number, &before[i], NULL);
  }
  // Taken as this handler returns: what crashed crashes.
  raise(number);
}

int cprocess_crash_note_open(const char *path) {
  int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return errno;
  int failure = 0;
  // Written, so that there is room for it when it is needed.
  static const crash_page empty;
  if (ftruncate(descriptor, 0) != 0) {
    failure = errno;
  } else if (write(descriptor, &empty, sizeof empty) != sizeof empty) {
    failure = errno ? errno : ENOSPC;
  } else {
    void *mapped = mmap(NULL, sizeof(crash_page), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) failure = errno; else page = mapped;
  }
  close(descriptor);
  if (failure) return failure;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = crashed;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &action, &before[i]);
  return 0;
}

static void take_spare_stack(void) {
  spare.is_set = 1;
  stack_t present;
  // Whoever else gave this thread one keeps it.
  if (sigaltstack(NULL, &present) != 0 || !(present.ss_flags & SS_DISABLE)) return;
  stack_t stack = {.ss_sp = spare.bytes, .ss_size = sizeof spare.bytes};
  sigaltstack(&stack, NULL);
}

void cprocess_crash_note_begin(const char *first, size_t first_length, const char *second, size_t second_length) {
  if (!spare.is_set) take_spare_stack();
  hand.length = 0;
  if (first_length + second_length + 1 > CPROCESS_CRASH_TEXT) return;
  memcpy(hand.text, first, first_length);
  hand.text[first_length] = '/';
  memcpy(hand.text + first_length + 1, second, second_length);
  hand.length = (uint32_t)(first_length + 1 + second_length);
}

void cprocess_crash_note_end(void) { hand.length = 0; }

int cprocess_crash_note_read(const char *path, char *text, size_t *length) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  crash_page found;
  ssize_t count = read(descriptor, &found, sizeof found);
  close(descriptor);
  if (count != sizeof found || found.length > CPROCESS_CRASH_TEXT) return 0;
  memcpy(text, found.text, found.length);
  *length = found.length;
  return (int)found.signal;
}
