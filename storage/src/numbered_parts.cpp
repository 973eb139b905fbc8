#include "numbered_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "columns.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// Each has a file open.
constexpr std::size_t most_kept = 64;

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

// What applies to the sample; null: nothing yet.
const CalibrationSet* in_force(const std::vector<CalibrationChange>& changes,
                               std::uint64_t sample) {
  const auto next = std::ranges::upper_bound(changes, sample, {}, &CalibrationChange::from_sample);
  return next == changes.begin() ? nullptr : &std::prev(next)->calibrations;
}

}  // namespace

NumberedParts::NumberedParts(std::string master, FileCalls& calls)
    : master_(std::move(master)),
      directory_(master_.substr(0, master_.rfind('/') + 1)),
      calls_(calls) {}

std::size_t NumberedParts::add(const std::string& name) {
  const auto found = std::ranges::find(parts_, name, &Part::name);
  if (found != parts_.end()) return static_cast<std::size_t>(found - parts_.begin());
  // "." is the file itself to HDF5.
  if (name.empty() || name == "." || name.find('/') != std::string::npos)
    throw Error(
        fmt::format("{}: has rows in '{}', which is no name of a file beside it", master_, name));
  parts_.push_back({name});
  parts_.back().there = calls_.kind(path_of(parts_.back()).c_str()) != PathKind::nothing;
  return parts_.size() - 1;
}

void NumberedParts::add_stream(const RecordedStream& stream, std::vector<PartRows> rows,
                               std::vector<Fill> fills) {
  Of of{stream.info, stream.calibrations, std::move(rows), {}, std::move(fills)};
  std::uint64_t next = 0;
  for (const PartRows& in : of.rows) {
    if (in.first_row != next || in.rows == 0 || in.rows > stream.rows - next)
      throw Error(fmt::format("{}: does not tell in which file row {} of stream '{}' is", master_,
                              next, stream.info.name));
    of.first_samples.push_back(stream.number(next).value);
    next += in.rows;
  }
  if (next != stream.rows)
    throw Error(fmt::format("{}: does not tell in which file row {} of stream '{}' is", master_,
                            next, stream.info.name));
  streams_.push_back(std::move(of));
}

std::vector<std::string> NumberedParts::paths() const {
  std::vector<std::string> paths;
  for (const Part& part : parts_) paths.push_back(path_of(part));
  return paths;
}

std::string NumberedParts::missing() const {
  constexpr std::size_t most_named = 10;
  std::size_t count = 0;
  std::string names;
  for (const Part& part : parts_)
    if (!part.there && ++count <= most_named) names += (names.empty() ? "" : ", ") + part.name;
  if (count == 0) return {};
  if (count > most_named) names += fmt::format(" and {} more", count - most_named);
  return count == 1 ? names + ": is not there, its rows are Bad, missing"
                    : names + ": are not there, their rows are Bad, missing";
}

// Throws Error unless it is the file that the master was made of, as far as that shows.
void NumberedParts::place(const Of& of, const PartRows& rows, std::uint64_t first_sample,
                          Opened& in) const {
  const auto fail = [&](const std::string& what) {
    throw Error(
        fmt::format("{}: is not the file that {} was made of: {}", in.reader->path, master_, what));
  };
  const std::vector<RecordedStream>& there = in.reader->streams;
  const auto found =
      std::ranges::find(there, of.info.name, [](const RecordedStream& s) { return s.info.name; });
  if (found == there.end()) fail(fmt::format("it has no stream '{}'", of.info.name));
  if (found->rows != rows.rows || found->number(0).value != first_sample)
    fail(fmt::format("stream '{}' has {} rows there, not {} from sample {} on", of.info.name,
                     found->rows, rows.rows, first_sample));
  for (const CalibrationChange& change : found->calibrations) {
    const CalibrationSet* const here = in_force(of.calibrations, change.from_sample);
    if (!here || *here != change.calibrations)
      fail(fmt::format("the calibrations of stream '{}' from sample {} on are others there",
                       of.info.name, change.from_sample));
  }
  in.streams.push_back(static_cast<std::size_t>(found - there.begin()));
  auto& columns = in.columns.emplace_back();
  const std::vector<ColumnInfo> columns_there = columns_of(found->info);
  for (const ColumnInfo& column : columns_of(of.info)) {
    const auto same = std::ranges::find(columns_there, column.name, &ColumnInfo::name);
    columns.emplace_back();
    if (same == columns_there.end()) continue;
    if (same->kind != column.kind ||
        (column.kind == ColumnInfo::Kind::values &&
         found->info.channels[same->channel].type != of.info.channels[column.channel].type))
      fail(fmt::format("'{}/{}' is of another type there", of.info.name, column.name));
    columns.back() = static_cast<std::size_t>(same - columns_there.begin());
  }
}

std::shared_ptr<const NumberedParts::Opened> NumberedParts::open(std::size_t part) const {
  auto result = std::make_shared<Opened>();
  result->part = part;
  result->reader = open_hdf5(path_of(parts_[part]), calls_);
  if (result->reader->is_master)
    throw Error(result->reader->path + ": is a master itself, not a numbered file");
  for (const RecordedStream& stream : result->reader->streams)
    check_books(stream, result->reader->path);
  for (const Of& of : streams_) {
    const auto rows = std::ranges::find(of.rows, part, &PartRows::part);
    if (rows == of.rows.end()) {
      result->streams.push_back(nowhere);
      result->columns.emplace_back();
    } else {
      place(of, *rows, of.first_samples[static_cast<std::size_t>(rows - of.rows.begin())], *result);
    }
  }
  return result;
}

std::shared_ptr<const NumberedParts::Opened> NumberedParts::opened(std::size_t part) const {
  const std::scoped_lock lock(mutex_);
  const auto found =
      std::ranges::find(kept_, part, [](const auto& opened) { return opened->part; });
  if (found != kept_.end()) {
    std::rotate(kept_.begin(), found, found + 1);
    return kept_.front();
  }
  // Whoever looks for what can be read comes again and again.
  if (!parts_[part].failure.empty()) throw Error(parts_[part].failure);
  try {
    kept_.insert(kept_.begin(), open(part));
  } catch (const Error& error) {
    parts_[part].failure = error.what();
    throw;
  }
  if (kept_.size() > most_kept) kept_.pop_back();
  return kept_.front();
}

void NumberedParts::read(std::size_t stream, std::size_t column, const PartRows& from,
                         std::uint64_t row, std::uint64_t count, std::span<std::byte> to) const {
  std::shared_ptr<const Opened> in;
  // Whether it was there is not written any more.
  if (parts_[from.part].there) {
    try {
      in = opened(from.part);
    } catch (const Error& error) {
      throw DamagedRows(error.what(), row, from.first_row + from.rows - row);
    }
  }
  if (!in || !in->columns[stream][column]) {
    const std::size_t row_bytes = to.size() / count;
    for (std::size_t at = 0; at < to.size(); at += row_bytes)
      std::memcpy(&to[at], streams_[stream].fills[column].data(), row_bytes);
    return;
  }
  try {
    in->reader->read(in->streams[stream], *in->columns[stream][column], row - from.first_row, count,
                     to);
  } catch (const DamagedRows& damaged) {
    throw DamagedRows(damaged.what(), damaged.first_row + from.first_row, damaged.count);
  }
}

void NumberedParts::read(std::size_t stream, std::size_t column, std::uint64_t row,
                         std::uint64_t count, std::span<std::byte> to) const {
  if (count == 0) return;
  const std::size_t row_bytes = to.size() / count;
  const std::vector<PartRows>& rows = streams_[stream].rows;
  auto from = std::ranges::upper_bound(rows, row, {}, &PartRows::first_row) - 1;
  for (; count > 0; ++from) {
    const std::uint64_t n = std::min(count, from->first_row + from->rows - row);
    read(stream, column, *from, row, n, to.first(n * row_bytes));
    to = to.subspan(n * row_bytes);
    row += n;
    count -= n;
  }
}

}  // namespace spillway
