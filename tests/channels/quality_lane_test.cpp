#include "spillway/channels/quality_lane.hpp"

#include <algorithm>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;

namespace {

constexpr std::uint64_t slots = 64;

struct Memory {
  std::vector<AtomicWord> words = std::vector<AtomicWord>(slots / 8);

  // Everything a reader may find: what is not older than a lap of whole words.
  std::vector<Quality> readable(std::uint64_t head) const {
    const std::uint64_t begin = head < slots ? 0 : (head + 7) / 8 * 8 - slots;
    std::vector<Quality> out(head - begin);
    copy_lane(words.data(), slots, begin, head, out.data());
    return out;
  }
};

std::vector<Quality> newest(const std::vector<Quality>& all, std::size_t count) {
  return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
}

constexpr Quality suspect(Verdict::suspect, Quality::out_of_range);

}  // namespace

TEST_CASE("a lane of quality holds what was put or filled, whatever the order") {
  test::Random random(7);
  Memory memory;
  QualityLaneWriter lane(memory.words.data(), slots);
  std::vector<Quality> all;
  std::uint64_t clean = 0;
  // One bad sample in so many: from nearly all of them to none for many laps.
  for (const std::uint64_t rarity : {std::uint64_t{2}, std::uint64_t{20}, std::uint64_t{1000}})
    for (int i = 0; i < 2000; ++i) {
      const auto any = [&] {
        return Quality::from_byte(
            static_cast<std::uint8_t>(test::below(random, rarity) == 0 ? random() : 0));
      };
      const std::uint64_t head = all.size();
      const std::uint64_t count = test::below(random, 30);
      switch (test::below(random, 3)) {
        case 0: {
          const Quality quality = any();
          lane.fill(head, quality, count);
          all.insert(all.end(), count, quality);
          break;
        }
        case 1: {
          const Quality quality = any();
          lane.put(head, quality);
          all.push_back(quality);
          break;
        }
        default: {
          const std::uint64_t step = 1 + test::below(random, 3);
          std::vector<Quality> values(count * step + 1, suspect);
          for (std::uint64_t k = 0; k < count; ++k) {
            values[k * step] = any();
            all.push_back(values[k * step]);
          }
          lane.put(head, values.data(), count, step);
        }
      }
      if (all.size() >= lane.clean_from()) ++clean;
      const auto found = memory.readable(all.size());
      REQUIRE(found == newest(all, found.size()));
    }
  // Both ways were taken, often.
  CHECK(clean > 500);
  CHECK(clean < 5500);
}

TEST_CASE("a clean lane of quality is not stored to, and one bad sample is cleared a lap later") {
  Memory memory;
  QualityLaneWriter lane(memory.words.data(), slots);
  // Whatever stands in the words of a clean lane is not touched, which shows it is not stored.
  for (auto& word : memory.words) word = 0x1234;
  lane.fill(0, Quality::good(), 3 * slots);
  for (std::uint64_t i = 3 * slots; i < 5 * slots; ++i) lane.put(i, Quality::good());
  for (const auto& word : memory.words) CHECK(word == 0x1234);

  for (auto& word : memory.words) word = 0;
  const std::uint64_t bad = 5 * slots + 21;
  lane.fill(5 * slots, Quality::good(), 21);
  lane.put(bad, suspect);
  CHECK(lane.clean_from() > bad + slots);
  CHECK(lane.clean_from() <= bad + slots + 8);
  for (std::uint64_t i = bad + 1; i < lane.clean_from(); ++i) lane.put(i, Quality::good());
  for (const auto& word : memory.words) CHECK(word == 0);
}
