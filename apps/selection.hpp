// Parts of a recording as people write them on a command line.
#pragma once

#include <string>
#include <vector>

#include "spillway/storage/copy.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::apps {

// `names`: "ecg", all channels of a stream, "ecg/MLII", or "MLII", wherever there is one; none: all
// streams. `range` as range.hpp
// says, or empty. Throws Error that tells what there is.
[[nodiscard]] Selection selection(const Recording& recording, const std::vector<std::string>& names,
                                  const std::string& range);

}  // namespace spillway::apps
