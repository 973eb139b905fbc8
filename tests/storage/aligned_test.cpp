#include "spillway/storage/aligned.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>

#include "random_recording.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Method = AlignedOptions::Method;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

struct Sample {
  std::int64_t time;
  std::uint64_t number;
  double value;
  Quality quality;
};

// A channel, sample by sample, those left out whose time is not later than all before.
struct Plain {
  std::vector<Sample> samples;
  std::vector<bool> gap_behind;

  Plain(const Recording& from, const Truth::PerStream& truth, std::size_t stream,
        std::size_t channel) {
    std::vector<double> values(truth.numbers.size());
    from.read_calibrated(stream, channel, 0, values);
    std::vector<std::uint64_t> rows;
    for (std::uint64_t row = 0; row < values.size(); ++row) {
      if (!samples.empty() && truth.times[row] <= samples.back().time) continue;
      Quality quality = truth.quality[channel][row];
      for (const CalibrationChange& change : truth.calibrations) {
        if (change.from_sample > truth.numbers[row]) continue;
        if (&change != &truth.calibrations.back() &&
            (&change + 1)->from_sample <= truth.numbers[row])
          continue;
        // By itself.
        std::vector<double> raw(1);
        visit_sample_type(truth.info.channels[channel].type, [&]<class T>(std::type_identity<T>) {
          std::vector<T> one(1);
          from.read_raw<T>(stream, channel, row, one);
          raw[0] = static_cast<double>(one[0]);
        });
        change.calibrations[channel].apply(raw, {&quality, 1});
      }
      samples.push_back({truth.times[row], truth.numbers[row], values[row], quality});
      rows.push_back(row);
    }
    for (std::size_t i = 0; i < samples.size(); ++i) {
      bool gap = i + 1 == samples.size();
      if (!gap)
        for (const Gap& absent : truth.absent)
          gap |= absent.first_sample > samples[i].number &&
                 absent.first_sample < samples[i + 1].number;
      gap_behind.push_back(gap);
    }
  }

  [[nodiscard]] ValueAt at(std::int64_t time, const AlignedOptions& options) const {
    const Quality missing(Verdict::bad, Quality::missing);
    std::optional<std::size_t> before;
    for (std::size_t i = 0; i < samples.size(); ++i)
      if (samples[i].time <= time) before = i;
    if (!before) return {nan_value, missing};
    const Sample& a = samples[*before];
    if (a.time == time) return {a.value, a.quality};
    const Quality between(Verdict::interpolated,
                          gap_behind[*before] ? Quality::missing : Quality::none);
    if (options.method == Method::last) {
      if (options.max_age.count() > 0 && time - a.time > options.max_age.count())
        return {nan_value, missing};
      return {a.value, merge(a.quality, between)};
    }
    if (*before + 1 == samples.size()) return {nan_value, missing};
    const Sample& b = samples[*before + 1];
    if (options.max_gap.count() > 0 && b.time - a.time > options.max_gap.count())
      return {nan_value, missing};
    const double value = a.value + (b.value - a.value) * (static_cast<double>(time - a.time) /
                                                          static_cast<double>(b.time - a.time));
    const Quality both = merge(merge(a.quality, b.quality), between);
    if (std::isfinite(value)) return {value, both};
    return {nan_value, merge(both, std::isfinite(a.value) && std::isfinite(b.value)
                                       ? Quality(Verdict::bad, Quality::out_of_range)
                                       : missing)};
  }
};

bool same(const ValueAt& a, double value, Quality quality) {
  return a.quality == quality && (a.value == value || (std::isnan(a.value) && std::isnan(value)));
}

struct Case {
  RandomRecording made;
  Recording from;
  std::vector<AlignedChannel> channels;
  std::vector<Plain> plain;

  explicit Case(std::uint64_t seed) : made(seed, RandomRecording::short_one, false), from(run()) {
    for (std::size_t s = 0; s < from.streams().size(); ++s)
      for (std::size_t c = 0; c < from.streams()[s].info.channels.size(); ++c) {
        channels.push_back({s, c});
        plain.emplace_back(from, made.truth().streams[s], s, c);
      }
  }
  Recording run() {
    auto memory = std::make_shared<MemorySink>();
    made.run(memory.get(), [](const Extent&) {});
    return Recording::of(memory);
  }
};

AlignedOptions some_options(std::mt19937_64& random) {
  AlignedOptions options;
  options.method = random() % 2 == 0 ? Method::linear : Method::last;
  if (random() % 2 == 0)
    (options.method == Method::linear ? options.max_gap : options.max_age) =
        std::chrono::milliseconds(1 + random() % 500);
  return options;
}

// Reads to the end in blocks of any size.
AlignedBlock all_of(AlignedReader&& reader, std::mt19937_64& random, std::size_t lanes) {
  AlignedBlock all;
  all.values.resize(lanes);
  all.quality.resize(lanes);
  for (;;) {
    const AlignedBlock block = reader.read(1 + random() % 200);
    REQUIRE(block.values.size() == lanes);
    if (block.size() == 0) return all;
    all.times.insert(all.times.end(), block.times.begin(), block.times.end());
    for (std::size_t l = 0; l < lanes; ++l) {
      REQUIRE(block.values[l].size() == block.size());
      all.values[l].insert(all.values[l].end(), block.values[l].begin(), block.values[l].end());
      all.quality[l].insert(all.quality[l].end(), block.quality[l].begin(), block.quality[l].end());
    }
  }
}

}  // namespace

TEST_CASE("a value at any time is the sample's there, or follows from its neighbours") {
  std::uint64_t hits = 0, missing = 0;
  for (std::uint64_t n = 0; n < soak(30); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Case c(seed);
    for (std::size_t s = 0; s < c.from.streams().size(); ++s) {
      const std::vector<std::int64_t>& times = c.made.truth().streams[s].times;
      if (times.empty()) continue;
      for (int i = 0; i < 40; ++i) {
        const AlignedOptions options = some_options(random);
        const std::int64_t t = times[random() % times.size()] +
                               (random() % 3 == 0 ? static_cast<std::int64_t>(random() % 40'000'000)
                                                  : static_cast<std::int64_t>(random() % 3) - 1);
        const std::vector<ValueAt> got = values_at(c.from, s, Time(t), options);
        REQUIRE(got.size() == c.from.streams()[s].info.channels.size());
        for (std::size_t l = 0; l < c.channels.size(); ++l) {
          if (c.channels[l].stream != s) continue;
          const ValueAt wanted = c.plain[l].at(t, options);
          CAPTURE(s, c.channels[l].channel, t, wanted.value, got[c.channels[l].channel].value);
          REQUIRE(
              same(wanted, got[c.channels[l].channel].value, got[c.channels[l].channel].quality));
          hits += wanted.quality.verdict() != Verdict::interpolated;
          missing += wanted.quality.has(Quality::missing);
        }
      }
    }
  }
  CHECK(hits > 50);
  CHECK(missing > 50);
}

TEST_CASE("channels on a common grid have the values at its points, however it is cut") {
  std::uint64_t points = 0;
  for (std::uint64_t n = 0; n < soak(20); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Case c(seed);
    std::int64_t begin = INT64_MAX, end = INT64_MIN;
    // What comes later with an earlier time has no place.
    for (const Truth::PerStream& stream : c.made.truth().streams)
      if (!stream.times.empty()) {
        begin = std::min(begin, stream.times.front());
        end = std::max(end, *std::ranges::max_element(stream.times));
      }
    if (begin > end) continue;
    // So that points are some hundred.
    const Rate rate(1 + static_cast<std::int64_t>(random() % 997), 1 + (end - begin) / 400'000'000);
    const AlignedOptions options = some_options(random);
    AlignedGrid grid{rate, {}};
    if (random() % 2 == 0)
      grid.range = {Time(begin + static_cast<std::int64_t>(random() % 1'000'000'000) - 300'000'000),
                    Time(begin + (end - begin) / 2)};
    const AlignedBlock got =
        all_of(AlignedReader(c.from, c.channels, grid, options), random, c.channels.size());
    const std::int64_t first = grid.range.begin == Time::min() ? begin : grid.range.begin.count();
    const std::int64_t behind = grid.range.end == Time::max() ? end + 1 : grid.range.end.count();
    std::vector<Time> wanted;
    std::int64_t k = first / 1'000'000'000 * rate.samples() / rate.seconds() - 2000;
    for (;; ++k) {
      const Time t = k < 0 ? -rate.duration(static_cast<std::uint64_t>(-k))
                           : rate.duration(static_cast<std::uint64_t>(k));
      if (t.count() >= behind) break;
      if (t.count() >= first) wanted.push_back(t);
    }
    REQUIRE(got.times == wanted);
    points += wanted.size();
    for (std::size_t l = 0; l < c.channels.size(); ++l)
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const ValueAt value = c.plain[l].at(wanted[i].count(), options);
        CAPTURE(l, wanted[i].count(), value.value, got.values[l][i], to_string(value.quality),
                to_string(got.quality[l][i]));
        REQUIRE(same(value, got.values[l][i], got.quality[l][i]));
      }
  }
  CHECK(points > 1000);
}

TEST_CASE("channels at the times of a stream stand beside its samples as they are") {
  std::uint64_t no_place = 0;
  for (std::uint64_t n = 0; n < soak(40); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Case c(seed);
    const std::size_t common = random() % c.from.streams().size();
    const Truth::PerStream& truth = c.made.truth().streams[common];
    if (truth.times.empty()) continue;
    const AlignedOptions options = some_options(random);
    AlignedTimes at{common, {}};
    if (random() % 2 == 0) at.range.begin = Time(truth.times[random() % truth.times.size()]);
    const RowRange part = rows(c.from, common, at.range);
    const AlignedBlock got =
        all_of(AlignedReader(c.from, c.channels, at, options), random, c.channels.size());
    REQUIRE(got.size() == part.count());
    for (std::size_t l = 0; l < c.channels.size(); ++l) {
      std::vector<double> own(got.size());
      std::vector<Quality> own_quality(got.size());
      const bool is_own = c.channels[l].stream == common;
      if (is_own)
        c.from.read_calibrated(common, c.channels[l].channel, part.begin, own, own_quality);
      std::int64_t latest = INT64_MIN;
      for (std::uint64_t row = 0; row < part.begin; ++row)
        latest = std::max(latest, truth.times[row]);
      for (std::size_t i = 0; i < got.size(); ++i) {
        const std::int64_t t = truth.times[part.begin + i];
        REQUIRE(got.times[i].count() == t);
        ValueAt value{nan_value, Quality(Verdict::bad, Quality::missing | Quality::time_uncertain)};
        if (is_own)
          value = {own[i], own_quality[i]};
        else if (t > latest)
          value = c.plain[l].at(t, options);
        else
          ++no_place;
        latest = std::max(latest, t);
        CAPTURE(l, i, t);
        REQUIRE(same(value, got.values[l][i], got.quality[l][i]));
      }
    }
  }
  CHECK(no_place > 0);
}

namespace {

// One sample a second from 0 s on, of this many, with this value.
std::shared_ptr<MemorySink> two_streams(const Origin& first, const Origin& second) {
  StreamInfo a = make_info({SampleType::float64}, 64, Rate(1, 1));
  StreamInfo b = a;
  a.name = "a";
  b.name = "b";
  a.origin = first;
  b.origin = second;
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({a, b}));
  Block block(a, 5);
  for (std::size_t s = 0; s < 2; ++s) {
    for (std::size_t i = 0; i < 5; ++i)
      block.values<double>(0)[i] = static_cast<double>(i + 10 * s);
    Chunk chunk;
    chunk.count = {5};
    chunk.calibrations = {1};
    memory->append(s, chunk, block, {{}});
  }
  return memory;
}

}  // namespace

TEST_CASE("streams of other origins are brought together, or refused") {
  using Kind = Origin::Kind;
  const Recording utc = Recording::of(
      two_streams({Kind::utc, "2026-01-01T00:00:00"}, {Kind::utc, "2026-01-01T00:00:02"}));
  const std::vector<AlignedChannel> both{{0, 0}, {1, 0}};
  const AlignedBlock block = AlignedReader(utc, both, AlignedGrid{Rate(1, 1), {}}).read(100);
  REQUIRE(block.size() == 7);
  CHECK(block.times[6] == std::chrono::seconds(6));
  CHECK(std::isnan(block.values[1][1]));
  CHECK(block.values[1][2] == 10.0);
  CHECK(block.values[0][4] == 4.0);
  CHECK(std::isnan(block.values[0][5]));
  CHECK(block.quality[0][5] == Quality(Verdict::bad, Quality::missing));
  // The first channel's stream gives the origin.
  const AlignedBlock other =
      AlignedReader(utc, {{1, 0}, {0, 0}}, AlignedGrid{Rate(1, 1), {}}).read(100);
  REQUIRE(other.size() == 7);
  CHECK(other.times[0] == std::chrono::seconds(-2));
  CHECK(other.values[1][0] == 0.0);

  const Recording unknown =
      Recording::of(two_streams({Kind::utc, "2026-01-01T00:00:00"}, {Kind::unknown, "power on"}));
  CHECK(contains(message_of([&] {
                   AlignedReader(unknown, both, AlignedGrid{Rate(1, 1), {}});
                 }),
                 "'a' and 'b' have origins that can't be compared"));
  const Recording alike =
      Recording::of(two_streams({Kind::unknown, "power on"}, {Kind::unknown, "power on"}));
  CHECK(AlignedReader(alike, both, AlignedGrid{Rate(1, 1), {}}).read(100).size() == 5);
}

TEST_CASE("what can't be aligned is refused in words") {
  const Recording from = Recording::of(two_streams({}, {}));
  const auto refused = [&](const std::vector<AlignedChannel>& channels, const Rate& rate,
                           const AlignedOptions& options) {
    return message_of([&] { AlignedReader(from, channels, AlignedGrid{rate, {}}, options); });
  };
  CHECK(contains(refused({}, Rate(1, 1), {}), "no channel"));
  CHECK(contains(refused({{0, 1}}, Rate(1, 1), {}), "has no channel 1; it has"));
  CHECK(contains(refused({{2, 0}}, Rate(1, 1), {}), "no stream 2"));
  CHECK(contains(refused({{0, 0}}, Rate(2'000'000'000, 1), {}), "1e9 Hz"));
  CHECK(contains(refused({{0, 0}}, Rate(1, 1), {Method::linear, Time(-1), Time(0)}), "negative"));
  CHECK(contains(refused({{0, 0}}, Rate(1, 1), {Method::linear, Time(0), Time(1)}), "max_age"));
  CHECK(contains(refused({{0, 0}}, Rate(1, 1), {Method::last, Time(1), Time(0)}), "max_gap"));
  CHECK(contains(message_of([&] {
                   AlignedReader(from, {{0, 0}}, AlignedTimes{5, {}});
                 }),
                 "no stream 5"));
}

TEST_CASE("a sparse grid over a long stream reads what it needs") {
  const StreamInfo info = make_info({SampleType::int64}, 1 << 16, Rate(1'000'000, 1));
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({info}));
  Block block(info, 100'000);
  for (std::uint64_t first = 0; first < 1'000'000; first += 100'000) {
    for (std::uint64_t i = 0; i < 100'000; ++i)
      block.values<std::int64_t>(0)[i] = static_cast<std::int64_t>(first + i);
    Chunk chunk;
    chunk.from = chunk.first = {first};
    chunk.count = {100'000};
    chunk.time = info.rate->duration(first);
    chunk.calibrations = {1};
    memory->append(0, chunk, block, {{}});
  }
  const Recording from = Recording::of(memory);
  AlignedReader reader(from, {{0, 0}}, AlignedGrid{Rate(7, 1), {}});
  const AlignedBlock all = reader.read(1000);
  REQUIRE(all.size() == 7);
  for (std::size_t i = 0; i < 7; ++i)
    CHECK(all.values[0][i] == Approx(static_cast<double>(all.times[i].count()) / 1000.0));
}

TEST_CASE("a grid from the earliest of all times has each point once, and ends") {
  const Recording from = Recording::of(two_streams({}, {}));
  // A point in about 31 years.
  const AlignedGrid grid{Rate(1, 1'000'000'000), {Time::min() + Time(1), Time::max()}};
  const AlignedBlock block = AlignedReader(from, {{0, 0}}, grid).read(100);
  CHECK(block.size() == 10);
  CHECK(std::ranges::adjacent_find(block.times, std::greater_equal<>()) == block.times.end());
  CHECK(contains(message_of([&] {
                   AlignedReader(from, {{0, 0}}, AlignedTimes{9, {}});
                 }),
                 "no stream 9"));
}
