// The one exception type of set-up and storage.
#pragma once

#include <stdexcept>
#include <string>

namespace spillway {

// Thrown by set-up and by storage, never on the data path. The message is one
// line that names what is wrong, where, and what would be allowed.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace spillway
