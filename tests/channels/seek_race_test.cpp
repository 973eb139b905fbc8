// Seeking while the writer overwrites the marks the reader looks at.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace std::chrono_literals;

namespace {

// Every odd number is missing, so that what lies between two numbers is known
// from the numbers alone.
constexpr std::uint64_t odd_below(std::uint64_t number) { return number / 2; }

struct Findings {
  std::uint64_t seeks = 0;
  std::uint64_t mixed = 0;
  std::uint64_t delivered = 0;
  std::string wrong;
};

std::string check(const Chunk& chunk, SampleNumber stood, const Block& block) {
  const std::uint64_t from = chunk.from.value;
  const std::uint64_t first = chunk.first.value;
  const std::uint64_t missing = odd_below(first) - odd_below(from);
  const auto say = [&](const char* what) {
    return fmt::format("{}: from {} lost {} missing {} first {} count {} row {}", what, from,
                       chunk.lost.value, chunk.missing.value, first, chunk.count.value, chunk.row);
  };
  if (from != stood.value) return say("does not start where it stood");
  if (chunk.missing.value != missing) return say("missing is not what was declared");
  if (from + chunk.lost.value + missing != first) return say("lost is not what was pushed");
  for (std::uint64_t i = 0; i < chunk.count.value; ++i)
    if (block.values<std::int64_t>(0)[i] != static_cast<std::int64_t>(first + i))
      return say("wrong value");
  return {};
}

}  // namespace

TEST_CASE("a seek whose marks are overwritten meanwhile still knows its number") {
  StreamInfo info = test::make_info({SampleType::int64}, 64);
  info.mark_capacity = SampleCount{2};
  Stream stream(info);
  std::atomic<bool> stop{false};
  std::thread writing([&] {
    Writer<std::int64_t> writer(stream);
    while (!stop.load(std::memory_order_relaxed)) {
      writer.push(static_cast<std::int64_t>(writer.next().value));
      writer.gap({1});
    }
  });
  std::array<Findings, 2> findings;
  std::vector<std::thread> seeking;
  for (std::size_t t = 0; t < findings.size(); ++t)
    seeking.emplace_back([&, t] {
      Findings& found = findings[t];
      StreamReader reader(stream);
      Block block(info, 16);
      const auto begin = std::chrono::steady_clock::now();
      // As long again and again until the race was there, but not for ever.
      for (;;) {
        const auto spent = std::chrono::steady_clock::now() - begin;
        if (spent > 10s || (spent > 1s && found.mixed > 0 && found.delivered > 0)) break;
        if (found.seeks % 2 == 0)
          reader.seek_oldest();
        else
          reader.seek_latest({4});
        ++found.seeks;
        for (int reads = 0; reads < 3 && found.wrong.empty(); ++reads) {
          const SampleNumber stood = reader.next();
          const Chunk chunk = reader.read(block);
          found.wrong = check(chunk, stood, block);
          found.mixed += chunk.mixed;
          found.delivered += chunk.count.value;
        }
        if (!found.wrong.empty()) break;
      }
    });
  for (std::thread& thread : seeking) thread.join();
  stop = true;
  writing.join();
  for (const Findings& found : findings) {
    INFO(found.wrong);
    CHECK(found.wrong.empty());
    CHECK(found.mixed > 0);
    CHECK(found.delivered > 0);
  }
}
