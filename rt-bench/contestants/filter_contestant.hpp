// A filter of some library, as a user who knows it well would call it, over a block of samples.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "spillway/filters/sos.hpp"

namespace spillway::bench {

inline constexpr std::size_t filter_block = 1024;  // frames of one call

// What is to be filtered, and by what. Each contestant takes the layout that suits it.
template <class T>
struct FilterWork {
  // One of these is not empty, or one of the windows not 0.
  Sos sos = {};
  std::size_t window = 0;  // of a moving average
  std::size_t median = 0;  // window, odd
  std::vector<double> taps = {};

  std::size_t lanes = 1;
  std::vector<T> by_frame;  // [frame * lanes + lane]
  std::vector<T> by_lane;   // [lane * filter_block + frame]
};

// run() filters a block, the same one every time, and goes on from the state it has left. The
// output is in one of the layouts, for a look at whether it is right.
template <class T>
struct FilterContestant {
  std::string name;
  std::function<void()> run;
  const std::vector<T>* by_frame = nullptr;
  const std::vector<T>* by_lane = nullptr;
};

// Those of a library that has such a filter, for that type and number of lanes; `work` outlives
// them.
template <class T>
using FilterContestants = std::vector<FilterContestant<T>>;

// A copy of the data.
template <class T>
[[nodiscard]] FilterContestants<T> copying(const FilterWork<T>& work);
template <class T>
[[nodiscard]] FilterContestants<T> spillway_filters(const FilterWork<T>& work);
// The loops that everybody writes, compiled for x86-64 and, if this CPU has it, x86-64-v3
// ("-v3" behind the name): channel by channel, and all channels of a frame in the innermost
// loop, where there is more than one.
template <class T>
[[nodiscard]] FilterContestants<T> plain_loops(const FilterWork<T>& work);
inline constexpr const char* plain_by_lane = "plain loop, channel by channel";
inline constexpr const char* plain_by_frame = "plain loop, frame by frame";
// Empty where the library was not there when this was built.
[[nodiscard]] FilterContestants<float> liquid_filters(const FilterWork<float>& work);
[[nodiscard]] FilterContestants<float> volk_filters(const FilterWork<float>& work);

}  // namespace spillway::bench
