// What Recording stands on: one for each way in which a recording can be kept. Private.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

// Thrown by read: these rows can't be had; those before them in the range can, others may.
class DamagedRows : public Error {
 public:
  DamagedRows(const std::string& what, std::uint64_t first_row_, std::uint64_t count_)
      : Error(what), first_row(first_row_), count(count_) {}
  std::uint64_t first_row;
  std::uint64_t count;
};

// What a journal that was read to its end tells besides.
struct JournalFacts {
  std::string id;      // hexadecimal
  std::string format;  // see JournalBegin
  std::uint64_t commits = 0;
  std::uint64_t lost_commits = 0;
  std::uint64_t good_bytes = 0;
  std::string tail;               // see JournalReader
  std::string unacknowledged;     // what a CSV file has behind that, with the position
  std::optional<JournalEnd> end;  // the recording ended by itself
  bool compressed = false;        // values are deflated
};

// Filled by whoever opens it.
class RecordingBackend {
 public:
  RecordingBackend() = default;
  RecordingBackend(const RecordingBackend&) = delete;
  RecordingBackend& operator=(const RecordingBackend&) = delete;
  virtual ~RecordingBackend() = default;

  std::string path;
  std::string title, start_time, end_time, status, configuration, provenance, state;
  std::vector<RecordedEvent> events;
  std::vector<std::string> log;
  std::vector<std::string> remarks;
  std::vector<std::string> other_files;
  std::vector<RecordedStream> streams;
  // Of each stream, by the file, before the books were cut to what fits together; empty: were not.
  std::vector<RecordedCounts> told_counts;
  bool of_others = false;  // not made by a sink
  bool is_master = false;  // its rows lie in numbered files, which other_files names
  Recording::Guard guard = Recording::Guard::none;
  std::optional<JournalFacts> journal;  // by which it is read

  // Native bytes of rows [row, row + count), which are there; `column` as columns_of counts.
  // Throws Error, DamagedRows where it knows which.
  virtual void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
                    std::span<std::byte> to) const = 0;

  // Native bytes from `row` on that lie together in memory, as long as the backend lives; empty:
  // these do not.
  [[nodiscard]] virtual std::span<const std::byte> view(std::size_t stream, std::size_t column,
                                                        std::uint64_t row) const {
    static_cast<void>(stream), static_cast<void>(column), static_cast<void>(row);
    return {};
  }

  // Closes what would be in the way of opening a growing recording anew; nothing is read after.
  virtual void release() noexcept {}
};

// Whether a file that begins so is a CSV recording, sealed or not.
[[nodiscard]] bool has_csv_header(std::string_view front) noexcept;

// An unfinished recording that has a journal whose recorder does not live any more.
[[nodiscard]] bool is_guarded_by_journal(const std::string& path, FileCalls& calls);
// One whose journal says that its recorder lives.
[[nodiscard]] bool is_being_written(const std::string& path, FileCalls& calls);

// By the content of the file, and what stands beside it: see Recording::open. Each throws Error.
std::unique_ptr<RecordingBackend> open_recording(const std::string& path, FileCalls& calls,
                                                 const Foreign& foreign = {});
std::unique_ptr<RecordingBackend> open_hdf5(const std::string& path, FileCalls& calls);
std::unique_ptr<RecordingBackend> open_csv(const std::string& path, FileCalls& calls);
std::unique_ptr<RecordingBackend> open_memory(std::shared_ptr<const MemorySink> memory);
// By a journal whose recorder does not live any more; `part`: the guarded file, which may be gone:
// then what the journal itself holds is there, and everything else DamagedRows. CSV goes on to
// open_csv_by_journal.
std::unique_ptr<RecordingBackend> open_by_journal(const std::string& journal,
                                                  const std::string& part, FileCalls& calls);
// `journal` has given its JournalBegin, no other record yet, and has given all when this returns.
// Sets `journal->end`; the other facts are for the caller.
std::unique_ptr<RecordingBackend> open_csv_by_journal(JournalReader& journal,
                                                      const std::string& part, FileCalls& calls);

// Every byte of a sealed CSV recording and its metadata against the checksums in it. Calls
// `damaged` for each place ("rows 0 to 63, bytes 4096 to 8191") with what is wrong there. False:
// it has no checksums. Throws Error if it can't be read at all.
[[nodiscard]] bool check_csv(
    const std::string& path, FileCalls& calls,
    const std::function<void(const std::string& where, const std::string& what)>& damaged);

// That numbers only rise, which whatever reads by them relies on. Throws Error that names `path`.
void check_books(const RecordedStream& stream, const std::string& path);
// Cuts the rows to what the segments name, and the books to the rows that are there. Throws Error
// if the segments do not cover the rows without a hole.
void fit_segments(RecordedStream& stream, const std::string& path);
// Cuts the books, of which some are newer than others while they are written, to those samples
// that segments and gaps name without a hole.
void fit_books(RecordedStream& stream);

}  // namespace spillway
