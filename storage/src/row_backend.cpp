#include "row_backend.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "columns.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/channels/sample_type.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t block_bytes = 1 << 20;
constexpr std::size_t most_kept_bytes = 32 << 20;
constexpr std::size_t most_segments = 10'000'000;  // of 48 bytes each

void put_quality(std::byte& at, Quality quality) {
  at = static_cast<std::byte>(
      merge(Quality::from_byte(std::to_integer<std::uint8_t>(at)), quality).byte());
}

}  // namespace

void TimesOfRows::add(Time time) {
  if (rows_ == 0 || time <= last_) {
    if (segments_.size() == most_segments)
      throw Error(
          fmt::format("row {} is one of more than {} that are not later than the one before, "
                      "which are the most: are these times?",
                      rows_, most_segments));
    segments_.push_back({rows_, rows_, 0, time.count(), 0, 0});
  }
  ++segments_.back().count;
  ++rows_;
  last_ = time;
}

std::vector<Segment> TimesOfRows::take() { return std::move(segments_); }

void flag_nan(SampleType type, std::span<const std::byte> values, std::span<std::byte> quality) {
  visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_floating_point_v<T>)
      for (std::size_t i = 0; i < quality.size(); ++i) {
        T value;
        std::memcpy(&value, values.data() + i * sizeof value, sizeof value);
        if (std::isnan(value)) put_quality(quality[i], Quality(Verdict::bad, Quality::missing));
      }
  });
}

std::uint64_t RowBackend::block_rows_of(const StreamInfo& info) {
  std::uint64_t bytes = 0;
  for (const ColumnInfo& column : columns_of(info)) bytes += column.row_bytes;
  return std::clamp<std::uint64_t>(block_bytes / bytes, 1, 8192);
}

void RowBackend::add_stream(RecordedStream stream, Time start, std::uint64_t block_rows) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: {}", path, what));
  };
  try {
    check(stream.info);
  } catch (const Error& error) {
    fail(error.what());
  }
  for (const RecordedStream& other : streams)
    if (other.info.name == stream.info.name)
      fail(fmt::format("stream '{}' stands twice", stream.info.name));
  if (stream.info.rate) {
    if (stream.segments.empty() && stream.rows > 0)
      stream.segments.push_back({0, 0, stream.rows, start.count(), 0, start.count()});
    for (const Segment& s : stream.segments) {
      std::int64_t end = 0;
      const Time length = stream.info.rate->duration(s.first_sample + s.count - s.clock_sample);
      if (length == Time::max() || __builtin_add_overflow(s.clock_ns, length.count(), &end))
        fail(fmt::format("stream '{}': its last sample is more than 292 years from its origin",
                         stream.info.name));
    }
  }
  if (stream.rows > 0 &&
      (stream.calibrations.empty() || stream.calibrations.front().from_sample > 0)) {
    CalibrationChange first;
    for (const ChannelInfo& channel : stream.info.channels)
      first.calibrations.push_back(channel.calibration);
    stream.calibrations.insert(stream.calibrations.begin(), std::move(first));
  }
  stream.counts = {stream.rows, stream.rows, 0, 0};
  of_others = true;
  add_recorded_stream(std::move(stream), block_rows);
}

void RowBackend::add_recorded_stream(RecordedStream stream, std::uint64_t block_rows) {
  block_rows_.push_back(block_rows > 0 ? block_rows : block_rows_of(stream.info));
  auto& row_bytes = row_bytes_.emplace_back();
  for (const ColumnInfo& column : columns_of(stream.info)) row_bytes.push_back(column.row_bytes);
  streams.push_back(std::move(stream));
}

void RowBackend::read(std::size_t stream, std::size_t column, std::uint64_t row,
                      std::uint64_t count, std::span<std::byte> to) const {
  const std::size_t row_bytes = row_bytes_[stream][column];
  while (count > 0) {
    const std::uint64_t first = row - row % block_rows_[stream];
    const std::shared_ptr<const Block> from = block(stream, first);
    const std::uint64_t n = std::min(count, first + block_rows_[stream] - row);
    const std::size_t bytes = n * row_bytes;
    std::memcpy(to.data(), from->columns[column].data() + (row - first) * row_bytes, bytes);
    to = to.subspan(bytes);
    row += n;
    count -= n;
  }
}

std::shared_ptr<const RowBackend::Block> RowBackend::block(std::size_t stream,
                                                           std::uint64_t first) const {
  {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find_if(
        kept_, [&](const auto& b) { return b->stream == stream && b->first == first; });
    if (found != kept_.end()) {
      std::rotate(kept_.begin(), found, found + 1);
      return kept_.front();
    }
  }
  // Outside of the lock: threads that want different blocks don't wait for each other.
  const auto made = std::make_shared<Block>();
  made->stream = stream;
  made->first = first;
  const std::uint64_t rows = std::min(block_rows_[stream], streams[stream].rows - first);
  for (const std::size_t row_bytes : row_bytes_[stream]) {
    made->columns.emplace_back(rows * row_bytes);
    made->bytes += rows * row_bytes;
  }
  make(stream, first, rows, made->columns);

  const std::scoped_lock lock(mutex_);
  std::size_t bytes = made->bytes;
  const auto full = std::ranges::find_if(kept_, [&](const auto& b) {
    bytes += b->bytes;
    return bytes > most_kept_bytes;
  });
  kept_.erase(full, kept_.end());
  kept_.insert(kept_.begin(), made);
  return made;
}

void RowBackend::flag_late(std::size_t stream, std::uint64_t row, Columns& columns) const {
  const std::vector<Segment>& segments = streams[stream].segments;
  const std::size_t channels = streams[stream].info.channels.size();
  const std::uint64_t rows = columns[quality_column(0)].size();
  for (auto s =
           std::ranges::lower_bound(segments, std::max<std::uint64_t>(row, 1), {}, &Segment::row);
       s != segments.end() && s->row < row + rows; ++s)
    for (std::size_t c = 0; c < channels; ++c)
      put_quality(columns[quality_column(c)][s->row - row],
                  Quality(Verdict::suspect, Quality::time_uncertain));
}

}  // namespace spillway
