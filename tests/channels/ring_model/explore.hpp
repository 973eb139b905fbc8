// Runs a scenario again and again, each time with another interleaving and other values
// that the memory model lets a load find. Keeps Relacy, and its macros, to itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>

namespace spillway::model {

inline constexpr unsigned thread_count = 3;

// One execution of a scenario. The constructor and `finish` have no concurrency.
class Execution {
 public:
  virtual ~Execution() = default;
  virtual void run(unsigned thread) = 0;
  virtual void finish() = 0;
};

// Which of all executions: numbers that tell everything about one, from 1.
struct Executions {
  std::uint64_t first;
  std::uint64_t last;
};

struct Failure {
  std::uint64_t execution;
  std::string what;
};

// Until the first failure. Its history goes to `history`, if any.
std::optional<Failure> explore(const std::function<std::unique_ptr<Execution>()>& make,
                               Executions executions, std::ostream* history = nullptr);

// The rest is for executions. Ends this one, which has failed.
[[noreturn]] void fail(const char* what) noexcept;
inline void expect(bool condition, const char* what) noexcept {
  if (!condition) fail(what);
}

// A number below `limit`, different from execution to execution.
[[nodiscard]] unsigned choose(unsigned limit) noexcept;

// What one thread did before it hands over happens before what another does after it takes
// over, as with a mutex or the start of a thread. Once an execution.
void hand_over() noexcept;
void take_over() noexcept;

}  // namespace spillway::model
