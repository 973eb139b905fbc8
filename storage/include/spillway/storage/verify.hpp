// Proves from a recording alone that it is whole and consistent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

struct VerifyFinding {
  enum class Kind : std::uint8_t { checksum, layout, continuity, accounting, time };
  Kind kind = Kind::checksum;
  std::string where;  // "bytes 4096 to 8191", "stream 'pump'", "channel 'pump/x', rows 0 to 63"
  std::string what;   // one line
};

[[nodiscard]] const char* to_string(VerifyFinding::Kind kind) noexcept;

struct VerifyReport {
  std::string path;
  std::string format;   // "HDF5", "CSV"
  std::string status;   // as the recording says; empty if it could not be opened
  bool sealed = false;  // has checksums of its own, all of its bytes
  std::uint64_t bytes = 0;
  struct PerStream {
    std::string name;
    RecordedCounts counts;
    std::uint64_t segments = 0;
    std::uint64_t gaps = 0;
    std::uint64_t first_sample = 0;
    std::uint64_t end = 0;
  };
  std::vector<PerStream> streams;
  std::vector<VerifyFinding> findings;  // empty: it holds
  std::vector<std::string> remarks;     // what could not be checked, and why
};

// Checks, in this order, and goes on as far as what was found allows:
//   checksum    every byte of a sealed file against its checksums, before any library opens it
//   layout      what docs/file-format.md or docs/csv.md says must be there is, and fits together
//   continuity  segments and gaps name every sample once, rows are dense
//   accounting  recorded + lost + missing = produced, and both follow from the tables
//   time        times never run backwards within a segment, and are where the clock says
// Reads the whole recording; blocking; any thread; memory does not depend on the length but for
// the tables. Throws Error only if `path` can't be read at all or is no recording.
[[nodiscard]] VerifyReport verify(const std::string& path, FileCalls& calls = system_file_calls());

}  // namespace spillway
