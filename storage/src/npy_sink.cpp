#include "spillway/storage/npy_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "calibrations_beside.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "json_error.hpp"
#include "npy_files.hpp"
#include "recorded_time.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/first_failure.hpp"
#include "xxh3.hpp"

namespace spillway {

namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

// A file that grows by rows behind room for its header.
class Rows {
 public:
  Rows(NpyFile what, Existing existing, FileCalls& calls)
      : what_(std::move(what)),
        output_(what_.path, existing, calls),
        file_(calls, output_.part(), File::Mode::write) {}
  // Nothing of it is of use to anybody before it is finished.
  ~Rows() { output_.discard(); }

  [[nodiscard]] const NpyFile& what() const noexcept { return what_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return at_ + buffer_.size(); }

  // Room for so many bytes more, to be filled at once.
  std::byte* more(std::size_t bytes) {
    if (buffer_.size() + bytes > buffer_bytes) write();
    buffer_.resize(buffer_.size() + bytes);
    return buffer_.data() + buffer_.size() - bytes;
  }
  void finish(std::uint64_t rows) {
    write();
    const std::string header = npy_header_of(what_, rows);
    file_.write_at(0, std::as_bytes(std::span(header)));
    file_.close();
  }
  [[nodiscard]] OutputFile& output() noexcept { return output_; }
  // Of what is behind the header.
  [[nodiscard]] std::string checksum() const { return hash_.digits(); }

 private:
  void write() {
    file_.write_at(at_, buffer_);
    hash_.add(buffer_);
    at_ += buffer_.size();
    buffer_.clear();
  }

  NpyFile what_;
  OutputFile output_;
  File file_;
  std::vector<std::byte> buffer_;
  std::uint64_t at_ = npy_header_bytes;
  Xxh3 hash_;
};

template <std::size_t size>
void scatter(const std::byte* from, std::uint64_t count, std::size_t stride, std::byte* to) {
  for (std::uint64_t i = 0; i < count; ++i, from += size, to += stride) std::memcpy(to, from, size);
}

void scatter(std::size_t size, const std::byte* from, std::uint64_t count, std::size_t stride,
             std::byte* to) {
  switch (size) {
    case 1: return scatter<1>(from, count, stride, to);
    case 2: return scatter<2>(from, count, stride, to);
    case 4: return scatter<4>(from, count, stride, to);
    default: return scatter<8>(from, count, stride, to);
  }
}

class NpySink final : public Sink {
 public:
  NpySink(NpyOptions options, FileCalls& calls)
      : options_(std::move(options)),
        calls_(calls),
        json_(npy_json_path(options_.path), options_.existing, calls) {
    refuse_calibrations_beside(options_.path, options_.existing, calls);
  }
  ~NpySink() override { json_.discard(); }

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override {
    static_cast<void>(stream);
    refused_.guard([&] { log_.check(gap, options_.path, metadata_.streams.at(0).info.name); });
    log_.add(gap);
  }
  void append(std::size_t stream, std::span<const Anchor> anchors) override {
    static_cast<void>(stream);
    auto& to = metadata_.streams.at(0).anchors;
    to.insert(to.end(), anchors.begin(), anchors.end());
  }
  void append_event(const RecordedEvent& event) override { metadata_.events.push_back(event); }
  void append_log(std::string_view line) override { metadata_.log.emplace_back(line); }
  void flush() override {}
  void close(const Ending& ending) override;
  void abandon() noexcept override {
    rows_.clear();
    json_.discard();
  }
  [[nodiscard]] SampleNumber end(std::size_t stream) const override {
    static_cast<void>(stream);
    return sealed_ || !closed_ ? log_.end() : log_.begin();
  }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override {
    std::uint64_t bytes = 0;
    for (const auto& rows : rows_) bytes += rows->bytes();
    return bytes;
  }
  [[nodiscard]] std::string name() const override { return options_.path; }

 private:
  // After an error there is nothing to go on with.
  template <class F>
  void guarded(F&& f) {
    if (!failure_.empty()) throw Error(failure_);
    try {
      std::forward<F>(f)();
    } catch (const Error& error) {
      failure_ = error.what();
      throw;
    }
  }
  void write_json();
  void seal();

  NpyOptions options_;
  FileCalls& calls_;
  OutputFile json_;
  std::vector<std::unique_ptr<Rows>> rows_;
  csv::Metadata metadata_;  // the same books stand beside a CSV file
  StreamLog log_;           // nothing is taken from it before the end
  FirstFailure refused_;    // what can still be sealed
  std::string failure_;
  bool closed_ = false;
  bool sealed_ = false;
};

void NpySink::begin(const RecordingInfo& info) {
  guarded([&] {
    if (info.streams.size() != 1)
      throw Error(fmt::format("{}: a NumPy file holds one stream, not {}; HDF5 takes several",
                              options_.path, info.streams.size()));
    const StreamInfo& stream = info.streams[0];
    for (const ChannelInfo& channel : stream.channels)
      if (channel.type != stream.channels[0].type)
        throw Error(fmt::format(
            "{}: a NumPy file holds values of one type; channel '{}' is {}, '{}' {}; HDF5 and CSV "
            "take several",
            options_.path, stream.channels[0].name, sample_type_name(stream.channels[0].type),
            channel.name, sample_type_name(channel.type)));
    metadata_.title = info.title;
    metadata_.start_time = start_time_to_write(info.start_time);
    metadata_.configuration = info.configuration;
    metadata_.provenance = info.provenance;
    metadata_.state = info.state;
    metadata_.file = std::filesystem::path(options_.path).filename().string();
    metadata_.streams.emplace_back().info = stream;
    try {
      check_texts(metadata_);
    } catch (const nlohmann::json::exception& error) {
      throw Error(fmt::format("{}: {}", options_.path, json_error_text(error)));
    }
    for (NpyFile& file : npy_files(options_.path, stream))
      rows_.push_back(std::make_unique<Rows>(std::move(file), options_.existing, calls_));
  });
}

void NpySink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                     const CalibrationSet& calibrations) {
  static_cast<void>(stream);
  refused_.guard([&] { log_.check(chunk, options_.path, metadata_.streams.at(0).info.name); });
  guarded([&] {
    const std::uint64_t count = chunk.count.value;
    const std::size_t channels = block.channel_count();
    const std::size_t row_bytes = rows_[0]->what().row_bytes;
    const std::size_t size = row_bytes / channels;
    std::byte* const values = rows_[0]->more(count * row_bytes);
    std::byte* const quality = rows_[1]->more(count * channels);
    for (std::size_t c = 0; c < channels && count > 0; ++c) {
      scatter(size, block.bytes(c), count, row_bytes, values + c * size);
      scatter(1, std::as_bytes(block.quality(c)).data(), count, channels, quality + c);
    }
    if (block.has_times() && count > 0)
      std::memcpy(rows_[2]->more(count * sizeof(std::int64_t)), block.times().data(),
                  count * sizeof(std::int64_t));
    log_.add(chunk, calibrations);
  });
}

void NpySink::write_json() {
  nlohmann::ordered_json files;
  for (const auto& rows : rows_)
    files[rows->what().key] = {
        {"file", std::filesystem::path(rows->what().path).filename().string()},
        {"data_xxh3_128", rows->checksum()}};
  const std::string text = to_text(metadata_, {{"npy", std::move(files)}});
  File file(calls_, json_.part(), File::Mode::write);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.close();
}

// The JSON text is the last: where it stands, all is there.
void NpySink::seal() {
  const std::string directory = directory_of(options_.path);
  if (calls_.kind(json_.path().c_str()) == PathKind::file) {
    // That of a recording which is replaced must not stand beside other values.
    if (calls_.unlink(json_.path().c_str()) != 0 || calls_.sync_directory(directory.c_str()) != 0)
      fail_with_errno(json_.path(), "can't be replaced");
  }
  try {
    for (const auto& rows : rows_) rows->output().seal();
    json_.seal();
  } catch (...) {
    for (const auto& rows : rows_)
      if (rows->output().sealed()) calls_.unlink(rows->what().path.c_str());
    if (json_.sealed()) calls_.unlink(json_.path().c_str());
    throw;
  }
}

void NpySink::close(const Ending& ending) {
  if (closed_ || metadata_.streams.empty()) return;
  closed_ = true;
  try {
    guarded([&] {
      metadata_.ending = refused_.ending(ending);
      metadata_.end_time = end_time_to_write(ending);
      RecordedStream& books = metadata_.streams[0];
      books.segments = log_.take_finished_segments();
      if (log_.has_segment()) books.segments.push_back(log_.open_segment());
      books.gaps = log_.take_gaps();
      books.calibrations = log_.take_calibrations();
      books.rows = log_.rows();
      books.counts = log_.counts();
      for (const auto& rows : rows_) {
        rows->finish(books.rows);
        metadata_.bytes += rows->bytes();
      }
      write_json();
      seal();
    });
    sealed_ = true;
  } catch (...) {
    abandon();
    throw;
  }
}

}  // namespace

std::unique_ptr<Sink> make_npy_sink(NpyOptions options, FileCalls& calls) {
  return std::make_unique<NpySink>(std::move(options), calls);
}

}  // namespace spillway
