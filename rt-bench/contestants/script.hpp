// Contestants that are Python scripts.
#pragma once

#include <optional>
#include <string>

#include "storage_contestant.hpp"

namespace spillway::bench {

// A word for the shell.
[[nodiscard]] std::string quoted(const std::string& text);

// What a script says it took, "seconds CPU-seconds" and perhaps a third number; nothing if it could
// not run. By the first python3 of the PATH, or the system's, that has `library`.
[[nodiscard]] std::optional<StorageTaken> run_script(const char* library, const std::string& script,
                                                     const std::string& arguments);

}  // namespace spillway::bench
