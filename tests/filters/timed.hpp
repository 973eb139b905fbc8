// Irregular times for the tests of filters that use them.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "support.hpp"

namespace spillway::test {

// Feeds a filter the times of its frames, so that run() and check_laws() need not know of them.
template <class Filter>
class Timed {
 public:
  Timed(Filter filter, std::vector<Time> times)
      : filter_(std::move(filter)),
        times_(std::make_shared<const std::vector<Time>>(std::move(times))) {}

  auto process(ConstFrames in, Frames out) noexcept {
    in.times = std::span(*times_).subspan(next_, in.count());
    in.first = next_;
    next_ += in.count();
    return filter_.process(in, out);
  }
  void reset() noexcept {
    filter_.reset();
    next_ = 0;
  }
  void gap() noexcept { filter_.gap(); }
  void save_state(StateWriter& writer) const {
    writer.put(next_);
    filter_.save_state(writer);
  }
  void load_state(StateReader& reader) {
    std::uint64_t next = 0;
    reader.get(next);
    filter_.load_state(reader);
    next_ = next;
  }

 private:
  Filter filter_;
  std::shared_ptr<const std::vector<Time>> times_;
  std::uint64_t next_ = 0;
};

// With a gap before each of the frames in `gaps`.
template <class Filter>
Signal run_over_gaps(Filter& filter, const Signal& in, const std::vector<std::size_t>& gaps) {
  Signal out{{}, {}, in.lanes};
  std::size_t from = 0;
  for (const std::size_t gap : gaps) {
    out.append(run(filter, in.part(from, gap)));
    filter.gap();
    from = gap;
  }
  out.append(run(filter, in.part(from, in.frames())));
  return out;
}

// State that is saved between a gap and the next sample knows of the gap.
template <class Filter>
void check_state_at_gap(const Filter& filter, const Signal& in, std::size_t gap) {
  Filter before = filter;
  (void)run(before, in.part(0, gap));
  before.gap();
  StateWriter writer;
  before.save_state(writer);
  Filter after = filter;
  (void)run(after, in);
  StateReader reader(writer.bytes());
  after.load_state(reader);
  const Signal rest = in.part(gap, in.frames());
  CHECK(run(after, rest) == run(before, rest));
}

inline std::vector<std::size_t> any_gaps(Random& random, std::size_t frames) {
  std::vector<std::size_t> gaps;
  for (std::size_t k = random.below(150); k < frames; k += 1 + random.below(200)) gaps.push_back(k);
  return gaps;
}

// Rising by 1 ns to 20 ms.
inline std::vector<Time> uneven_times(Random& random, std::size_t frames) {
  std::vector<Time> times;
  Time t(static_cast<std::int64_t>(random.below(2'000'000'000)) - 1'000'000'000);
  for (std::size_t f = 0; f < frames; ++f) {
    times.push_back(t);
    t += Time(1 + static_cast<std::int64_t>(random.below(random.below(3) == 0 ? 20'000'000 : 100)));
  }
  return times;
}

inline std::vector<Time> even_times(std::size_t frames, Time step) {
  std::vector<Time> times;
  for (std::size_t f = 0; f < frames; ++f) times.push_back(static_cast<std::int64_t>(f) * step);
  return times;
}

}  // namespace spillway::test
