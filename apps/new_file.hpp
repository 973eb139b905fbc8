// A file that a command makes: there under its name when it is whole, and not before.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/storage/output_file.hpp"

namespace spillway::apps {

// Throws Error, also if `path` exists and is not to be replaced. Unless close() returned, nothing
// is left; of a process that is killed a part with a name of its own, which is in nobody's way.
class NewFile {
 public:
  NewFile(const std::string& path, bool force);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void write(std::string_view text);
  void close();

 private:
  [[noreturn]] void fail();

  struct Close {
    void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
  };
  OutputFile file_;
  std::vector<char> buffer_;
  std::unique_ptr<std::FILE, Close> out_;
};

}  // namespace spillway::apps
