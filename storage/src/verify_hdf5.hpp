// What docs/file-format.md says must be in an HDF5 recording. Private.
#pragma once

#include <functional>
#include <string>

#include "recording_backend.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/verify.hpp"

namespace spillway {

using Found = std::function<void(VerifyFinding::Kind, std::string where, std::string what)>;

// Groups, datasets, their types and lengths, attributes; and that `time`, which is for plots,
// says what the books say. `sealed`: a seal was found, `recording` as it was read from the file;
// `read_times`: what `time` shows may be read by HDF5, which checks nothing. Throws Error if it
// can't be opened.
void check_hdf5_layout(const RecordingBackend& recording, FileCalls& calls, bool sealed,
                       bool read_times, const Found& found);

}  // namespace spillway
