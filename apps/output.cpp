#include "output.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/npy_sink.hpp"

namespace spillway::apps {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view placeholder = "{stream}";

bool is_hdf5(std::string_view path) {
  return path.ends_with(".h5") || path.ends_with(".hdf5") || path.ends_with(".nxs");
}

bool is_npy(std::string_view path) { return path.ends_with(".npy"); }

std::string with_name(std::string path, const std::string& stream) {
  for (std::size_t at = path.find(placeholder); at != std::string::npos;
       at = path.find(placeholder, at + stream.size()))
    path.replace(at, placeholder.size(), stream);
  return path;
}

// "run.csv" -> "run-{stream}.csv"
std::string for_each_stream(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return path.substr(0, dot) + "-" + std::string(placeholder) + path.substr(dot);
}

bool same_file(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return fs::equivalent(a, b, ignored);
}

}  // namespace

void refuse_same(const std::string& path, const std::string& input) {
  if (same_file(path, input))
    throw Error(fmt::format("{}: is the input; choose another name", path));
}

void refuse_input(const std::string& path, const Recording& input) {
  refuse_same(path, input.path());
  std::vector<std::string> files = input.other_files();
  files.push_back(input.path());
  files.push_back(calibration_sidecar_of(input.path()));
  // What belongs to a recording stands beside its files.
  constexpr std::array beside{"", "-metadata.json", ".json", ".journal"};
  for (const std::string& file : files)
    for (const char* suffix : beside)
      if (same_file(path, file + suffix))
        throw Error(
            fmt::format("{}: is part of the input, {}; choose another name", path, input.path()));
}

void require_ending(const std::string& path, const std::string& option,
                    const std::vector<std::string>& allowed) {
  if (std::ranges::any_of(allowed, [&](const std::string& e) { return path.ends_with(e); })) return;
  throw Error(fmt::format("{} {}: must end in {}", option, path, fmt::join(allowed, " or ")));
}

OutputSink::OutputSink(OutputOptions options) : options_(std::move(options)) {
  const std::string& path = options_.path;
  if (!is_hdf5(path) && !path.ends_with(".csv") && !is_npy(path))
    throw Error(fmt::format(
        "{}: unknown kind of output; a name ends in .h5, .hdf5, .nxs, .csv or .npy", path));
  if (options_.long_form && !path.ends_with(".csv"))
    throw Error(fmt::format("{}: the long form is for CSV", path));
}

std::unique_ptr<Sink> OutputSink::sink_for(const std::string& path) const {
  if (options_.input) refuse_input(path, *options_.input);
  if (is_hdf5(path))
    return std::make_unique<Hdf5Sink>(path, options_.existing,
                                      Hdf5Options{.durability = options_.durability});
  if (is_npy(path)) return make_npy_sink({.path = path, .existing = options_.existing});
  return std::make_unique<CsvSink>(
      path, options_.existing,
      CsvOptions{.form = options_.long_form ? CsvOptions::Form::long_form : CsvOptions::Form::wide,
                 .durability = options_.durability});
}

void OutputSink::begin(const RecordingInfo& info) {
  std::string path = options_.path;
  const bool holds_several = is_hdf5(path) || options_.long_form;
  const bool asked = path.find(placeholder) != std::string::npos;
  const bool one_each = asked || (!holds_several && info.streams.size() > 1);
  if (one_each && !asked) path = for_each_stream(path);
  options_.make_room();
  try {
    for (std::size_t i = 0; i < (one_each ? info.streams.size() : 1); ++i) {
      RecordingInfo part = info;
      if (one_each) part.streams = {info.streams[i]};
      File file{one_each ? with_name(path, info.streams[i].name) : path, {}};
      for (const StreamInfo& stream : part.streams) file.streams.push_back({stream.name, {}});
      std::unique_ptr<Sink> sink = sink_for(file.path);
      sink->begin(part);
      sinks_.push_back(std::move(sink));
      files_.push_back(std::move(file));
    }
  } catch (...) {
    abandon();
    throw;
  }
}

std::size_t OutputSink::best_frames(const StreamInfo& info) const {
  return is_hdf5(options_.path) ? Hdf5Sink::chunk_frames(info) : 0;
}

OutputSink::Place OutputSink::place(std::size_t stream) {
  // One file of one stream is both.
  const std::size_t file = sinks_.size() == 1 ? 0 : stream;
  const std::size_t there = sinks_.size() == 1 ? stream : 0;
  return {sinks_.at(file).get(), there, &files_[file].streams.at(there).counts};
}

void OutputSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                        const CalibrationSet& calibrations) {
  const Place to = place(stream);
  to.sink->append(to.stream, chunk, block, calibrations);
  const bool upstream = chunk.cause == GapCause::upstream;
  to.counts->recorded += chunk.count.value;
  to.counts->lost += chunk.lost.value + (upstream ? chunk.missing.value : 0);
  to.counts->missing += upstream ? 0 : chunk.missing.value;
  to.counts->produced += chunk.count.value + chunk.lost.value + chunk.missing.value;
}

void OutputSink::append_gap(std::size_t stream, const Gap& gap) {
  const Place to = place(stream);
  to.sink->append_gap(to.stream, gap);
  to.counts->lost += gap.lost;
  to.counts->missing += gap.missing;
  to.counts->produced += gap.count;
}

void OutputSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  const Place to = place(stream);
  to.sink->append(to.stream, anchors);
}

void OutputSink::append_event(const RecordedEvent& event) {
  for (const auto& sink : sinks_) sink->append_event(event);
}

void OutputSink::append_log(std::string_view line) {
  for (const auto& sink : sinks_) sink->append_log(line);
}

void OutputSink::flush() {
  for (const auto& sink : sinks_) sink->flush();
}

void OutputSink::close(const Ending& ending) {
  for (std::size_t i = 0; i < sinks_.size(); ++i) {
    sinks_[i]->close(ending);
    // Closing writes more: what HDF5 keeps of the file, and the seal.
    std::error_code ignored;
    const std::uintmax_t bytes = fs::file_size(files_[i].path, ignored);
    files_[i].bytes = ignored ? sinks_[i]->bytes_written() : bytes;
  }
}

SampleNumber OutputSink::end(std::size_t stream) const {
  return sinks_.size() == 1 ? sinks_.front()->end(stream) : sinks_.at(stream)->end(0);
}

void OutputSink::abandon() noexcept {
  for (const auto& sink : sinks_) sink->abandon();
}

bool OutputSink::can_go_on() const noexcept {
  return files_.size() == 1 && files_.front().path == options_.path && !is_npy(options_.path) &&
         options_.durability != Durability::none;
}

std::uint64_t OutputSink::bytes_written() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& sink : sinks_) bytes += sink->bytes_written();
  return bytes;
}

}  // namespace spillway::apps
