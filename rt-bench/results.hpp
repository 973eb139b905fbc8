// What was measured, as values, and as JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "machine.hpp"

namespace spillway::bench {

enum class Better { less, more };

// One figure a round.
struct Metric {
  std::string name;
  std::string unit;
  Better better = Better::less;
  std::vector<double> rounds;

  [[nodiscard]] double median() const;
  [[nodiscard]] double min() const;
  [[nodiscard]] double max() const;
};

struct Count {
  std::string name;
  std::uint64_t value = 0;
};

// One contestant, or one way of doing it, in one workload.
struct Row {
  std::string name;
  bool floor = false;  // what the measuring itself takes
  std::vector<Metric> metrics = {};
  std::vector<Count> counts = {};
  Histogram times = {};  // of all rounds; empty where single times were not taken

  // Appends a round's figure.
  void record(std::string_view metric, std::string_view unit, Better better, double value);
  // A round's times: its median and p99 as metrics, in `unit` ("ns" or "us"), and all of them
  // to those of the other rounds.
  void record_times(const Histogram& round, std::string_view unit);
  // Adds to a count.
  void count(std::string_view name, std::uint64_t more);

  // Null if there is none of that name.
  [[nodiscard]] const Metric* metric(std::string_view name) const noexcept;
  [[nodiscard]] const Count* find_count(std::string_view name) const noexcept;
};

struct Workload {
  std::string id;
  std::string title;
  std::string note;       // how it is measured, in a sentence or two
  std::string time_of;    // what Row::times holds: "one push"
  std::string unit;       // times are shown in "ns" or "us"
  std::string reference;  // the row that ratios are relative to; may be empty
  std::vector<Row> rows;
};

// Called with each workload as soon as it is measured.
using Show = std::function<void(const Workload&)>;

// What was asked for, as names and values.
using Settings = std::vector<std::pair<std::string, std::string>>;

struct Results {
  std::string command;
  std::string date;  // UTC, ISO 8601
  Machine machine;
  Build build;
  Settings settings;
  std::vector<std::string> warnings;  // what makes the figures unfair
  std::vector<Workload> workloads;
};

[[nodiscard]] std::string to_json(const Results& results);

// The reverse. Throws Error that begins with `name` if that is not what to_json gave.
[[nodiscard]] Results from_json(const std::string& text, const std::string& name);

}  // namespace spillway::bench
