#include "spillway/channels/lane.hpp"

#include <memory>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;

namespace {

constexpr std::uint64_t slots = 64;

struct Words {
  std::vector<AtomicWord> words = std::vector<AtomicWord>(slots);

  template <class T>
  std::vector<T> copy(std::uint64_t begin, std::uint64_t end) const {
    // A guard on both sides: nothing outside of the range may be touched.
    std::vector<T> out(end - begin + 2, T{});
    std::memset(static_cast<void*>(out.data()), 0x5A, out.size() * sizeof(T));
    T guard;
    std::memset(static_cast<void*>(&guard), 0x5A, sizeof guard);
    copy_lane(words.data(), slots, begin, end, out.data() + 1);
    REQUIRE(std::memcmp(&out.front(), &guard, sizeof guard) == 0);
    REQUIRE(std::memcmp(&out.back(), &guard, sizeof guard) == 0);
    return {out.begin() + 1, out.end() - 1};
  }
};

template <class T>
std::vector<T> payloads(std::uint64_t begin, std::uint64_t end) {
  std::vector<T> values;
  for (std::uint64_t n = begin; n < end; ++n) values.push_back(test::payload<T>(n, 0));
  return values;
}

}  // namespace

#define EVERY_TYPE                                                                    \
  std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t, \
      std::uint32_t, std::uint64_t, float, double

TEMPLATE_TEST_CASE("a block put at any place and of any length is its single puts", "",
                   EVERY_TYPE) {
  for (std::uint64_t start = 0; start < 17; ++start)
    for (std::uint64_t length = 0; length <= 40; ++length) {
      Words single;
      Words block;
      LaneWriter one(single.words.data(), slots);
      LaneWriter all(block.words.data(), slots);
      const auto before = payloads<TestType>(0, start);
      const auto values = payloads<TestType>(start, start + length);
      const auto after = payloads<TestType>(start + length, start + length + 9);
      for (std::uint64_t n = 0; n < start + length + 9; ++n)
        one.put(n, test::payload<TestType>(n, 0));
      all.put(0, before.data(), before.size(), 1);
      all.put(start, values.data(), length, 1);
      // What follows a block finds the unfinished word as the block left it.
      for (std::uint64_t i = 0; i < 9; ++i) all.put(start + length + i, after[i]);
      REQUIRE(block.copy<TestType>(0, start + length + 9) ==
              single.copy<TestType>(0, start + length + 9));
      REQUIRE(block.copy<TestType>(start, start + length) == values);
    }
}

TEMPLATE_TEST_CASE("random puts over many laps are read back from every place", "", EVERY_TYPE) {
  test::Random random(6);
  Words memory;
  LaneWriter lane(memory.words.data(), slots);
  std::uint64_t head = 0;
  while (head < 20 * slots) {
    const std::uint64_t count = test::below(random, 24);
    const std::uint64_t step = 1 + test::below(random, 3);
    if (count == 1) {
      lane.put(head, test::payload<TestType>(head, 0));
    } else {
      std::vector<TestType> strided(count * step + 1, TestType{77});
      for (std::uint64_t i = 0; i < count; ++i)
        strided[i * step] = test::payload<TestType>(head + i, 0);
      lane.put(head, strided.data(), count, step);
    }
    head += count;
    // The slots of the word that holds the head are no longer all of the last lap.
    const std::uint64_t lowest = head < slots ? 0 : (head + 7) / 8 * 8 - slots;
    const std::uint64_t begin = lowest + test::below(random, head - lowest + 1);
    const std::uint64_t end = begin + test::below(random, head - begin + 1);
    REQUIRE(memory.copy<TestType>(begin, end) == payloads<TestType>(begin, end));
  }
}

TEST_CASE("a lane stores nothing outside of the words it was given the positions of") {
  Words memory;
  for (auto& word : memory.words) word = ~std::uint64_t{0};
  LaneWriter lane(memory.words.data(), slots);
  lane.put(std::uint64_t{0}, payloads<std::int16_t>(0, 13).data(), 13, 1);
  // 13 samples of 2 bytes take 4 words.
  for (std::size_t w = 4; w < memory.words.size(); ++w) CHECK(memory.words[w] == ~std::uint64_t{0});
}
