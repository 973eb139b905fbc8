// For filters with another number of lanes out than in: as support.hpp, which has them equal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "support.hpp"

namespace spillway::test {

inline Signal blank(std::size_t frames, std::size_t lanes) {
  // Something that no filter leaves there.
  return {std::vector<double>(frames * lanes, -12345.0),
          std::vector<Quality>(frames * lanes, Quality::never_written()), lanes};
}

// Everything at once, into `lanes` lanes.
template <class Filter>
Signal run_to(Filter& filter, const Signal& in, std::size_t lanes) {
  Signal out = blank(in.frames(), lanes);
  const std::size_t made =
      filter.process({in.values, in.quality, in.lanes}, {out.values, out.quality, lanes});
  REQUIRE(made == in.frames());
  return out;
}

// In place where the lanes are equal and the number of frames is even.
template <class Filter, class Block>
Signal run_in_blocks_to(Filter& filter, const Signal& in, std::size_t lanes, Block block) {
  Signal out{{}, {}, lanes};
  for (std::size_t f = 0; f < in.frames();) {
    const std::size_t n = std::min<std::size_t>(block(), in.frames() - f);
    Signal piece = in.part(f, f + n);
    Signal apart = blank(n, lanes);
    Signal& made = n % 2 == 0 && lanes == in.lanes ? piece : apart;
    filter.process({piece.values, piece.quality, in.lanes}, {made.values, made.quality, lanes});
    out.append(made);
    f += n;
  }
  return out;
}

// The laws of check_laws that hold when lanes are mixed: `filter` is as new.
template <class Filter>
void check_laws_to(const Filter& filter, const Signal& in, std::size_t lanes, Random& random) {
  Filter whole = filter;
  const Signal expected = run_to(whole, in, lanes);

  Filter cut = filter;
  CHECK(run_in_blocks_to(cut, in, lanes, [&] { return 1 + random.below(70); }) == expected);

  const std::size_t middle = random.below(in.frames() + 1);
  Filter before = filter;
  Signal pieces = run_to(before, in.part(0, middle), lanes);
  StateWriter writer;
  before.save_state(writer);
  Filter after = filter;
  (void)run_to(after, in, lanes);
  StateReader reader(writer.bytes());
  after.load_state(reader);
  CHECK(reader.at_end());
  pieces.append(run_to(after, in.part(middle, in.frames()), lanes));
  CHECK(pieces == expected);

  whole.reset();
  CHECK(run_to(whole, in, lanes) == expected);

  Filter broken = filter;
  StateReader cut_short(std::span(writer.bytes()).first(writer.bytes().size() - 1));
  CHECK_THROWS_AS(broken.load_state(cut_short), Error);
  CHECK(run_to(broken, in, lanes) == expected);

  for (std::size_t i = 0; i < expected.values.size(); ++i)
    if (std::isnan(expected.values[i])) {
      CHECK(expected.quality[i].verdict() == Verdict::bad);
      CHECK(expected.quality[i].has(Quality::missing));
    }
}

}  // namespace spillway::test
