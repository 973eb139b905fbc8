// Ctrl-C and SIGTERM end a measurement in order.
#pragma once

#include <csignal>
#include <exception>

namespace spillway::bench {

// Thrown where a measurement stops because a signal came.
class Interrupted : public std::exception {
 public:
  explicit Interrupted(int signal) noexcept : signal_(signal) {}
  [[nodiscard]] int signal() const noexcept { return signal_; }
  [[nodiscard]] const char* what() const noexcept override {
    return "interrupted; nothing was written";
  }

 private:
  int signal_;
};

// While it lives, SIGINT and SIGTERM are noted; the second one ends the program at once.
// A terminal or pipe that goes away does not end it. The handlers that were there before come back.
class InterruptGuard {
 public:
  InterruptGuard() noexcept;
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
  struct sigaction old_pipe_ {};
};

// Throws Interrupted if a signal came. For the breaks between measurements.
void check_interrupted();
// For loops that must not throw.
[[nodiscard]] bool interrupted() noexcept;

}  // namespace spillway::bench
