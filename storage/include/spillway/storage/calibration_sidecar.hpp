// Calibrations that became known after a recording was sealed, in a file beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/channels/calibration.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/foreign.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// From sample `from_sample` of the stream on, to `to_sample` (none: to the end), the channel's
// calibration is this one, whatever was recorded. Of records that overlap the later in the list
// counts. `unit` replaces the channel's, which is that of calibrated values, of all samples: a
// record of some only can't bring another.
struct CalibrationRecord {
  std::string stream;
  std::string channel;
  std::uint64_t from_sample = 0;
  std::optional<std::uint64_t> to_sample = {};
  Calibration calibration;
  std::string unit = {};    // empty: unit_out of the calibration; if that is empty too: as before
  std::string reason = {};  // one line, for people
  std::string added = {};   // UTC, ISO 8601; empty: now, when it is appended
  friend bool operator==(const CalibrationRecord&, const CalibrationRecord&) = default;
};

// "run.h5.calibrations.json", also of "run.h5.part". "run.h5.calibrations.lock" beside it is empty
// and stays: who appends locks it.
[[nodiscard]] std::string calibration_sidecar_of(const std::string& recording);

// It is bound to its recording, whatever the name of that is: by start, title, streams and what
// made it, and where those don't tell one from another by samples. Beside another one
// Recording::open throws Error and says what differs. One without that, written by hand or by an
// older program, is bound by the next append. A sink that is to replace a recording throws Error if
// there is one.
//
// Those beside a recording; none if there is no such file. Throws Error that names file, record
// and key if it is damaged.
[[nodiscard]] std::vector<CalibrationRecord> appended_calibrations(
    const std::string& recording, FileCalls& calls = system_file_calls());

// Adds records; the recording itself stays as it is to the byte, and Recording::open uses
// them from then on. All or none are there afterwards, also if the power goes; what others append
// at the same time is there, too: waits for them. Returns a line on each record that begins before
// the samples that are there, or ends behind them. Blocks; throws Error if a stream or a channel is
// not in the recording, a range is empty, or has none of the samples (those of one that has not
// ended may come yet), there would be more than 1000 records, or it can't be written.
std::vector<std::string> append_calibrations(const std::string& recording,
                                             const std::vector<CalibrationRecord>& records,
                                             FileCalls& calls = system_file_calls());
std::vector<std::string> append_calibrations(const std::string& recording,
                                             const std::vector<CalibrationRecord>& records,
                                             const Foreign& foreign,
                                             FileCalls& calls = system_file_calls());

// Puts records in force, one after the other: those of other streams are passed over. The unit of
// the raw values stays what it was, unless the calibration names another. Throws Error that begins
// with `where` and says what is wrong with a record. O(records * changes).
void put_in_force(const std::vector<CalibrationRecord>& records, StreamInfo& info,
                  std::vector<CalibrationChange>& calibrations, const std::string& where);

}  // namespace spillway
