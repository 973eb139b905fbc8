// What the tests of filters share: signals, and ways of running a filter over them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/quality.hpp"
#include "spillway/filters/filter.hpp"
#include "support/catch.hpp"

namespace spillway {

inline std::ostream& operator<<(std::ostream& out, Quality quality) {
  return out << to_string(quality);
}

namespace test {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr Quality bad_missing{Verdict::bad, Quality::missing};
inline constexpr Quality unsettled{Verdict::suspect, Quality::transient};
// What a NaN of this quality is in the outputs of a window that ignores it.
constexpr Quality ignored(Quality q) {
  return Quality(Verdict::suspect, static_cast<std::uint8_t>(q.reasons() | Quality::missing));
}

// Bit for bit, except that a NaN is a NaN.
inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(a, b, [](double x, double y) {
    return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y) ||
           (std::isnan(x) && std::isnan(y));
  });
}

struct Signal {
  std::vector<double> values;
  std::vector<Quality> quality;
  std::size_t lanes = 1;

  [[nodiscard]] std::size_t frames() const { return values.size() / lanes; }
  // Frames [from, to).
  [[nodiscard]] Signal part(std::size_t from, std::size_t to) const {
    const auto at = [&](std::size_t f) { return static_cast<std::ptrdiff_t>(f * lanes); };
    return {{values.begin() + at(from), values.begin() + at(to)},
            {quality.begin() + at(from), quality.begin() + at(to)},
            lanes};
  }
  [[nodiscard]] Signal lane(std::size_t l) const {
    Signal one;
    for (std::size_t f = 0; f < frames(); ++f) {
      one.values.push_back(values[f * lanes + l]);
      one.quality.push_back(quality[f * lanes + l]);
    }
    return one;
  }
  void append(const Signal& other) {
    values.insert(values.end(), other.values.begin(), other.values.end());
    quality.insert(quality.end(), other.quality.begin(), other.quality.end());
  }
  friend bool operator==(const Signal& a, const Signal& b) {
    return a.lanes == b.lanes && same_bits(a.values, b.values) && a.quality == b.quality;
  }
};

// Good, except that what is NaN is Bad, missing.
inline Signal signal(std::vector<double> values, std::size_t lanes = 1) {
  Signal s{std::move(values), {}, lanes};
  for (double v : s.values) s.quality.push_back(std::isnan(v) ? bad_missing : Quality::good());
  return s;
}

// Everything at once.
template <class Filter>
Signal run(Filter& filter, const Signal& in) {
  Signal out = in;
  const std::size_t made =
      filter.process({in.values, in.quality, in.lanes}, {out.values, out.quality, in.lanes});
  REQUIRE(made == in.frames());
  return out;
}

// In blocks of the sizes block() gives; those of an even number of frames in place.
template <class Filter, class Block>
Signal run_in_blocks(Filter& filter, const Signal& in, Block block) {
  Signal out{{}, {}, in.lanes};
  for (std::size_t f = 0; f < in.frames();) {
    const std::size_t n = std::min<std::size_t>(block(), in.frames() - f);
    Signal piece = in.part(f, f + n);
    Signal apart = piece;
    Signal& made = n % 2 == 0 ? piece : apart;
    filter.process({piece.values, piece.quality, in.lanes}, {made.values, made.quality, in.lanes});
    out.append(made);
    f += n;
  }
  return out;
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  [[nodiscard]] double uniform() {
    return static_cast<double>(engine_() >> 11) * 0x1p-52 - 1.0;  // -1 to 1, on every platform
  }
  // Noise, about every `odd`-th value a NaN and as many with some other quality; 0: none.
  [[nodiscard]] Signal noise(std::size_t frames, std::size_t lanes, std::uint64_t odd) {
    Signal s{{}, {}, lanes};
    for (std::size_t i = 0; i < frames * lanes; ++i) {
      const std::uint64_t dice = odd == 0 ? 2 : below(odd);
      s.values.push_back(dice == 0 ? nan : uniform());
      Quality q = dice == 0 ? bad_missing : Quality::good();
      if (dice == 1) {
        const std::uint64_t verdict = 1 + below(3);  // in an order that every compiler keeps
        q = Quality(static_cast<Verdict>(verdict), static_cast<std::uint8_t>(below(64) << 2));
      }
      s.quality.push_back(q);
    }
    return s;
  }

 private:
  std::mt19937_64 engine_;
};

// A seed of its own for every run; tests print it with INFO.
inline std::uint64_t new_seed() { return std::random_device{}(); }

// The laws every filter of the library keeps, on one signal: `filter` is as new.
template <class Filter>
void check_laws(const Filter& filter, const Signal& in, Random& random,
                const std::vector<Filter>& single_lanes) {
  Filter whole = filter;
  const Signal expected = run(whole, in);

  Filter cut = filter;
  CHECK(run_in_blocks(cut, in, [&] { return 1 + random.below(70); }) == expected);

  // Saved in the middle, loaded into a filter that has a past of its own.
  const std::size_t middle = random.below(in.frames() + 1);
  Filter before = filter;
  Signal pieces = run(before, in.part(0, middle));
  StateWriter writer;
  before.save_state(writer);
  Filter after = filter;
  (void)run(after, in);
  StateReader reader(writer.bytes());
  after.load_state(reader);
  CHECK(reader.at_end());
  pieces.append(run(after, in.part(middle, in.frames())));
  CHECK(pieces == expected);

  for (std::size_t l = 0; l < in.lanes; ++l) {
    Filter one = single_lanes[l];
    CHECK(run(one, in.lane(l)) == expected.lane(l));
  }

  whole.reset();
  CHECK(run(whole, in) == expected);

  Filter broken = filter;
  StateReader cut_short(std::span(writer.bytes()).first(writer.bytes().size() - 1));
  CHECK_THROWS_AS(broken.load_state(cut_short), Error);
  CHECK(run(broken, in) == expected);
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace test
}  // namespace spillway
