#include "output_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "run.hpp"

namespace spillway::apps {

void print(const std::vector<OutputSink::File>& files) {
  for (const OutputSink::File& file : files) {
    tell(stdout, "{}  {}\n", file.path, human_bytes(file.bytes));
    std::size_t width = 6;
    for (const OutputSink::Stream& s : file.streams) width = std::max(width, s.name.size());
    tell(stdout, "  {:{}}  {:>14}  {:>10}  {:>10}\n", "stream", width, "samples", "lost",
         "missing");
    for (const OutputSink::Stream& s : file.streams)
      tell(stdout, "  {:{}}  {:>14}  {:>10}  {:>10}\n", s.name, width,
           human_count(s.counts.recorded), human_count(s.counts.lost),
           human_count(s.counts.missing));
  }
}

nlohmann::ordered_json json_of(const std::vector<OutputSink::File>& files) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const OutputSink::File& file : files) {
    nlohmann::ordered_json streams = nlohmann::ordered_json::array();
    for (const OutputSink::Stream& s : file.streams)
      streams.push_back({{"name", s.name},
                         {"recorded", s.counts.recorded},
                         {"lost", s.counts.lost},
                         {"missing", s.counts.missing}});
    all.push_back({{"path", file.path}, {"bytes", file.bytes}, {"streams", streams}});
  }
  return all;
}

}  // namespace spillway::apps
