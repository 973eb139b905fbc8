// Law 6: the bits of an output depend neither on the instruction set, nor on the compiler, nor on
// how the input is cut into calls, nor on saving and loading in between.
//
// To add a filter: a line in the table below, with 0 for the hash; the failing test tells what it
// is. Coefficients are stored, not designed: libm differs. An expected hash changes only with
// what the filter is specified to compute.
#include <fmt/format.h>

#include <bit>
#include <functional>

#include "simd/isa.hpp"
#include "spillway/filters/fir.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/sliding.hpp"
#include "spillway/filters/sos.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::Random;
using test::Signal;

constexpr std::size_t lanes = 11;  // fills no register
constexpr std::size_t frames = 1500;
constexpr std::size_t gap_at[] = {333, 900};

// FNV-1a, 64 bits, over the bytes of the numbers, least significant first.
class Hash {
 public:
  void add(double value) {
    add_bits(std::bit_cast<std::uint64_t>(value == value ? value : test::nan));
  }
  void add(float value) { add(static_cast<double>(value)); }
  void add(Quality quality) { add_byte(quality.byte()); }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  void add_bits(std::uint64_t bits) {
    for (int shift = 0; shift < 64; shift += 8) add_byte((bits >> shift) & 0xFF);
  }
  void add_byte(std::uint64_t byte) { value_ = (value_ ^ byte) * 0x100000001B3; }
  std::uint64_t value_ = 0xCBF29CE484222325;
};

// How the frames are cut into calls; 0: into random ones. The state is saved and loaded into a
// new one half-way.
constexpr std::size_t cuts[] = {frames, 1, 7, 64, 100, 0};

// Calls process(from, to) for consecutive runs that end at every frame in `ends`.
template <class F>
void in_runs(std::size_t cut, std::vector<std::size_t> ends, F&& process) {
  Random random(5);
  ends.push_back(frames);
  std::ranges::sort(ends);
  std::size_t at = 0;
  for (const std::size_t end : ends)
    while (at < end) {
      const std::size_t n = std::min(cut == 0 ? 1 + random.below(150) : cut, end - at);
      process(at, at + n);
      at += n;
    }
}

constexpr std::size_t saved_at = 777;

// The hash of a filter's output: noise with NaN, other qualities and two gaps.
template <class Make>
std::function<std::uint64_t(std::size_t)> filter(Make make) {
  return [make](std::size_t cut) {
    const Signal in = Random(1).noise(frames, lanes, 400);
    Signal out = in;
    auto running = make();
    in_runs(cut, {gap_at[0], gap_at[1], saved_at}, [&](std::size_t from, std::size_t to) {
      if (std::ranges::count(gap_at, from) != 0) running.gap();
      if (from == saved_at) {
        StateWriter writer;
        running.save_state(writer);
        StateReader reader(writer.bytes());
        running = make();
        running.load_state(reader);
      }
      const std::size_t begin = from * lanes;
      const std::size_t count = (to - from) * lanes;
      running.process({std::span(in.values).subspan(begin, count),
                       std::span(in.quality).subspan(begin, count), lanes},
                      {std::span(out.values).subspan(begin, count),
                       std::span(out.quality).subspan(begin, count), lanes});
    });
    Hash hash;
    for (const double v : out.values) hash.add(v);
    for (const Quality q : out.quality) hash.add(q);
    return hash.value();
  };
}

// The same of a bank: noise, in place.
template <class T, class Make>
std::function<std::uint64_t(std::size_t)> bank(Make make) {
  return [make](std::size_t cut) {
    Random random(2);
    std::vector<T> values(frames * lanes);
    for (T& v : values) v = static_cast<T>(random.uniform());
    auto running = make();
    in_runs(cut, {saved_at}, [&](std::size_t from, std::size_t to) {
      if (from == saved_at) {
        const auto state = running.state();
        running = make();
        running.state() = state;
      }
      running.process(values.data() + from * lanes, values.data() + from * lanes, to - from);
    });
    Hash hash;
    for (const T v : values) hash.add(v);
    return hash.value();
  };
}

// Of both kinds of poles, with zeros here and there.
const Sos sections{{{0.0625, 0.125, 0.0625, -1.2345678901234567, 0.56789012345678912},
                    {1.0, -1.9, 1.0, -1.1234567890123457, 0.71234567890123455},
                    {1.0, 0.3, 0.98765432109876548, -1.0123456789012345, 0.91234567890123451},
                    {0.7, 0.0, -0.7, -0.31234567890123452, 0.11234567890123457},
                    {0.9, -0.1, 0.0, 0.61234567890123456, 0.0}}};

template <class T>
std::vector<T> any_taps(std::size_t count) {
  std::vector<T> taps;
  for (std::size_t i = 0; i < count; ++i)
    taps.push_back(static_cast<T>(static_cast<double>(i * i % 97) / 64.0 - 0.7));
  return taps;
}

struct Entry {
  const char* name;
  std::uint64_t expected;
  std::function<std::uint64_t(std::size_t cut)> hash;
};

const Entry entries[] = {
    {"SosBank<double>, df2t", 0xCAC48675839C9074,
     bank<double>([] { return SosBank<double>(sections, Form::df2t, lanes); })},
    {"SosBank<float>, df2t", 0xC05C005897A31C01,
     bank<float>([] { return SosBank<float>(sections, Form::df2t, lanes); })},
    {"SosBank<double>, block", 0xF08468811A488524,
     bank<double>([] { return SosBank<double>(sections, Form::block, lanes); })},
    {"SosBank<float>, block", 0xE98BF5B19B2A6D67,
     bank<float>([] { return SosBank<float>(sections, Form::block, lanes); })},
    {"SosFilter, hold, zero", 0x6B86CA22C5B3D078,
     filter([] { return SosFilter(sections, {}, lanes); })},
    {"SosFilter, reset, steady, hold gaps", 0x240E42FBF6FBF09C, filter([] {
       const SosOptions options{
           .initial = Initial::steady, .nan = NanPolicy::reset, .gap = GapPolicy::hold};
       return SosFilter(sections, options, lanes);
     })},
    {"SosFilter, block", 0x92E3BE4178F622E1,
     filter([] { return SosFilter(sections, {.form = Form::block}, lanes); })},
    {"SosFilter, block, reset, steady, hold gaps", 0x1C96D09C8AAFD1D0, filter([] {
       const SosOptions options{.initial = Initial::steady,
                                .nan = NanPolicy::reset,
                                .gap = GapPolicy::hold,
                                .form = Form::block};
       return SosFilter(sections, options, lanes);
     })},
    {"FirBank<double>, 37", 0x764DC1AB3A9B3989,
     bank<double>([] { return FirBank<double>(any_taps<double>(37), lanes); })},
    {"FirBank<float>, 64", 0x77FA13A70AAC9A37,
     bank<float>([] { return FirBank<float>(any_taps<float>(64), lanes); })},
    {"FirFilter, 12", 0x6CF76789D5D980D9,
     filter([] { return FirFilter({any_taps<double>(12)}, lanes); })},
    {"FirFilter, 100, hold gaps", 0xCF40467DFDFBB484, filter([] {
       return FirFilter({any_taps<double>(100), GapPolicy::hold}, lanes);
     })},
    {"MovingAverageBank<double>, 17", 0x4E8F58F52F61313F,
     bank<double>([] { return MovingAverageBank<double>({.window = 17}, lanes); })},
    {"MovingAverageBank<float>, 64", 0x9CCEF77B2D3627A9,
     bank<float>([] { return MovingAverageBank<float>({.window = 64}, lanes); })},
    {"MovingAverageFilter, 50", 0xC82B59B2530E95DE,
     filter([] { return MovingAverageFilter({.window = 50}, lanes); })},
    {"MovingAverageFilter, 7, nan, ignore, hold gaps", 0x17FFEED2EFDABC7B, filter([] {
       const MovingAverage spec{
           .window = 7, .warm_up = WarmUp::nan, .nan = NanPolicy::ignore, .gap = GapPolicy::hold};
       return MovingAverageFilter(spec, lanes);
     })},
    {"SlidingMedianFilter, 5", 0x61477F0342AE77C9,
     filter([] { return SlidingMedianFilter({.window = 5}, lanes); })},
    {"SlidingMedianFilter, 32, ignore", 0x2664B524A6B980C2,
     filter([] { return SlidingMedianFilter({.window = 32, .nan = NanPolicy::ignore}, lanes); })},
    {"SlidingMedianFilter, 200", 0xF9F7585CA95C1945,
     filter([] { return SlidingMedianFilter({.window = 200}, lanes); })},
    {"SlidingMinFilter, 9", 0x09B544C7E74DFCD4,
     filter([] { return SlidingMinFilter({.window = 9}, lanes); })},
    {"SlidingMaxFilter, 10, nan, ignore, hold gaps", 0x6DC38838B941F173, filter([] {
       const SlidingMax spec{
           .window = 10, .warm_up = WarmUp::nan, .nan = NanPolicy::ignore, .gap = GapPolicy::hold};
       return SlidingMaxFilter(spec, lanes);
     })},
    {"SlidingRmsFilter, 50", 0x56756CC6882C5C2C,
     filter([] { return SlidingRmsFilter({.window = 50}, lanes); })},
    {"SlidingStdFilter, 64", 0xD82FFFF2695CB050,
     filter([] { return SlidingStdFilter({.window = 64}, lanes); })},
    {"SlidingStdFilter, 33, ddof 1, ignore", 0x5D677B562E275402, filter([] {
       return SlidingStdFilter({.window = 33, .ddof = 1, .nan = NanPolicy::ignore}, lanes);
     })},
};

TEST_CASE("bits depend on no instruction set, compiler, cut or saved state") {
  const simd::Isa usual = simd::current_isa();
  for (const simd::Isa isa : simd::all_isas) {
    if (!simd::is_supported(isa)) continue;
    simd::choose_isa(isa);
    for (const Entry& entry : entries)
      for (const std::size_t cut : cuts) {
        INFO(entry.name << ", " << simd::to_string(isa) << ", calls of " << cut << " frames");
        CHECK(fmt::format("0x{:016X}", entry.hash(cut)) ==
              fmt::format("0x{:016X}", entry.expected));
      }
  }
  simd::choose_isa(usual);
}

}  // namespace
}  // namespace spillway
