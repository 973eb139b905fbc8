// Random operations on a stream, every chunk of every reader compared with a plain
// record of all that was ever pushed.
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::below;
using test::payload;
using test::Random;

namespace {

// What is true of the stream from some position on.
struct State {
  std::uint64_t clock_sample = 0;
  std::int64_t clock_time = 0;
  std::uint64_t segment = 0;  // irregular: how often time did not increase
  CalibrationSetId calibrations;
  friend bool operator==(const State&, const State&) = default;
  [[nodiscard]] bool same_clock(const State& other) const {
    return clock_sample == other.clock_sample && clock_time == other.clock_time &&
           segment == other.segment;
  }
};

struct Pushed {
  std::uint64_t number;
  Time time;
  std::vector<Quality> quality;
  State state;
};

struct Gap {
  std::uint64_t position;
  std::uint64_t count;
  GapCause cause;
};

// Everything that was pushed. Nothing is ever overwritten here.
struct Record {
  std::deque<Pushed> samples;  // by position
  std::vector<Gap> gaps;
  std::vector<std::uint64_t> marks;  // positions
  std::vector<Anchor> anchors;
  State state;
  std::uint64_t next = 0;
  bool clock_set = false;
  Time last{};
  bool has_last = false;

  [[nodiscard]] std::uint64_t head() const { return samples.size(); }
  [[nodiscard]] std::uint64_t number_at(std::uint64_t position) const {
    return position < head() ? samples[position].number : next;
  }
  [[nodiscard]] std::uint64_t marks_after(std::uint64_t position) const {
    return static_cast<std::uint64_t>(marks.end() -
                                      std::upper_bound(marks.begin(), marks.end(), position));
  }
};

// A reader and what it should know.
struct Tracked {
  explicit Tracked(const Stream& stream, std::size_t frames)
      : reader(stream), block(stream.info(), frames) {}

  StreamReader reader;
  Block block;
  std::uint64_t position = 0;
  std::uint64_t number = 0;
  std::size_t gaps_taken = 0;
  std::uint64_t started = 0, delivered = 0, lost = 0, missing = 0;
  State state;  // of the last delivered sample
  bool has_state = false;
  bool new_segment = false;   // told since then
  bool broken = false;        // loss or gap since then
  bool expects_loss = false;  // the last read stopped at an overwrite
  std::uint64_t anchors_read = 0;
};

class Model {
 public:
  Model(std::uint64_t seed, bool regular)
      : random_(seed), stream_(make(regular)), info_(stream_.info()) {
    visit_writer();
    for (int i = 0; i < 3; ++i) add_reader();
    sets_.push_back({0});
    for (int i = 1; i < 5; ++i) {
      CalibrationSet set(info_.channels.size());
      set[0] = Linear{static_cast<double>(i), 0.5};
      sets_.push_back(stream_.add_calibrations(set));
    }
    record_.marks.push_back(0);
  }

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      step();
      if (++since_check_ % 8 == 0)
        for (auto& t : readers_) check_books(*t);
    }
    for (auto& t : readers_) drain(*t);
  }

  std::uint64_t lossy_chunks = 0, mixed_chunks = 0, delivered = 0;

 private:
  StreamInfo make(bool regular) {
    static constexpr std::array<std::uint64_t, 6> capacities{1, 5, 64, 100, 600, 1000};
    static constexpr std::array<std::uint64_t, 6> marks{2, 3, 7, 16, 63, 200};
    static constexpr std::array<std::uint64_t, 4> blocks{1, 5, 16, 100};
    homogeneous_ = below(random_, 2) == 0;
    const std::uint64_t channels = 1 + below(random_, 3);
    std::vector<SampleType> types;
    const auto any = [&] { return static_cast<SampleType>(below(random_, 10)); };
    const SampleType one = any();
    for (std::uint64_t c = 0; c < channels; ++c) types.push_back(homogeneous_ ? one : any());
    const std::uint64_t capacity = capacities[below(random_, capacities.size())];
    StreamInfo info =
        test::make_info(types, capacity, regular ? std::optional(Rate(24989, 100)) : std::nullopt);
    info.largest_block = SampleCount{blocks[below(random_, blocks.size())]};
    info.mark_capacity = SampleCount{marks[below(random_, marks.size())]};
    info.follow_stamps = below(random_, 4) != 0;
    return info;
  }

  void visit_writer() {
    if (homogeneous_)
      visit_sample_type(info_.channels[0].type, [&]<class T>(std::type_identity<T>) {
        auto writer = std::make_unique<Writer<T>>(stream_);
        push_frames_ = [w = writer.get(), this](std::uint64_t n, std::span<const Time> times,
                                                std::span<const Quality> quality, Quality common) {
          this->push_interleaved(*w, n, times, quality, common);
        };
        keep_ = std::shared_ptr<StreamWriter>(std::move(writer));
      });
    else
      keep_ = std::make_shared<StreamWriter>(stream_);
    writer_ = keep_.get();
  }

  template <class T>
  void push_interleaved(Writer<T>& writer, std::uint64_t n, std::span<const Time> times,
                        std::span<const Quality> quality, Quality common) {
    const std::size_t channels = info_.channels.size();
    std::vector<T> values;
    for (std::uint64_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < channels; ++c) values.push_back(payload<T>(record_.next + i, c));
    if (!times.empty()) {
      if (!quality.empty())
        writer.push(values, times, quality);
      else
        writer.push(values, times, common);
    } else if (!quality.empty()) {
      writer.push(values, quality);
    } else if (n == 1 && channels == 1 && below(random_, 2) == 0) {
      writer.push(values[0], common);
    } else if (n <= info_.largest_block.value && below(random_, 2) == 0) {
      const std::span<T> room = writer.claim(n);
      std::copy(values.begin(), values.end(), room.begin());
      writer.publish(values.size(), common);
    } else {
      writer.push(values, common);
    }
  }

  void push_planar(std::uint64_t n, std::span<const Time> times, std::span<const Quality> quality) {
    const std::size_t channels = info_.channels.size();
    std::vector<std::vector<std::uint64_t>> lanes;  // aligned for every type
    std::vector<const void*> pointers;
    std::vector<std::vector<Quality>> planar(channels);
    std::vector<const Quality*> qualities;
    for (std::size_t c = 0; c < channels; ++c) {
      lanes.emplace_back(n);
      visit_sample_type(info_.channels[c].type, [&]<class T>(std::type_identity<T>) {
        for (std::uint64_t i = 0; i < n; ++i) {
          const T value = payload<T>(record_.next + i, c);
          std::memcpy(reinterpret_cast<char*>(lanes[c].data()) + i * sizeof(T), &value,
                      sizeof value);
        }
      });
      pointers.push_back(lanes[c].data());
      for (std::uint64_t i = 0; i < quality.size() / channels; ++i)
        planar[c].push_back(quality[i * channels + c]);
      qualities.push_back(planar[c].data());
    }
    if (quality.empty())
      writer_->push_lanes(pointers, {n}, {}, times);
    else
      writer_->push_lanes(pointers, {n}, qualities, times);
  }

  void push(std::uint64_t n) {
    const std::size_t channels = info_.channels.size();
    const bool timed = !info_.rate && below(random_, 8) != 0;
    const bool each = below(random_, 3) == 0;
    Quality common;
    if (homogeneous_ && !each && below(random_, 3) == 0)
      common = Quality::from_byte(static_cast<std::uint8_t>(random_()));
    std::vector<Time> times;
    std::vector<Quality> quality;
    std::int64_t t = record_.last.count();
    for (std::uint64_t i = 0; i < n; ++i) {
      if (timed) {
        t += below(random_, 20) == 0 ? -static_cast<std::int64_t>(below(random_, 50))
                                     : 1 + static_cast<std::int64_t>(below(random_, 50));
        times.emplace_back(t);
      }
      if (each)
        for (std::size_t c = 0; c < channels; ++c)
          quality.push_back(test::quality_of(record_.next + i, c));
    }
    if (homogeneous_ && below(random_, 3) != 0) {
      push_frames_(n, times, quality, common);
    } else {
      common = Quality::good();
      push_planar(n, times, quality);
    }
    for (std::uint64_t i = 0; i < n; ++i) {
      Pushed sample{record_.next, {}, std::vector<Quality>(channels, common), {}};
      if (each)
        std::copy_n(quality.begin() + static_cast<std::ptrdiff_t>(i * channels), channels,
                    sample.quality.begin());
      if (!info_.rate) {
        const Time time = timed ? times[i] : record_.last;
        const bool late = !timed || (record_.has_last && time <= record_.last);
        if (late)
          for (Quality& q : sample.quality)
            q = merge(q, Quality(Verdict::suspect, Quality::time_uncertain));
        if (late && timed) {
          ++record_.state.segment;
          record_.marks.push_back(record_.head());
        }
        record_.last = sample.time = time;
        record_.has_last = true;
      } else {
        sample.time = Time(record_.state.clock_time) +
                      info_.rate->duration(record_.next - record_.state.clock_sample);
      }
      sample.state = record_.state;
      record_.samples.push_back(std::move(sample));
      ++record_.next;
    }
  }

  void stamp() {
    const std::uint64_t number = record_.next;
    Time expected{};
    if (info_.rate)
      expected = Time(record_.state.clock_time) +
                 info_.rate->duration(number - record_.state.clock_sample);
    // Clearly below or clearly above half a period of 4 ms.
    static constexpr std::array<std::int64_t, 6> deviations{0,         1'900'000,  -1'900'000,
                                                            2'100'000, -2'100'000, 5'000'000'000};
    const std::int64_t deviation = deviations[below(random_, deviations.size())];
    const Stamp given{expected + Time(deviation), random_()};
    writer_->stamp(given);
    if (info_.rate) {
      if (!record_.clock_set || (info_.follow_stamps && std::abs(deviation) > 2'000'000)) {
        record_.state.clock_sample = number;
        record_.state.clock_time = given.time.count();
        record_.marks.push_back(record_.head());
      }
      record_.clock_set = true;
    }
    record_.anchors.push_back({{number}, given.time, given.ticks});
  }

  void step() {
    switch (below(random_, 14)) {
      case 0:
      case 1:
      case 2: push(below(random_, 8)); break;
      case 3: push(below(random_, 60)); break;
      case 4: push(below(random_, 8) == 0 ? below(random_, 3000) : 1); break;
      case 5: {
        const Gap gap{record_.head(), below(random_, 5) * below(random_, 30),
                      below(random_, 3) == 0 ? GapCause::upstream : GapCause::source};
        writer_->gap({gap.count}, gap.cause);
        if (gap.count == 0) break;
        record_.gaps.push_back(gap);
        record_.marks.push_back(gap.position);
        record_.next += gap.count;
        break;
      }
      case 6: {
        const CalibrationSetId set = sets_[below(random_, sets_.size())];
        writer_->calibrate(set);
        if (set == record_.state.calibrations) break;
        record_.state.calibrations = set;
        record_.marks.push_back(record_.head());
        break;
      }
      case 7: stamp(); break;
      case 8: seek(*readers_[below(random_, readers_.size())]); break;
      case 9:
        if (below(random_, 10) == 0) {
          readers_.erase(readers_.begin());
          add_reader();
        }
        break;
      case 10: read_anchors(*readers_[below(random_, readers_.size())]); break;
      // The last reader of all reads seldom.
      case 11: read(*readers_[below(random_, readers_.size())]); break;
      default: read(*readers_[0]);
    }
    REQUIRE(writer_->next().value == record_.next);
  }

  // Whether the sample at `position` must be readable.
  [[nodiscard]] bool guaranteed(std::uint64_t position) const {
    return position + stream_.capacity().value >= record_.head() &&
           record_.marks_after(position) <= info_.mark_capacity.value;
  }

  void add_reader() {
    static constexpr std::array<std::size_t, 4> frames{1, 7, 64, 5000};
    readers_.push_back(std::make_unique<Tracked>(stream_, frames[below(random_, frames.size())]));
    placed(*readers_.back());
    for (std::uint64_t p = 0; p < readers_.back()->position; ++p) REQUIRE_FALSE(guaranteed(p));
  }

  // Takes over where the reader says it is, which must be a sample or the head.
  void placed(Tracked& t) {
    t.number = t.reader.next().value;
    const auto at = std::lower_bound(record_.samples.begin(), record_.samples.end(), t.number,
                                     [](const Pushed& s, std::uint64_t n) { return s.number < n; });
    t.position = static_cast<std::uint64_t>(at - record_.samples.begin());
    REQUIRE(record_.number_at(t.position) == t.number);
    t.gaps_taken = 0;
    while (t.gaps_taken < record_.gaps.size() && record_.gaps[t.gaps_taken].position <= t.position)
      ++t.gaps_taken;
    t.started = t.number;
    t.delivered = t.lost = t.missing = 0;
    t.has_state = t.new_segment = t.broken = t.expects_loss = false;
    check_books(t);
  }

  void seek(Tracked& t) {
    const std::uint64_t head = record_.head();
    switch (below(random_, 4)) {
      case 0:
        t.reader.seek_oldest();
        placed(t);
        for (std::uint64_t p = 0; p < t.position; ++p) REQUIRE_FALSE(guaranteed(p));
        break;
      case 1: {
        const std::uint64_t count = below(random_, 2 * stream_.capacity().value);
        t.reader.seek_latest({count});
        placed(t);
        const std::uint64_t wanted = head - std::min(head, count);
        REQUIRE(t.position >= wanted);
        for (std::uint64_t p = wanted; p < t.position; ++p) REQUIRE_FALSE(guaranteed(p));
        break;
      }
      case 2: {
        const std::uint64_t wanted = below(random_, record_.next + 20);
        const SampleNumber next = t.reader.seek({wanted});
        REQUIRE(next == t.reader.next());
        placed(t);
        REQUIRE((t.number >= wanted || t.position == head));
        for (std::uint64_t p = 0; p < t.position; ++p)
          if (record_.samples[p].number >= wanted) REQUIRE_FALSE(guaranteed(p));
        break;
      }
      default: {
        if (head == 0) return;
        const Time wanted = record_.samples[below(random_, head)].time +
                            Time(static_cast<std::int64_t>(below(random_, 3)) - 1);
        t.reader.seek(wanted);
        placed(t);
        if (t.position < head) REQUIRE(record_.samples[t.position].time >= wanted);
        for (std::uint64_t p = 0; p < t.position; ++p)
          if (record_.samples[p].time >= wanted) REQUIRE_FALSE(guaranteed(p));
      }
    }
  }

  void read_anchors(Tracked& t) {
    std::array<Anchor, 7> anchors;
    const std::uint64_t lost_before = t.reader.anchors_lost();
    const std::size_t n = t.reader.read_anchors(anchors);
    const std::uint64_t lost = t.reader.anchors_lost() - lost_before;
    t.anchors_read += lost;
    // Only what more anchors than are kept pushed out may be lost.
    if (lost > 0)
      REQUIRE(record_.anchors.size() - t.anchors_read <= 4 * (info_.mark_capacity.value + 2));
    if (lost > 0) REQUIRE(record_.anchors.size() - t.anchors_read >= info_.mark_capacity.value);
    for (std::size_t i = 0; i < n; ++i) {
      const Anchor& expected = record_.anchors.at(t.anchors_read++);
      REQUIRE(anchors[i].sample == expected.sample);
      REQUIRE(anchors[i].time == expected.time);
      REQUIRE(anchors[i].ticks == expected.ticks);
    }
    if (n < anchors.size()) REQUIRE(t.anchors_read == record_.anchors.size());
  }

  void check_books(Tracked& t) {
    const Accounting books = t.reader.accounting();
    REQUIRE(books.produced.value == record_.next - t.started);
    REQUIRE(books.delivered.value == t.delivered);
    REQUIRE(books.lost.value == t.lost);
    REQUIRE(books.missing.value == t.missing);
    REQUIRE(books.pending.value == record_.next - t.number);
    REQUIRE(t.reader.next().value == t.number);
    REQUIRE(t.reader.pending().value == record_.head() - t.position);
  }

  Chunk read(Tracked& t) {
    const std::uint64_t head = record_.head();
    const Chunk chunk = t.reader.read(t.block);
    INFO("chunk from " << chunk.from.value << " lost " << chunk.lost.value << " missing "
                       << chunk.missing.value << " count " << chunk.count.value << " stop "
                       << static_cast<int>(chunk.stop) << " at position " << t.position << " of "
                       << head);
    REQUIRE(chunk.from.value == t.number);
    REQUIRE(chunk.first.value == chunk.from.value + chunk.lost.value + chunk.missing.value);
    REQUIRE(chunk.count.value <= t.block.frames());
    if (t.expects_loss) REQUIRE((chunk.lost.value > 0 || chunk.mixed));
    const std::uint64_t position = t.position + chunk.lost.value;
    REQUIRE(position + chunk.count.value <= head);
    for (std::uint64_t p = t.position; p < position; ++p) REQUIRE_FALSE(guaranteed(p));
    if (chunk.mixed) REQUIRE(record_.marks_after(t.position) + 1 >= info_.mark_capacity.value);

    std::uint64_t missing = 0;
    std::size_t gap = t.gaps_taken;
    while (missing < chunk.missing.value) {
      REQUIRE(gap < record_.gaps.size());
      REQUIRE(record_.gaps[gap].position <= position);
      if (!chunk.mixed) {
        REQUIRE(record_.gaps[gap].position == position);
        REQUIRE(record_.gaps[gap].cause == chunk.cause);
      }
      missing += record_.gaps[gap++].count;
    }
    REQUIRE(missing == chunk.missing.value);
    if (gap < record_.gaps.size() && (chunk.count.value > 0 || chunk.lost.value > 0))
      REQUIRE(record_.gaps[gap].position >= (chunk.count.value > 0 ? position + 1 : position));
    t.gaps_taken = gap;

    t.broken = t.broken || chunk.lost.value > 0 || chunk.missing.value > 0;
    t.new_segment = t.new_segment || chunk.new_segment;
    if (chunk.lost.value > 0 || chunk.missing.value > 0) REQUIRE(chunk.new_segment);
    REQUIRE(chunk.row == position);
    if (chunk.count.value > 0) check_samples(t, chunk, position);

    const std::uint64_t end = position + chunk.count.value;
    switch (chunk.stop) {
      case Stop::drained: REQUIRE(end == head); break;
      case Stop::full: REQUIRE(chunk.count.value == t.block.frames()); break;
      case Stop::gap:
        REQUIRE(gap < record_.gaps.size());
        REQUIRE(record_.gaps[gap].position == end);
        break;
      case Stop::time_step:
        REQUIRE(std::binary_search(record_.marks.begin(), record_.marks.end(), end));
        break;
      case Stop::calibration:
        REQUIRE(std::binary_search(record_.marks.begin(), record_.marks.end(), end));
        break;
      case Stop::overwritten: REQUIRE(chunk.count.value == 0); break;
    }
    t.expects_loss = chunk.stop == Stop::overwritten && !chunk.mixed;
    t.position = end;
    t.number = chunk.first.value + chunk.count.value;
    t.delivered += chunk.count.value;
    t.lost += chunk.lost.value;
    t.missing += chunk.missing.value;
    delivered += chunk.count.value;
    lossy_chunks += chunk.lost.value > 0;
    mixed_chunks += chunk.mixed;
    check_books(t);
    return chunk;
  }

  void check_samples(Tracked& t, const Chunk& chunk, std::uint64_t position) {
    const Pushed& first = record_.samples[position];
    REQUIRE(chunk.time == first.time);
    REQUIRE(chunk.calibrations == first.state.calibrations);
    if (info_.rate) {
      REQUIRE(chunk.clock_sample.value == first.state.clock_sample);
      REQUIRE(chunk.clock_time.count() == first.state.clock_time);
    }
    if (t.has_state) {
      const bool expected = t.broken || !t.state.same_clock(first.state);
      REQUIRE(t.new_segment == expected);
    }
    for (std::uint64_t i = 0; i < chunk.count.value; ++i) {
      const Pushed& sample = record_.samples[position + i];
      REQUIRE(sample.number == chunk.first.value + i);
      REQUIRE(sample.state == first.state);
      if (!info_.rate) REQUIRE(t.block.times()[i] == sample.time);
      for (std::size_t c = 0; c < info_.channels.size(); ++c) {
        REQUIRE(t.block.quality(c)[i] == sample.quality[c]);
        visit_sample_type(info_.channels[c].type, [&]<class T>(std::type_identity<T>) {
          REQUIRE(t.block.values<T>(c)[i] == payload<T>(sample.number, c));
        });
      }
    }
    t.state = first.state;
    t.has_state = true;
    t.broken = t.new_segment = false;
  }

  void drain(Tracked& t) {
    // Progress: a chunk has samples, or takes at least a mark or a loss.
    const std::uint64_t most = record_.head() + record_.marks.size() + 10;
    for (std::uint64_t i = 0; i < most && t.number < record_.next; ++i) read(t);
    REQUIRE(t.number == record_.next);
    REQUIRE(read(t).stop == Stop::drained);
  }

  Random random_;
  bool homogeneous_ = false;
  Stream stream_;
  const StreamInfo& info_;
  std::shared_ptr<StreamWriter> keep_;
  StreamWriter* writer_ = nullptr;
  std::function<void(std::uint64_t, std::span<const Time>, std::span<const Quality>, Quality)>
      push_frames_;
  std::vector<CalibrationSetId> sets_;
  std::vector<std::unique_ptr<Tracked>> readers_;
  Record record_;
  std::uint64_t since_check_ = 0;
};

void run_models(bool regular) {
  std::uint64_t lossy = 0, mixed = 0, delivered = 0;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    INFO("seed " << seed << (regular ? " regular" : " irregular"));
    Model model(seed, regular);
    model.run(400);
    lossy += model.lossy_chunks;
    mixed += model.mixed_chunks;
    delivered += model.delivered;
  }
  // The hard cases were among them.
  CHECK(lossy > 500);
  CHECK(mixed > 100);
  CHECK(delivered > 100'000);
}

}  // namespace

TEST_CASE("model: a regular stream under random operations is what was pushed") {
  run_models(true);
}
TEST_CASE("model: an irregular stream under random operations is what was pushed") {
  run_models(false);
}
