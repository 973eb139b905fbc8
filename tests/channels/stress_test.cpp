// One writer flat out, readers that can't keep up, and a payload that tells from itself
// whether it belongs to its number. Everything about a sample is derived from its
// number, so the readers need to know nothing of what the writer does when.
//
// Numbers are divided into cells. A cell begins with numbers that are missing (or
// none) and has a calibration set of its own; every `cells_per_clock` cells the clock
// is set anew.
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <iostream>
#include <sstream>
#include <thread>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::below;
using test::hash;
using test::payload;
using test::quality_of;
using test::Random;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::uint64_t cells_per_clock = 5;
constexpr std::uint32_t sets = 4;
constexpr auto budget = std::chrono::milliseconds(1200);
// Given up only after this long without the hard case.
constexpr auto longest = std::chrono::seconds(20);

struct Plan {
  std::uint64_t cell;  // numbers in one
  Rate rate{1000, 1};

  [[nodiscard]] std::uint64_t cell_of(std::uint64_t number) const { return number / cell; }
  [[nodiscard]] std::uint64_t missing_in(std::uint64_t k) const {
    return hash(k) % 3 == 0 ? 1 + hash(k + 7) % (cell / 2) : 0;
  }
  [[nodiscard]] std::uint64_t first_in(std::uint64_t k) const { return k * cell + missing_in(k); }
  [[nodiscard]] GapCause cause_of(std::uint64_t k) const {
    return k % 2 == 0 ? GapCause::source : GapCause::upstream;
  }
  [[nodiscard]] std::uint32_t set_of(std::uint64_t k) const {
    return static_cast<std::uint32_t>(k % sets);
  }
  [[nodiscard]] std::uint64_t clock_sample(std::uint64_t k) const {
    return first_in(k / cells_per_clock * cells_per_clock);
  }
  // Always more than half a period off the clock before, this way or that.
  [[nodiscard]] Time clock_time(std::uint64_t k) const {
    const std::uint64_t clock = k / cells_per_clock;
    const std::int64_t off = clock % 2 == 0 ? 5'000'000 : -7'000'000;
    return rate.duration(clock_sample(k)) +
           Time(off + static_cast<std::int64_t>(hash(clock) % 1000));
  }
  // Missing numbers in [from, to).
  [[nodiscard]] std::uint64_t missing_between(std::uint64_t from, std::uint64_t to) const {
    std::uint64_t sum = 0;
    for (std::uint64_t k = cell_of(from); k * cell < to; ++k) {
      const std::uint64_t begin = std::max(from, k * cell);
      const std::uint64_t end = std::min(to, first_in(k));
      if (begin < end) sum += end - begin;
    }
    return sum;
  }
};

struct Setup {
  std::vector<SampleType> types;
  std::uint64_t capacity;
  std::uint64_t largest_block;
  std::uint64_t marks;
  std::uint64_t cell;
  bool marks_run_away = false;
};

// The hard cases. All but the last need samples to be overwritten during the copy, or
// between two copies.
constexpr unsigned reached_loss = 1;
constexpr unsigned reached_lossy = 2;
constexpr unsigned reached_torn = 4;
constexpr unsigned reached_drop = 8;
constexpr unsigned reached_mixed = 16;

enum class Habit { fast, stalling, pausing, seeking };

struct Worker {
  Habit habit;
  std::size_t frames;
  // Written by the thread, read after join.
  std::uint64_t chunks = 0, delivered = 0, lost = 0, missing = 0;
  std::uint64_t lossy = 0;        // chunks with a loss and samples
  std::uint64_t torn = 0;         // a full copy of which a part was overwritten meanwhile
  std::uint64_t all_dropped = 0;  // a copy of which nothing was left
  std::uint64_t mixed = 0;
  std::uint64_t wrong = 0;
  std::string first_wrong;
  Accounting books;
  std::uint64_t counted_to = 0, counted_missing = 0;
  std::uint64_t last_next = 0;
  std::atomic<unsigned> reached{0};  // what of the hard case, see Reached

  Worker(Habit h, std::size_t f) : habit(h), frames(f) {}
};

class Stress {
 public:
  explicit Stress(const Setup& setup)
      : plan_{setup.cell},
        stream_([&] {
          StreamInfo info = test::make_info(setup.types, setup.capacity, Rate(1000, 1));
          info.largest_block = SampleCount{setup.largest_block};
          info.mark_capacity = SampleCount{setup.marks};
          return info;
        }()),
        setup_(setup) {
    for (std::uint32_t i = 1; i < sets; ++i)
      stream_.add_calibrations(
          CalibrationSet(setup.types.size(), Linear{static_cast<double>(i), 0.0}));
  }

  void run(const std::string& name) {
    std::deque<Worker> workers;
    workers.emplace_back(Habit::fast, 4096);
    workers.emplace_back(Habit::stalling, 48);
    workers.emplace_back(Habit::pausing, 5);
    workers.emplace_back(Habit::seeking, 17);
    std::deque<StreamReader> readers;
    for (std::size_t i = 0; i < workers.size(); ++i) readers.emplace_back(stream_);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < workers.size(); ++i)
      threads.emplace_back([&, i] { read(workers[i], readers[i]); });
    const auto begin = Clock::now();
    std::thread writing([&] { write(); });
    // Marks that run away end a read before its copy, so there they are the hard case.
    const unsigned wanted =
        setup_.marks_run_away ? reached_mixed : reached_lossy | reached_torn | reached_drop;
    const auto hard = [&] {
      const unsigned stalling = workers[1].reached.load(std::memory_order_relaxed);
      const unsigned pausing = workers[2].reached.load(std::memory_order_relaxed);
      const unsigned seeking = workers[3].reached.load(std::memory_order_relaxed);
      return (stalling & pausing & reached_loss) != 0 &&
             ((stalling | pausing | seeking) & wanted) == wanted;
    };
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const auto spent = Clock::now() - begin;
      if (spent >= longest || (spent >= budget && hard())) break;
    }
    stop_.store(true);
    writing.join();
    done_.store(true, std::memory_order_release);
    for (std::thread& thread : threads) thread.join();

    std::ostringstream report;
    report << name << ": " << pushed_ << " pushed, " << missing_ << " missing\n";
    for (const Worker& w : workers)
      report << "  reader of " << w.frames << ": " << w.chunks << " chunks, " << w.delivered
             << " delivered, " << w.lost << " lost, " << w.lossy << " lossy chunks, " << w.torn
             << " torn in the copy, " << w.all_dropped << " dropped whole, " << w.mixed
             << " mixed\n";
    std::cout << report.str() << std::flush;

    for (std::size_t i = 0; i < workers.size(); ++i) {
      const Worker& w = workers[i];
      INFO(name << ", reader " << i << ": " << w.first_wrong);
      CHECK(w.wrong == 0);
      CHECK(w.delivered > 0);
      CHECK(w.last_next == pushed_ + missing_);
      CHECK(w.books.pending == SampleCount{0});
      if (w.habit == Habit::seeking) continue;
      CHECK(w.books == Accounting{{pushed_ + missing_}, {w.delivered}, {w.lost}, {w.missing}, {0}});
      CHECK(w.delivered + w.lost == pushed_);
      CHECK(w.missing == missing_);
    }
    INFO(name << ": the machine never let the writer overwrite what was being copied, in "
              << longest.count() << " s; the test proved nothing");
    CHECK(workers[1].lost > 0);
    CHECK(workers[2].lost > 0);
    CHECK(hard());
  }

 private:
  // With one channel by Writer<T>, else planar.
  void write() {
    if (setup_.types.size() > 1) {
      StreamWriter writer(stream_);
      return write_cells(writer, [&](std::uint64_t first, std::uint64_t count) {
        push_planar(writer, first, count);
      });
    }
    visit_sample_type(setup_.types[0], [&]<class T>(std::type_identity<T>) {
      Writer<T> writer(stream_);
      std::vector<T> values(setup_.cell);
      std::vector<Quality> quality(setup_.cell);
      Random random(21);
      write_cells(writer, [&](std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
          values[i] = payload<T>(first + i, 0);
          quality[i] = quality_of(first + i, 0);
        }
        if (below(random, 2) == 0)
          for (std::uint64_t i = 0; i < count; ++i) writer.push(values[i], quality[i]);
        else
          writer.push(std::span<const T>(values).first(count),
                      std::span<const Quality>(quality).first(count));
      });
    });
  }

  template <class Push>
  void write_cells(StreamWriter& writer, Push push) {
    Random random(22);
    for (std::uint64_t k = 0; !stop_.load(std::memory_order_relaxed); ++k) {
      writer.gap({plan_.missing_in(k)}, plan_.cause_of(k));
      missing_ += plan_.missing_in(k);
      if (k % cells_per_clock == 0) writer.stamp({plan_.clock_time(k), k});
      writer.calibrate({plan_.set_of(k)});
      const std::uint64_t end = (k + 1) * plan_.cell;
      for (std::uint64_t n = plan_.first_in(k); n < end;) {
        const std::uint64_t count = std::min(end - n, 1 + below(random, 2 * setup_.largest_block));
        push(n, count);
        n += count;
        pushed_ += count;
      }
    }
  }

  void push_planar(StreamWriter& writer, std::uint64_t first, std::uint64_t count) {
    const std::size_t channels = setup_.types.size();
    lanes_.resize(channels);
    qualities_.resize(channels);
    std::vector<const void*> values;
    std::vector<const Quality*> quality;
    for (std::size_t c = 0; c < channels; ++c) {
      lanes_[c].resize(setup_.cell);
      qualities_[c].resize(setup_.cell);
      visit_sample_type(setup_.types[c], [&]<class T>(std::type_identity<T>) {
        auto* bytes = reinterpret_cast<unsigned char*>(lanes_[c].data());
        for (std::uint64_t i = 0; i < count; ++i) {
          const T value = payload<T>(first + i, c);
          std::memcpy(bytes + i * sizeof(T), &value, sizeof value);
          qualities_[c][i] = quality_of(first + i, c);
        }
      });
      values.push_back(lanes_[c].data());
      quality.push_back(qualities_[c].data());
    }
    writer.push_lanes(values, {count}, quality);
  }

  void read(Worker& w, StreamReader& reader) {
    Block block(stream_.info(), w.frames);
    Random random(w.frames);
    std::uint64_t expected = reader.next().value;
    bool after_seek = false;
    std::uint64_t produced = 0;
    for (;;) {
      const bool last = done_.load(std::memory_order_acquire);
      if (w.habit == Habit::seeking && !last && w.chunks % 64 == 0) {
        switch (below(random, 3)) {
          case 0: reader.seek_oldest(); break;
          case 1: reader.seek_latest({below(random, setup_.capacity)}); break;
          default: reader.seek(reader.next() + SampleCount{below(random, setup_.capacity)});
        }
        after_seek = true;
        produced = 0;
      }
      const Chunk chunk = reader.read(block);
      if (!after_seek && chunk.from.value != expected) fail(w, "does not continue", chunk);
      expected = chunk.first.value + chunk.count.value;
      check(w, chunk, block);
      after_seek = false;
      ++w.chunks;
      if (w.chunks % 16 == 0) {
        const Accounting a = reader.accounting();
        if (a.produced != a.delivered + a.lost + a.missing + a.pending)
          fail(w, "books do not balance", chunk);
        if (a.produced.value < produced) fail(w, "produced went back", chunk);
        produced = a.produced.value;
      }
      if (chunk.count.value == 0 && chunk.stop == Stop::drained) {
        if (last) break;
        std::this_thread::yield();
      }
      if (last) continue;
      if (w.habit == Habit::stalling && w.chunks % 256 == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      if (w.habit == Habit::pausing)
        for (std::uint64_t spin = below(random, 300); spin > 0; --spin)
          std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    w.books = reader.accounting();
    w.last_next = reader.next().value;
  }

  static void fail(Worker& w, const std::string& what, const Chunk& chunk) {
    if (w.wrong++ > 0) return;
    std::ostringstream text;
    text << what << " (chunk from " << chunk.from.value << ", lost " << chunk.lost.value
         << ", missing " << chunk.missing.value << ", first " << chunk.first.value << ", count "
         << chunk.count.value << ", mixed " << chunk.mixed << ", stop "
         << static_cast<int>(chunk.stop) << ")";
    w.first_wrong = text.str();
  }

  // All missing numbers before `number`, counted on from where the last call ended.
  [[nodiscard]] std::uint64_t missing_before(Worker& w, std::uint64_t number) const {
    if (number < w.counted_to) w.counted_to = w.counted_missing = 0;
    w.counted_missing += plan_.missing_between(w.counted_to, number);
    w.counted_to = number;
    return w.counted_missing;
  }

  void check(Worker& w, const Chunk& chunk, const Block& block) {
    w.delivered += chunk.count.value;
    w.lost += chunk.lost.value;
    w.missing += chunk.missing.value;
    w.mixed += chunk.mixed;
    const bool lossy = chunk.lost.value > 0 && chunk.count.value > 0;
    // A copy that stopped because the block was full, and yet left room, lost its front
    // after it was made.
    const bool full = chunk.stop == Stop::full;
    const bool torn = full && chunk.count.value > 0 && chunk.count.value < w.frames;
    const bool dropped = full && chunk.count.value == 0;
    w.lossy += lossy;
    w.torn += torn;
    w.all_dropped += dropped;
    unsigned reached = 0;
    if (w.lost > 0) reached |= reached_loss;
    if (w.lossy > 0) reached |= reached_lossy;
    if (w.torn > 0) reached |= reached_torn;
    if (w.all_dropped > 0) reached |= reached_drop;
    if (w.mixed > 0) reached |= reached_mixed;
    w.reached.store(reached, std::memory_order_relaxed);

    const std::uint64_t from = chunk.from.value;
    const std::uint64_t first = chunk.first.value;
    if (first != from + chunk.lost.value + chunk.missing.value)
      fail(w, "from, lost, missing and first", chunk);
    if (plan_.missing_between(from, first) != chunk.missing.value) fail(w, "missing", chunk);
    if (!chunk.mixed && chunk.lost.value > 0 &&
        plan_.missing_between(from, from + chunk.lost.value) > 0)
      fail(w, "a gap among the lost", chunk);
    if (!chunk.mixed && chunk.missing.value > 0 &&
        chunk.cause != plan_.cause_of(plan_.cell_of(first)))
      fail(w, "cause of the gap", chunk);
    if ((chunk.lost.value > 0 || chunk.missing.value > 0) && !chunk.new_segment)
      fail(w, "no new segment", chunk);
    if (chunk.count.value == 0) return;

    const std::uint64_t k = plan_.cell_of(first);
    const std::uint64_t last = first + chunk.count.value - 1;
    if (first < plan_.first_in(k) || plan_.cell_of(last) != k)
      fail(w, "straddles a gap or a change", chunk);
    if (chunk.row != first - missing_before(w, first)) fail(w, "row", chunk);
    if (chunk.calibrations.value != plan_.set_of(k)) fail(w, "calibration", chunk);
    if (chunk.clock_sample.value != plan_.clock_sample(k) ||
        chunk.clock_time != plan_.clock_time(k))
      fail(w, "clock", chunk);
    if (chunk.time != plan_.clock_time(k) + plan_.rate.duration(first - plan_.clock_sample(k)))
      fail(w, "time", chunk);
    for (std::size_t c = 0; c < block.channel_count(); ++c) {
      const std::span<const Quality> quality = block.quality(c);
      visit_sample_type(block.type(c), [&]<class T>(std::type_identity<T>) {
        const std::span<const T> values = block.values<T>(c);
        for (std::uint64_t i = 0; i < chunk.count.value; ++i) {
          if (values[i] != payload<T>(first + i, c)) return fail(w, "value", chunk);
          if (quality[i] != quality_of(first + i, c)) return fail(w, "quality", chunk);
        }
      });
    }
  }

  Plan plan_;
  Stream stream_;
  Setup setup_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> done_{false};
  // The writer's own numbers, read after it has ended.
  std::uint64_t pushed_ = 0;
  std::uint64_t missing_ = 0;
  std::vector<std::vector<std::uint64_t>> lanes_;
  std::vector<std::vector<Quality>> qualities_;
};

}  // namespace

TEST_CASE("stress: packed bytes in the smallest ring") {
  Stress({{SampleType::int8}, 64, 16, 64, 640}).run("int8, capacity 64");
}
TEST_CASE("stress: packed words of two bytes") {
  Stress({{SampleType::int16}, 1000, 64, 64, 900}).run("int16, capacity 1000");
}
TEST_CASE("stress: whole words") {
  Stress({{SampleType::uint64}, 64, 5, 64, 333}).run("uint64, capacity 64");
}
TEST_CASE("stress: channels of all widths side by side") {
  Stress({{SampleType::int8, SampleType::float64, SampleType::int16, SampleType::float32,
           SampleType::uint8},
          1000,
          64,
          64,
          500})
      .run("mixed types, capacity 1000");
}
TEST_CASE("stress: so many changes that the marks are overwritten as well") {
  Stress({{SampleType::uint8, SampleType::int32}, 1000, 16, 2, 24, true}).run("marks overrun");
}

TEST_CASE("stress: the books are of one moment, even while marks are overwritten") {
  StreamInfo info = test::make_info({SampleType::int64}, 64);
  info.mark_capacity = SampleCount{2};
  Stream stream(info);
  StreamReader reader(stream);
  std::atomic<bool> stop{false};
  // How much was produced, at least and at most: raised after and before.
  std::atomic<std::uint64_t> least{0};
  std::atomic<std::uint64_t> most{0};
  std::thread writing([&] {
    Writer<std::int64_t> writer(stream);
    while (!stop.load(std::memory_order_relaxed)) {
      most.store(writer.next().value + 2, std::memory_order_seq_cst);
      writer.push(1);
      writer.gap({1});
      least.store(writer.next().value, std::memory_order_seq_cst);
    }
  });
  std::uint64_t wrong = 0;
  std::uint64_t asked = 0;
  const auto end = Clock::now() + std::chrono::milliseconds(700);
  while (Clock::now() < end) {
    const std::uint64_t before = least.load(std::memory_order_seq_cst);
    const Accounting books = reader.accounting();
    const std::uint64_t after = most.load(std::memory_order_seq_cst);
    wrong += books.produced.value < before || books.produced.value > after;
    wrong += books.produced != books.pending;
    ++asked;
  }
  stop.store(true);
  writing.join();
  INFO(asked << " times");
  CHECK(wrong == 0);
  CHECK(asked > 0);
}

TEST_CASE("stress: the capacity is readable also while a large block is being pushed") {
  constexpr std::uint64_t capacity = 40;
  constexpr std::uint64_t largest = 4096;
  constexpr std::size_t channels = 16;
  StreamInfo info =
      test::make_info(std::vector<SampleType>(channels, SampleType::float64), capacity);
  info.largest_block = SampleCount{largest};
  Stream stream(info);
  Writer<double> writer(stream);
  const std::vector<double> values(largest * channels, 1.0);
  writer.push(values);
  std::atomic<bool> stop{false};
  std::thread writing([&] {
    while (!stop.load(std::memory_order_relaxed)) writer.push(values);
  });
  StreamReader reader(stream);
  Block block(info, capacity);
  std::uint64_t wrong = 0;
  std::uint64_t whole = 0;
  const auto end = Clock::now() + std::chrono::milliseconds(500);
  while (Clock::now() < end) {
    reader.seek_latest({capacity});
    wrong += reader.pending().value < capacity;
    const Chunk chunk = reader.read(block);
    // What was lost meanwhile has `capacity` newer samples by now.
    wrong += chunk.lost.value > 0 && chunk.count.value + reader.pending().value < capacity;
    whole += chunk.count.value == capacity;
  }
  stop.store(true);
  writing.join();
  CHECK(wrong == 0);
  CHECK(whole > 0);
}
