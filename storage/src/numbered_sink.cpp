#include "spillway/storage/numbered_sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "file.hpp"
#include "spillway/channels/error.hpp"

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
  return options_.existing == Existing::refuse && (is_there(path) || is_there(sidecar_of(path)));
}

RecordingInfo NumberedSink::part_info() const {
  RecordingInfo info = info_;
  if (number_ > 1) {
    info.start_time.clear();
    info.state.clear();
  }
  if (number_ == 1 && !options_.split.any()) return info;
  Json provenance = Json::parse(info.provenance, nullptr, false);
  if (!provenance.is_object()) provenance = Json::object();
  provenance["recording"] = {{"run", run_}, {"part", number_}, {"first", file_name(first_name_)}};
  info.provenance = provenance.dump();
  return info;
}

void NumberedSink::begin(const RecordingInfo& info) {
  info_ = info;
  ends_.assign(info.streams.size(), 0);
  not_written_.assign(info.streams.size(), 0);
  given_.assign(info.streams.size(), false);
  last_anchors_.assign(info.streams.size(), std::nullopt);
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
  std::fill(given_.begin(), given_.end(), false);
  for (const auto& [part, lines] : graph_) {
    current_->append_log(lines.begin);
    if (!lines.changed.empty()) current_->append_log(lines.changed);
  }
  for (std::size_t i = 0; i < last_anchors_.size(); ++i)
    if (last_anchors_[i]) current_->append(i, {&*last_anchors_[i], 1});
  for (const std::string& line : std::exchange(waiting_lines_, {})) give_log(line);
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
    for (std::size_t i = 0; i < ends_.size(); ++i)
      if (given_[i]) {
        ends_[i] = closing->end(i).value;
        not_written_[i] += closing->not_written(i);
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
  given_[stream] = true;
  has_samples_ = true;
  sink.append(stream, chunk, block, calibrations);
}

void NumberedSink::append_gap(std::size_t stream, const Gap& gap) {
  Sink& sink = opened();
  given_[stream] = true;
  has_samples_ = true;
  sink.append_gap(stream, gap);
}

void NumberedSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  if (anchors.empty()) return;
  opened().append(stream, anchors);
  last_anchors_[stream] = anchors.back();
}

void NumberedSink::append_event(const RecordedEvent& event) {
  if (!current_ && waiting_events_.size() < most_waiting_events)
    waiting_events_.push_back(event);
  else
    opened().append_event(event);
}

void NumberedSink::append_log(std::string_view line) {
  if (current_)
    give_log(line);
  else
    waiting_lines_.emplace_back(line);
}

void NumberedSink::give_log(std::string_view line) {
  // The next file has to begin with the graph as it is then.
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_object() && json.contains("part") && json["part"].is_number_unsigned()) {
    GraphLines& lines = graph_[json["part"].get<std::uint64_t>()];
    if (json.contains("begin")) lines.begin = line;
    if (json.contains("changed")) lines.changed = line;
  }
  current_->append_log(line);
}

void NumberedSink::flush() {
  if (!current_) return;
  current_->flush();
  flushed_ = true;
  const Split& split = options_.split;
  const bool large = split.bytes > 0 && current_->bytes_written() >= split.bytes;
  const bool long_enough =
      split.duration > std::chrono::nanoseconds(0) && Clock::now() - begun_ >= split.duration;
  if (has_samples_ && (large || long_enough)) {
    close_file({});
    tell(FileNote::Kind::sealed, name_);
  } else if (options_.keep.any()) {
    delete_old();
  }
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
