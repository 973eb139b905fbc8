// SIGINT and SIGTERM ask for a clean stop instead of ending the program.
#pragma once

#include <signal.h>

namespace spillway::apps {

// As long as one lives. One at a time.
class StopOnSignals {
 public:
  StopOnSignals();
  ~StopOnSignals();
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;

  [[nodiscard]] static bool requested() noexcept;

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace spillway::apps
