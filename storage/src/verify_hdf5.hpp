// What docs/file-format.md says must be in an HDF5 recording. Private.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/verify.hpp"

namespace spillway {

using Found = std::function<void(VerifyFinding::Kind, std::string where, std::string what)>;

// Groups, datasets, their types and lengths, attributes; and that `time`, which is for plots,
// says what the books say. `sealed`: a seal was found, `streams` as they were read from the file.
// Throws Error if it can't be opened.
void check_hdf5_layout(const std::string& path, FileCalls& calls, bool sealed,
                       const std::vector<RecordedStream>& streams, const Found& found);

}  // namespace spillway
