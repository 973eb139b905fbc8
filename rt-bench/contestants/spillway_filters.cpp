#include <memory>
#include <type_traits>

#include "filter_contestant.hpp"
#include "spillway/filters/fir.hpp"
#include "spillway/filters/median_bank.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/sliding.hpp"

namespace spillway::bench {

namespace {

template <class T, class Bank>
void add_bank(FilterContestants<T>& all, const FilterWork<T>& work, std::string name, Bank bank) {
  auto running = std::make_shared<Bank>(std::move(bank));
  auto out = std::make_shared<std::vector<T>>(work.by_frame.size());
  const auto run = [&work, running, out] {
    running->process(work.by_frame.data(), out->data(), filter_block);
  };
  all.push_back({std::move(name), run, out.get(), nullptr});
}

template <class Filter>
void add_filter(FilterContestants<double>& all, const FilterWork<double>& work, std::string name,
                Filter filter) {
  struct State {
    Filter filter;
    std::vector<Quality> good;
    std::vector<Quality> quality;
    std::vector<double> out;
  };
  const std::size_t count = work.by_frame.size();
  auto s = std::make_shared<State>(State{std::move(filter), std::vector<Quality>(count),
                                         std::vector<Quality>(count), std::vector<double>(count)});
  const auto run = [&work, s] {
    s->filter.process({work.by_frame, s->good, work.lanes}, {s->out, s->quality, work.lanes});
  };
  all.push_back({std::move(name), run, &s->out, nullptr});
}

}  // namespace

// To add a family: its bank (float and double) and its filter, for what `work` asks for.
template <class T>
FilterContestants<T> spillway_filters(const FilterWork<T>& work) {
  FilterContestants<T> all;
  constexpr bool is_double = std::is_same_v<T, double>;
  if (!work.sos.sections.empty()) {
    add_bank(all, work, "Spillway bank", SosBank<T>(work.sos, Form::df2t, work.lanes));
    if constexpr (is_double)
      add_filter(all, work, "Spillway filter", SosFilter(work.sos, {}, work.lanes));
    if (work.lanes == 1) {
      add_bank(all, work, "Spillway bank, block", SosBank<T>(work.sos, Form::block, work.lanes));
      if constexpr (is_double)
        add_filter(all, work, "Spillway filter, block",
                   SosFilter(work.sos, {.form = Form::block}, work.lanes));
    }
  }
  if (work.window > 0) {
    const MovingAverage spec{.window = work.window};
    add_bank(all, work, "Spillway bank", MovingAverageBank<T>(spec, work.lanes));
    if constexpr (is_double)
      add_filter(all, work, "Spillway filter", MovingAverageFilter(spec, work.lanes));
  }
  if (work.median > 0) {
    add_bank(all, work, "Spillway bank", MedianBank<T>(work.median, work.lanes));
    if constexpr (is_double)
      add_filter(all, work, "Spillway filter",
                 SlidingMedianFilter({.window = work.median}, work.lanes));
  }
  if (!work.taps.empty()) {
    add_bank(all, work, "Spillway bank",
             FirBank<T>(std::vector<T>(work.taps.begin(), work.taps.end()), work.lanes));
    if constexpr (is_double)
      add_filter(all, work, "Spillway filter", FirFilter({work.taps}, work.lanes));
  }
  return all;
}

template FilterContestants<float> spillway_filters(const FilterWork<float>&);
template FilterContestants<double> spillway_filters(const FilterWork<double>&);

}  // namespace spillway::bench
