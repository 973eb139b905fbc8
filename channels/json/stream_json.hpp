// A StreamInfo as JSON text, for files. Private.
#pragma once

#include <nlohmann/json.hpp>

#include "spillway/channels/stream_info.hpp"

namespace spillway {

nlohmann::ordered_json to_json(const StreamInfo& info);
// Throws Error, or nlohmann's exceptions, where something is missing or wrong.
StreamInfo stream_info_from_json(const nlohmann::ordered_json& json);

// Now, UTC, as "2026-05-04T10:44:18.529Z".
std::string utc_now();

}  // namespace spillway
