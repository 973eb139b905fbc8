#include <algorithm>
#include <memory>
#include <type_traits>

#include "filter_contestant.hpp"
#include "plain_loops.hpp"

namespace spillway::bench {

namespace {

// All that one contestant needs; the same struct for each kind of filter.
template <class T>
struct Plain {
  const PlainLoops<T>& loops;
  const FilterWork<T>& work;
  std::vector<T> coefficients = {};
  std::vector<T> state = {};
  std::vector<T> past = {};
  std::size_t oldest = 0;
  std::vector<T> out = std::vector<T>(work.by_frame.size());

  void sos_by_lane() {
    const std::size_t sections = work.sos.sections.size();
    for (std::size_t l = 0, at = 0; l < work.lanes; ++l, at += filter_block)
      loops.sos_by_lane(coefficients.data(), sections, state.data() + 2 * sections * l,
                        work.by_lane.data() + at, out.data() + at, filter_block);
  }
  void sos_by_frame() {
    loops.sos_by_frame(coefficients.data(), work.sos.sections.size(), state.data(),
                       work.by_frame.data(), out.data(), filter_block, work.lanes);
  }
  void mean_by_lane() {
    std::size_t next = oldest;
    for (std::size_t l = 0, at = 0; l < work.lanes; ++l, at += filter_block) {
      next = oldest;
      loops.mean_by_lane(work.window, state.data() + l, past.data() + l * work.window, next,
                         work.by_lane.data() + at, out.data() + at, filter_block);
    }
    oldest = next;
  }
  void mean_by_frame() {
    loops.mean_by_frame(work.window, state.data(), past.data(), oldest, work.by_frame.data(),
                        out.data(), filter_block, work.lanes);
  }
  void median_by_lane() {
    std::size_t next = oldest;
    for (std::size_t l = 0, at = 0; l < work.lanes; ++l, at += filter_block) {
      next = oldest;
      loops.median_by_lane(work.median, state.data() + l * work.median,
                           past.data() + l * work.median, next, work.by_lane.data() + at,
                           out.data() + at, filter_block);
    }
    oldest = next;
  }
  void fir_by_lane() {
    // Each lane behind the end of its last block.
    const std::size_t before = coefficients.size() - 1;
    for (std::size_t l = 0; l < work.lanes; ++l) {
      T* const lane = past.data() + l * (before + filter_block);
      std::copy_n(lane + filter_block, before, lane);
      std::copy_n(work.by_lane.data() + l * filter_block, filter_block, lane + before);
      loops.fir_by_lane(coefficients.data(), coefficients.size(), lane + before,
                        out.data() + l * filter_block, filter_block);
    }
  }
};

template <class T>
void add(FilterContestants<T>& all, const FilterWork<T>& work, const PlainLoops<T>& loops,
         const std::string& suffix) {
  auto lane = std::make_shared<Plain<T>>(Plain<T>{loops, work});
  void (Plain<T>::*by_lane)() = nullptr;
  void (Plain<T>::*by_frame)() = nullptr;
  if (!work.sos.sections.empty()) {
    for (const Sos::Section& s : work.sos.sections)
      for (const double c : {s.b0, s.b1, s.b2, s.a1, s.a2})
        lane->coefficients.push_back(static_cast<T>(c));
    lane->state.resize(2 * work.sos.sections.size() * work.lanes);
    by_lane = &Plain<T>::sos_by_lane;
    by_frame = &Plain<T>::sos_by_frame;
  } else if (work.window > 0) {
    lane->state.resize(work.lanes);
    lane->past.resize(work.lanes * work.window);
    by_lane = &Plain<T>::mean_by_lane;
    by_frame = &Plain<T>::mean_by_frame;
  } else if (work.median > 0) {
    lane->state.resize(work.lanes * work.median);
    lane->past.resize(work.lanes * work.median);
    by_lane = &Plain<T>::median_by_lane;
  } else {
    lane->coefficients.assign(work.taps.rbegin(), work.taps.rend());
    lane->past.resize(work.lanes * (work.taps.size() - 1 + filter_block));
    by_lane = &Plain<T>::fir_by_lane;
  }
  auto frame = std::make_shared<Plain<T>>(*lane);
  all.push_back(
      {plain_by_lane + suffix, [lane, by_lane] { ((*lane).*by_lane)(); }, nullptr, &lane->out});
  if (by_frame && work.lanes > 1)
    all.push_back({plain_by_frame + suffix, [frame, by_frame] { ((*frame).*by_frame)(); },
                   &frame->out, nullptr});
}

}  // namespace

template <class T>
FilterContestants<T> plain_loops(const FilterWork<T>& work) {
  FilterContestants<T> all;
  if constexpr (std::is_same_v<T, float>)
    add(all, work, x86_64::loops_float, "");
  else
    add(all, work, x86_64::loops_double, "");
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if constexpr (std::is_same_v<T, float>)
      add(all, work, x86_64_v3::loops_float, "-v3");
    else
      add(all, work, x86_64_v3::loops_double, "-v3");
  }
#endif
  return all;
}

template <class T>
FilterContestants<T> copying(const FilterWork<T>& work) {
  auto out = std::make_shared<std::vector<T>>(work.by_frame.size());
  return {{"a copy of the data",
           [&work, out] { std::copy(work.by_frame.begin(), work.by_frame.end(), out->begin()); },
           nullptr, nullptr}};
}

template FilterContestants<float> plain_loops(const FilterWork<float>&);
template FilterContestants<double> plain_loops(const FilterWork<double>&);
template FilterContestants<float> copying(const FilterWork<float>&);
template FilterContestants<double> copying(const FilterWork<double>&);

}  // namespace spillway::bench
