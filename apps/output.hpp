// Where commands write recordings to: the format by the name, a file for each stream where the
// format holds one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "spillway/storage/durability.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::apps {

struct OutputOptions {
  std::string path;                  // .h5, .hdf5, .nxs, .csv or .npy; may contain "{stream}"
  const Recording* input = nullptr;  // what is read, and must not be written
  Existing existing = Existing::refuse;
  bool long_form = false;  // of CSV
  Durability durability = Durability::none;
  std::function<void()> make_room = [] {};  // of begin(), before anything is made
};

// Throws Error if `path` is the file `input`, by whatever name.
void refuse_same(const std::string& path, const std::string& input);

// Throws Error if `path` is a file of the recording or of what belongs to it, by whatever name.
void refuse_input(const std::string& path, const Recording& input);

// Throws Error, with `option` in front, unless the name of what is drawn there ends as it should.
void require_ending(const std::string& path, const std::string& option,
                    const std::vector<std::string>& allowed);

// A sink of one file, or, where "{stream}" is in the path or the format holds one stream and there
// are several, of one for each stream: "run.csv" becomes "run-{stream}.csv". All or none of them
// begin. Nothing is there under a final name before close(); abandon() removes what was written.
class OutputSink : public Sink {
 public:
  // Throws Error if the path tells no format.
  explicit OutputSink(OutputOptions options);

  void begin(const RecordingInfo& info) override;
  [[nodiscard]] std::size_t best_frames(const StreamInfo& info) const override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void append_event(const RecordedEvent& event) override;
  void append_log(std::string_view line) override;
  void flush() override;
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override;
  void abandon() noexcept override;
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override;
  [[nodiscard]] std::string name() const override { return options_.path; }

  struct Stream {
    std::string name;
    RecordedCounts counts;
  };
  struct File {
    std::string path;
    std::vector<Stream> streams;
    std::uint64_t bytes = 0;  // after close()
  };
  [[nodiscard]] const std::vector<File>& files() const noexcept { return files_; }
  // Whether what was flushed can be read after the end of the program: one file with a journal.
  [[nodiscard]] bool can_go_on() const noexcept;

 private:
  [[nodiscard]] std::unique_ptr<Sink> sink_for(const std::string& path) const;
  // The sink of a stream, its index there, and what went there.
  struct Place {
    Sink* sink;
    std::size_t stream;
    RecordedCounts* counts;
  };
  [[nodiscard]] Place place(std::size_t stream);

  OutputOptions options_;
  std::vector<std::unique_ptr<Sink>> sinks_;  // one, or one for each stream
  std::vector<File> files_;
};

}  // namespace spillway::apps
