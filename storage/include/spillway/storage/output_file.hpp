// Files that appear under their final name only when they are whole.
#pragma once

#include <cstdint>
#include <string>

#include "spillway/storage/file_calls.hpp"

namespace spillway {

enum class Existing { refuse, replace };

// What a file is called while it grows.
enum class PartName {
  by_path,  // "<path>.part": what stands there may be a recording that was not finished
  own,      // "<path>.<8 digits>.part": for what is of no use before it is whole, and is made anew
};

// The name of a file while it grows, beside its final name.
//
// Claims the path: throws Error if the directory is missing or not writable, if
// `path` exists (unless `replace`), or if an unfinished recording stands there
// already — it may hold the only copy of somebody's data, so not even `replace`
// takes it. Creates the part file, empty, so that two recorders can't share one path.
class OutputFile {
 public:
  OutputFile(std::string path, Existing existing, FileCalls& calls = system_file_calls(),
             PartName part = PartName::by_path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  // An unsealed file that is still empty is removed; one with data stays.
  ~OutputFile();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::string& part() const noexcept { return part_; }
  [[nodiscard]] bool sealed() const noexcept { return sealed_; }

  // Removes the part file, whatever is in it: for a recording that never began.
  void discard() noexcept;

  // Syncs the part file, renames it to its final name, syncs the directory. The
  // file must be closed by whoever wrote it. Throws Error, then nothing has its final name.
  void seal();

 private:
  FileCalls* calls_;
  std::string path_;
  std::string part_;
  Existing existing_;
  bool sealed_ = false;
};

// Throws DiskFull naming `path` if fewer than `bytes` + a reserve to close files with are
// free where `path` lies: better to stop whole than to be torn by a full disk.
void require_free_space(const std::string& path, std::uint64_t bytes,
                        FileCalls& calls = system_file_calls());

}  // namespace spillway
