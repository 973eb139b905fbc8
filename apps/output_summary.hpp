// What was written, for people and programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "output.hpp"

namespace spillway::apps {

void print(const std::vector<OutputSink::File>& files);
[[nodiscard]] nlohmann::ordered_json json_of(const std::vector<OutputSink::File>& files);

}  // namespace spillway::apps
