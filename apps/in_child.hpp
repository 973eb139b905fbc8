// Runs what may crash in a process of its own.
#pragma once

#include <cstdio>
#include <functional>
#include <string>

#include "spillway/channels/error.hpp"

namespace spillway::apps {

struct ChildResult {
  std::string text;
  int status = 0;
};

// The process ended before it had a result.
class ChildCrashed : public Error {
 public:
  using Error::Error;
};

// What `f` returned in a child of this process: a damaged file that has no checksums can crash the
// HDF5 library. Throws Error, LeftOpen or NotLeftOpen if `f` did, with the text of what `f` threw,
// and ChildCrashed, one line that begins with `path`, where the child crashed instead. SIGINT and
// SIGTERM end the child and then this process; the child never lives longer. What `f` prints itself
// is lost. For programs that have one thread so far.
[[nodiscard]] ChildResult in_child(const std::string& path, const std::function<ChildResult()>& f);

// What `print` wrote.
[[nodiscard]] std::string printed(const std::function<void(std::FILE* to)>& print);

}  // namespace spillway::apps
