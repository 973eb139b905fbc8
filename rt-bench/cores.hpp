// Which cores the measuring threads run on.
#pragma once

#include <string>
#include <vector>

namespace spillway::bench {

// The cores this process may use, ascending.
[[nodiscard]] std::vector<int> allowed_cores();

// "0,3" as numbers. Throws Error unless they are two different cores this process may use.
[[nodiscard]] std::vector<int> parse_cores(const std::string& text);

// Two to measure on: the last two that are allowed, of different physical cores and of one
// socket if that can be had; low numbers serve the interrupts of most machines. Throws
// Error if only one is allowed.
[[nodiscard]] std::vector<int> choose_cores();

// The same and, if one more is allowed, a third.
[[nodiscard]] std::vector<int> with_a_third(std::vector<int> cores);

// Whether two logical cores are one physical core, as far as the kernel tells.
[[nodiscard]] bool share_a_core(int a, int b);

// Runs the calling thread on `core` alone. For threads that end with what they measure, so
// that nothing needs to be restored. Throws Error if that is not permitted.
void pin_this_thread(int core);

}  // namespace spillway::bench
