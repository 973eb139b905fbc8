#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "binned_sink.hpp"
#include "commands.hpp"
#include "filtered_sink.hpp"
#include "output.hpp"
#include "output_summary.hpp"
#include "progress.hpp"
#include "run.hpp"
#include "selection.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/fir_bank.hpp"
#include "spillway/storage/copy.hpp"
#include "stop_on_signals.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

// Output over input, in lowest terms.
struct Ratio {
  std::uint64_t up = 1;
  std::uint64_t down = 1;
};

// From the rate of a stream to another.
Ratio ratio(const StreamInfo& stream, const Rate& from, const Rate& to) {
  const std::int64_t samples = std::gcd(to.samples(), from.samples());
  const std::int64_t seconds = std::gcd(to.seconds(), from.seconds());
  std::int64_t up = 0, down = 0;
  if (__builtin_mul_overflow(to.samples() / samples, from.seconds() / seconds, &up) ||
      __builtin_mul_overflow(to.seconds() / seconds, from.samples() / samples, &down))
    throw Error(fmt::format("stream '{}': {:g} Hz and {:g} Hz have no ratio of whole numbers",
                            stream.name, from.hertz().value, to.hertz().value));
  return {static_cast<std::uint64_t>(up), static_cast<std::uint64_t>(down)};
}

bool is_faster(const StreamInfo& stream, double rate_hz) {
  return stream.rate && stream.rate->hertz().value > rate_hz;
}

std::uint64_t samples_per_bin(const StreamInfo& stream, const ExportArguments& arguments) {
  if (arguments.every) return *arguments.every;
  if (!is_faster(stream, *arguments.rate_hz)) return 0;
  const Ratio r = ratio(stream, *stream.rate, Rate(Hertz{*arguments.rate_hz}));
  const std::uint64_t results = arguments.by == "minmax" ? 2 : 1;
  const std::uint64_t samples = r.down * results / r.up;
  if (r.down * results % r.up != 0 || samples < 2)
    throw Error(fmt::format(
        "stream '{}': {} of {:g} Hz at --rate {:g} need {:.12g} samples a bin, and it must be a "
        "whole number from 2; use --every, or --by filter",
        stream.name, arguments.by, stream.rate->hertz().value, *arguments.rate_hz,
        static_cast<double>(r.down) * static_cast<double>(results) / static_cast<double>(r.up)));
  return samples;
}

// `factor`: the larger of both of the ratio. Else the error would be of the node that does it.
void require_filter(const StreamInfo& stream, const std::string& asked, std::uint64_t factor) {
  constexpr std::uint64_t most = (max_fir_taps - 1) / 20;  // the taps that a node takes by itself
  if (factor > most)
    throw Error(
        fmt::format("stream '{}': {} of {:g} Hz by a filter needs a ratio with {}; allowed are up "
                    "to {}; use --by minmax or mean, or another ratio",
                    stream.name, asked, stream.rate->hertz().value, factor, most));
}

std::optional<NodeKind> filter_for(const StreamInfo& stream, const ExportArguments& arguments) {
  if (arguments.every) {
    if (!stream.rate)
      throw Error(fmt::format(
          "stream '{}' is irregular, and --by filter needs a rate; use minmax or mean, or choose "
          "others by --channels",
          stream.name));
    require_filter(stream, fmt::format("--every {}", *arguments.every), *arguments.every);
    return Decimate{.factor = *arguments.every};
  }
  if (!is_faster(stream, *arguments.rate_hz)) return std::nullopt;
  const Ratio r = ratio(stream, *stream.rate, Rate(Hertz{*arguments.rate_hz}));
  require_filter(stream, fmt::format("--rate {:g}", *arguments.rate_hz), std::max(r.up, r.down));
  if (r.up == 1) return Decimate{.factor = r.down};
  return Resample{.up = r.up, .down = r.down};
}

std::string provenance(const Recording& recording, const ExportArguments& arguments) {
  Json json{{"export", {{"input", recording.path()}, {"by", arguments.by}}}};
  if (arguments.every) json["export"]["every"] = *arguments.every;
  if (arguments.rate_hz) json["export"]["rate_hz"] = *arguments.rate_hz;
  json["of_input"] = Json::parse(recording.provenance(), nullptr, false);
  if (json["of_input"].is_discarded()) json["of_input"] = recording.provenance();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// In front of the output, where fewer samples are wanted; none where all are.
std::unique_ptr<Sink> reduce(Sink& to, const Recording& recording, const RecordingInfo& info,
                             const ExportArguments& arguments) {
  if (!arguments.every && !arguments.rate_hz) return nullptr;
  const std::string made_by = provenance(recording, arguments);
  if (arguments.by == "filter") {
    FilterOptions options;
    options.provenance = made_by;
    for (const StreamInfo& stream : info.streams)
      options.nodes.push_back(filter_for(stream, arguments));
    return std::make_unique<FilteredSink>(to, std::move(options));
  }
  BinOptions options;
  options.by = arguments.by == "mean" ? BinBy::mean : BinBy::minmax;
  options.provenance = made_by;
  for (const StreamInfo& stream : info.streams)
    options.samples_per_bin.push_back(samples_per_bin(stream, arguments));
  return std::make_unique<BinnedSink>(to, std::move(options));
}

std::uint64_t samples_in(const Recording& recording, const RecordingInfo& info) {
  std::uint64_t samples = 0;
  for (const StreamInfo& stream : info.streams)
    samples += recording.streams()[recording.find(stream.name)].rows * stream.channels.size();
  return samples;
}

}  // namespace

int export_recording(const ExportArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const Recording recording =
      Recording::open(arguments.path, OpenOptions{.foreign = foreign(arguments.foreign)});
  const bool quiet = arguments.quiet || arguments.json;
  for (const std::string& remark : recording.remarks())
    if (!quiet) tell(stderr, "note: {}\n", remark);
  const Selection part = selection(recording, arguments.channels, arguments.range);
  const RecordingInfo info = info_of(recording, part);
  OutputSink output({.path = arguments.output,
                     .input = &recording,
                     .existing = arguments.force ? Existing::replace : Existing::refuse,
                     .long_form = arguments.long_form});
  const std::unique_ptr<Sink> reduced = reduce(output, recording, info, arguments);
  Sink& to = reduced ? *reduced : output;

  const StopOnSignals signals;
  Progress progress(!quiet);
  const std::uint64_t samples = samples_in(recording, info);
  const auto go_on = [&](double fraction) {
    progress.show(fraction, static_cast<std::uint64_t>(fraction * static_cast<double>(samples)),
                  output.bytes_written());
    return !StopOnSignals::requested();
  };
  try {
    if (!copy(recording, to, part, go_on)) {
      to.abandon();
      progress.clear();
      tell(stderr, "spillway: {}: interrupted; nothing was written\n", arguments.output);
      return 1;
    }
    // What can't be written is told here; close() would make a recording of what could.
    to.flush();
    to.close(ending_of(recording));
  } catch (...) {
    to.abandon();
    progress.clear();
    throw;
  }
  progress.clear();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (arguments.json)
    tell(stdout, "{}\n",
         Json{{"input", arguments.path}, {"seconds", seconds}, {"files", json_of(output.files())}}
             .dump(2, ' ', false, Json::error_handler_t::replace));
  else if (!quiet)
    print(output.files());
  return 0;
}

}  // namespace spillway::apps
