// Whether a recording can be made as it is asked for. Private.
#pragma once

#include "spillway/engine/engine.hpp"

namespace spillway {

// Throws Error if the path has no known ending, or options contradict it or each other; touches no
// file.
void check(const RecordOptions& options);

}  // namespace spillway
