#include "spillway/filters/align.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "spillway/filters/interpolate.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using test::bad_missing;
using test::nan;
using test::Random;
using test::Signal;
using test::signal;

using Times = std::vector<Time>;
using Ended = AlignFilter::Ended;
using Input = AlignFilter::Input;
constexpr Quality interpolated(Verdict::interpolated);
constexpr Quality no_place(Verdict::bad, Quality::missing | Quality::time_uncertain);

// A frame of a stream, apart from its values: as it comes to a filter.
struct Frame {
  std::uint64_t number = 0;
  std::uint64_t lost = 0;  // before it
  std::uint64_t missing = 0;
  std::uint64_t clock_sample = 0;
  Time clock_time{0};
  Time time{0};
  friend bool operator==(const Frame&, const Frame&) = default;
};

struct Stream {
  Input input;
  std::vector<Frame> frames;
  Signal signal;
};

// Stream `s` of consecutive frames without a clock of its own.
Stream plain(const Input& input, const std::vector<double>& values, const Times& times = {}) {
  Stream s{input, {}, signal(values)};
  for (std::size_t f = 0; f < values.size(); ++f)
    s.frames.push_back({f, 0, 0, 0, Time(0), input.rate ? input.rate->duration(f) : times[f]});
  return s;
}

// How many frames from `begin` on can go into one push.
std::size_t consecutive(const Stream& s, std::size_t begin, std::size_t most) {
  std::size_t n = 1;
  while (n < most && begin + n < s.frames.size()) {
    const Frame& a = s.frames[begin];
    const Frame& b = s.frames[begin + n];
    if (b.lost + b.missing > 0 || b.number != a.number + n) break;
    if (b.clock_sample != a.clock_sample || b.clock_time != a.clock_time) break;
    ++n;
  }
  return n;
}

void push(AlignFilter& filter, std::size_t input, const Stream& s, std::size_t begin,
          std::size_t count, bool with_gap = true) {
  const std::size_t lanes = s.input.lanes;
  Times times;
  for (std::size_t f = 0; f < count; ++f) times.push_back(s.frames[begin + f].time);
  const Frame& first = s.frames[begin];
  filter.push(
      input,
      {std::span(s.signal.values).subspan(begin * lanes, count * lanes),
       std::span(s.signal.quality).subspan(begin * lanes, count * lanes), lanes, first.number,
       s.input.rate ? std::span<const Time>() : times, first.clock_sample, first.clock_time},
      {with_gap ? first.lost : 0}, {with_gap ? first.missing : 0});
}

// What a filter made, in all.
struct Result {
  std::vector<Frame> frames;
  Signal signal;
  std::uint64_t lost = 0;  // not before any frame
  std::uint64_t missing = 0;
  std::vector<std::vector<Ended>> ended;  // of each input, joined

  void add(const Ended& entry) {
    ended.resize(std::max(ended.size(), entry.input + 1));
    std::vector<Ended>& of = ended[entry.input];
    if (!of.empty() && of.back().from + of.back().count == entry.from)
      of.back().count += entry.count;
    else
      of.push_back(entry);
  }
  [[nodiscard]] bool is_ended(std::size_t input, std::uint64_t number) const {
    if (input >= ended.size()) return false;
    for (const Ended& e : ended[input])
      if (e.from.value <= number && number < e.from.value + e.count.value) return true;
    return false;
  }
  friend bool operator==(const Result&, const Result&) = default;
};

Result nothing(std::size_t lanes) {
  Result r;
  r.signal.lanes = lanes;
  return r;
}

// Where two results differ first; empty: nowhere.
std::string difference(const Result& a, const Result& b) {
  const std::size_t frames = std::min(a.frames.size(), b.frames.size());
  for (std::size_t f = 0; f < frames; ++f) {
    if (a.frames[f] == b.frames[f] && a.signal.part(f, f + 1) == b.signal.part(f, f + 1)) continue;
    const auto text = [&](const Result& r) {
      const Frame& x = r.frames[f];
      std::string t = std::to_string(x.number) + " behind " + std::to_string(x.lost) + "+" +
                      std::to_string(x.missing) + " at " + std::to_string(x.time.count()) +
                      " clock " + std::to_string(x.clock_sample) + " " +
                      std::to_string(x.clock_time.count());
      for (std::size_t l = 0; l < r.signal.lanes; ++l)
        t += ", " + std::to_string(r.signal.values[f * r.signal.lanes + l]) + " " +
             to_string(r.signal.quality[f * r.signal.lanes + l]);
      return t;
    };
    return "frame " + text(a) + "; frame " + text(b);
  }
  if (a.frames.size() != b.frames.size())
    return std::to_string(a.frames.size()) + " frames; " + std::to_string(b.frames.size());
  if (a == b) return "";
  std::string text = "told: " + std::to_string(a.frames.size()) + " frames, ";
  for (const Result* r : {&a, &b}) {
    text += std::to_string(r->lost) + "+" + std::to_string(r->missing);
    for (const auto& of_one : r->ended)
      for (const Ended& e : of_one)
        text += " " + std::to_string(e.input) + ":" + std::to_string(e.from.value) + "+" +
                std::to_string(e.count.value);
    text += "; ";
  }
  return text;
}

// Calls make() until it makes nothing.
void drain(AlignFilter& filter, Result& result, const std::function<std::size_t()>& room) {
  const std::size_t lanes = filter.lanes();
  for (;;) {
    const std::size_t most = room();
    Signal out{std::vector<double>(most * lanes), std::vector<Quality>(most * lanes), lanes};
    Times times(filter.irregular() ? most : 0);
    const AlignFilter::Output made = filter.make({out.values, out.quality, lanes}, times);
    for (const Ended& entry : filter.ended()) result.add(entry);
    if (made.is_nothing()) return;
    REQUIRE(made.count <= most);
    result.lost += made.lost.value;
    result.missing += made.missing.value;
    for (std::size_t k = 0; k < made.count; ++k) {
      const Rate* rate = filter.parameters().rate ? &*filter.parameters().rate : nullptr;
      Frame frame{made.first + k,
                  std::exchange(result.lost, 0),
                  std::exchange(result.missing, 0),
                  made.clock_sample,
                  made.clock_time,
                  Time(0)};
      if (filter.irregular()) frame.time = times[k];
      if (rate != nullptr) frame.time = rate->duration(frame.number);
      result.frames.push_back(frame);
    }
    result.signal.append(out.part(0, made.count));
  }
}

// A push to an input, or else a drain.
struct Step {
  std::optional<std::size_t> input;
  std::size_t begin = 0;
  std::size_t count = 0;
  bool with_gap = true;
  std::size_t room = 1;
};

void take(AlignFilter& filter, const std::vector<Stream>& streams, const Step& step,
          Result& result) {
  if (step.input)
    push(filter, *step.input, streams[*step.input], step.begin, step.count, step.with_gap);
  else
    drain(filter, result, [&] { return step.room; });
}

// The frames of all streams in some order and in pieces of any size their input takes: now in
// the order of time, now one input far ahead of the others.
std::vector<Step> any_steps(Random& random, const std::vector<Stream>& streams) {
  std::vector<std::size_t> at(streams.size(), 0);
  std::vector<bool> is_pushed(streams.size(), false);  // since the last drain
  std::vector<Step> steps;
  const auto drain_all = [&] {
    steps.push_back({std::nullopt, 0, 0, true, 1 + random.below(60)});
    is_pushed.assign(streams.size(), false);
  };
  std::size_t favourite = random.below(streams.size() + 1);
  for (;;) {
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < streams.size(); ++i)
      if (at[i] < streams[i].frames.size()) open.push_back(i);
    if (open.empty()) break;
    if (random.below(40) == 0) favourite = random.below(streams.size() + 1);
    std::size_t input = open[random.below(open.size())];
    if (favourite < streams.size() && at[favourite] < streams[favourite].frames.size()) {
      input = favourite;
    } else if (random.below(4) != 0) {
      for (const std::size_t i : open) {
        const Time here = streams[i].frames[at[i]].time + streams[i].input.offset;
        if (here < streams[input].frames[at[input]].time + streams[input].input.offset) input = i;
      }
    }
    if (is_pushed[input]) drain_all();
    const std::uint64_t most = random.below(2) == 0 ? 5 : streams[input].input.most_frames;
    const std::size_t n =
        consecutive(streams[input], at[input],
                    std::min(1 + random.below(most), streams[input].input.most_frames));
    Step step{input, at[input], n, true, 0};
    if (random.below(5) == 0) {  // the gap first, without frames
      steps.push_back({input, at[input], 0, true, 0});
      step.with_gap = false;
      if (random.below(2) == 0) drain_all();
    }
    steps.push_back(step);
    is_pushed[input] = true;
    at[input] += n;
    if (random.below(3) != 0) drain_all();
  }
  drain_all();
  return steps;
}

Result run(AlignFilter& filter, const std::vector<Stream>& streams,
           const std::vector<Step>& steps) {
  Result result = nothing(filter.lanes());
  result.ended.resize(streams.size());
  for (const Step& step : steps) take(filter, streams, step, result);
  return result;
}

// In the order of time, frame by frame, so that nobody is late by more than its own period.
std::vector<Step> steps_by_time(const std::vector<Stream>& streams) {
  std::vector<std::tuple<Time, std::size_t, std::size_t>> order;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    Time latest = Time::min();
    for (std::size_t f = 0; f < streams[i].frames.size(); ++f) {
      latest = std::max(latest, streams[i].frames[f].time + streams[i].input.offset);
      order.emplace_back(latest, i, f);
    }
  }
  std::ranges::sort(order);
  std::vector<Step> steps;
  for (const auto& [time, input, frame] : order) {
    steps.push_back({input, frame, 1, true, 0});
    steps.push_back({std::nullopt, 0, 0, true, 1000});
  }
  return steps;
}

AlignFilter filter_of(const Align& p, const std::vector<Stream>& streams) {
  std::vector<Input> inputs;
  for (const Stream& s : streams) inputs.push_back(s.input);
  return {p, inputs};
}

Result run(const Align& p, const std::vector<Stream>& streams) {
  AlignFilter filter = filter_of(p, streams);
  return run(filter, streams, steps_by_time(streams));
}

// --- what the outputs are, by definition, of whole streams ---

// Frames whose time is later than all before of their stream, on the first input's origin.
struct Samples {
  Times times;
  std::vector<std::size_t> frames;
};

Samples samples_of(const Stream& s) {
  Samples samples;
  for (std::size_t f = 0; f < s.frames.size(); ++f) {
    const Time time = s.frames[f].time + s.input.offset;
    if (!samples.times.empty() && time <= samples.times.back()) continue;
    samples.times.push_back(time);
    samples.frames.push_back(f);
  }
  return samples;
}

// The lanes of one input at one time, by the functions that interpolate whole signals.
void look_up(const Align& p, const Stream& s, const Samples& samples, Time t, Signal& out) {
  const auto behind =
      static_cast<std::size_t>(std::ranges::upper_bound(samples.times, t) - samples.times.begin());
  if (behind == 0) {
    out.append({std::vector(s.input.lanes, nan), std::vector(s.input.lanes, bad_missing)});
    return;
  }
  const std::size_t before = behind - 1;
  const std::size_t after = samples.times[before] == t ? before : behind;
  const auto limit = std::max(p.max_gap, p.max_age);
  for (std::size_t l = 0; l < s.input.lanes; ++l) {
    const std::size_t a = samples.frames[before] * s.input.lanes + l;
    const std::size_t b = samples.frames[after] * s.input.lanes + l;
    const double x0 = s.signal.values[a];
    const double x1 = s.signal.values[b];
    if (before == after) {
      out.values.push_back(x0);
      out.quality.push_back(std::isnan(x0) ? merge(s.signal.quality[a], bad_missing)
                                           : s.signal.quality[a]);
      continue;
    }
    const Time t0 = samples.times[before];
    const Time t1 = samples.times[after];
    const double x[] = {x0, x1};
    const Time at[] = {t0, t1};
    const Time wanted[] = {t};
    out.values.push_back(interpolate(x, at, wanted, p.method, limit).front());
    Quality q = merge(s.signal.quality[a], interpolated);
    if (p.method == Interpolation::linear) q = merge(q, s.signal.quality[b]);
    const bool too_far =
        limit > 0ns && (p.method == Interpolation::linear ? t1 - t0 : t - t0) > limit;
    if (too_far)
      q = bad_missing;
    else if (std::isnan(out.values.back()))
      q = merge(q, bad_missing);
    if (p.method == Interpolation::last && !too_far && std::isnan(x0))
      q = merge(s.signal.quality[a], bad_missing);
    out.quality.push_back(q);
  }
}

// `ended`: what was not waited for.
Result by_definition(const Align& p, const std::vector<Stream>& streams,
                     std::uint64_t longest_pause, const std::vector<std::vector<Ended>>& ended) {
  Result r;
  r.ended = ended;
  std::vector<Samples> samples;
  for (const Stream& s : streams) {
    samples.push_back(samples_of(s));
    r.signal.lanes += s.input.lanes;
  }
  r.signal.lanes -= 1;
  const auto append = [&](std::size_t i, std::uint64_t number, Time t) {
    if (r.is_ended(i, number))
      r.signal.append({std::vector(streams[i].input.lanes, nan),
                       std::vector(streams[i].input.lanes, bad_missing)});
    else
      look_up(p, streams[i], samples[i], t, r.signal);
  };
  // Whether input i is waited for, at the end of all streams.
  const auto is_open = [&](std::size_t i, std::uint64_t number, Time t) {
    return !r.is_ended(i, number) && (samples[i].times.empty() || samples[i].times.back() < t);
  };
  if (!p.rate) {
    const Stream& first = streams.front();
    std::size_t next_in_order = 0;
    for (std::size_t f = 0; f < first.frames.size(); ++f) {
      Frame frame = first.frames[f];
      const bool in_order =
          next_in_order < samples[0].frames.size() && samples[0].frames[next_in_order] == f;
      if (in_order) {
        ++next_in_order;
        for (std::size_t i = 1; i < streams.size(); ++i)
          if (is_open(i, frame.number, frame.time)) {
            r.lost = frame.lost;
            r.missing = frame.missing;
            return r;
          }
      }
      const Signal own = first.signal.part(f, f + 1);
      r.signal.append(own);
      for (std::size_t l = 0; l < own.lanes; ++l) {
        Quality& q = r.signal.quality[r.signal.quality.size() - own.lanes + l];
        if (std::isnan(own.values[l])) q = merge(q, bad_missing);
      }
      for (std::size_t i = 1; i < streams.size(); ++i) {
        if (in_order)
          append(i, frame.number, frame.time);
        else
          r.signal.append({std::vector(streams[i].input.lanes, nan),
                           std::vector(streams[i].input.lanes, no_place)});
      }
      if (first.input.rate) {
        frame.time = Time(0);
      }
      r.frames.push_back(frame);
    }
    return r;
  }
  if (samples[0].times.empty()) return r;
  std::uint64_t next = 0;
  while (p.rate->duration(next) < samples[0].times.front()) ++next;
  r.missing = next;
  for (;;) {
    const Time t = p.rate->duration(next);
    Time next_sample = Time::max();
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (is_open(i, next, t)) return r;
      if (r.is_ended(i, next)) continue;
      next_sample = std::min(next_sample, *std::ranges::lower_bound(samples[i].times, t));
    }
    if (next_sample != Time::max() && p.rate->duration(next + longest_pause) < next_sample) {
      for (; p.rate->duration(next) < next_sample; ++next) ++r.missing;
      continue;
    }
    for (std::size_t i = 0; i < streams.size(); ++i) append(i, next, t);
    r.frames.push_back({next, 0, std::exchange(r.missing, 0), 0, Time(0), t});
    ++next;
  }
}

// --- random streams ---

Stream any_stream(Random& random, bool is_first) {
  const Rate rates[] = {{1000, 1}, {250, 1}, {360, 1}, {997, 3}, {24989, 400}, {20, 1}};
  Stream s;
  s.input.lanes = 1 + random.below(3);
  s.input.most_frames = 1 + random.below(40);
  if (!is_first)
    s.input.offset = Time(static_cast<std::int64_t>(random.below(200'000'000)) - 100'000'000);
  const std::size_t frames = random.below(12) == 0 ? 0 : random.below(300);
  s.signal = random.noise(frames, s.input.lanes, random.below(3) == 0 ? 0 : 30);
  const bool has_gaps = random.below(2) == 0;
  const bool has_steps = random.below(3) == 0;
  if (random.below(3) != 0) s.input.rate = rates[random.below(6)];
  Frame frame;
  frame.number = random.below(2) * random.below(50);
  if (s.input.rate) frame.clock_time = Time(random.below(2) * random.below(100'000'000));
  Time t(static_cast<std::int64_t>(random.below(200'000'000)) - 100'000'000);
  for (std::size_t f = 0; f < frames; ++f) {
    frame.lost = frame.missing = 0;
    if (has_gaps && random.below(30) == 0) frame.lost = random.below(40);
    if (has_gaps && random.below(30) == 0) frame.missing = random.below(40);
    frame.number += frame.lost + frame.missing;
    const Time step(1 + static_cast<std::int64_t>(random.below(8'000'000)));
    if (s.input.rate) {
      if (has_steps && random.below(60) == 0) {
        const auto by = static_cast<std::int64_t>(random.below(60'000'000)) - 20'000'000;
        frame.clock_time += s.input.rate->duration(frame.number - frame.clock_sample) + Time(by);
        frame.clock_sample = frame.number;
      }
      frame.time = frame.clock_time + s.input.rate->duration(frame.number - frame.clock_sample);
    } else {
      t += random.below(60) == 0 ? 30 * step : step;
      if (has_steps && random.below(40) == 0) t -= 5 * step;
      if (random.below(4) == 0) t = std::chrono::floor<std::chrono::milliseconds>(t);
      frame.time = t;
    }
    s.frames.push_back(frame);
    ++frame.number;
  }
  return s;
}

// All or most streams pause in the middle, for as many points as are still made, or more.
void pause(Random& random, std::vector<Stream>& streams, const Rate& rate) {
  const Time pause = rate.duration(random.below(2) == 0 ? 60'000 : 80'000);
  for (Stream& s : streams) {
    if (random.below(5) == 0) continue;
    const Time more(random.below(30'000'000));
    for (std::size_t f = s.frames.size() / 2; f < s.frames.size(); ++f) {
      s.frames[f].time += pause + more;
      if (s.input.rate) s.frames[f].clock_time += pause + more;
    }
  }
}

Align any_parameters(Random& random) {
  Align p;
  const Rate rates[] = {{1000, 1}, {100, 3}, {997, 7}};
  if (random.below(2) == 0) p.rate = rates[random.below(3)];
  const Time limit(random.below(2) == 0 ? 0 : 1 + random.below(15'000'000));
  if (random.below(2) == 0) {
    p.max_gap = limit;
  } else {
    p.method = Interpolation::last;
    p.max_age = limit;
  }
  p.max_wait = Time(random.below(3) == 0 ? 0 : random.below(100'000'000));
  return p;
}

void replay(AlignFilter& filter, const std::vector<std::vector<Ended>>& ended) {
  filter.set_waiting(Waiting::logged);
  for (const auto& of_one : ended)
    for (const Ended& e : of_one) filter.replay_wait(e.input, e.from, e.count);
}

TEST_CASE(
    "align: what was not waited for is told, and given that the outputs are their definition") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  std::size_t outputs = 0;
  std::size_t without = 0;
  const int rounds = 300;
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(seed, round);
    const Align p = any_parameters(random);
    std::vector<Stream> streams;
    const std::size_t inputs = p.rate ? 1 + random.below(4) : 2 + random.below(3);
    while (streams.size() < inputs) streams.push_back(any_stream(random, streams.empty()));

    if (p.rate && random.below(10) == 0) pause(random, streams, *p.rate);

    AlignFilter live = filter_of(p, streams);
    const Result result = run(live, streams, any_steps(random, streams));
    CHECK(difference(result, by_definition(p, streams, live.longest_pause(), result.ended)) == "");
    outputs += result.frames.size();
    for (const auto& of_one : result.ended) without += of_one.size();

    // The same again, from what was told, in another order and other pieces.
    std::vector<Stream> roomy = streams;
    for (Stream& s : roomy) s.input.most_frames = 1000;
    {
      AlignFilter logged = filter_of(p, roomy);
      replay(logged, result.ended);
      CHECK(difference(run(logged, roomy, any_steps(random, roomy)), result) == "");
      logged.reset();
      CHECK(difference(run(logged, roomy, any_steps(random, roomy)), result) == "");
    }
  }
  CHECK(outputs > 20 * rounds);
  CHECK(without > 50);
}

TEST_CASE("align: state saved in the middle goes on with the same bits") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 150; ++round) {
    CAPTURE(seed, round);
    const Align p = any_parameters(random);
    std::vector<Stream> streams;
    while (streams.size() < 2 + random.below(3))
      streams.push_back(any_stream(random, streams.empty()));
    const std::vector<Step> steps = any_steps(random, streams);
    AlignFilter whole = filter_of(p, streams);
    const Result expected = run(whole, streams, steps);
    const bool is_logged = random.below(2) == 0;

    const std::size_t middle = random.below(steps.size() + 1);
    AlignFilter before = filter_of(p, streams);
    AlignFilter after = filter_of(p, streams);
    (void)run(after, streams, any_steps(random, streams));
    if (is_logged) {
      replay(before, expected.ended);
      replay(after, expected.ended);
    }
    Result result = nothing(before.lanes());
    result.ended.resize(streams.size());
    for (std::size_t s = 0; s < middle; ++s) take(before, streams, steps[s], result);
    StateWriter writer;
    before.save_state(writer);
    StateReader reader(writer.bytes());
    after.load_state(reader);
    CHECK(reader.at_end());
    StateWriter again;
    after.save_state(again);
    CHECK(again.bytes() == writer.bytes());

    // Unchanged where it can't be loaded.
    StateReader cut_short(std::span(writer.bytes()).first(random.below(writer.bytes().size())));
    CHECK_THROWS_AS(after.load_state(cut_short), Error);

    for (std::size_t s = middle; s < steps.size(); ++s) take(after, streams, steps[s], result);
    CHECK(difference(result, expected) == "");

    whole.reset();
    CHECK(difference(run(whole, streams, steps), expected) == "");
  }
}

TEST_CASE("align of one input with a rate is what InterpolateFilter makes") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 150; ++round) {
    CAPTURE(seed, round);
    Align p = any_parameters(random);
    p.rate = Rate(997, 3);
    std::vector<Stream> streams{any_stream(random, true)};
    const Stream& s = streams.front();
    if (random.below(3) == 0) pause(random, streams, *p.rate);
    const Result result = run(p, streams);

    InterpolateFilter filter(
        {.rate = *p.rate, .method = p.method, .max_gap = p.max_gap, .max_age = p.max_age},
        s.input.rate, s.input.lanes);
    Signal expected{{}, {}, s.input.lanes};
    std::vector<std::uint64_t> numbers;
    const std::size_t room = filter.most_frames(1) * s.input.lanes;
    Signal y{std::vector<double>(room), std::vector<Quality>(room), s.input.lanes};
    for (std::size_t f = 0; f < s.frames.size(); ++f) {
      const Signal x = s.signal.part(f, f + 1);
      const Times time{s.frames[f].time};
      const ConstFrames in{x.values,
                           x.quality,
                           x.lanes,
                           s.frames[f].number,
                           s.input.rate ? std::span<const Time>() : time,
                           s.frames[f].clock_sample,
                           s.frames[f].clock_time};
      const Made made = filter.process(in, {y.values, y.quality, y.lanes});
      expected.append(y.part(0, made.count));
      for (std::size_t k = 0; k < made.count; ++k) numbers.push_back(made.first + k);
    }
    std::vector<std::uint64_t> actual;
    for (const Frame& frame : result.frames) actual.push_back(frame.number);
    CHECK(actual == numbers);
    CHECK(result.signal == expected);
  }
}

TEST_CASE("align brings the others to the times of the first input") {
  const Stream first = plain({.rate = Rate(2, 1)}, {1, 2, 3, 4, 5});
  // On its own clock at 5.25 s, 6.25 s, ...
  const Stream other = plain({.offset = -5s}, {10, 20, 40, 80}, {5250ms, 6250ms, 7250ms, 8250ms});
  const Result linear = run({}, {first, other});
  CHECK(test::same_bits(linear.signal.values, {1, nan, 2, 12.5, 3, 17.5, 4, 25, 5, 35}));
  CHECK(linear.signal.quality ==
        std::vector{Quality::good(), bad_missing, Quality::good(), interpolated, Quality::good(),
                    interpolated, Quality::good(), interpolated, Quality::good(), interpolated});
  const Result last = run({.method = Interpolation::last, .max_age = 300ms}, {first, other});
  CHECK(test::same_bits(last.signal.values, {1, nan, 2, 10, 3, nan, 4, 20, 5, nan}));
  for (const Result& r : {linear, last})
    for (const auto& of_one : r.ended) CHECK(of_one.empty());
}

TEST_CASE("align with a rate: from where the first input has begun, all on one grid") {
  const Stream first = plain({}, {0, 1, 2}, {250ms, 1250ms, 2250ms});
  const Stream other = plain({}, {5, 6, 7}, {1s, 2s, 3s});
  const Result r = run({.rate = Rate(2, 1)}, {first, other});
  REQUIRE(r.frames.size() == 4);
  CHECK(r.frames.front() == Frame{1, 0, 1, 0, 0s, 500ms});
  CHECK(r.frames.back() == Frame{4, 0, 0, 0, 0s, 2s});
  CHECK(test::same_bits(r.signal.values, {0.25, nan, 0.75, 5, 1.25, 5.5, 1.75, 6}));
  CHECK(r.signal.quality == std::vector{interpolated, bad_missing, interpolated, Quality::good(),
                                        interpolated, interpolated, interpolated, Quality::good()});
}

TEST_CASE("align: points before time 0 are not made") {
  const Stream first = plain({}, {0, 4}, {-2s, 2s});
  const Result r = run({.rate = Rate(1, 1)}, {first});
  CHECK(r.signal.values == std::vector<double>{2, 3, 4});
  CHECK(r.frames.front().number == 0);
}

TEST_CASE("align keeps the numbers, gaps and clocks of the first input") {
  Stream first = plain({.rate = Rate(1000, 1)}, {0, 1, 2, 3, 4, 5});
  first.frames[2].number = 10;  // behind a gap
  first.frames[2].lost = 3;
  first.frames[2].missing = 5;
  for (std::size_t f = 3; f < 6; ++f) {  // behind that a step of the clock
    first.frames[f].number = 8 + f;
    first.frames[f].clock_sample = 11;
    first.frames[f].clock_time = 20ms;
  }
  const Stream other =
      plain({.rate = Rate(1000, 1)},
            {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22});
  const Result r = run({}, {first, other});
  REQUIRE(r.frames.size() == 6);
  CHECK(r.frames[1] == Frame{1, 0, 0, 0, 0s, 0s});
  CHECK(r.frames[2] == Frame{10, 3, 5, 0, 0s, 0s});
  CHECK(r.frames[3] == Frame{11, 0, 0, 11, 20ms, 0s});
  CHECK(r.frames[5] == Frame{13, 0, 0, 11, 20ms, 0s});
  CHECK(r.signal.lane(1).values == std::vector<double>{0, 1, 10, 20, 21, 22});
  CHECK(r.signal.lane(0) == first.signal);
}

TEST_CASE("align tells a gap at the end of the first input without frames") {
  const Stream first = plain({.rate = Rate(1000, 1)}, {0, 1});
  const Stream other = plain({.rate = Rate(1000, 1)}, {0});
  AlignFilter filter = filter_of({}, {first, other});
  Result result = nothing(2);
  const auto room = [] { return 10; };
  push(filter, 0, first, 0, 2);
  filter.push(0, {{}, {}, 1, 9}, {3}, {4});
  drain(filter, result, room);
  CHECK(result.missing + result.lost == 0);  // not before the frames
  push(filter, 1, other, 0, 1);
  drain(filter, result, room);
  CHECK(result.frames.size() == 1);
  CHECK(result.missing + result.lost == 0);
  filter.push(1, {signal({0}).values, signal({0}).quality, 1, 5}, {}, {});
  drain(filter, result, room);
  CHECK(result.frames.size() == 2);
  CHECK(result.lost == 3);
  CHECK(result.missing == 4);
}

TEST_CASE("align: 1000 gaps a second are each where they were") {
  Stream first{{.rate = Rate(2000, 1)}, {}, {}};
  Stream other = plain({.rate = Rate(500, 1)}, std::vector<double>(1100));
  std::uint64_t told = 0;
  for (std::uint64_t f = 0; f < 2000; ++f) {  // every second sample is missing
    first.frames.push_back({2 * f + 1, f % 3 == 0 ? 1U : 0U, f % 3 == 0 ? 0U : 1U, 0, 0s,
                            Rate(2000, 1).duration(2 * f + 1)});
    told += 1;
    first.signal.append(signal({static_cast<double>(f)}));
  }
  const Result r = run({}, {first, other});
  REQUIRE(r.frames.size() == 2000);
  std::uint64_t sum = 0;
  for (std::size_t f = 0; f < 2000; ++f) {
    CHECK(r.frames[f].number == first.frames[f].number);
    CHECK(r.frames[f].lost == first.frames[f].lost);
    CHECK(r.frames[f].missing == first.frames[f].missing);
    sum += r.frames[f].lost + r.frames[f].missing;
  }
  CHECK(sum == told);
}

TEST_CASE("align: a clock that steps back leaves frames without a place, until it is later again") {
  Stream first = plain({}, {0, 1, 2, 3, 4, 5}, {0ms, 10ms, 20ms, 5ms, 20ms, 21ms});
  first.signal.quality[3] = Quality(Verdict::suspect, Quality::time_uncertain);
  Stream other = plain({}, {0, 10, 99, 20, 30}, {0ms, 10ms, 4ms, 20ms, 30ms});
  const Result r = run({}, {first, other});
  CHECK(test::same_bits(r.signal.lane(1).values, {0, 10, 20, nan, nan, 21}));
  CHECK(r.signal.lane(1).quality == std::vector{Quality::good(), Quality::good(), Quality::good(),
                                                no_place, no_place, interpolated});
  CHECK(r.signal.lane(0) == first.signal);
  for (std::size_t f = 0; f < 6; ++f) CHECK(r.frames[f].time == first.frames[f].time);

  // They wait for nobody.
  first.frames.resize(4);
  first.signal = first.signal.part(0, 4);
  first.frames[3].time = 30ms;
  first.frames[2].time = 5ms;
  const Result late = run({.max_wait = 0ns}, {first, plain({}, {0}, {0ms})});
  CHECK(late.signal.lane(1).quality == std::vector{Quality::good(), bad_missing, no_place});
  CHECK(late.ended[1] == std::vector<Ended>{{1, {1}, {1}}});
}

TEST_CASE("align with a rate: samples whose time is not later than all before are left out") {
  const Stream first = plain({}, {0, 1, 2, 3, 4, 5}, {0ms, 10ms, 20ms, 5ms, 20ms, 21ms});
  const Stream other = plain({}, {0, 10, 99, 20, 30}, {0ms, 10ms, 4ms, 20ms, 30ms});
  const Result grid = run({.rate = Rate(200, 1)}, {first, other});
  CHECK(grid.signal.lane(0).values == std::vector<double>{0, 0.5, 1, 1.5, 2});
  CHECK(grid.signal.lane(1).values == std::vector<double>{0, 5, 10, 15, 20});
}

TEST_CASE("align waits for a late input until another is more than max_wait ahead") {
  const Times times{0ms, 10ms, 20ms, 30ms, 40ms, 40ms + 1ns};
  for (const std::optional<Rate> rate : {std::optional<Rate>(), std::optional(Rate(100, 1))}) {
    const Stream first = plain({}, {0, 1, 2, 3, 4, 4}, times);
    const Stream other = plain({}, {0, 1, 2, 3, 4}, times);
    AlignFilter filter = filter_of({.rate = rate, .max_wait = 20ms}, {first, other});
    Result result = nothing(2);
    const auto room = [] { return 10; };
    push(filter, 1, other, 0, 1);
    push(filter, 0, first, 0, 5);
    drain(filter, result, room);
    // Frame 1 at 10 ms: the first input is 30 ms ahead. Frame 2: just 20 ms.
    CHECK(result.frames.size() == 2);
    CHECK(filter.ended().empty());  // of the last make(), which made nothing
    push(filter, 0, first, 5, 1);
    drain(filter, result, room);
    CHECK(result.frames.size() == 3);
    // What came too late still counts as a neighbour.
    push(filter, 1, other, 2, 3);
    drain(filter, result, room);
    CHECK(result.frames.size() == 5);
    CHECK(test::same_bits(result.signal.lane(1).values, {0, nan, nan, 3, 4}));
    CHECK(result.signal.lane(1).quality[2] == bad_missing);
    CHECK(result.ended[1] == std::vector<Ended>{{1, {1}, {2}}});
  }
}

TEST_CASE("align: an input that never comes is waited for by max_wait, or by the room there is") {
  std::vector<double> values(20000);
  for (std::size_t f = 0; f < values.size(); ++f) values[f] = static_cast<double>(f);
  const Stream here = plain({.rate = Rate(1000, 1), .most_frames = 64}, values);
  const Stream nobody{{.rate = Rate(1000, 1), .most_frames = 64}, {}, {}};
  for (const Waiting waiting : {Waiting::bounded, Waiting::logged}) {
    for (const std::optional<Rate> rate : {std::optional<Rate>(), std::optional(Rate(1000, 1))}) {
      AlignFilter filter = filter_of({.rate = rate, .max_wait = 300ms}, {here, nobody});
      filter.set_waiting(waiting);
      const std::uint64_t kept =
          AlignFilter::kept_frames(filter.parameters(), std::vector{here.input, nobody.input}, 0);
      Result result = nothing(2);
      for (std::size_t f = 0; f < values.size(); f += 50) {
        push(filter, 0, here, f, 50);
        drain(filter, result, [] { return 7; });
        const std::size_t waiting_for = f + 50 - result.frames.size();
        if (waiting == Waiting::bounded)
          CHECK(waiting_for <= 301);
        else
          CHECK(waiting_for <= kept);
      }
      CHECK(result.signal.lane(0).values ==
            std::vector(values.begin(),
                        values.begin() + static_cast<std::ptrdiff_t>(result.frames.size())));
      for (const Quality q : result.signal.lane(1).quality) REQUIRE(q == bad_missing);
      CHECK(result.ended[1] == std::vector<Ended>{{1, {0}, {result.frames.size()}}});
    }
  }
}

TEST_CASE(
    "align: nothing is made before the first input comes, and what there was no room for is told") {
  std::vector<double> values(5000);
  for (std::size_t f = 0; f < values.size(); ++f) values[f] = static_cast<double>(f);
  const Input input{.rate = Rate(1000, 1), .most_frames = 50};
  const Stream first = plain(input, values);
  for (const std::optional<Rate> rate : {std::optional<Rate>(), std::optional(Rate(1000, 1))}) {
    AlignFilter filter = filter_of({.rate = rate, .max_wait = 300ms}, {first, first});
    const std::size_t kept =
        AlignFilter::kept_frames(filter.parameters(), std::vector{input, input}, 1);
    Result result = nothing(2);
    for (std::size_t f = 0; f < values.size(); f += 50) {
      push(filter, 1, first, f, 50);
      drain(filter, result, [] { return 100; });
    }
    CHECK(result.frames.empty());
    for (std::size_t f = 0; f < values.size(); f += 50) {
      push(filter, 0, first, f, 50);
      drain(filter, result, [] { return 100; });
    }
    REQUIRE(result.frames.size() == values.size());
    REQUIRE(result.ended[1].size() == 1);
    const std::uint64_t without = result.ended[1].front().count.value;
    CHECK(result.ended[1].front().from.value == 0);
    CHECK(without >= values.size() - kept);
    CHECK(without <= values.size() - 300);
    for (std::size_t f = 0; f < values.size(); ++f) {
      const double y = result.signal.values[2 * f + 1];
      REQUIRE((f < without ? std::isnan(y) : y == values[f]));
    }
  }
}

TEST_CASE("align: a stream that ends early is missing behind its end, once max_wait is over") {
  const Stream first = plain({.rate = Rate(100, 1)}, std::vector<double>(300, 1.0));
  const Stream other = plain({.rate = Rate(100, 1)}, std::vector<double>(100, 2.0));
  const Result r = run({.max_wait = 500ms}, {first, other});
  REQUIRE(r.frames.size() == 249);  // those from 2.49 s on would still be waited for
  for (std::size_t f = 0; f < 249; ++f)
    REQUIRE(r.signal.quality[2 * f + 1] == (f < 100 ? Quality::good() : bad_missing));
  CHECK(r.ended[1] == std::vector<Ended>{{1, {100}, {149}}});
}

TEST_CASE("align: blocks of 1 and of a million frames give the same bits") {
  constexpr std::size_t frames = 1'000'000;
  Random random(4);
  std::vector<Stream> streams(2);
  for (std::size_t i = 0; i < 2; ++i) {
    streams[i].input.rate = i == 0 ? Rate(250000, 1) : Rate(249989, 1);
    streams[i].input.most_frames = frames;
    streams[i].signal = random.noise(frames, 1, 50);
    for (std::size_t f = 0; f < frames; ++f)
      streams[i].frames.push_back({f, 0, 0, 0, Time(0), streams[i].input.rate->duration(f)});
  }
  for (const std::optional<Rate> rate : {std::optional<Rate>(), std::optional(Rate(100000, 1))}) {
    const Align p{.rate = rate, .max_wait = 5s};  // all there is
    AlignFilter whole = filter_of(p, streams);
    Result expected = nothing(2);
    for (std::size_t i = 0; i < 2; ++i) {
      push(whole, i, streams[i], 0, frames);
      drain(whole, expected, [] { return frames; });
    }
    CHECK(expected.frames.size() > 390'000);

    std::vector<Stream> in_pieces = streams;
    for (Stream& s : in_pieces) s.input.most_frames = 1;
    AlignFilter cut = filter_of(p, in_pieces);
    Signal result{{}, {}, 2};
    Signal out{std::vector<double>(200), std::vector<Quality>(200), 2};
    for (std::size_t f = 0; f < frames; ++f) {
      for (const std::size_t i : {1U, 0U}) {
        push(cut, i, streams[i], f, 1);
        for (;;) {
          const AlignFilter::Output made = cut.make({out.values, out.quality, 2}, {});
          if (made.is_nothing()) break;
          result.append(out.part(0, made.count));
        }
      }
    }
    CHECK(result == expected.signal);
    CHECK(expected.ended.empty());
  }
}

TEST_CASE("align with a rate leaves out a pause of all inputs that is too long, in bounded time") {
  const Align p{.rate = Rate(1000, 1), .max_wait = 10ms};
  const Stream first = plain({}, {0, 1, 2, 3}, {0ms, 1ms, 86400s, 86400s + 1ms});
  const Stream other = plain({}, {0, 1, 5, 7}, {0ms, 1ms, 43200s, 86400s + 1ms});
  // The first input comes back before the other one does.
  AlignFilter live = filter_of(p, {first, other});
  Result result = nothing(2);
  const auto room = [] { return 10; };
  push(live, 0, first, 0, 2);
  push(live, 1, other, 0, 2);
  push(live, 0, first, 2, 2);
  drain(live, result, room);
  CHECK(result.frames.size() == 2);
  push(live, 1, other, 2, 2);
  drain(live, result, room);
  REQUIRE(result.frames.size() == 4);
  CHECK(result.frames[2] == Frame{86'400'000, 0, 86'399'998, 0, 0s, 86400s});
  CHECK(result.ended[1] == std::vector<Ended>{{1, {2}, {86'399'998}}});
  CHECK(test::same_bits(result.signal.lane(0).values, {0, 1, 2, 3}));
  const double on_line = 5.0 + 2.0 * (43200.0 / 43200.001);
  CHECK(result.signal.values[5] == Approx(on_line).epsilon(1e-15));

  // And the same from the log, although the sample in the middle is there in time.
  AlignFilter logged = filter_of(p, {first, other});
  replay(logged, result.ended);
  CHECK(difference(run(logged, {first, other}, steps_by_time({first, other})), result) == "");

  // Waited for, it cuts the pause in two.
  const Result waited = run({.rate = Rate(1000, 1), .max_wait = 86400s * 2}, {first, other});
  std::vector<std::uint64_t> numbers;
  for (const Frame& f : waited.frames) numbers.push_back(f.number);
  CHECK(numbers == std::vector<std::uint64_t>{0, 1, 43'200'000, 86'400'000, 86'400'001});
}

TEST_CASE("align with a rate: the longest pause that is made, and one of a point more") {
  const Align p{.rate = Rate(1000, 1)};
  REQUIRE(filter_of(p, {plain({}, {})}).longest_pause() == 65536);
  CHECK(run(p, {plain({}, {0, 1}, {0ms, 65537ms})}).frames.size() == 65538);
  CHECK(run(p, {plain({}, {0, 1}, {0ms, 65538ms})}).frames.size() == 2);
  const Align limited{.rate = Rate(1000, 1), .max_gap = 100s};
  CHECK(run(limited, {plain({}, {0, 1}, {0ms, 100s})}).frames.size() == 100'001);
}

TEST_CASE("align: while the first input does not come, the newest frames of the others are kept") {
  std::vector<double> values(5000);
  for (std::size_t f = 0; f < values.size(); ++f) values[f] = static_cast<double>(f);
  const Stream s = plain({.rate = Rate(1000, 1), .most_frames = 50}, values);
  AlignFilter filter = filter_of({.max_wait = 300ms}, {s, s, s});
  Result result = nothing(3);
  const auto room = [] { return 10; };
  for (std::size_t f = 0; f < 5000; f += 50) {
    push(filter, 1, s, f, 50);
    drain(filter, result, room);
  }
  push(filter, 0, s, 4900, 50);
  drain(filter, result, room);
  CHECK(result.frames.empty());  // the third is waited for, as ever
  push(filter, 2, s, 4900, 50);
  drain(filter, result, room);
  CHECK(result.frames.size() == 50);
  CHECK(result.signal.lane(1) == result.signal.lane(0));
  CHECK(result.signal.lane(2) == result.signal.lane(0));
}

TEST_CASE("align: frames without room, against the contract, are told all the same") {
  const Stream s = plain({.rate = Rate(1000, 1), .most_frames = 1}, std::vector<double>(400, 1.0));
  AlignFilter filter = filter_of({.max_wait = 100ms}, {s, s});
  Result result = nothing(2);
  push(filter, 0, s, 0, 300);  // 106 are kept
  push(filter, 0, s, 300, 1);
  drain(filter, result, [] { return 50; });
  push(filter, 1, s, 0, 400);
  drain(filter, result, [] { return 50; });
  CHECK(result.frames.size() + result.lost == 301);
  push(filter, 0, s, 301, 1);
  drain(filter, result, [] { return 50; });
  CHECK(result.frames.back().number == 301);
  CHECK(result.frames.size() + result.frames.back().lost == 302);
  CHECK(result.frames.back().lost > 190);
  for (std::size_t f = 0; f < result.frames.size(); ++f)
    CHECK(std::isnan(result.signal.values[2 * f + 1]) ==
          result.is_ended(1, result.frames[f].number));
  CHECK(result.is_ended(1, 0));
}

TEST_CASE("align refuses what makes no sense") {
  using Catch::Matchers::Contains;
  const Input regular{.rate = Rate(1000, 1)};
  const auto message = [&](const Align& p, std::vector<Input> inputs) {
    return test::message_of([&] { AlignFilter(p, std::move(inputs)); });
  };
  const std::vector<Input> two{regular, regular};
  CHECK(message({}, two).empty());
  CHECK(message({.rate = Rate(1'000'000'000, 1)}, {Input{}}).empty());
  CHECK_THAT(message({}, {regular}), Contains("1 inputs"));
  CHECK_THAT(message({.rate = Rate(1, 1)}, {}), Contains("0 inputs"));
  CHECK_THAT(message({.rate = Rate(1'000'000'001, 1)}, two), Contains("up to 1e9 Hz"));
  CHECK_THAT(message({.max_gap = -1ns}, two), Contains("max_gap of -1 ns"));
  CHECK_THAT(message({.method = Interpolation::last, .max_age = -1ns}, two), Contains("max_age"));
  CHECK_THAT(message({.max_age = 1ns}, two), Contains("max_age is for 'last'"));
  CHECK_THAT(message({.method = Interpolation::last, .max_gap = 1ns}, two),
             Contains("max_gap is for 'linear'"));
  CHECK_THAT(message({.rate = Rate(1'000'000, 1), .max_gap = 3600s}, two),
             Contains("at most 67108864"));
  CHECK(message({.max_gap = 3600s}, two).empty());
  CHECK_THAT(message({.max_wait = -1ns}, two), Contains("max_wait of -1 ns"));
  CHECK_THAT(message({.max_wait = 86400s}, two), Contains("at most 67108864"));
  CHECK_THAT(message({.max_wait = Time::max()}, two), Contains("input 0"));
  CHECK_THAT(message({}, {regular, {.lanes = 0}}), Contains("input 1 has 0 lanes"));
  CHECK_THAT(message({}, {regular, {.most_frames = 0}}), Contains("blocks of 0 frames"));
  CHECK_THAT(message({}, {regular, {.most_frames = std::size_t{1} << 60}}), Contains("input 1"));
  CHECK_THAT(message({}, {{.offset = 1ns}, regular}), Contains("offset of 1 ns"));
  CHECK_THAT(message({.rate = Rate(1'000'000, 1)}, {{.rate = Rate(1, 1)}, {.rate = Rate(2, 1)}}),
             Contains("from 2 Hz to 1000000 Hz; at most 65534 points"));
  CHECK(
      message({.rate = Rate(1'000'000, 1)}, {{.rate = Rate(1, 1)}, {.rate = Rate(20, 1)}}).empty());

  AlignFilter filter({}, two);
  filter.replay_wait(1, {5}, {2});
  filter.replay_wait(1, {7}, {2});
  filter.replay_wait(0, {0}, {1});
  CHECK_THAT(test::message_of([&] { filter.replay_wait(1, {8}, {1}); }),
             Contains("from output 8; it must not be before 9"));
  CHECK_THAT(test::message_of([&] { filter.replay_wait(2, {0}, {1}); }), Contains("there are 2"));

  StateWriter writer;
  AlignFilter({}, {regular, regular, regular}).save_state(writer);
  StateReader three(writer.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(three); }), Contains("of 3 inputs"));
  StateWriter other_lanes;
  AlignFilter({}, {regular, {.lanes = 2}}).save_state(other_lanes);
  StateReader reader(other_lanes.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }), Contains("has 2 lanes"));
}

TEST_CASE("align: frames that wait go over to a filter with less room, and into its state") {
  const std::vector<AlignFilter::Input> inputs(
      2, {.lanes = 1, .rate = Rate(1000, 1), .most_frames = 100});
  AlignFilter patient({.max_wait = 10s}, inputs);
  AlignFilter hasty({.max_wait = 0ns}, inputs);
  AlignFilter fresh({.max_wait = 0ns}, inputs);
  std::vector<double> values(100);
  const std::vector<Quality> good(100);
  std::vector<double> out(1 << 13);
  std::vector<Quality> out_quality(out.size());
  const auto make = [&](AlignFilter& filter) {
    std::vector<double> made;
    for (;;) {
      const AlignFilter::Output run = filter.make({out, out_quality, 2}, {});
      if (run.is_nothing()) return made;
      made.insert(made.end(), out.begin(),
                  out.begin() + static_cast<std::ptrdiff_t>(2 * run.count));
    }
  };
  const auto push = [&](AlignFilter& filter, std::size_t input, std::uint64_t first) {
    for (std::size_t f = 0; f < values.size(); ++f) values[f] = static_cast<double>(first + f);
    filter.push(input, {.values = values, .quality = good, .lanes = 1, .first = first}, {}, {});
  };
  for (std::uint64_t block = 0; block < 50; ++block) {
    push(patient, 0, block * 100);
    REQUIRE(make(patient).empty());
  }
  hasty.take_over(patient, 0);
  StateWriter writer;
  hasty.save_state(writer);
  StateReader reader(writer.bytes());
  fresh.load_state(reader);
  CHECK(reader.at_end());
  push(hasty, 1, 0);
  push(fresh, 1, 0);
  const std::vector<double> made = make(hasty);
  CHECK(test::same_bits(made, make(fresh)));
  // None of those that waited was lost; those that the other input has reached have both values.
  REQUIRE(made.size() >= 2 * 4999);
  for (std::size_t f = 0; f < 4999; ++f) REQUIRE(made[2 * f] == static_cast<double>(f));
  for (std::size_t f = 0; f < 100; ++f) REQUIRE(made[2 * f + 1] == static_cast<double>(f));
}

TEST_CASE("align: a state with more waiting frames than there was room for leaves room for more") {
  const std::vector<AlignFilter::Input> inputs(
      2, {.lanes = 1, .rate = Rate(1000, 1), .most_frames = 100});
  AlignFilter patient({.max_wait = 10s}, inputs);
  AlignFilter hasty({.max_wait = 0ns}, inputs);
  AlignFilter fresh({.max_wait = 0ns}, inputs);
  const std::vector<double> values(100, 1.0);
  const std::vector<Quality> good(100);
  const auto push = [&](AlignFilter& filter, std::uint64_t first) {
    filter.push(0, {.values = values, .quality = good, .lanes = 1, .first = first}, {}, {});
  };
  for (std::uint64_t block = 0; block < 50; ++block) push(patient, block * 100);
  hasty.take_over(patient, 0);
  StateWriter writer;
  hasty.save_state(writer);
  StateReader reader(writer.bytes());
  fresh.load_state(reader);
  for (AlignFilter* filter : {&hasty, &fresh}) {
    push(*filter, 5000);
    std::vector<double> out(1 << 14);
    std::vector<Quality> quality(out.size());
    std::size_t made = 0;
    std::uint64_t lost = 0;
    for (;;) {
      const AlignFilter::Output run = filter->make({out, quality, 2}, {});
      if (run.is_nothing()) break;
      made += run.count;
      lost += run.lost.value;
    }
    CHECK(made == 5099);  // the last one waits
    CHECK(lost == 0);
  }
}

TEST_CASE("align refuses a state whose times can't be") {
  const std::vector<AlignFilter::Input> inputs(2, {.lanes = 1, .rate = Rate(1000, 1)});
  const Align onto_a_grid{.rate = Rate(1000, 1), .max_wait = 1s};
  AlignFilter filter(onto_a_grid, inputs);
  const std::vector<double> values{1.0, 2.0};
  const std::vector<Quality> good(2);
  filter.push(0, {.values = values, .quality = good, .lanes = 1}, {}, {});
  StateWriter writer;
  filter.save_state(writer);
  std::vector<std::byte> bytes = writer.bytes();
  // The time of the second frame, which is the latest one as well.
  const std::int64_t time = 1'000'000;
  const auto words = std::span(reinterpret_cast<const std::byte*>(&time), sizeof time);
  for (std::size_t which = 0; which < 2; ++which) {
    std::vector<std::byte> damaged = bytes;
    auto at = std::search(damaged.begin(), damaged.end(), words.begin(), words.end());
    if (which == 1) at = std::search(at + 1, damaged.end(), words.begin(), words.end());
    REQUIRE(at != damaged.end());
    at[7] = std::byte{0x70};
    StateReader reader(damaged);
    CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
               Catch::Matchers::Contains("out of order"));
    StateWriter after;
    filter.save_state(after);
    CHECK(after.bytes() == bytes);
  }
}

}  // namespace
}  // namespace spillway
