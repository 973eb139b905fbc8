#include "convert.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <numeric>

#include "simd/isa.hpp"
#include "support.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::array all_types{SampleType::int8,   SampleType::int16,  SampleType::int32,
                               SampleType::int64,  SampleType::uint8,  SampleType::uint16,
                               SampleType::uint32, SampleType::uint64, SampleType::float32,
                               SampleType::float64};

// What an edge of a graph has, value by value, by definition.
struct Edge {
  std::vector<double> values;
  std::vector<Quality> quality;
};

// Also tells -0.0 from 0.0; NaN is NaN.
bool same(const Edge& a, const Edge& b) {
  return same_bits(a.values, b.values) && a.quality == b.quality;
}

struct Expected {
  Edge calibrated;
  Edge raw;
};
Expected by_definition(const Block& block, std::size_t begin, std::size_t count,
                       const CalibrationSet& set) {
  Expected e;
  for (std::size_t f = begin; f < begin + count; ++f)
    for (std::size_t l = 0; l < block.channel_count(); ++l) {
      double value = visit_sample_type(block.type(l), [&]<class T>(std::type_identity<T>) {
        return static_cast<double>(block.values<T>(l)[f]);
      });
      Quality quality = block.quality(l)[f];
      if (std::isnan(value)) quality = merge(quality, bad_missing);
      if (quality.verdict() == Verdict::bad && quality.has(Quality::missing)) value = test::nan;
      e.raw.values.push_back(value);
      e.raw.quality.push_back(quality);
      set[l].apply({&value, 1}, {&quality, 1});
      e.calibrated.values.push_back(value);
      e.calibrated.quality.push_back(quality);
    }
  return e;
}

// All bit patterns of a type, some of them more often.
void fill(Block& block, Random& random, std::uint64_t odd) {
  for (std::size_t l = 0; l < block.channel_count(); ++l) {
    visit_sample_type(block.type(l), [&]<class T>(std::type_identity<T>) {
      constexpr std::array special{test::nan, infinity, -infinity, -0.0,
                                   0.0,       1e-310,   1.7e308,   -1e-40};
      for (T& value : block.values<T>(l)) {
        const std::uint64_t bits = random.below(std::numeric_limits<std::uint64_t>::max());
        std::memcpy(&value, &bits, sizeof value);
        if constexpr (std::is_floating_point_v<T>) {
          if (!std::isfinite(value)) value = static_cast<T>(random.uniform());
          if (odd > 0 && random.below(odd) == 0)
            value = static_cast<T>(special[random.below(special.size())]);
        }
      }
    });
    for (Quality& quality : block.quality(l)) {
      quality = {};
      if (odd > 0 && random.below(odd) == 0)
        quality = Quality::from_byte(static_cast<std::uint8_t>(random.below(256)));
    }
  }
}

Calibration some_calibration(Random& random) {
  const Table table{{-1e9, -1.0, 0.5, 1e18}, {1.0, -2.0, 0.0, 5.0}, Outside(random.below(3))};
  Calibration chain(Linear{2.5, -0.1});
  chain.steps.emplace_back(Polynomial{{0.1, 1.0, -1e-3}});
  switch (random.below(8)) {
    case 0: return {};
    case 1: return Linear{random.uniform(), random.uniform()};
    case 2: return Linear{0.0, 1.0};  // makes NaN of infinities
    case 3: return Linear{-1e300, 0.0};
    case 4: return Linear{1.0, 0.0};
    case 5: return table;
    case 6: return Polynomial{{3.0}};
    default: return chain;
  }
}

StreamInfo stream_of(const std::vector<SampleType>& types) {
  StreamInfo info;
  info.name = "s";
  info.rate = Rate(1000, 1);
  for (const SampleType type : types) {
    ChannelInfo channel;
    channel.name = std::to_string(info.channels.size());
    channel.type = type;
    info.channels.push_back(channel);
  }
  return info;
}

// Converts in calls of random lengths, into memory that held something else.
Expected converted(InputConverter& converter, const Block& block, std::size_t begin,
                   std::size_t count, const CalibrationSet& set, bool wants_raw, Random& random) {
  const std::size_t lanes = block.channel_count();
  Expected e;
  while (count > 0) {
    const std::size_t some = 1 + random.below(count);
    Edge calibrated{std::vector(some * lanes, 99.0),
                    std::vector(some * lanes, Quality::never_written())};
    Edge raw = wants_raw ? calibrated : Edge{};
    converter.convert(block, begin, some, set, {calibrated.values, calibrated.quality, lanes},
                      {raw.values, raw.quality, lanes});
    const auto append = [](Edge& to, const Edge& from) {
      to.values.insert(to.values.end(), from.values.begin(), from.values.end());
      to.quality.insert(to.quality.end(), from.quality.begin(), from.quality.end());
    };
    append(e.calibrated, calibrated);
    append(e.raw, raw);
    begin += some;
    count -= some;
  }
  return e;
}

void check_stream(const std::vector<SampleType>& types, Random& random) {
  const StreamInfo info = stream_of(types);
  const std::size_t frames = 1 + random.below(300);
  Block block(info, frames);
  // Nothing odd, now and then something, everything odd.
  for (const std::uint64_t odd : {0U, 500U, 3U}) {
    fill(block, random, odd);
    CalibrationSet set(types.size());
    for (Calibration& calibration : set) calibration = some_calibration(random);
    const std::size_t begin = random.below(frames);
    const std::size_t count = frames - begin;
    Expected expected = by_definition(block, begin, count, set);
    for (const bool wants_raw : {false, true}) {
      InputConverter converter(info, wants_raw);
      const Expected made = converted(converter, block, begin, count, set, wants_raw, random);
      CAPTURE(frames, odd, begin, wants_raw);
      CHECK(same(made.calibrated, expected.calibrated));
      if (wants_raw) CHECK(same(made.raw, expected.raw));
    }
  }
}

}  // namespace

TEST_CASE("conversion gives what its definition says, value by value, with every instruction set") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  const simd::Isa before = simd::current_isa();
  for (const simd::Isa isa : simd::all_isas) {
    if (!simd::is_supported(isa)) continue;
    CAPTURE(to_string(isa));
    simd::choose_isa(isa);
    Random random(seed);
    for (const std::size_t lanes : {1U, 2U, 3U, 8U, 16U, 17U, 64U}) {
      CAPTURE(lanes);
      for (const SampleType type : all_types) {
        CAPTURE(sample_type_name(type));
        check_stream(std::vector(lanes, type), random);
      }
      std::vector<SampleType> mixed;
      for (std::size_t l = 0; l < lanes; ++l)
        mixed.push_back(all_types[random.below(all_types.size())]);
      check_stream(mixed, random);
    }
  }
  simd::choose_isa(before);
}

TEST_CASE("a value of zero keeps its sign where there is no calibration") {
  Block block(stream_of({SampleType::float64, SampleType::float32}), 3);
  for (std::size_t f = 0; f < 3; ++f) {
    block.values<double>(0)[f] = -0.0;
    block.values<float>(1)[f] = -0.0F;
  }
  InputConverter converter(stream_of({SampleType::float64, SampleType::float32}), true);
  std::vector<double> values(6);
  std::vector<double> raw(6);
  std::vector<Quality> quality(6);
  const CalibrationSet set(2);
  converter.convert(block, 0, 3, set, {values, quality, 2}, {raw, quality, 2});
  CHECK(std::ranges::all_of(values, [](double v) { return v == 0.0 && std::signbit(v); }));
  CHECK(std::ranges::all_of(raw, [](double v) { return v == 0.0 && std::signbit(v); }));
}

TEST_CASE("picked lanes stand where they should, and others stay") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int i = 0; i < 300; ++i) {
    const std::size_t from_lanes = 1 + random.below(20);
    const Signal from = random.noise(random.below(150), from_lanes, 5);
    std::vector<std::size_t> lanes;
    if (random.below(3) > 0)
      for (std::size_t n = 1 + random.below(i % 2 == 0 ? 1 : 9); n > 0; --n)
        lanes.push_back(random.below(from_lanes));
    const std::size_t picked = lanes.empty() ? from_lanes : lanes.size();
    const std::size_t first = i % 3 == 0 ? 0 : random.below(5);
    const std::size_t to_lanes = first + picked + (i % 3 == 0 ? 0 : random.below(5));
    CAPTURE(from_lanes, lanes, first, to_lanes, from.frames());
    Signal to = random.noise(from.frames(), to_lanes, 5);
    Signal expected = to;
    for (std::size_t f = 0; f < from.frames(); ++f)
      for (std::size_t l = 0; l < picked; ++l) {
        const std::size_t of = f * from_lanes + (lanes.empty() ? l : lanes[l]);
        expected.values[f * to_lanes + first + l] = from.values[of];
        expected.quality[f * to_lanes + first + l] = from.quality[of];
      }
    pick_lanes({from.values, from.quality, from_lanes}, lanes, first,
               {to.values, to.quality, to_lanes});
    CHECK(to == expected);
  }
}
