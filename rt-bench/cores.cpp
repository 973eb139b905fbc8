#include "cores.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "files.hpp"
#include "spillway/channels/error.hpp"

namespace spillway::bench {

namespace {

std::string topology(int core, const char* what) {
  return first_line(fmt::format("/sys/devices/system/cpu/cpu{}/topology/{}", core, what));
}

std::optional<int> to_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return {};
  return number;
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    throw Error(fmt::format("sched_getaffinity: {}", std::strerror(errno)));
  std::vector<int> cores;
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  return cores;
}

std::vector<int> parse_cores(const std::string& text) {
  const std::size_t comma = text.find(',');
  const auto bad = [&](const std::string& why) {
    throw Error(fmt::format("--cores {}: {}; this process may use {}", text, why,
                            fmt::join(allowed_cores(), ", ")));
  };
  if (comma == std::string::npos) bad("wanted are two core numbers, as in 0,1");
  const std::optional<int> a = to_number(std::string_view(text).substr(0, comma));
  const std::optional<int> b = to_number(std::string_view(text).substr(comma + 1));
  if (!a || !b) bad("wanted are two core numbers, as in 0,1");
  if (*a == *b) bad("producer and consumer need a core each");
  const std::vector<int> allowed = allowed_cores();
  for (const int core : {*a, *b})
    if (std::ranges::find(allowed, core) == allowed.end())
      bad(fmt::format("there is no core {} for this process", core));
  return {*a, *b};
}

std::vector<int> choose_cores() {
  std::vector<int> allowed = allowed_cores();
  if (allowed.size() < 2)
    throw Error(fmt::format("this needs two cores, but this process may use only core {}",
                            fmt::join(allowed, ", ")));
  std::ranges::reverse(allowed);
  // The best pair is the first one of the best kind.
  std::pair<int, int> best{};
  int best_kind = -1;
  for (std::size_t i = 0; i < allowed.size(); ++i)
    for (std::size_t k = i + 1; k < allowed.size(); ++k) {
      const bool apart = !share_a_core(allowed[k], allowed[i]);
      const bool one_socket = topology(allowed[k], "physical_package_id") ==
                              topology(allowed[i], "physical_package_id");
      const int kind = (apart ? 2 : 0) + (one_socket ? 1 : 0);
      if (kind > best_kind) {
        best_kind = kind;
        best = {allowed[k], allowed[i]};
      }
      if (kind == 3) return {best.first, best.second};
    }
  return {best.first, best.second};
}

std::vector<int> with_a_third(std::vector<int> cores) {
  for (const int core : allowed_cores())
    if (std::ranges::find(cores, core) == cores.end()) {
      cores.push_back(core);
      break;
    }
  return cores;
}

bool share_a_core(int a, int b) {
  const std::string siblings = topology(a, "thread_siblings_list");
  return !siblings.empty() && siblings == topology(b, "thread_siblings_list");
}

void pin_this_thread(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  if (error != 0)
    throw Error(fmt::format("can't run a thread on core {}: {}", core, std::strerror(error)));
}

}  // namespace spillway::bench
