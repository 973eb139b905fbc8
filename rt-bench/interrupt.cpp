#include "interrupt.hpp"

#include <unistd.h>

#include <atomic>

namespace spillway::bench {

namespace {

// Lock-free, so that the handler may touch it.
std::atomic<int> signal_that_came{0};
static_assert(std::atomic<int>::is_always_lock_free);

}  // namespace

InterruptGuard::InterruptGuard() noexcept {
  signal_that_came = 0;
  struct sigaction action {};
  action.sa_handler = [](int number) {
    if (signal_that_came != 0) ::_exit(128 + number);
    signal_that_came = number;
  };
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
  sigaction(SIGPIPE, &old_pipe_, nullptr);
}

void check_interrupted() {
  if (signal_that_came != 0) throw Interrupted(signal_that_came);
}

bool interrupted() noexcept { return signal_that_came != 0; }

}  // namespace spillway::bench
