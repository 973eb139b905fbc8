// Reads back what a MemorySink holds.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "columns.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/memory_sink.hpp"

namespace spillway {

namespace {

class MemoryRecording final : public RecordingBackend {
 public:
  explicit MemoryRecording(std::shared_ptr<const MemorySink> memory);

  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const override;
  [[nodiscard]] std::span<const std::byte> view(std::size_t stream, std::size_t column,
                                                std::uint64_t row) const override;

 private:
  std::shared_ptr<const MemorySink> memory_;
  std::vector<std::vector<ColumnInfo>> columns_;  // of each stream
};

MemoryRecording::MemoryRecording(std::shared_ptr<const MemorySink> memory)
    : memory_(std::move(memory)) {
  const RecordingInfo& info = memory_->info();
  path = memory_->name();
  title = info.title;
  start_time = info.start_time;
  configuration = info.configuration;
  provenance = info.provenance;
  state = info.state;
  status = "recording";
  if (const auto& ending = memory_->ending()) {
    status = to_string(*ending);
    end_time = ending->end_time;
  }
  events.assign(memory_->events().begin(), memory_->events().end());
  log.assign(memory_->log().begin(), memory_->log().end());
  for (std::size_t s = 0; s < info.streams.size(); ++s) {
    RecordedStream& stream = streams.emplace_back();
    stream.info = info.streams[s];
    stream.counts = memory_->counts(s);
    stream.rows = stream.counts.recorded;
    stream.segments = memory_->segments(s);
    stream.gaps = memory_->gaps(s);
    stream.calibrations = memory_->calibrations(s);
    const auto anchors = memory_->anchors(s);
    stream.anchors.assign(anchors.begin(), anchors.end());
    columns_.push_back(columns_of(stream.info));
  }
}

std::span<const std::byte> MemoryRecording::view(std::size_t stream, std::size_t column,
                                                 std::uint64_t row) const {
  const ColumnInfo& info = columns_[stream][column];
  const std::span<const std::byte> bytes =
      info.kind == ColumnInfo::Kind::values ? memory_->bytes(stream, info.channel)
      : info.kind == ColumnInfo::Kind::quality
          ? std::as_bytes(memory_->quality(stream, info.channel))
          : std::as_bytes(memory_->recorded_times(stream));
  return bytes.subspan(std::min(row * info.row_bytes, bytes.size()));
}

void MemoryRecording::read(std::size_t stream, std::size_t column, std::uint64_t row,
                           std::uint64_t count, std::span<std::byte> to) const {
  const std::uint64_t rows = streams[stream].rows;
  if (row > rows || count > rows - row)
    throw Error(fmt::format("{}: {}/{}: rows {} to {}, where there are {}", path,
                            streams[stream].info.name, columns_[stream][column].name, row,
                            row + count - 1, rows));
  std::ranges::copy(view(stream, column, row).first(count * columns_[stream][column].row_bytes),
                    to.begin());
}

}  // namespace

std::unique_ptr<RecordingBackend> open_memory(std::shared_ptr<const MemorySink> memory) {
  return std::make_unique<MemoryRecording>(std::move(memory));
}

}  // namespace spillway
