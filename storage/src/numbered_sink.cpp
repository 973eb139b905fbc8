#include "spillway/storage/numbered_sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "file.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/calibration_sidecar.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t room_to_go_on = 64 << 20;
constexpr std::size_t most_waiting_events = 1024;

std::string new_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What stands beside a recording and is part of it.
std::string sidecar_of(const std::string& path) { return path + "-metadata.json"; }

}  // namespace

NumberedSink::NumberedSink(NumberedOptions options, Make make, FileCalls& calls)
    : options_(std::move(options)),
      make_(std::move(make)),
      calls_(&calls),
      directory_(directory_of(options_.path)),
      run_(new_run_id()) {
  name_ = path_of(1);
  first_name_ = name_;
  current_ = make_(name_);
  number_ = 1;
}

NumberedSink::~NumberedSink() = default;

std::string NumberedSink::path_of(std::uint64_t number) const {
  if (number == 1 && !options_.split.any()) return options_.path;
  const std::string& path = options_.path;
  const std::size_t name = path.rfind('/') + 1;
  std::size_t dot = path.rfind('.');
  if (dot == std::string::npos || dot <= name) dot = path.size();
  return fmt::format("{}-{:04}{}", path.substr(0, dot), number, path.substr(dot));
}

bool NumberedSink::is_taken(const std::string& path) const {
  const auto is_there = [&](const std::string& p) {
    return calls_->kind(p.c_str()) != PathKind::nothing;
  };
  if (is_there(path + ".part") || is_there(path + ".journal")) return true;
  // Which calibrations tell of can't be replaced, and must not stop a recording on its way.
  if (is_there(calibration_sidecar_of(path))) return true;
  return options_.existing == Existing::refuse && (is_there(path) || is_there(sidecar_of(path)));
}

RecordingInfo NumberedSink::part_info() const {
  RecordingInfo info = info_;
  if (number_ > 1 && info.start_time != unknown_time) info.start_time.clear();
  if (number_ == 1 && !options_.split.any()) return info;
  Json provenance = Json::parse(info.provenance, nullptr, false);
  if (!provenance.is_object()) provenance = Json::object();
  provenance["recording"] = {{"run", run_}, {"part", number_}, {"first", file_name(first_name_)}};
  info.provenance = provenance.dump();
  return info;
}

void NumberedSink::begin(const RecordingInfo& info) {
  info_ = info;
  for (const StreamInfo& stream : info.streams) streams_.push_back({.name = stream.name});
  current_->begin(part_info());
  begun_ = Clock::now();
}

// --- between two files ---

void NumberedSink::open_next() {
  const std::uint64_t before = number_;
  const std::string name_before = name_;
  do name_ = path_of(++number_);
  while (is_taken(name_));
  try {
    current_ = make_(name_);
    current_->begin(part_info());
  } catch (...) {
    if (current_) current_->abandon();
    current_.reset();
    number_ = before;
    name_ = name_before;
    throw;
  }
  begun_ = Clock::now();
  has_samples_ = false;
  flushed_ = false;
  resumed_ = false;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    streams_[i].given = false;
    if (streams_[i].last_anchor) current_->append(i, {&*streams_[i].last_anchor, 1});
  }
  for (const std::string& line : first_lines_) current_->append_log(line);
  for (const std::string& line : std::exchange(waiting_lines_, {})) current_->append_log(line);
  for (const RecordedEvent& event : std::exchange(waiting_events_, {}))
    current_->append_event(event);
}

Sink& NumberedSink::opened() {
  if (!current_) {
    open_next();
    tell(FileNote::Kind::begun, name_);
  }
  return *current_;
}

void NumberedSink::close_file(const Ending& ending) {
  const std::unique_ptr<Sink> closing = std::move(current_);
  const auto keep_ends = [&] {
    for (std::size_t i = 0; i < streams_.size(); ++i)
      if (streams_[i].given) {
        streams_[i].end = closing->end(i).value;
        streams_[i].not_written += closing->not_written(i);
      }
    closed_bytes_ += closing->bytes_written();
  };
  try {
    closing->close(ending);
  } catch (...) {
    keep_ends();
    throw;
  }
  keep_ends();
  sealed();
}

// The file of name_ was.
void NumberedSink::sealed() {
  std::uint64_t bytes = 0;
  const int fd = calls_->open(name_.c_str(), O_RDONLY, 0);
  if (fd >= 0) {
    bytes = static_cast<std::uint64_t>(std::max<off_t>(calls_->size(fd), 0));
    calls_->close(fd);
  }
  sealed_.push_back({name_, bytes, Clock::now()});
  delete_old();
  if (!options_.make_master) return;
  try {
    std::vector<std::string> files;
    for (const Sealed& file : sealed_) files.push_back(file.path);
    options_.make_master(files);
  } catch (const std::exception& e) {
    tell(FileNote::Kind::no_master, options_.path, e.what());
  }
}

void NumberedSink::delete_old() {
  std::uint64_t bytes = 0;
  for (const Sealed& file : sealed_) bytes += file.bytes;
  const auto now = Clock::now();
  while (sealed_.size() > 1) {
    const Sealed oldest = sealed_.front();
    const bool too_many = options_.keep.bytes > 0 && bytes > options_.keep.bytes;
    const bool too_old = options_.keep.duration > std::chrono::nanoseconds(0) &&
                         now - oldest.when > options_.keep.duration;
    if (!too_many && !too_old) return;
    sealed_.pop_front();
    bytes -= oldest.bytes;
    const char* why = too_many ? "more than is to be kept" : "older than is to be kept";
    if (remove_file(oldest.path))
      tell(FileNote::Kind::deleted, oldest.path, why);
    else
      tell(FileNote::Kind::not_deleted, oldest.path,
           fmt::format("{}, but can't be deleted: {}", why, std::strerror(errno)));
  }
}

bool NumberedSink::remove_file(const std::string& path) {
  if (calls_->unlink(path.c_str()) != 0) return errno == ENOENT;
  if (path.ends_with(".csv")) (void)calls_->unlink(sidecar_of(path).c_str());
  return true;
}

void NumberedSink::tell(FileNote::Kind kind, const std::string& path,
                        const std::string& text) const {
  if (options_.tell) options_.tell({kind, path, text});
}

// --- what is recorded ---

void NumberedSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                          const CalibrationSet& calibrations) {
  Sink& sink = opened();
  streams_[stream].given = true;
  has_samples_ = true;
  sink.append(stream, chunk, block, calibrations);
}

void NumberedSink::append_gap(std::size_t stream, const Gap& gap) {
  Sink& sink = opened();
  streams_[stream].given = true;
  has_samples_ = true;
  sink.append_gap(stream, gap);
}

void NumberedSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  if (anchors.empty()) return;
  opened().append(stream, anchors);
  streams_[stream].last_anchor = anchors.back();
}

void NumberedSink::append_event(const RecordedEvent& event) {
  if (!current_ && waiting_events_.size() < most_waiting_events)
    waiting_events_.push_back(event);
  else
    opened().append_event(event);
}

void NumberedSink::append_log(std::string_view line) {
  if (current_)
    current_->append_log(line);
  else
    waiting_lines_.emplace_back(line);
}

void NumberedSink::flush() {
  if (!current_) return;
  current_->flush();
  flushed_ = true;
  if (options_.keep.any()) delete_old();
}

bool NumberedSink::is_due() {
  if (!current_ || !has_samples_) return false;
  const Split& split = options_.split;
  return (split.bytes > 0 && current_->bytes_written() >= split.bytes) ||
         (split.duration > std::chrono::nanoseconds(0) && Clock::now() - begun_ >= split.duration);
}

bool NumberedSink::go_on(const RecordingInfo& info, const std::vector<std::string>& log) {
  if (current_) {
    close_file({});
    tell(FileNote::Kind::sealed, name_);
  }
  std::ranges::move(std::exchange(streams_, {}), std::back_inserter(ended_));
  for (const StreamInfo& stream : info.streams) {
    const auto before = std::ranges::find(ended_, stream.name, &PerStream::name);
    if (before == ended_.end()) {
      streams_.push_back({.name = stream.name});
    } else {
      streams_.push_back(std::move(*before));
      ended_.erase(before);
    }
  }
  info_ = info;
  first_lines_ = log;
  return true;
}

void NumberedSink::close(const Ending& ending) {
  if (!current_ && ending.complete && !waiting_lines_.empty()) opened();
  if (!ending.complete && current_ && resumed_ && !flushed_) {
    abandon();
    throw DiskFull(fmt::format("{}: removed, as nothing was flushed to it", name_));
  }
  if (current_) close_file(ending);
}

Resumed NumberedSink::resume() {
  if (calls_->free_bytes(directory_.c_str()) < room_to_go_on) return Resumed::not_yet;
  try {
    open_next();
  } catch (const DiskFull&) {
    return Resumed::not_yet;
  }
  resumed_ = true;
  return Resumed::yes;
}

std::optional<std::uint64_t> NumberedSink::free_bytes() {
  const std::int64_t free = calls_->free_bytes(directory_.c_str());
  if (free < 0) return std::nullopt;
  const auto bytes = static_cast<std::uint64_t>(free);
  // The oldest go before the disk is full.
  std::uint64_t kept = 0;
  for (const Sealed& file : sealed_) kept += file.bytes;
  if (options_.keep.bytes > 0 && options_.split.bytes > 0 &&
      kept + bytes > options_.keep.bytes + 2 * options_.split.bytes)
    return std::nullopt;
  return bytes;
}

void NumberedSink::abandon() noexcept {
  if (current_) current_->abandon();
  current_.reset();
}

std::uint64_t NumberedSink::bytes_written() const noexcept {
  return closed_bytes_ + (current_ ? current_->bytes_written() : 0);
}

}  // namespace spillway
