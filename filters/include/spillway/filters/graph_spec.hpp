// A processing graph as a value: what is computed, from what.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spillway/channels/calibration.hpp"
#include "spillway/filters/butterworth.hpp"
#include "spillway/filters/moving_average.hpp"

namespace spillway {

// Applies a calibration. Without one, passes its input on: the graph's edges
// carry engineering units already, so this publishes a channel calibrated.
struct Calibrate {
  std::optional<Calibration> calibration;
  std::string unit;  // of the result; empty: calibration.unit_out, or the input's
};

using NodeKind = std::variant<Calibrate, MovingAverage, LowPass>;

// A node. Its output has the lanes of its input, and their names, and is a
// stream named `id`.
//
// `input` is the name of a stream ("ecg": all its channels) or of another
// node, or one channel of either ("ecg/MLII"). Values arrive calibrated, in
// engineering units; "raw(ecg)" and "raw(ecg/MLII)" take them as the converter gave them.
struct NodeSpec {
  std::string id;
  std::string input;
  NodeKind kind;
  std::string where;  // "file.yaml:12:5" for error messages; empty from C++
};

// Nodes in any order; they may refer to later ones.
struct GraphSpec {
  std::vector<NodeSpec> nodes;
};

// "moving_average", ...: the names of YAML.
[[nodiscard]] std::string_view kind_name(const NodeKind& kind) noexcept;

// Reads the list under the key `graph` of a YAML document; without that key the
// graph is empty. `file` is for error messages. Throws Error that names file,
// line, column, and what is allowed. Other keys are not looked at.
[[nodiscard]] GraphSpec graph_from_yaml(const std::string& text, const std::string& file);

// Every node with all its parameters, coefficients included, as JSON text: what a recording
// keeps of where its derived streams come from.
class Graph;
[[nodiscard]] std::string provenance_json(const Graph& graph);

}  // namespace spillway
