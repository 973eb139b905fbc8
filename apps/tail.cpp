#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <thread>

#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/shared_stream.hpp"
#include "stop_on_signals.hpp"

namespace spillway::apps {

namespace {

using Clock = std::chrono::steady_clock;

// Remote readers are woken by nobody: how long they sleep is how late they are.
constexpr std::chrono::milliseconds nap{5};
constexpr std::size_t frames_at_once = 1024;

// A field of a CSV line.
std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string field = "\"";
  for (const char c : text) field.append(c == '"' ? 2 : 1, c);
  return field + '"';
}

// Prints what one published stream has, from one attachment to the end of it.
class Follower {
 public:
  Follower(const std::string& name, const TailArguments& arguments)
      : arguments_(arguments),
        remote_(name),
        reader_(remote_.stream()),
        block_(info(), frames_at_once),
        values_(info().channels.size(), std::vector<double>(frames_at_once)),
        summary_(info().channels.size()) {}

  [[nodiscard]] const AttachedStream& remote() const { return remote_; }
  [[nodiscard]] Accounting accounting() const { return reader_.accounting(); }
  void start_at_newest(std::uint64_t samples) { reader_.seek_latest({samples}); }

  [[nodiscard]] std::string header() const {
    std::string line = "sample,time_s";
    for (const ChannelInfo& channel : info().channels)
      line += ',' + quoted(fmt::format("{} ({})", channel.name,
                                       arguments_.raw ? channel.raw_unit() : channel.unit));
    return line;
  }

  // Reads what is there; false if there was nothing.
  bool step() {
    const Chunk chunk = reader_.read(block_);
    if (chunk.lost.value > 0 || chunk.missing.value > 0) {
      if (absent_end_ != chunk.from.value) tell_absent();
      if (lost_ + missing_ == 0) absent_from_ = chunk.from.value;
      lost_ += chunk.lost.value;
      missing_ += chunk.missing.value;
      absent_end_ = chunk.from.value + chunk.lost.value + chunk.missing.value;
    }
    // Among samples each in its place; among summaries a burst that comes in pieces is told once.
    if (!arguments_.every_s || chunk.count.value > 0) tell_absent();
    convert(chunk);
    for (std::uint64_t i = 0; i < chunk.count.value; ++i)
      if (arguments_.every_s)
        add_to_summary(i);
      else
        print_sample(chunk, i);
    return chunk.count.value > 0 || chunk.lost.value > 0 || chunk.missing.value > 0;
  }

  // One line of what came since the last one.
  void print_summary() {
    tell_absent();
    if (summarised_ == 0) {
      tell(stdout, "{}: no samples\n", info().name);
      return;
    }
    tell(stdout, "to sample {}: {}", reader_.next().value - 1, human_count(summarised_, "sample"));
    for (std::size_t c = 0; c < summary_.size(); ++c) {
      Summary& s = summary_[c];
      const ChannelInfo& channel = info().channels[c];
      if (s.count == 0)
        tell(stdout, "; {} without a value", channel.name);
      else
        tell(stdout, "; {} {:.6g} to {:.6g}, mean {:.6g} {}", channel.name, s.low, s.high,
             s.sum / static_cast<double>(s.count),
             arguments_.raw ? channel.raw_unit() : channel.unit);
      if (s.not_good > 0) tell(stdout, " ({} not good)", human_count(s.not_good));
      s = {};
    }
    tell(stdout, "\n");
    summarised_ = 0;
  }

 private:
  struct Summary {
    double low = INFINITY;
    double high = -INFINITY;
    double sum = 0.0;
    std::uint64_t count = 0;
    std::uint64_t not_good = 0;
  };

  [[nodiscard]] const StreamInfo& info() const { return remote_.stream().info(); }

  void tell_absent() {
    const auto note = [&](std::uint64_t count, const char* what) {
      if (count > 0)
        tell(stdout, "# from sample {}: {} {}\n", absent_from_, human_count(count, "sample"), what);
    };
    note(lost_, "lost: overwritten before they were read");
    note(missing_, "missing at the source");
    lost_ = missing_ = 0;
  }

  void convert(const Chunk& chunk) {
    const CalibrationSet& calibrations = reader_.calibrations(chunk.calibrations);
    for (std::size_t c = 0; c < values_.size(); ++c) {
      visit_sample_type(block_.type(c), [&]<class T>(std::type_identity<T>) {
        const auto from = std::as_const(block_).template values<T>(c).first(chunk.count.value);
        std::ranges::transform(from, values_[c].begin(),
                               [](T value) { return static_cast<double>(value); });
      });
      if (!arguments_.raw) calibrations[c].apply(std::span(values_[c]).first(chunk.count.value));
    }
  }

  [[nodiscard]] Time time_of(const Chunk& chunk, std::uint64_t i) const {
    if (block_.has_times()) return block_.times()[i];
    return saturating_add(chunk.clock_time,
                          info().rate->duration(chunk.first.value + i - chunk.clock_sample.value));
  }

  void print_sample(const Chunk& chunk, std::uint64_t i) const {
    fmt::memory_buffer line;
    const auto add = [&]<class... A>(fmt::format_string<A...> format, A&&... arguments) {
      fmt::format_to(std::back_inserter(line), format, std::forward<A>(arguments)...);
    };
    const std::int64_t ns = time_of(chunk, i).count();
    const std::uint64_t magnitude =
        ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
    add("{},{}{}.{:09}", chunk.first.value + i, ns < 0 ? "-" : "", magnitude / 1'000'000'000,
        magnitude % 1'000'000'000);
    const CalibrationSet& calibrations = reader_.calibrations(chunk.calibrations);
    for (std::size_t c = 0; c < values_.size(); ++c)
      visit_sample_type(block_.type(c), [&]<class T>(std::type_identity<T>) {
        const bool as_pushed = arguments_.raw || calibrations[c].is_identity();
        // A double can't tell all 64-bit integers apart. The plus has bytes printed as numbers.
        if (std::is_integral_v<T> && as_pushed)
          add(",{}", +block_.template values<T>(c)[i]);
        else
          add(",{}", values_[c][i]);
      });
    for (std::size_t c = 0; c < values_.size(); ++c)
      if (const Quality quality = block_.quality(c)[i]; !quality.is_good())
        add("  # {}: {}", info().channels[c].name, to_string(quality));
    tell(stdout, "{}\n", std::string_view(line.data(), line.size()));
  }

  void add_to_summary(std::uint64_t i) {
    ++summarised_;
    for (std::size_t c = 0; c < values_.size(); ++c) {
      Summary& s = summary_[c];
      if (!block_.quality(c)[i].is_good()) ++s.not_good;
      const double value = values_[c][i];
      if (std::isnan(value)) continue;
      s.low = std::min(s.low, value);
      s.high = std::max(s.high, value);
      s.sum += value;
      ++s.count;
    }
  }

  const TailArguments& arguments_;
  AttachedStream remote_;
  StreamReader reader_;
  Block block_;
  std::vector<std::vector<double>> values_;  // as doubles, one a channel
  std::vector<Summary> summary_;
  std::uint64_t summarised_ = 0;
  // What is not there, one after another, and was not told yet.
  std::uint64_t absent_from_ = 0;
  std::uint64_t absent_end_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t missing_ = 0;
};

}  // namespace

int tail(const TailArguments& arguments) {
  const StopOnSignals signals;
  const auto begin = Clock::now();
  const auto over = [&] {
    return arguments.duration_s &&
           std::chrono::duration<double>(Clock::now() - begin).count() >= *arguments.duration_s;
  };
  auto follower = std::make_unique<Follower>(arguments.name, arguments);
  follower->start_at_newest(arguments.samples);
  if (!arguments.every_s) tell(stdout, "{}\n", follower->header());
  Accounting total;
  const auto add_to_total = [&] {
    const Accounting books = follower->accounting();
    total.delivered += books.delivered;
    total.lost += books.lost;
    total.missing += books.missing;
  };
  auto next_summary = Clock::now();
  const auto interval = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(arguments.every_s.value_or(1.0)));
  next_summary += interval;
  int status = 0;
  while (!StopOnSignals::requested() && !over()) {
    // Asked before reading: what is read after the publisher's end is all there is.
    const Publisher publisher = follower->remote().publisher();
    const bool replaced = follower->remote().is_replaced();
    const bool had_some = follower->step();
    if (std::ferror(stdout)) break;  // nobody reads what is printed
    if (arguments.every_s && Clock::now() >= next_summary) {
      follower->print_summary();
      next_summary += interval;
    }
    if (had_some) continue;
    std::fflush(stdout);
    if (publisher == Publisher::alive) {
      std::this_thread::sleep_for(nap);
      continue;
    }
    if (replaced && publisher == Publisher::gone) {
      // Somebody took over the name of the dead one: a new run, with numbers from 0, and
      // perhaps other channels.
      std::unique_ptr<Follower> next;
      try {
        next = std::make_unique<Follower>(arguments.name, arguments);
      } catch (const Error&) {
        // And is gone again, or the file was removed: the dead one is all there was.
      }
      if (next) {
        tell(stderr, "the publisher of '{}' died and another took over\n", arguments.name);
        if (arguments.every_s)
          follower->print_summary();
        else if (next->header() != follower->header())
          tell(stdout, "{}\n", next->header());
        add_to_total();
        follower = std::move(next);
        continue;
      }
    }
    tell(stderr, "the publisher of '{}' {}\n", arguments.name,
         publisher == Publisher::finished ? "finished" : "died; that is all it had published");
    status = publisher == Publisher::finished ? 0 : 3;
    break;
  }
  if (arguments.every_s) follower->print_summary();
  std::fflush(stdout);
  add_to_total();
  tell(stderr, "read {}, lost {}, missing {}\n", human_count(total.delivered.value),
       human_count(total.lost.value), human_count(total.missing.value));
  return status == 0 && total.lost.value > 0 ? 3 : status;
}

}  // namespace spillway::apps
