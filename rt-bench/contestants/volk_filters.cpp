#include <volk/volk.h>

#include <algorithm>
#include <memory>

#include "filter_contestant.hpp"

namespace spillway::bench {

// A dot product an output sample, over each channel's block behind the end of its last one.
FilterContestants<float> volk_filters(const FilterWork<float>& work) {
  if (work.taps.empty()) return {};
  struct State {
    std::vector<float> reversed;
    std::vector<float> past;
    std::vector<float> out;
  };
  const std::size_t before = work.taps.size() - 1;
  auto s = std::make_shared<State>();
  s->reversed.assign(work.taps.rbegin(), work.taps.rend());
  s->past.resize(work.lanes * (before + filter_block));
  s->out.resize(work.by_lane.size());
  const auto run = [&work, s, before] {
    for (std::size_t l = 0; l < work.lanes; ++l) {
      float* const lane = s->past.data() + l * (before + filter_block);
      std::copy_n(lane + filter_block, before, lane);
      std::copy_n(work.by_lane.data() + l * filter_block, filter_block, lane + before);
      float* const out = s->out.data() + l * filter_block;
      for (std::size_t f = 0; f < filter_block; ++f)
        volk_32f_x2_dot_prod_32f(out + f, lane + f, s->reversed.data(),
                                 static_cast<unsigned>(before + 1));
    }
  };
  return {{"VOLK dot product", run, nullptr, &s->out}};
}

}  // namespace spillway::bench
