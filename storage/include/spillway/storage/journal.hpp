// The journal of a recording: what makes it survive. The format is docs/journal.md.
//
// It stands beside the file it guards while that grows, and is removed when it is sealed. Payloads
// that lie in the guarded file are named in it by address, length and checksum; whatever is
// not there for good (the rows of unfinished chunks, the books, events) is in the journal itself.
// From the two the recording is rebuilt, up to the last commit, whatever else became of the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spillway/storage/durability.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// Columns of a stream are counted: the values of channel 0, its quality, the values of channel
// 1, its quality, ...; then, if it is irregular, the exact times. Rows are those of the recording.

// The first record: all that is known before the first sample.
struct JournalBegin {
  std::string format;  // "hdf5", "csv", "csv-long"
  std::string file;    // the name of the guarded file, without directory, as it grows
  std::string path;    // the same as it will be called
  Durability durability = Durability::full;
  RecordingInfo info;
  std::vector<std::uint32_t> chunk_rows;  // HDF5: of each stream
};

// A whole chunk of one column in the guarded file, never written again.
struct JournalChunk {
  std::uint32_t stream = 0;
  std::uint32_t column = 0;
  std::uint64_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t filter_mask = 0;  // of HDF5: bit 0 set: not shuffled, bit 1 set: not deflated
  std::uint64_t address = 0;      // in the guarded file
  std::uint32_t length = 0;       // bytes there
  std::uint32_t crc32c = 0;       // of those bytes
  bool deflated = false;          // the column has the filters shuffle and deflate at all
  friend bool operator==(const JournalChunk&, const JournalChunk&) = default;
};

// Rows that are in no chunk yet: of every column of a stream, one column behind the other, native
// bytes. Many rows that were added at once come back in pieces of about 1 MiB.
struct JournalRows {
  std::uint32_t stream = 0;
  std::uint64_t first_row = 0;
  std::uint32_t rows = 0;
  std::vector<std::byte> bytes;
  friend bool operator==(const JournalRows&, const JournalRows&) = default;
};

// Text appended to a guarded CSV file.
struct JournalText {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint32_t crc32c = 0;
  std::uint64_t lines = 0;
  friend bool operator==(const JournalText&, const JournalText&) = default;
};

// What has come to the books of a stream since its last record. The open segment is the one that
// grew last; each record replaces the one before and follows all finished ones.
struct JournalBooks {
  std::uint32_t stream = 0;
  RecordedCounts counts = {};
  std::vector<Segment> finished = {};
  std::optional<Segment> open = {};
  std::vector<Gap> gaps = {};
  // The last of `gaps` of the records before was longer meanwhile, and the first here replaces it.
  bool replaces_last_gap = false;
  std::vector<CalibrationChange> calibrations = {};
  std::vector<Anchor> anchors = {};
};

// A line of the log, see RecordingInfo and Sink::append_log.
struct JournalLog {
  std::string line;
};

// The recording ended by itself; what follows, if it crashed then, is the sealing.
struct JournalEnd {
  Ending ending;  // as read, with the end_time below
  std::string end_time;
};

using JournalRecord = std::variant<JournalBegin, JournalChunk, JournalRows, JournalText,
                                   JournalBooks, RecordedEvent, JournalLog, JournalEnd>;

// CRC-32C (Castagnoli) of `bytes`, continuing `crc`: crc32c(b, crc32c(a)) is that of a and b in
// one. As iSCSI (RFC 3720) has it: starts from all ones, and is inverted at the end.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes,
                                   std::uint32_t crc = 0) noexcept;

// Writes one. One thread at a time; blocking. Throws Error, DiskFull where that is why; a failed
// write or sync is never tried again, every later call but remove() throws the same.
class JournalWriter {
 public:
  static constexpr std::uint64_t default_compact_above = 64 << 20;

  // "<path>.journal" for the final name `path`.
  [[nodiscard]] static std::string name_for(const std::string& path) { return path + ".journal"; }

  // Makes the file, which must not exist, locks it (flock, exclusive: it tells others that
  // this recorder lives), writes `begin` and commits it. `full` syncs it and its directory.
  // It gets its name when all that is done. Throws Error also if `begin` has texts in its streams
  // that are not UTF-8 or numbers that are not finite.
  //
  // `calls` must outlive it. `compact_above`: bytes of the file, see commit().
  JournalWriter(std::string journal_path, const JournalBegin& begin, FileCalls& calls,
                std::uint64_t compact_above = default_compact_above);
  ~JournalWriter();
  JournalWriter(JournalWriter&&) noexcept;
  JournalWriter& operator=(JournalWriter&&) noexcept;

  // Take part in the next commit. Written when 1 MiB has come together, else with it. Throw Error
  // also for a stream or a column that is not, and columns of another length.
  //
  // The chunks of a column come in the order of rows, without holes: behind a hole they
  // are kept, but replace no rows.
  void add(const JournalChunk& chunk);
  // `columns`: the bytes of each column, `rows` rows each. Not kept.
  void add_rows(std::uint32_t stream, std::uint64_t first_row, std::uint32_t rows,
                std::span<const std::span<const std::byte>> columns);
  void add(const JournalText& text);
  void add(const JournalBooks& books);
  void add(const RecordedEvent& event);
  void add_log(std::string_view line);
  void add(const JournalEnd& end);

  // Everything added since the last commit counts from here on; with `full` it is synced.
  // The guarded file must be synced before. Does nothing if nothing was added.
  //
  // When the file is longer than `compact_above` and more than half of it is what nobody needs any
  // more (rows that chunks have replaced, books that later ones repeat), writes what is needed anew
  // to "<journal>.new", which takes the place of the journal: O(what is needed), memory one frame.
  // Where that fails, the journal stays as it is.
  void commit();

  [[nodiscard]] std::uint64_t bytes() const noexcept;  // of the file
  [[nodiscard]] std::uint64_t commits() const noexcept;

  // Removes and closes it, and syncs the directory if `full`: the guarded file is sealed. Also
  // after a failure; nothing may be called afterwards.
  void remove();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads one, as far as it is whole: up to the last commit in front of the first frame that is not
// right. Memory: one frame. One thread at a time; blocking.
class JournalReader {
 public:
  // Throws Error that names the position if not even the first record can be read, or the file
  // is of a later version. Takes a shared lock if it can.
  JournalReader(const std::string& path, FileCalls& calls);
  ~JournalReader();
  JournalReader(JournalReader&&) noexcept;
  JournalReader& operator=(JournalReader&&) noexcept;

  [[nodiscard]] const JournalBegin& begin() const noexcept;
  [[nodiscard]] const std::array<std::byte, 16>& id() const noexcept;
  // Somebody writes it at this moment.
  [[nodiscard]] bool in_use() const noexcept;

  // The next record, those behind the last commit left out; the first one is JournalBegin. Nothing:
  // that was all. Throws Error if the disk can't be read, and, with the position, if a frame with
  // right checksums does not say what it should.
  [[nodiscard]] std::optional<JournalRecord> next();

  // The commits since the recording began, and the bytes up to the last of them.
  [[nodiscard]] std::uint64_t commits() const noexcept;
  [[nodiscard]] std::uint64_t good_bytes() const noexcept;
  [[nodiscard]] std::uint64_t size() const noexcept;
  // Why reading ended where it did, with the position: "byte 4096: the checksum of the payload is
  // wrong"; empty if the file ends with a commit.
  [[nodiscard]] const std::string& tail() const noexcept;
  // Commits that had returned, and can't be read: whole ones were found behind the place that
  // tail() names. 0: what is there was never acknowledged, as far as can be told.
  [[nodiscard]] std::uint64_t lost_commits() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
