// A whole run from one YAML file.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "spillway/engine/engine.hpp"
#include "spillway/engine/machine_source.hpp"
#include "spillway/engine/recording_source.hpp"
#include "spillway/engine/signal_generator.hpp"

namespace spillway {

using SourceConfiguration =
    std::variant<SignalGenerator, RecordingSource, TimingJitter, MachineLoad>;

struct RecordConfiguration {
  RecordOptions options;             // the path may contain "{stream}": a recording for each stream
  std::vector<std::string> streams;  // empty: all streams and nodes
  std::string where;                 // place in the file, for messages
};

// What docs/configuration.md describes, read and checked as far as possible without data.
struct Configuration {
  std::string file;
  std::string text;  // as read
  std::string title;
  std::optional<Time> duration;
  std::uint64_t memory_budget = std::uint64_t{1} << 30;
  std::vector<SourceConfiguration> sources;
  GraphSpec graph;
  std::vector<RecordConfiguration> recordings;
  std::vector<Publication> publish;
  std::vector<std::string> publish_where;  // their places in the file, for messages
};

// Throws Error that names file, line and column, and the nearest valid key or what is allowed.
[[nodiscard]] Configuration read_configuration(const std::string& path);
// `file` names the text in messages; relative source paths start at its directory.
[[nodiscard]] Configuration parse_configuration(const std::string& text, const std::string& file);

// The options an engine for this configuration starts from.
[[nodiscard]] EngineOptions engine_options(const Configuration& configuration);

// Adds sources and graph, and returns the graph to be looked at. Throws Error, also if what is
// recorded or published is not there, or can't be recorded so; touches no file of a recording.
[[nodiscard]] Graph prepare_graph(Engine& engine, const Configuration& configuration);

// Adds sources, graph and recordings to an engine. Relative recording paths start at
// `output_directory`. Returns remarks, see add_source(RecordingSource). Throws Error.
std::vector<std::string> set_up(Engine& engine, const Configuration& configuration,
                                const std::string& output_directory, Existing existing);

}  // namespace spillway
