#include "scenario.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "plan.hpp"

namespace spillway::model {

namespace {

// The smallest ring there is: 16 slots, announced by 8, and 4 marks.
constexpr std::uint64_t largest_block = 6;
constexpr std::uint64_t largest_push = 8;
constexpr std::uint64_t stride = 8;

StreamInfo info_of(const Scenario& scenario) {
  StreamInfo info = test::make_info(scenario.types, 1,
                                    scenario.irregular ? std::nullopt : std::optional(Plan::rate));
  info.largest_block = SampleCount{largest_block};
  info.mark_capacity = SampleCount{2};
  return info;
}

constexpr std::uint64_t Reached::*reached_members[]{&Reached::reads, &Reached::lost,
                                                    &Reached::torn,  &Reached::dropped,
                                                    &Reached::mixed, &Reached::anchors_lost};
Reached all_reached;

template <Sample T>
std::array<T, largest_push> payloads(std::uint64_t n, std::uint64_t count, std::uint64_t channel) {
  std::array<T, largest_push> values{};
  for (std::uint64_t i = 0; i < count; ++i) values[i] = test::payload<T>(n + i, channel);
  return values;
}

// The writer, and beside it what it has done: nothing of that is shared in the model, so
// it tells the truth at every moment.
class Writing {
 public:
  Writing(const Scenario& scenario, const Plan& plan, Stream& stream)
      : scenario_(scenario), plan_(plan) {
    if (scenario.types.size() > 1) {
      writer_ = std::make_shared<StreamWriter>(stream);
      push_ = [this](std::uint64_t n, std::uint64_t count) { push_planar(n, count); };
    } else {
      visit_sample_type(scenario.types[0], [&]<class T>(std::type_identity<T>) {
        auto writer = std::make_shared<Writer<T>>(stream);
        push_ = [this, w = writer.get()](std::uint64_t n, std::uint64_t count) {
          this->push_alone(*w, n, count);
        };
        writer_ = std::move(writer);
      });
    }
  }

  // Pushes `samples` more.
  void run(std::uint64_t samples) {
    const std::uint64_t end = writer_->pushed() + samples;
    while (writer_->pushed() < end) {
      std::uint64_t n = writer_->next().value;
      if (plan_.begins_cell(n)) n = begin_cell(n);
      for (unsigned i = scenario_.stamps > 0 ? choose(scenario_.stamps + 1) : 0; i > 0; --i)
        stamp(Time(static_cast<std::int64_t>(test::hash(anchors_.size()) >> 8)));
      std::uint64_t count = 1 + choose(static_cast<unsigned>(scenario_.largest_push));
      count = std::min(count, end - writer_->pushed());
      if (plan_.cell > 0) count = std::min(count, plan_.cell - n % plan_.cell);
      most_ = n + count;
      push_(n, count);
    }
  }

  [[nodiscard]] std::uint64_t next() const { return writer_->next().value; }
  [[nodiscard]] std::uint64_t pushed() const { return writer_->pushed(); }
  // No number from here on has been produced yet.
  [[nodiscard]] std::uint64_t most() const { return most_; }
  [[nodiscard]] const std::vector<Anchor>& anchors() const { return anchors_; }

 private:
  std::uint64_t begin_cell(std::uint64_t n) {
    const std::uint64_t k = plan_.cell_of(n);
    most_ = plan_.first_in(k);
    writer_->gap({plan_.missing_in(k)}, plan_.cause_of(k));
    if (!scenario_.irregular && plan_.sets_clock(k)) stamp(plan_.clock_time(k));
    writer_->calibrate({plan_.set_of(k)});
    return most_;
  }

  void stamp(Time time) {
    const std::uint64_t ticks = test::hash(anchors_.size());
    anchors_.push_back({writer_->next(), time, ticks});
    writer_->stamp({time, ticks});
  }

  template <Sample T>
  void push_alone(Writer<T>& writer, std::uint64_t n, std::uint64_t count) {
    const auto values = payloads<T>(n, count, 0);
    const auto frames = std::span(values).first(count);
    std::array<Quality, largest_push> quality;
    std::array<Time, largest_push> times;
    for (std::uint64_t i = 0; i < count; ++i) {
      quality[i] = plan_.quality(n + i, 0);
      times[i] = Plan::time(n + i);
    }
    const auto qualities = std::span<const Quality>(quality).first(count);
    const bool alike = std::ranges::all_of(qualities, [&](Quality q) { return q == quality[0]; });
    if (scenario_.irregular)
      writer.push(frames, std::span<const Time>(times).first(count), qualities);
    else if (count == 1)
      writer.push(values[0], quality[0]);
    else if (alike)
      writer.push(frames, quality[0]);
    else
      writer.push(frames, qualities);
  }

  void push_planar(std::uint64_t n, std::uint64_t count) {
    constexpr std::size_t most_channels = 2;
    std::array<std::array<std::uint64_t, largest_push>, most_channels> values;
    std::array<std::array<Quality, largest_push>, most_channels> quality;
    std::array<const void*, most_channels> lanes{};
    std::array<const Quality*, most_channels> qualities{};
    for (std::size_t c = 0; c < scenario_.types.size(); ++c) {
      visit_sample_type(scenario_.types[c], [&]<class T>(std::type_identity<T>) {
        const auto of_type = payloads<T>(n, count, c);
        std::memcpy(values[c].data(), of_type.data(), sizeof of_type);
      });
      for (std::uint64_t i = 0; i < count; ++i) quality[c][i] = plan_.quality(n + i, c);
      lanes[c] = values[c].data();
      qualities[c] = quality[c].data();
    }
    writer_->push_lanes(std::span(lanes).first(scenario_.types.size()), {count},
                        std::span(qualities).first(scenario_.types.size()));
  }

  const Scenario& scenario_;
  const Plan& plan_;
  std::shared_ptr<StreamWriter> writer_;  // shared, because that remembers how to delete it
  std::function<void(std::uint64_t, std::uint64_t)> push_;
  std::uint64_t most_ = 0;
  std::vector<Anchor> anchors_;
};

// A reader, and everything that must be true of what it gets.
class Reading {
 public:
  Reading(const Scenario& scenario, const Plan& plan, const Stream& stream, const Writing& writing)
      : scenario_(scenario),
        plan_(plan),
        writing_(writing),
        reader_(stream),
        block_(stream.info(), 1 + choose(4)) {
    placed();
  }

  void seek() {
    switch (choose(3)) {
      case 0: reader_.seek_oldest(); break;
      case 1: reader_.seek_latest({choose(4)}); break;
      default: reader_.seek(reader_.next() + SampleCount{choose(8)});
    }
    placed();
  }

  void read() {
    const Chunk chunk = reader_.read(block_);
    expect(chunk.from.value == next_, "a chunk does not begin where the last one ended");
    expect(chunk.first.value == next_ + chunk.lost.value + chunk.missing.value,
           "from + lost + missing is not first");
    next_ = chunk.first.value + chunk.count.value;
    expect(next_ >= chunk.from.value && next_ <= writing_.most() &&
               chunk.count.value <= block_.frames(),
           "more than was produced");
    expect(reader_.next().value == next_, "next() is not behind the chunk");
    delivered_ += chunk.count.value;
    lost_ += chunk.lost.value;
    missing_ += chunk.missing.value;
    check_losses(chunk);
    if (chunk.count.value > 0) check_samples(chunk);
    ended_ = chunk.stop == Stop::drained && chunk.count.value == 0;
    count(chunk);
  }

  void check_books() {
    const Accounting books = reader_.accounting();
    expect(books.delivered.value == delivered_ && books.lost.value == lost_ &&
               books.missing.value == missing_,
           "the books are not the sum of the chunks");
    expect(books.produced == books.delivered + books.lost + books.missing + books.pending,
           "the books do not balance");
    expect(books.produced.value >= produced_, "produced went back");
    const std::uint64_t end = started_ + books.produced.value;
    expect(end <= writing_.most(), "more in the books than produced");
    expect(plan_.begins_cell(end) || end >= plan_.first_in(plan_.cell_of(end)),
           "the books of no moment: part of a gap");
    produced_ = books.produced.value;
  }

  void read_anchors() {
    std::array<Anchor, 3> anchors;
    const std::size_t count = reader_.read_anchors(anchors);
    const std::vector<Anchor>& stamps = writing_.anchors();
    for (const Anchor& anchor : std::span(anchors).first(count)) {
      // Some may have been lost between two.
      while (next_anchor_ < stamps.size() && stamps[next_anchor_].ticks != anchor.ticks)
        ++next_anchor_;
      expect(next_anchor_ < stamps.size() && stamps[next_anchor_].sample == anchor.sample &&
                 stamps[next_anchor_].time == anchor.time,
             "an anchor is not the stamp it stands for");
      ++next_anchor_;
    }
    anchors_read_ += count;
    const std::uint64_t known = anchors_read_ + reader_.anchors_lost();
    expect(next_anchor_ <= known && known <= stamps.size(), "anchors read and lost");
  }

  // The writer has ended, and all of it is visible.
  void finish() {
    for (std::uint64_t most = 4 * writing_.most() + 20; !ended_ || next_ < writing_.next();
         --most) {
      expect(most > 0, "a reader does not get to the end");
      read();
    }
    check_books();
    expect(next_ == writing_.next(), "not read to the end");
    expect(reader_.pending().value == 0 && started_ + produced_ == next_,
           "the books at the end are not what was produced");
    expect(missing_ == plan_.missing_between(started_, next_), "missing in all");
    while (reader_.anchors_lost() + anchors_read_ < writing_.anchors().size()) {
      const std::uint64_t before = reader_.anchors_lost() + anchors_read_;
      read_anchors();
      expect(reader_.anchors_lost() + anchors_read_ > before, "an anchor is not to be had");
    }
    reached_.anchors_lost += reader_.anchors_lost();
    for (const auto member : reached_members) all_reached.*member += reached_.*member;
  }

 private:
  void placed() {
    next_ = started_ = reader_.next().value;
    expect(next_ <= writing_.most(), "placed beyond what was produced");
    delivered_ = lost_ = missing_ = produced_ = 0;
    ended_ = false;
  }

  void check_losses(const Chunk& chunk) const {
    const std::uint64_t from = chunk.from.value;
    const std::uint64_t first = chunk.first.value;
    expect(chunk.missing.value == plan_.missing_between(from, first), "missing");
    expect((chunk.lost.value == 0 && chunk.missing.value == 0) || chunk.new_segment,
           "a loss or a gap without a new segment");
    if (chunk.mixed) return;
    expect(chunk.lost.value == 0 || plan_.missing_between(from, from + chunk.lost.value) == 0,
           "a gap among the lost");
    expect(chunk.missing.value == 0 || chunk.cause == plan_.cause_of(plan_.cell_of(first)),
           "the cause of a gap");
  }

  void check_samples(const Chunk& chunk) const {
    const std::uint64_t first = chunk.first.value;
    const std::uint64_t k = plan_.cell_of(first);
    expect(first >= plan_.first_in(k) && plan_.cell_of(next_ - 1) == k,
           "a chunk straddles a gap or a change");
    expect(chunk.row == first - plan_.missing_between(0, first), "row");
    expect(chunk.calibrations.value == plan_.set_of(k), "calibrations");
    if (scenario_.irregular) {
      for (std::uint64_t i = 0; i < chunk.count.value; ++i)
        expect(block_.times()[i] == Plan::time(first + i), "a time is not of its sample");
    } else {
      expect(chunk.clock_time == plan_.clock_time(k) &&
                 chunk.clock_sample.value == plan_.clock_sample(k),
             "the clock");
      expect(chunk.time == plan_.clock_time(k) + Plan::rate.duration(first - plan_.clock_sample(k)),
             "the time of a chunk");
    }
    for (std::size_t c = 0; c < block_.channel_count(); ++c)
      visit_sample_type(block_.type(c), [&]<class T>(std::type_identity<T>) {
        for (std::uint64_t i = 0; i < chunk.count.value; ++i) {
          expect(block_.values<T>(c)[i] == test::payload<T>(first + i, c),
                 "a value is not of its sample");
          expect(block_.quality(c)[i] == plan_.quality(first + i, c),
                 "a quality is not of its sample");
        }
      });
  }

  void count(const Chunk& chunk) {
    // A copy that ended because the block was full, and yet left room, lost its front
    // after it was made.
    const bool full = chunk.stop == Stop::full;
    ++reached_.reads;
    reached_.lost += chunk.lost.value > 0;
    reached_.torn += full && chunk.count.value > 0 && chunk.count.value < block_.frames();
    reached_.dropped += full && chunk.count.value == 0;
    reached_.mixed += chunk.mixed;
  }

  const Scenario& scenario_;
  const Plan& plan_;
  const Writing& writing_;
  StreamReader reader_;
  Block block_;
  std::uint64_t started_ = 0, next_ = 0;
  std::uint64_t delivered_ = 0, lost_ = 0, missing_ = 0, produced_ = 0;
  std::uint64_t next_anchor_ = 0, anchors_read_ = 0;
  bool ended_ = false;
  Reached reached_;
};

class Run : public Execution {
 public:
  explicit Run(const Scenario& scenario)
      : scenario_(scenario), plan_{scenario.cell, scenario.seldom_bad}, stream_(info_of(scenario)) {
    if (scenario.cell > 0)
      for (std::uint32_t i = 1; i < Plan::sets; ++i)
        stream_.add_calibrations(
            CalibrationSet(scenario.types.size(), Linear{static_cast<double>(i), 0.0}));
    writing_.emplace(scenario, plan_, stream_);
    // One reader from the very beginning: what it is about to read is overwritten next.
    readings_[0].emplace(scenario, plan_, stream_, *writing_);
    writing_->run(stride * choose(3));
  }

  void run(unsigned thread) override {
    switch (thread) {
      case 0:
        if (!scenario_.handed_over) return writing_->run(scenario_.samples);
        // Within a stride, which this thread has announced and the other one fills.
        writing_->run(1 + choose(stride - 1));
        return hand_over();
      case 1: return read(*readings_[0], false);
      default:
        if (scenario_.handed_over) {
          take_over();
          return writing_->run(scenario_.samples);
        }
        // Comes while the writer writes.
        readings_[1].emplace(scenario_, plan_, stream_, *writing_);
        read(*readings_[1], true);
    }
  }

  void finish() override {
    for (std::optional<Reading>& reading : readings_)
      if (reading) reading->finish();
  }

 private:
  void read(Reading& reading, bool seeking) const {
    for (std::uint64_t i = 0; i < scenario_.samples / 4; ++i) {
      if (seeking && choose(4) == 0) reading.seek();
      reading.read();
      if (choose(4) == 0) reading.check_books();
      if (scenario_.stamps > 0 || scenario_.cell > 0) reading.read_anchors();
    }
  }

  const Scenario& scenario_;
  Plan plan_;
  Stream stream_;
  std::optional<Writing> writing_;
  std::array<std::optional<Reading>, thread_count - 1> readings_;
};

}  // namespace

std::span<const Scenario> scenarios() {
  using enum SampleType;
  static const std::vector<Scenario> all{
      {.name = "single samples", .types = {uint64}},
      {.name = "packed bytes", .types = {uint8}, .largest_push = 3},
      {.name = "packed words", .types = {int16}, .largest_push = 2},
      {.name = "blocks", .types = {uint64}, .largest_push = largest_push, .samples = 32},
      {.name = "marks", .types = {int16}, .largest_push = 2, .cell = 7},
      {.name = "more marks than fit", .types = {uint64}, .samples = 16, .cell = 4},
      {.name = "anchors", .types = {int64}, .samples = 12, .stamps = 3, .irregular = true},
      {.name = "seldom bad", .types = {uint8}, .samples = 48, .seldom_bad = true},
      {.name = "planar", .types = {uint8, int32}, .largest_push = 8, .cell = 11},
      {.name = "handed over", .types = {uint8}, .largest_push = 2, .handed_over = true},
  };
  return all;
}

std::function<std::unique_ptr<Execution>()> executions_of(const Scenario& scenario) {
  return [&scenario] { return std::make_unique<Run>(scenario); };
}

Reached reached() noexcept { return all_reached; }

Reached operator-(const Reached& a, const Reached& b) noexcept {
  Reached difference;
  for (const auto member : reached_members) difference.*member = a.*member - b.*member;
  return difference;
}

std::string to_string(const Reached& r) {
  return fmt::format(
      "{} reads: {} with samples lost, {} torn in the copy, {} dropped whole, {} with marks "
      "lost; {} anchors lost",
      r.reads, r.lost, r.torn, r.dropped, r.mixed, r.anchors_lost);
}

}  // namespace spillway::model
