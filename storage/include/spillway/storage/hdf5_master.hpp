// Shows the numbered HDF5 files of one recording as one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/output_file.hpp"

namespace spillway {

// The file has the layout of docs/file-format.md. Its columns are virtual datasets over those of
// the files, found by their names in its own directory; its tables are theirs, joined. A file that
// is not there any more reads as Bad (quality 0xFF), NaN in floats and 0 in integers. It has no
// checksums of its own. Any HDF5 from 1.10 on reads it. One thread at a time.
class Hdf5Master {
 public:
  // Throws Error if `path` can't be claimed, see OutputFile. No file is left there before the first
  // update().
  Hdf5Master(std::string path, Existing existing, FileCalls& calls = system_file_calls());
  ~Hdf5Master();

  // Writes it anew, of these sealed files, in order, and puts it in the place of the one before.
  // What was read of a file is kept: it is read once. O(tables of all files). Throws Error, and
  // then the one before stays.
  void update(const std::vector<std::string>& files);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
