// Writes recordings as NumPy files.
#pragma once

#include <memory>
#include <string>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

struct NpyOptions {
  std::string path;  // "run.npy"
  Existing existing = Existing::refuse;
};

// One stream, whose channels are all of one type: "run.npy" holds the raw values, one row a sample
// (rows x channels; of one channel 1-D), C order, little-endian. Beside it "run.quality.npy" (u1,
// the same shape), of an irregular stream "run.time_ns.npy" (i8), and "run.npy.json" with
// everything else: names, units, rate, segments, gaps, calibrations, counts, checksums of the
// others. Recording::open("run.npy") reads all of it back losslessly; numpy.load(...,
// mmap_mode="r") reads each alone. begin() throws Error for several streams or types, and says
// which other format takes them. Not for acquisition: nothing is acknowledged before close().
[[nodiscard]] std::unique_ptr<Sink> make_npy_sink(NpyOptions options,
                                                  FileCalls& calls = system_file_calls());

}  // namespace spillway
