// Text files, whole. Private.
#pragma once

#include <string>

namespace spillway {

// Throws Error if it can't be read; `what` it is to be, for directories.
[[nodiscard]] std::string read_text(const std::string& path, const std::string& what);

}  // namespace spillway
