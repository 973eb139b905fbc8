// A source of made-up signals, with faults to inject.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/engine/engine.hpp"

namespace spillway {

enum class Shape : std::uint8_t { sine, square, noise, chirp };

// value(t) = offset + amplitude * shape(t) + noise * standard normal.
// Every value is a function of its sample number alone, so runs repeat exactly.
struct GeneratedChannel {
  std::string name;
  std::string unit = "1";
  Shape shape = Shape::sine;
  Hertz frequency{1.0};      // chirp: at the start
  Hertz end_frequency{1.0};  // chirp: after `sweep`, then it begins again; linear
  Time sweep = std::chrono::seconds(10);
  double amplitude = 1.0;
  double offset = 0.0;
  double noise = 0.0;
  std::optional<double> limit;  // a converter's: values beyond +-limit saturate, flagged
};

// What real hardware does on bad days.
struct Fault {
  enum class Kind : std::uint8_t {
    lost,       // a burst of samples is missing, as a driver would report it
    saturated,  // the channel sits at its limit (or its amplitude); flagged Suspect, out of range
    nan,        // the channel delivers NaN; flagged Bad, missing
    stuck,      // the channel repeats a value; not flagged: the hardware does not know
  };
  Kind kind = Kind::lost;
  std::size_t channel = 0;  // not for `lost`, which hits the whole stream
  std::uint64_t first = 0;  // sample number
  std::uint64_t count = 1;  // samples
  std::uint64_t every = 0;  // again after so many samples; 0: once
};

struct SignalGenerator {
  std::string name;
  Hertz rate{1000.0};
  std::vector<GeneratedChannel> channels;
  std::vector<Fault> faults;
  std::uint64_t seed = 1;
  std::optional<Time> duration;  // none: until the engine stops
  // As the clock goes, or as fast as the recorder and the graph follow.
  bool real_time = true;
  Capacity capacity = std::chrono::seconds(2);
};

// Adds a stream of doubles and the source that fills it. Throws Error if a parameter makes no
// sense.
void add_source(Engine& engine, SignalGenerator generator);

}  // namespace spillway
