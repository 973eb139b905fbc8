// Filters the streams of a recording on their way to another sink.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/filters/graph_spec.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::apps {

struct FilterOptions {
  // What is done to each stream; none: it passes as it is.
  std::vector<std::optional<NodeKind>> nodes;
  std::string provenance;  // of the result, JSON
};

// A node of a graph for each stream; the result has the stream's name. Stamps of the source, the
// log and the filters' state are left out. One thread at a time; throws as the sink does, and
// begin() as Graph does.
class FilteredSink : public Sink {
 public:
  FilteredSink(Sink& to, FilterOptions options);
  ~FilteredSink() override;

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void append_event(const RecordedEvent& event) override { to_->append_event(event); }
  void flush() override { to_->flush(); }
  void close(const Ending& ending) override;
  // Of the results.
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return to_->end(stream); }
  void abandon() noexcept override { to_->abandon(); }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override {
    return to_->bytes_written();
  }
  [[nodiscard]] std::string name() const override { return to_->name(); }

 private:
  class Filtered;
  Sink* to_;
  FilterOptions options_;
  std::vector<std::unique_ptr<Filtered>> streams_;  // none for one that passes
};

}  // namespace spillway::apps
