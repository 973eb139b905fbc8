#include "filters.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numbers>
#include <random>
#include <type_traits>
#include <utility>

#include "contestants/filter_contestant.hpp"
#include "contestants/two_threads.hpp"
#include "interrupt.hpp"
#include "simd/isa.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/iir.hpp"

namespace spillway::bench {

namespace {

using namespace literals;

constexpr const char* reference = "scalar";
constexpr std::array<std::size_t, 3> all_lanes{1, 16, 64};

// One filter; what is not 0 tells which.
struct Family {
  const char* id;
  const char* title;
  int order = 0;
  std::size_t window = 0;
  std::size_t taps = 0;
  std::size_t median = 0;
};

constexpr std::array families{
    Family{.id = "sos4", .title = "low-pass of order 4", .order = 4},
    Family{.id = "sos8", .title = "low-pass of order 8", .order = 8},
    Family{.id = "mean64", .title = "moving average of 64", .window = 64},
    Family{.id = "mean1024", .title = "moving average of 1024", .window = 1024},
    Family{.id = "fir64", .title = "FIR of 64 taps", .taps = 64},
    Family{.id = "fir256", .title = "FIR of 256 taps", .taps = 256},
    Family{.id = "median5", .title = "median of 5", .median = 5},
    Family{.id = "median31", .title = "median of 31", .median = 31},
};

template <class T>
constexpr const char* type_name = std::is_same_v<T, double> ? "double" : "float";

template <class T>
std::string id_of(const Family& family) {
  return fmt::format("filter-{}-{}", family.id, type_name<T>);
}

template <class T>
FilterWork<T> work_of(const Family& family, std::size_t lanes) {
  FilterWork<T> work;
  if (family.order > 0) work.sos = design(lowpass(Butterworth{family.order}, {0.1}), 1_Hz);
  work.window = family.window;
  work.median = family.median;
  for (std::size_t k = 0; k < family.taps; ++k)  // a Hann window
    work.taps.push_back((1.0 - std::cos(2.0 * std::numbers::pi * (static_cast<double>(k) + 0.5) /
                                        static_cast<double>(family.taps))) /
                        static_cast<double>(family.taps));
  work.lanes = lanes;
  work.by_frame.resize(filter_block * lanes);
  work.by_lane.resize(filter_block * lanes);
  std::mt19937_64 random(1);
  for (std::size_t f = 0; f < filter_block; ++f)
    for (std::size_t l = 0; l < lanes; ++l)
      work.by_frame[f * lanes + l] = work.by_lane[l * filter_block + f] =
          static_cast<T>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
  return work;
}

template <class T>
FilterContestants<T> contestants_of(const FilterWork<T>& work) {
  FilterContestants<T> all = copying(work);
  const auto add = [&](FilterContestants<T> more) {
    for (FilterContestant<T>& c : more) all.push_back(std::move(c));
  };
  add(plain_loops(work));
  add(spillway_filters(work));
  if constexpr (std::is_same_v<T, float>) {
    add(liquid_filters(work));
    add(volk_filters(work));
  }
  return all;
}

Row& row_named(Workload& w, const std::string& name) {
  auto it = std::ranges::find(w.rows, name, &Row::name);
  if (it == w.rows.end()) it = w.rows.insert(w.rows.end(), Row{.name = name});
  return *it;
}

// How many values of a block are not what the plain loop makes of them.
template <class T>
std::uint64_t wrong_values(const FilterContestant<T>& c, const FilterContestant<T>& plain,
                           std::size_t lanes) {
  if (!c.by_frame && !c.by_lane) return 0;
  const T tolerance = std::is_same_v<T, double> ? T(1e-12) : T(1e-5);
  std::uint64_t wrong = 0;
  for (std::size_t f = 0; f < filter_block; ++f)
    for (std::size_t l = 0; l < lanes; ++l) {
      const T expected = (*plain.by_lane)[l * filter_block + f];
      const T value =
          c.by_frame ? (*c.by_frame)[f * lanes + l] : (*c.by_lane)[l * filter_block + f];
      if (!(std::abs(value - expected) <= tolerance)) ++wrong;
    }
  return wrong;
}

std::string metric_name(std::size_t lanes) {
  return lanes == 1 ? "1 channel" : fmt::format("{} channels", lanes);
}

template <class T>
void measure_lanes(const Family& family, std::size_t lanes, const FilterOptions& options,
                   const TickClock& clock, Progress& progress, Workload& w) {
  const FilterWork<T> work = work_of<T>(family, lanes);
  const FilterContestants<T> all = contestants_of(work);
  // Memory is touched, code is there, windows are full; and what comes out is the same for all.
  for (int i = 0; i < 3; ++i)
    for (const FilterContestant<T>& c : all) c.run();
  const auto plain = std::ranges::find(all, plain_by_lane, &FilterContestant<T>::name);
  for (const FilterContestant<T>& c : all)
    row_named(w, c.name).count("wrong", wrong_values(c, *plain, lanes));

  const std::uint64_t blocks = std::max<std::uint64_t>(options.samples / (filter_block * lanes), 1);
  const auto samples = static_cast<double>(blocks * filter_block * lanes);
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    progress.show(fmt::format("{}, {}: round {} of {}", w.title, metric_name(lanes), round + 1,
                              options.rounds));
    // Each round begins with another one, so that nobody is always first.
    for (std::size_t i = 0; i < all.size(); ++i) {
      check_interrupted();
      const FilterContestant<T>& c = all[(i + round) % all.size()];
      c.run();
      const Ticks before = ticks_before();
      for (std::uint64_t b = 0; b < blocks; ++b) c.run();
      const Ticks after = ticks_after();
      row_named(w, c.name).record(metric_name(lanes), "ns", Better::less,
                                  clock.ns(after - before) / samples);
    }
  }
}

// Of a plain loop for two architectures, the faster one for each number of channels.
void keep_the_faster(Workload& w, const std::string& name, const std::string& new_name) {
  const auto row = std::ranges::find(w.rows, name, &Row::name);
  if (row == w.rows.end()) return;
  row->name = new_name;
  const auto other = std::ranges::find(w.rows, name + "-v3", &Row::name);
  if (other == w.rows.end()) return;
  for (Metric& m : row->metrics)
    if (const Metric* const o = other->metric(m.name); o && o->median() < m.median())
      m.rounds = o->rounds;
  w.rows.erase(other);
}

// What Python's libraries take, if they are there; by a clock of their own, after the others.
template <class T>
void measure_python(const Family& family, std::uint64_t rounds, Workload& w) {
  const FilterWork<T> work = work_of<T>(family, 1);
  std::string kind = family.median > 0 ? "median" : "mean";
  std::vector<double> numbers{static_cast<double>(work.window + work.median)};
  if (family.order > 0) {
    kind = "sos";
    numbers.clear();
    for (const Sos::Section& s : work.sos.sections)
      numbers.insert(numbers.end(), {s.b0, s.b1, s.b2, 1.0, s.a1, s.a2});
  } else if (family.taps > 0) {
    kind = "fir";
    numbers = work.taps;
  }
  const std::string command = fmt::format(
      "/usr/bin/env python3 '{}' {} float{} {} {} {} 2>/dev/null", SPILLWAY_BENCH_PYTHON_FILTERS,
      kind, sizeof(T) * 8, fmt::join(all_lanes, ","), rounds, fmt::join(numbers, ","));
  const auto close = [](std::FILE* pipe) { (void)::pclose(pipe); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(::popen(command.c_str(), "r"), close);
  if (!pipe) return;
  std::array<char, 64> name{};
  std::size_t lanes = 0;
  double ns = 0.0;
  while (std::fscanf(pipe.get(), "%63s %zu %lf", name.data(), &lanes, &ns) == 3)
    row_named(w, name.data()).record(metric_name(lanes), "ns", Better::less, ns);
}

template <class T>
void measure_family(const Family& family, const FilterOptions& options, int core,
                    const TickClock& clock, Progress& progress, const Show& show,
                    std::vector<Workload>& workloads) {
  const std::string id = id_of<T>(family);
  if (!options.only.empty() && std::ranges::find(options.only, id) == options.only.end()) return;
  Workload w{id,
             fmt::format("{}, {}", family.title, type_name<T>),
             fmt::format("ns per sample and channel, blocks of {}, one core. Spillway with {}.",
                         filter_block, isa_in_use()),
             "",
             "ns",
             reference,
             {}};
  on_core(core, [&] {
    for (const std::size_t lanes : all_lanes)
      measure_lanes<T>(family, lanes, options, clock, progress, w);
    check_interrupted();
    progress.show(fmt::format("{}: Python", w.title));
    measure_python<T>(family, options.rounds, w);
  });
  check_interrupted();
  keep_the_faster(w, plain_by_lane, reference);
  keep_the_faster(w, plain_by_frame, plain_by_frame);
  show(w);
  workloads.push_back(std::move(w));
}

}  // namespace

std::vector<std::string> filter_workloads() {
  std::vector<std::string> ids;
  for (const Family& family : families) {
    ids.push_back(id_of<double>(family));
    ids.push_back(id_of<float>(family));
  }
  return ids;
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const simd::Isa isa : simd::all_isas)
    if (simd::is_supported(isa)) names.emplace_back(to_string(isa));
  return names;
}

std::string isa_in_use() { return std::string(to_string(simd::current_isa())); }

void use_isa(const std::string& name) {
  for (const simd::Isa isa : simd::all_isas)
    if (to_string(isa) == name) return simd::choose_isa(isa);
  throw Error(fmt::format("instruction set '{}'; there are {}", name, fmt::join(isas(), ", ")));
}

std::vector<Workload> measure_filters(const FilterOptions& options, int core,
                                      const TickClock& clock, Progress& progress,
                                      const Show& show) {
  std::vector<Workload> workloads;
  for (const Family& family : families) {
    measure_family<double>(family, options, core, clock, progress, show, workloads);
    measure_family<float>(family, options, core, clock, progress, show, workloads);
  }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
