// Makes a readable recording of one that was not finished.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

struct RecoveryOptions {
  std::string output = {};  // empty: "run.recovered.h5" beside "run.h5.part"
};

// Bytes that are not what was acknowledged: `count` rows from `first_row` on of one channel are in
// the result as Bad, missing. Where it was the quality that was damaged, they have their values,
// and 0xFF as quality, which says the same; where it was the exact times of an irregular stream
// ("time_ns"), the times in between are a straight line, and all channels Suspect, time uncertain.
struct RecoveryDamage {
  std::string stream;
  std::string channel;  // or "<channel>_quality", "time_ns"
  std::uint64_t first_row = 0;
  std::uint64_t first_sample = 0;
  std::uint64_t count = 0;
  std::string why;  // with the position in the file
};

struct RecoveryReport {
  enum class Outcome : std::uint8_t {
    complete,  // everything acknowledged is in the result
    lost,      // something is not, and is named
    unknown,   // without a journal that can be read: what was found is in the result, unchecked,
               // and nobody can tell whether that is everything
    nothing,   // nothing to save: no file was made
  };
  Outcome outcome = Outcome::nothing;
  std::string input;
  std::string output;      // empty: none
  bool was_there = false;  // made by an earlier recovery of the same input, or sealed before, and
                           // left as it is
  std::string by;          // "journal", or "HDF5" where none can be read
  std::uint64_t commits = 0;  // of the journal
  std::string tail;           // what is behind the last commit, see JournalReader::tail
  struct PerStream {
    std::string name;
    RecordedCounts counts;
    std::uint64_t end = 0;  // the first sample that is not known of
  };
  std::vector<PerStream> streams;
  std::vector<RecoveryDamage> damages;
  std::vector<std::string> remarks;  // lines for people: why there is nothing, what is unknown
};

// Reads the unfinished recording at `path` (the ".part" file, its journal, or the final name that
// it was to get) and writes what was acknowledged into a new file of the same format, sealed,
// with a status that says so. Never writes to what it reads. May be killed and called again;
// called again after it succeeded it changes nothing. Blocking; any thread.
//
// Throws Error if a recorder writes it at this moment, `path` names nothing that was a recording,
// nothing tells what of it was acknowledged (the journal of a CSV recording is gone or damaged, or
// that of an HDF5 recording whose books are damaged too), the journal is of another recording,
// the output exists and is not the result of the same recovery, or can't be written.
[[nodiscard]] RecoveryReport recover(const std::string& path, const RecoveryOptions& options = {},
                                     FileCalls& calls = system_file_calls());

// The unfinished recordings in a directory: paths that recover() takes, sorted.
[[nodiscard]] std::vector<std::string> unfinished_recordings(
    const std::string& directory, FileCalls& calls = system_file_calls());

}  // namespace spillway
