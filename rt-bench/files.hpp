// Reading small files, and writing one so that it is there whole or not at all.
#pragma once

#include <string>

namespace spillway::bench {

// Without the line break; empty if the file can't be read.
[[nodiscard]] std::string first_line(const std::string& path);

// The whole file. Throws Error naming it.
[[nodiscard]] std::string read_file(const std::string& path);

// A file that appears under its name when it is complete, in place of one that was there.
class OutputFile {
 public:
  // Opens a temporary file beside `path`, so that what can't be written is told before
  // anything is measured. Throws Error naming the path.
  explicit OutputFile(std::string path);
  // Removes the temporary file unless it was committed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Writes, syncs, renames. Throws Error naming the path.
  void commit(const std::string& content);

 private:
  [[noreturn]] void fail(int error) const;

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace spillway::bench
