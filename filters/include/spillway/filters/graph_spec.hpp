// A processing graph as a value: what is computed, from what.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spillway/channels/calibration.hpp"
#include "spillway/filters/align.hpp"
#include "spillway/filters/calculus.hpp"
#include "spillway/filters/combine.hpp"
#include "spillway/filters/compensate.hpp"
#include "spillway/filters/detect.hpp"
#include "spillway/filters/exponential_average.hpp"
#include "spillway/filters/fir.hpp"
#include "spillway/filters/iir.hpp"
#include "spillway/filters/interpolate.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/resample.hpp"
#include "spillway/filters/savitzky_golay.hpp"
#include "spillway/filters/sliding.hpp"
#include "spillway/filters/spectrum.hpp"
#include "spillway/filters/thermocouple.hpp"

namespace spillway {

// Applies a calibration. Without one, passes its input on: the graph's edges
// carry engineering units already, so this publishes a channel calibrated.
struct Calibrate {
  std::optional<Calibration> calibration;
  std::string unit;  // of the result; empty: calibration.unit_out, or the input's
  friend bool operator==(const Calibrate&, const Calibrate&) = default;
};

using NodeKind =
    std::variant<Calibrate, MovingAverage, ExponentialAverage, LowPass, HighPass, BandPass,
                 BandStop, Notch, Peak, Sections, Fir, FirLowPass, FirHighPass, FirBandPass,
                 FirBandStop, SavitzkyGolay, SlidingMedian, SlidingMin, SlidingMax, SlidingRms,
                 SlidingStd, Derivative, Integral, Decimate, Resample, Interpolate, Welch, Envelope,
                 Arithmetic, Mix, Compensate, Thermocouple, DetectRange, DetectSaturation,
                 DetectStuck, DetectJump, Function, DetectTime, Align>;

// A node; its output is a stream named `id`. Unless its kind says otherwise it has the lanes
// of its input, and their names.
//
// An input is the name of a stream ("ecg": all its channels) or of another
// node, or one channel of either ("ecg/MLII"). Values arrive calibrated, in
// engineering units; "raw(ecg)" and "raw(ecg/MLII)" take them as the converter gave them.
// The lanes of several inputs stand side by side; they must come from one stream at one rate,
// unless the node is an `align`.
struct NodeSpec {
  std::string id;
  std::vector<std::string> inputs;
  NodeKind kind;
  std::string where = {};  // "file.yaml:12:5" for error messages; empty from C++
  // Gaps of up to so many samples of the input are filled before the node sees them: on the line
  // between both neighbours, Interpolated, missing, and the merge of their qualities. The output
  // then has no gap there. What is longer goes by the kind's own gap policy. Regular streams only.
  std::uint64_t fill_gaps = 0;  // up to 2^20
};

// Nodes in any order; they may refer to later ones.
struct GraphSpec {
  std::vector<NodeSpec> nodes;
};

// "moving_average", ...: the names of YAML.
[[nodiscard]] std::string_view kind_name(const NodeKind& kind) noexcept;

// Functions that `type: function` may name.
using Functions = std::map<std::string, Function>;

// Reads the list under the key `graph` of a YAML document, which is a mapping; without that key
// the graph is empty. `file` is for error messages. Throws Error that names file,
// line, column, and what is allowed. Other keys are not looked at.
[[nodiscard]] GraphSpec graph_from_yaml(const std::string& text, const std::string& file,
                                        const Functions& functions = {});

// Every node with all its parameters, and the coefficients of linear ones, as JSON text: what a
// recording keeps of where its derived streams come from.
class Graph;
[[nodiscard]] std::string provenance_json(const Graph& graph);

}  // namespace spillway
