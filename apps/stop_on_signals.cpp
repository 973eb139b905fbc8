#include "stop_on_signals.hpp"

#include <unistd.h>

#include <csignal>

namespace spillway::apps {

namespace {
volatile std::sig_atomic_t stop_requested = 0;
}

StopOnSignals::StopOnSignals() {
  stop_requested = 0;
  struct sigaction action {};
  // A second signal, during a long flush, ends the program at once.
  action.sa_handler = [](int number) {
    if (stop_requested != 0) ::_exit(128 + number);
    stop_requested = 1;
  };
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
  // A full disk by quota shows as an error of write(), not as the end of the program.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &ignore, nullptr);
  // Nor does a terminal or a pipe that went away end an experiment.
  sigaction(SIGPIPE, &ignore, nullptr);
}

StopOnSignals::~StopOnSignals() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
}

bool StopOnSignals::requested() noexcept { return stop_requested != 0; }

}  // namespace spillway::apps
