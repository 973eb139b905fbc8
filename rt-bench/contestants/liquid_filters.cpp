#include <liquid/liquid.h>

#include <memory>

#include "filter_contestant.hpp"

namespace spillway::bench {

namespace {

// One filter object a channel, blocks of a channel's samples.
template <class Object, auto destroy, auto execute_block>
class PerChannel {
 public:
  template <class Make>
  PerChannel(const FilterWork<float>& work, Make make) : work_(work), out_(work.by_lane.size()) {
    for (std::size_t l = 0; l < work.lanes; ++l) filters_.emplace_back(make(), destroy);
  }
  void run() {
    // The library takes its input as not const, but does not change it.
    auto* in = const_cast<float*>(work_.by_lane.data());
    for (std::size_t l = 0, at = 0; l < work_.lanes; ++l, at += filter_block)
      execute_block(filters_[l].get(), in + at, filter_block, out_.data() + at);
  }
  [[nodiscard]] const std::vector<float>& out() const { return out_; }

 private:
  const FilterWork<float>& work_;
  std::vector<std::shared_ptr<Object>> filters_;
  std::vector<float> out_;
};

using Iir = PerChannel<iirfilt_rrrf_s, iirfilt_rrrf_destroy, iirfilt_rrrf_execute_block>;
using Fir = PerChannel<firfilt_rrrf_s, firfilt_rrrf_destroy, firfilt_rrrf_execute_block>;

template <class Filter, class Make>
FilterContestant<float> contestant(const char* name, const FilterWork<float>& work, Make make) {
  auto filter = std::make_shared<Filter>(work, make);
  return {name, [filter] { filter->run(); }, nullptr, &filter->out()};
}

}  // namespace

FilterContestants<float> liquid_filters(const FilterWork<float>& work) {
  if (!work.sos.sections.empty()) {
    std::vector<float> b;
    std::vector<float> a;
    for (const Sos::Section& s : work.sos.sections) {
      for (const double c : {s.b0, s.b1, s.b2}) b.push_back(static_cast<float>(c));
      for (const double c : {1.0, s.a1, s.a2}) a.push_back(static_cast<float>(c));
    }
    const auto sections = static_cast<unsigned>(work.sos.sections.size());
    return {contestant<Iir>("liquid-dsp iirfilt_rrrf", work,
                            [&] { return iirfilt_rrrf_create_sos(b.data(), a.data(), sections); })};
  }
  if (!work.taps.empty()) {
    std::vector<float> taps(work.taps.begin(), work.taps.end());
    return {contestant<Fir>("liquid-dsp firfilt_rrrf", work, [&] {
      return firfilt_rrrf_create(taps.data(), static_cast<unsigned>(taps.size()));
    })};
  }
  return {};
}

}  // namespace spillway::bench
