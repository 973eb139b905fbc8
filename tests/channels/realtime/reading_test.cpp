// The reader's data path neither allocates nor locks, neither faults nor enters the kernel.
#include "spillway/channels/reader.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../support.hpp"
#include "path.hpp"
#include "spillway/channels/writer.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t capacity = 1024;
constexpr std::uint64_t laps = 16 * 2 * capacity;  // samples; rings have a power of two

// A stream that another thread writes, with all that may happen in one, and its reader.
template <Sample T>
struct Basin {
  Basin(std::size_t channels, bool regular)
      : stream(make_info(std::vector(channels, sample_type_of<T>()), capacity,
                         regular ? std::optional(Rate(1000, 1)) : std::nullopt)),
        writer(stream),
        reader(stream),
        room(stream.info(), 64) {
    if (channels == 1) typed.emplace(stream, std::size_t{64});
    CalibrationSet set(channels);
    for (Calibration& calibration : set) calibration = Linear{2.0, 1.0};
    other = stream.add_calibrations(set);
    for (std::size_t i = 0; i < 16 * channels; ++i) {
      frames.push_back(payload<T>(i, 0));
      quality.push_back(quality_of(i, 0));
    }
    times.resize(16);
  }

  // Of the thread beside.
  void write() noexcept {
    for (Time& time : times) time = Time(clock += turn % 5 == 0 ? -10 : 1000);
    if (stream.info().rate)
      writer.push(frames, quality);
    else
      writer.push(frames, times, quality);
    if (turn % 3 == 0) writer.gap({2}, turn % 2 == 0 ? GapCause::source : GapCause::upstream);
    if (turn % 4 == 0) writer.stamp({Time(static_cast<std::int64_t>(turn) * 1'000'000), turn});
    if (turn % 8 == 0) writer.calibrate(turn % 16 == 0 ? other : CalibrationSetId{});
    ++turn;
    pushed.store(writer.pushed(), std::memory_order_relaxed);
  }

  // Of the watched thread.
  void read() noexcept { delivered += reader.read(room).count.value; }

  Stream stream;
  Writer<T> writer;
  StreamReader reader;
  Block room;
  std::optional<Reader<T>> typed;
  std::array<Anchor, 16> anchors;
  std::uint64_t delivered = 0;
  std::uint64_t step = 0;

  CalibrationSetId other;
  std::vector<T> frames;
  std::vector<Quality> quality;
  std::vector<Time> times;
  std::int64_t clock = 0;
  std::uint64_t turn = 0;
  std::atomic<std::uint64_t> pushed{0};
};

// One way of reading, done while the writer overwrites the ring many times.
template <Sample T>
struct Way {
  const char* name;
  std::size_t channels;
  void (*read)(Basin<T>&);
};

template <Sample T>
void check(const Way<T>& way, bool regular) {
  const std::string name = std::string(sample_type_name(sample_type_of<T>())) +
                           (regular ? ", " : ", irregular, ") + way.name;
  check_clean(name, [&] {
    const auto basin = std::make_shared<Basin<T>>(way.channels, regular);
    Path path;
    path.run = [basin, read = way.read] {
      while (basin->pushed.load(std::memory_order_relaxed) < laps || basin->delivered == 0) {
        read(*basin);
        ++basin->step;
      }
    };
    path.beside = [basin] { basin->write(); };
    path.reached = [basin] { return basin->delivered > 0; };
    return path;
  });
}

template <Sample T>
std::vector<Way<T>> ways() {
  using B = Basin<T>;
  return {
      {"read", 3, [](B& b) { b.read(); }},
      {"Reader::read", 1, [](B& b) { b.delivered += b.typed->read().count.value; }},
      {"the books", 1,
       [](B& b) {
         b.read();
         const Accounting books = b.reader.accounting();
         (void)(books.pending >= b.reader.pending());
         (void)b.reader.next();
         (void)b.reader.capacity();
         (void)b.reader.info();
       }},
      {"calibrations", 1,
       [](B& b) {
         const Chunk chunk = b.reader.read(b.room);
         b.delivered += b.reader.calibrations(chunk.calibrations).size() * chunk.count.value;
       }},
      {"read_anchors", 1,
       [](B& b) {
         b.delivered += b.reader.read_anchors(b.anchors);
         (void)b.reader.anchors_lost();
       }},
      {"seek_oldest", 1,
       [](B& b) {
         b.reader.seek_oldest();
         b.read();
       }},
      {"seek_latest", 1,
       [](B& b) {
         b.reader.seek_latest({b.step % 100});
         b.read();
       }},
      {"seek to a number", 1,
       [](B& b) {
         (void)b.reader.seek(SampleNumber{b.pushed.load() - b.step % 2000});
         b.read();
       }},
      {"seek to a time", 1,
       [](B& b) {
         (void)b.reader.seek(Time(static_cast<std::int64_t>(b.step) * 100'000));
         b.read();
       }},
      {"a new reader", 1,
       [](B& b) {
         StreamReader another(b.stream);
         b.delivered += another.read(b.room).count.value;
       }},
  };
}

}  // namespace

TEST_CASE("reading is fit for real time: every form, of every type, while it is overwritten") {
  for_each_sample_type([]<Sample T>(std::type_identity<T>) {
    for (const Way<T>& way : ways<T>()) {
      check(way, true);
      check(way, false);
    }
  });
}

TEST_CASE("waiting by Spin is fit for real time, where the clock is") {
  const auto ask = [] { (void)std::chrono::steady_clock::now(); };
  if (const RealtimeFindings clock = watch_realtime(ask, ask); clock.system_calls.count > 0) {
    WARN("not checked: on this machine the clock is asked by " << clock.system_calls.first);
    return;
  }
  check<double>({"wait(Spin)", 1,
                 [](Basin<double>& b) {
                   (void)b.reader.wait({1}, Spin{}, 0ns);
                   (void)b.reader.wait({1}, Spin{}, 10us);
                   (void)b.reader.wait({~std::uint64_t{0}}, Spin{}, 10us);  // until it is over
                   b.read();
                 }},
                true);
}
