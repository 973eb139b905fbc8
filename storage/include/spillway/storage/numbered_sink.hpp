// Spreads a recording over numbered files.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

// When the next file is due: at the first flush behind either; 0: never.
struct Split {
  std::uint64_t bytes = 0;
  std::chrono::nanoseconds duration{0};
  [[nodiscard]] bool any() const noexcept {
    return bytes > 0 || duration > std::chrono::nanoseconds(0);
  }
};

// What is kept of the sealed files, beside the one that grows; 0: all. The newest sealed one is
// always kept.
struct Keep {
  std::uint64_t bytes = 0;
  std::chrono::nanoseconds duration{0};  // since it was sealed
  [[nodiscard]] bool any() const noexcept {
    return bytes > 0 || duration > std::chrono::nanoseconds(0);
  }
};

// What a NumberedSink does between its files, for whoever wants to tell.
struct FileNote {
  enum class Kind : std::uint8_t {
    begun,
    sealed,
    deleted,
    not_deleted,  // and it will not be tried again
    no_master,    // it could not be made; the recording goes on
  };
  Kind kind = Kind::begun;
  std::string path;
  std::string text;  // why, for people; may be empty
};

struct NumberedOptions {
  std::string path;  // "run.h5": the files are "run-0001.h5", ...; without split the first is
                     // "run.h5" and the others, behind a full disk, "run-0002.h5", ...
  Existing existing = Existing::refuse;
  Split split = {};
  Keep keep = {};
  // Called with the sealed files that are there whenever they are others. May throw Error.
  std::function<void(const std::vector<std::string>& files)> make_master = {};
  std::function<void(const FileNote& note)> tell = {};
};

// Each file is a recording that can be read alone: it has the description of its streams, the
// calibrations and the last stamp in force, and what else go_on() was given. Sample numbers go on
// from file to file, and every number is in one of them, or named as not there in one of them. Its
// provenance says {"recording": {"run": <the same for all>, "part": 2, "first": "run-0001.h5"}}.
//
// A file behind the first is begun when something comes for it. Numbers whose files exist, finished
// or not, are left out, except that with Existing::replace finished files are replaced, if no
// calibrations were appended to them: see calibration_sidecar.hpp. Only files
// that this object made and sealed are ever deleted. One thread at a time.
class NumberedSink : public Sink {
 public:
  using Make = std::function<std::unique_ptr<Sink>(const std::string& path)>;

  // Makes the first sink, which may claim its path. Throws what `make` throws.
  NumberedSink(NumberedOptions options, Make make, FileCalls& calls = system_file_calls());
  ~NumberedSink() override;

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  // Between two files these wait for the next one. At the end lines get a file of their own if
  // they must, events are left out.
  void append_event(const RecordedEvent& event) override;
  void append_log(std::string_view line) override;
  void flush() override;
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override {
    return {streams_[stream].end};
  }
  [[nodiscard]] std::uint64_t not_written(std::size_t stream) const override {
    return streams_[stream].not_written;
  }
  // Never of a file without samples.
  [[nodiscard]] bool is_due() override;
  bool go_on(const RecordingInfo& info, const std::vector<std::string>& log) override;
  // Yes once 64 MiB are free. If that is not enough for a first flush, close() removes the file,
  // and says so.
  Resumed resume() override;
  [[nodiscard]] std::optional<std::uint64_t> free_bytes() override;
  void abandon() noexcept override;
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override;
  // The file that grows, or the last one.
  [[nodiscard]] std::string name() const override { return name_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Sealed {
    std::string path;
    std::uint64_t bytes;
    Clock::time_point when;
  };
  // Of the streams of info_, and of those that are there no more.
  struct PerStream {
    std::string name;
    std::uint64_t end = 0;
    std::uint64_t not_written = 0;
    bool given = false;  // current_ was told of it
    std::optional<Anchor> last_anchor = {};
  };
  [[nodiscard]] std::string path_of(std::uint64_t number) const;
  [[nodiscard]] bool is_taken(const std::string& path) const;
  [[nodiscard]] RecordingInfo part_info() const;
  Sink& opened();
  void open_next();
  void close_file(const Ending& ending);
  void sealed();
  void delete_old();
  bool remove_file(const std::string& path);
  void tell(FileNote::Kind kind, const std::string& path, const std::string& text = {}) const;

  NumberedOptions options_;
  Make make_;
  FileCalls* calls_;
  std::string directory_;
  std::string run_;                       // its identity
  RecordingInfo info_;                    // of current_, or of the file to come
  std::vector<std::string> first_lines_;  // of the log of the file to come
  std::unique_ptr<Sink> current_;
  std::string name_;
  std::string first_name_;
  std::uint64_t number_ = 0;  // of current_, or the last
  bool has_samples_ = false;  // current_
  bool flushed_ = false;      // current_, since it was begun
  bool resumed_ = false;      // current_ was begun by resume()
  Clock::time_point begun_;
  std::vector<PerStream> streams_;
  std::vector<PerStream> ended_;
  std::vector<RecordedEvent> waiting_events_;
  std::vector<std::string> waiting_lines_;
  std::deque<Sealed> sealed_;
  std::uint64_t closed_bytes_ = 0;
};

}  // namespace spillway
