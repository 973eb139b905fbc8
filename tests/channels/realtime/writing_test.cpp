// The writer's data path neither allocates nor locks, neither faults nor enters the kernel.
#include "spillway/channels/writer.hpp"

#include <unistd.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../support.hpp"
#include "path.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::uint64_t capacity = 1024;
constexpr std::uint64_t laps = 16 * 2 * capacity;  // samples; rings have a power of two
constexpr std::size_t block = 100;                 // frames; more than the largest block of 64

StreamInfo info_of(std::vector<SampleType> types, bool regular, std::string publish_as) {
  StreamInfo info =
      make_info(std::move(types), capacity, regular ? std::optional(Rate(1000, 1)) : std::nullopt);
  info.publish_as = std::move(publish_as);
  return info;
}

// The basin of a case outlives the making of the next one.
std::string unique_name() {
  static int count = 0;
  return "realtime-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

// A stream, its writer, what there is to write, and a reader in its way.
struct Basin {
  Basin(std::vector<SampleType> types, bool regular, std::string publish_as = {})
      : stream(info_of(types, regular, std::move(publish_as))),
        reader(stream),
        room(stream.info(), 64) {
    CalibrationSet set(types.size());
    for (Calibration& calibration : set) calibration = Linear{2.0, 1.0};
    other = stream.add_calibrations(set);
    for (std::size_t i = 0; i < block * types.size(); ++i) {
      quality.push_back(quality_of(i, 0));
      bytes.push_back(payload<std::uint64_t>(i, 0));  // samples of any type
    }
    for (std::size_t c = 0; c < types.size(); ++c) {
      lanes.push_back(bytes.data());
      lane_quality.push_back(c % 2 == 0 ? quality.data() : nullptr);
    }
    times.resize(block);
  }
  // Times for the next frames; now and then one is not later than that before.
  std::span<const Time> next_times(std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) times[i] = Time(clock += turn % 7 == i ? -5 : 10);
    return std::span(times).first(count);
  }
  void read() noexcept { read_samples += reader.read(room).count.value; }

  Stream stream;
  StreamReader reader;  // of the thread beside
  Block room;
  std::uint64_t read_samples = 0;
  CalibrationSetId other;
  std::vector<Quality> quality;
  std::vector<std::uint64_t> bytes;
  std::vector<const void*> lanes;
  std::vector<const Quality*> lane_quality;
  std::vector<Time> times;
  std::int64_t clock = 0;
  std::uint64_t turn = 0;
};

template <Sample T>
struct TypedBasin : Basin {
  TypedBasin(std::size_t channels, bool regular, std::string publish_as = {})
      : Basin(std::vector(channels, sample_type_of<T>()), regular, std::move(publish_as)),
        writer(stream) {
    for (std::size_t i = 0; i < block * channels; ++i) frames.push_back(payload<T>(i, 0));
  }
  Writer<T> writer;
  std::vector<T> frames;
};

struct MixedBasin : Basin {
  explicit MixedBasin(bool regular)
      : Basin({SampleType::int8, SampleType::int16, SampleType::int32, SampleType::int64,
               SampleType::uint8, SampleType::uint16, SampleType::uint32, SampleType::uint64,
               SampleType::float32, SampleType::float64},
              regular),
        writer(stream) {}
  StreamWriter writer;
};

// One way of writing, done until the ring was overwritten many times.
template <class B>
struct Way {
  const char* name;
  std::size_t channels;
  bool regular;
  void (*write)(B&);
};

template <class B>
void check(const std::string& name, std::shared_ptr<B> (*make)(const Way<B>&), const Way<B>& way) {
  check_clean(name + ", " + way.name, [&] {
    const std::shared_ptr<B> basin = make(way);
    Path path;
    path.run = [basin, write = way.write] {
      for (; basin->writer.pushed() < laps; ++basin->turn) write(*basin);
    };
    path.beside = [basin] { basin->read(); };
    path.reached = [basin] {
      // All of it is there: what this reader did not have, it is told to have lost. A gap
      // behind the last sample is to be read, too.
      while (basin->reader.accounting().pending > SampleCount{0}) basin->read();
      const Accounting books = basin->reader.accounting();
      return books.delivered + books.lost == SampleCount{basin->writer.pushed()} &&
             basin->read_samples > 0 && basin->writer.pushed() >= laps;
    };
    return path;
  });
}

template <Sample T>
std::vector<Way<TypedBasin<T>>> ways() {
  using B = TypedBasin<T>;
  return {
      {"push(value)", 1, true, [](B& b) { b.writer.push(b.frames[b.turn % block]); }},
      {"push(value, quality)", 1, true,
       [](B& b) { b.writer.push(b.frames[b.turn % block], b.quality[b.turn % block]); }},
      {"push(value) in batches, flushed now and then", 1, true,
       [](B& b) {
         if (b.turn == 0) b.writer.batch({16});
         b.writer.push(b.frames[b.turn % block]);
         if (b.turn % 100 == 50) b.writer.flush();
       }},
      {"push(value), irregular", 1, false, [](B& b) { b.writer.push(b.frames[b.turn % block]); }},
      {"push(frames)", 3, true, [](B& b) { b.writer.push(b.frames); }},
      {"push(frames, one quality)", 3, true,
       [](B& b) { b.writer.push(b.frames, b.quality[b.turn % block]); }},
      {"push(frames, qualities)", 3, true, [](B& b) { b.writer.push(b.frames, b.quality); }},
      {"push(frames) of all sizes", 1, true,
       [](B& b) { b.writer.push(std::span<const T>(b.frames).first(b.turn % (block + 1))); }},
      {"push(frames), irregular", 3, false, [](B& b) { b.writer.push(b.frames); }},
      {"push(frames, times)", 3, false, [](B& b) { b.writer.push(b.frames, b.next_times(block)); }},
      {"push(frames, times, one quality)", 3, false,
       [](B& b) { b.writer.push(b.frames, b.next_times(block), b.quality[b.turn % block]); }},
      {"push(frames, times, qualities)", 3, false,
       [](B& b) { b.writer.push(b.frames, b.next_times(block), b.quality); }},
      {"claim and publish", 3, true,
       [](B& b) {
         const std::span<T> claimed = b.writer.claim(48);
         for (std::size_t i = 0; i < claimed.size(); ++i) claimed[i] = b.frames[i];
         b.writer.publish(claimed.size());
       }},
      {"claim and publish, with a quality", 1, true,
       [](B& b) {
         const std::span<T> claimed = b.writer.claim(1000);
         for (T& value : claimed) value = b.frames[0];
         b.writer.publish(claimed.size(), b.quality[b.turn % block]);
       }},
      {"push_lanes", 3, true, [](B& b) { b.writer.push_lanes(b.lanes, {block}); }},
      {"gap", 1, true,
       [](B& b) {
         b.writer.push(b.frames[0]);
         b.writer.gap({b.turn % 3}, b.turn % 2 == 0 ? GapCause::source : GapCause::upstream);
       }},
      {"stamp", 1, true,
       [](B& b) {
         b.writer.push(b.frames[0]);
         b.writer.stamp({Time(static_cast<std::int64_t>(b.turn / 5 * 5'000'000)), b.turn});
       }},
      {"stamp, irregular", 1, false,
       [](B& b) {
         b.writer.push(std::span<const T>(b.frames).first(1), b.next_times(1));
         b.writer.stamp({Time(b.clock), b.turn});
       }},
      {"set_clock", 1, true,
       [](B& b) {
         b.writer.push(b.frames[0]);
         b.writer.set_clock(b.writer.next(), Time(static_cast<std::int64_t>(b.turn)));
       }},
      {"calibrate", 1, true,
       [](B& b) {
         b.writer.push(b.frames[0]);
         b.writer.calibrate(b.turn % 2 == 0 ? b.other : CalibrationSetId{});
       }},
      {"everything at once", 1, true,
       [](B& b) {
         b.writer.push(b.frames[0], b.quality[b.turn % block]);
         b.writer.push(b.frames);
         b.writer.stamp({Time(static_cast<std::int64_t>(b.turn * 3)), b.turn});
         b.writer.gap({b.turn % 3});
         b.writer.calibrate(b.turn % 2 == 0 ? b.other : CalibrationSetId{});
         (void)b.writer.next();
         (void)b.writer.pushed();
         (void)b.writer.info();
       }},
  };
}

}  // namespace

TEST_CASE("writing is fit for real time: every form, of every type") {
  for_each_sample_type([]<Sample T>(std::type_identity<T>) {
    for (const Way<TypedBasin<T>>& way : ways<T>())
      check<TypedBasin<T>>(
          std::string(sample_type_name(sample_type_of<T>())),
          [](const Way<TypedBasin<T>>& w) {
            return std::make_shared<TypedBasin<T>>(w.channels, w.regular);
          },
          way);
  });
}

TEST_CASE("writing is fit for real time: in shared memory") {
  for (const Way<TypedBasin<double>>& way : ways<double>())
    check<TypedBasin<double>>(
        "published",
        [](const Way<TypedBasin<double>>& w) {
          return std::make_shared<TypedBasin<double>>(w.channels, w.regular, unique_name());
        },
        way);
}

TEST_CASE("writing is fit for real time: channels of all types at once") {
  const std::vector<Way<MixedBasin>> ways = {
      {"push_lanes", 10, true, [](MixedBasin& b) { b.writer.push_lanes(b.lanes, {block}); }},
      {"push_lanes, qualities", 10, true,
       [](MixedBasin& b) { b.writer.push_lanes(b.lanes, {block}, b.lane_quality); }},
      {"push_lanes, irregular", 10, false,
       [](MixedBasin& b) { b.writer.push_lanes(b.lanes, {block}); }},
      {"push_lanes, qualities and times", 10, false,
       [](MixedBasin& b) {
         b.writer.push_lanes(b.lanes, {block}, b.lane_quality, b.next_times(block));
       }},
  };
  for (const Way<MixedBasin>& way : ways)
    check<MixedBasin>(
        "mixed types",
        [](const Way<MixedBasin>& w) { return std::make_shared<MixedBasin>(w.regular); }, way);
}
