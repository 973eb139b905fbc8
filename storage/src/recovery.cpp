#include "spillway/storage/recovery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>

#include "columns.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "recorded_time.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/journal.hpp"
#include "spillway/storage/verify.hpp"

namespace spillway {

namespace {

constexpr std::string_view part_ending = ".part";
constexpr std::string_view journal_ending = ".journal";
constexpr std::string_view metadata_ending = "-metadata.json";
constexpr std::string_view claim_ending = ".recovering";
constexpr std::string_view recovered_kind = "recovered";
constexpr std::string_view damaged_kind = "damaged";

bool is_file(FileCalls& calls, const std::string& path) {
  return calls.kind(path.c_str()) == PathKind::file;
}

std::string with(const std::string& path, std::string_view ending) {
  return path + std::string(ending);
}

std::string name_of(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

// The files of an unfinished recording, by any of their names.
struct Files {
  std::string path;  // the final name
  std::string part;
  std::string journal;

  explicit Files(std::string any) : path(std::move(any)) {
    for (const std::string_view ending : {part_ending, journal_ending})
      if (path.ends_with(ending)) {
        path.resize(path.size() - ending.size());
        break;
      }
    part = with(path, part_ending);
    journal = JournalWriter::name_for(path);
  }
};

std::string default_output(const std::string& path) {
  const std::filesystem::path p(path);
  return (p.parent_path() / (p.stem().string() + ".recovered" + p.extension().string())).string();
}

// A file beside the output while it is made, locked as long as whoever makes it lives. So a part
// file that was left by a recovery that was killed is told from anything else.
class Claim {
 public:
  // Throws Error if another recovery makes this output now.
  Claim(FileCalls& calls, const std::string& output)
      : calls_(calls), path_(with(output, claim_ending)) {
    was_there_ = is_file(calls, path_);
    file_.emplace(calls, path_, was_there_ ? File::Mode::write : File::Mode::create);
    // The file may have been taken away between opening and locking: then the name names
    // another one, or nothing.
    if (!file_->try_lock(true)) fail();
    std::string word = fmt::format("{:016x}{:016x}", random(), random());
    file_->write_at(0, std::as_bytes(std::span(word)));
    std::string read(word.size(), '\0');
    if (!is_file(calls, path_) ||
        File(calls, path_, File::Mode::read)
                .read_up_to(0, std::as_writable_bytes(std::span(read))) != word.size() ||
        read != word)
      fail();
    calls.sync_directory(directory_of(path_).c_str());
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() { calls_.unlink(path_.c_str()); }

  // An earlier recovery did not come to its end.
  [[nodiscard]] bool was_there() const noexcept { return was_there_; }

 private:
  static std::uint64_t random() {
    std::random_device device;
    return (std::uint64_t{device()} << 32) | device();
  }
  [[noreturn]] void fail() const {
    throw Error(
        fmt::format("{}: another recovery writes this file's output at this moment", path_));
  }

  FileCalls& calls_;
  std::string path_;
  std::optional<File> file_;
  bool was_there_ = false;
};

// Removes what an unfinished recovery leaves.
void discard(FileCalls& calls, const std::string& output) {
  const std::string metadata = with(output, metadata_ending);
  calls.unlink(with(output, part_ending).c_str());
  calls.unlink(with(metadata, part_ending).c_str());
  // It gets its final name first.
  if (!is_file(calls, output)) calls.unlink(metadata.c_str());
}

std::uint32_t crc32c_of(const File& file) {
  std::vector<std::byte> block(std::size_t{1} << 20);
  std::uint32_t crc = 0;
  for (std::uint64_t at = 0;;) {
    const std::size_t n = file.read_up_to(at, block);
    if (n == 0) return crc;
    crc = crc32c(std::span(block).first(n), crc);
    at += n;
  }
}

// What tells the input of a recovery from every other.
std::string identity_of(const RecordingBackend& from, FileCalls& calls, const std::string& part) {
  if (from.journal)
    return fmt::format("by journal {}, commit {}, byte {}", from.journal->id, from.journal->commits,
                       from.journal->good_bytes);
  const File file(calls, part, File::Mode::read);
  return fmt::format("by HDF5, from {} bytes with CRC-32C {:08x}", file.size(), crc32c_of(file));
}

bool is_csv(const RecordingBackend& from, const std::string& path) {
  return from.journal ? from.journal->format.starts_with("csv") : path.ends_with(".csv");
}

bool is_long_csv(const RecordingBackend& from, FileCalls& calls) {
  if (from.journal) return from.journal->format == "csv-long";
  constexpr std::string_view header = "time_ns,";
  std::array<char, header.size()> front{};
  const std::size_t n = File(calls, from.path, File::Mode::read)
                            .read_up_to(0, std::as_writable_bytes(std::span(front)));
  return std::string_view(front.data(), n) == header;
}

// Reads a stream of the input piece by piece and appends it to the output.
class Copy {
 public:
  Copy(const RecordingBackend& from, std::size_t stream, Sink& to, RecoveryReport& report)
      : from_(from),
        index_(stream),
        stream_(from.streams[stream]),
        columns_(columns_of(stream_.info)),
        to_(to),
        report_(report),
        block_(stream_.info, frames_for(columns_)) {}

  void run() {
    auto gap = stream_.gaps.begin();
    std::optional<std::uint64_t> end;
    // Numbers that no table of the input names: lost, whoever left them out.
    const auto go_on_at = [&](std::uint64_t sample) {
      if (end && sample > *end)
        to_.append_gap(index_, {*end, sample - *end, sample - *end, 0, Absence::damaged});
    };
    const auto gaps_before = [&](std::uint64_t sample) {
      for (; gap != stream_.gaps.end() && gap->first_sample < sample; ++gap) {
        go_on_at(gap->first_sample);
        to_.append_gap(index_, *gap);
        end = gap->first_sample + gap->count;
      }
    };
    for (const Segment& segment : stream_.segments) {
      gaps_before(segment.first_sample);
      go_on_at(segment.first_sample);
      copy(segment);
      end = segment.first_sample + segment.count;
    }
    gaps_before(std::numeric_limits<std::uint64_t>::max());
    to_.append(index_, stream_.anchors);
  }

 private:
  // Rows [first, end) that can't be had, in the block.
  struct Hole {
    std::size_t first;
    std::size_t end;
  };

  static std::size_t frames_for(const std::vector<ColumnInfo>& columns) {
    std::size_t row_bytes = 0;
    for (const ColumnInfo& column : columns) row_bytes += column.row_bytes;
    constexpr std::size_t most = std::size_t{16} << 20;
    return std::clamp<std::size_t>(most / row_bytes, 16, 8192);
  }

  void copy(const Segment& segment) {
    for (std::uint64_t done = 0; done < segment.count;) {
      const std::uint64_t first = segment.first_sample + done;
      const auto next = std::ranges::upper_bound(stream_.calibrations, first, {},
                                                 &CalibrationChange::from_sample);
      std::uint64_t n = std::min<std::uint64_t>(segment.count - done, block_.frames());
      if (next != stream_.calibrations.end()) n = std::min(n, next->from_sample - first);
      static const CalibrationSet no_calibrations;
      const CalibrationSet& set =
          next == stream_.calibrations.begin() ? no_calibrations : (next - 1)->calibrations;
      const std::uint64_t row = segment.row + done;
      read_rows(segment, row, n);

      Chunk chunk;
      chunk.from = chunk.first = {first};
      chunk.count = {n};
      chunk.new_segment = done == 0;
      chunk.row = row;
      chunk.time =
          done == 0 ? Time(segment.t0_ns)
          : stream_.info.rate
              ? Time(segment.clock_ns) + stream_.info.rate->duration(first - segment.clock_sample)
              : block_.times()[0];
      chunk.clock_sample = {segment.clock_sample};
      chunk.clock_time = Time(segment.clock_ns);
      chunk.calibrations = {static_cast<std::uint32_t>(next - stream_.calibrations.begin())};
      to_.append(index_, chunk, block_, set);
      done += n;
    }
  }

  void read_rows(const Segment& segment, std::uint64_t row, std::uint64_t count) {
    for (std::size_t c = 0; c < stream_.info.channels.size(); ++c) {
      const std::span<Quality> quality = block_.quality(c).first(count);
      for (const Hole hole :
           read_column(quality_column(c), row, count, std::as_writable_bytes(quality)))
        std::ranges::fill(quality.subspan(hole.first, hole.end - hole.first),
                          Quality::never_written());
      const SampleType type = stream_.info.channels[c].type;
      for (const Hole hole :
           read_column(value_column(c), row, count, {block_.bytes(c), count * sample_size(type)})) {
        fill_values(type, c, hole);
        for (std::size_t i = hole.first; i < hole.end; ++i)
          quality[i] = merge(quality[i], Quality(Verdict::bad, Quality::missing));
      }
    }
    if (stream_.info.rate) return;
    const std::span<Time> times = block_.times().first(count);
    for (const Hole hole :
         read_column(time_column(stream_.info), row, count, std::as_writable_bytes(times))) {
      fill_times(segment, row, times, hole);
      for (std::size_t c = 0; c < stream_.info.channels.size(); ++c)
        for (std::size_t i = hole.first; i < hole.end; ++i)
          block_.quality(c)[i] =
              merge(block_.quality(c)[i], Quality(Verdict::suspect, Quality::time_uncertain));
    }
    if (count > 0) last_time_ = times.back();
  }

  // Reads what can be read; tells what can't, and reports it.
  std::vector<Hole> read_column(std::size_t column, std::uint64_t row, std::uint64_t count,
                                std::span<std::byte> to) {
    std::vector<Hole> holes;
    const std::size_t row_bytes = columns_[column].row_bytes;
    const auto hole = [&](std::uint64_t first, std::uint64_t end, const char* why) {
      holes.push_back({first - row, end - row});
      report(column, first, end - first, why);
    };
    for (std::uint64_t next = row; next < row + count;) {
      try {
        from_.read(index_, column, next, row + count - next, to.subspan((next - row) * row_bytes));
        break;
      } catch (const DamagedRows& damaged) {
        // What is before it was not promised to have been read.
        if (damaged.first_row > next)
          from_.read(index_, column, next, damaged.first_row - next,
                     to.subspan((next - row) * row_bytes));
        const std::uint64_t end = damaged.first_row + damaged.count;
        hole(damaged.first_row, end, damaged.what());
        next = end;
      } catch (const Error& error) {
        hole(next, row + count, error.what());
        break;
      }
    }
    return holes;
  }

  void report(std::size_t column, std::uint64_t first_row, std::uint64_t count, const char* why) {
    std::vector<RecoveryDamage>& damages = report_.damages;
    const std::string& name = columns_[column].name;
    // Blocks are smaller than chunks: the last damage of this column may go on here.
    const auto before = std::find_if(damages.rbegin(), damages.rend(), [&](const auto& d) {
      return d.stream == stream_.info.name && d.channel == name;
    });
    if (before != damages.rend() && before->first_row + before->count == first_row &&
        before->why == why)
      before->count += count;
    else
      damages.push_back(
          {stream_.info.name, name, first_row, stream_.number(first_row).value, count, why});
  }

  void fill_values(SampleType type, std::size_t channel, Hole hole) {
    visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
      const auto values = block_.values<T>(channel);
      std::ranges::fill(values.subspan(hole.first, hole.end - hole.first),
                        std::numeric_limits<T>::quiet_NaN());  // 0 of integers
    });
  }

  // A straight line between the times around.
  void fill_times(const Segment& segment, std::uint64_t row, std::span<Time> times, Hole hole) {
    const bool first_of_segment = row + hole.first == segment.row;
    const Time before = first_of_segment  ? Time(segment.t0_ns)
                        : hole.first == 0 ? last_time_
                                          : times[hole.first - 1];
    const std::uint64_t steps_before = first_of_segment ? 0 : 1;
    const auto [row_behind, behind] = next_time(segment, row + hole.end);
    const std::uint64_t steps = row_behind - (row + hole.first) + steps_before;
    for (std::size_t i = hole.first; i < hole.end; ++i) {
      const double part =
          behind ? static_cast<double>(i - hole.first + steps_before) / static_cast<double>(steps)
                 : 0.0;
      const double step = behind ? part * static_cast<double>((*behind - before).count()) : 0.0;
      times[i] = before + Time(static_cast<std::int64_t>(step));
    }
  }

  // The first time in the segment from `row` on that can be had, and its row.
  std::pair<std::uint64_t, std::optional<Time>> next_time(const Segment& segment,
                                                          std::uint64_t row) const {
    const std::uint64_t end = segment.row + segment.count;
    while (row < end) {
      std::array<Time, 1> time{};
      try {
        from_.read(index_, time_column(stream_.info), row, 1,
                   std::as_writable_bytes(std::span(time)));
        return {row, time[0]};
      } catch (const DamagedRows&) {
        ++row;
      } catch (const Error&) {
        break;
      }
    }
    return {end, std::nullopt};
  }

  const RecordingBackend& from_;
  std::size_t index_;
  const RecordedStream& stream_;
  std::vector<ColumnInfo> columns_;
  Sink& to_;
  RecoveryReport& report_;
  Block block_;
  Time last_time_{};  // of the block before
};

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::unique_ptr<Sink> make_sink(const RecordingBackend& from, const std::string& input,
                                const std::string& output, FileCalls& calls) {
  // Nothing is acknowledged before it is sealed: the input stays.
  if (is_csv(from, input)) {
    CsvOptions options;
    options.durability = Durability::none;
    if (is_long_csv(from, calls)) options.form = CsvOptions::Form::long_form;
    return std::make_unique<CsvSink>(output, Existing::refuse, options, calls);
  }
  Hdf5Options options;
  options.durability = Durability::none;
  options.compression = from.journal && from.journal->compressed ? 1 : 0;
  return std::make_unique<Hdf5Sink>(output, Existing::refuse, options, calls);
}

Ending ending_of(const RecordingBackend& from, const RecoveryReport& report) {
  Ending ending{.complete = false, .reason = {}, .recovered = true, .end_time = {}};
  ending.reason =
      from.journal
          ? fmt::format("by its journal, up to commit {}", from.journal->commits)
          : "by HDF5 and unchecked, for want of a journal: nobody can tell whether that is all";
  if (!report.damages.empty())
    ending.reason +=
        report.damages.size() == 1
            ? "; 1 range of rows is damaged, see the events"
            : fmt::format("; {} ranges of rows are damaged, see the events", report.damages.size());
  if (from.journal && from.journal->end) {
    ending.end_time = from.journal->end->end_time;
    const Ending& before = from.journal->end->ending;
    ending.reason += before.complete ? "; it had ended, and was not sealed yet"
                                     : fmt::format("; it had ended incomplete: {}", before.reason);
  }
  return ending;
}

// Everything from the input to the output, sealed.
void write(const RecordingBackend& from, Sink& sink, const std::string& identity,
           RecoveryReport& report) {
  RecordingInfo info;
  info.title = from.title;
  info.start_time = copied_time(from.start_time);
  info.configuration = from.configuration;
  info.provenance = from.provenance;
  info.state = from.state;
  for (const RecordedStream& stream : from.streams) info.streams.push_back(stream.info);
  sink.begin(info);
  for (std::size_t s = 0; s < from.streams.size(); ++s) Copy(from, s, sink, report).run();
  for (const RecordedEvent& event : from.events) sink.append_event(event);
  for (const std::string& line : from.log) sink.append_log(line);
  const std::int64_t now = now_ns();
  for (const RecoveryDamage& d : report.damages)
    sink.append_event({now, std::string(damaged_kind), fmt::format("{}/{}", d.stream, d.channel),
                       d.first_sample, d.count,
                       fmt::format("from row {}: {}", d.first_row, d.why)});
  sink.append_event({now, std::string(recovered_kind), name_of(report.input), 0, 0, identity});
  sink.close(ending_of(from, report));
}

// What an earlier recovery of the same input made, or nothing. Throws Error if something else is
// there.
bool was_recovered(const std::string& output, const std::string& identity, FileCalls& calls,
                   RecoveryReport& report) {
  report.damages.clear();
  if (calls.kind(output.c_str()) == PathKind::nothing) return false;
  std::unique_ptr<RecordingBackend> there;
  try {
    there = open_recording(output, calls);
  } catch (const Error&) {
    throw Error(fmt::format(
        "{}: exists already and is not the result of this recovery; choose another name with -o",
        output));
  }
  const auto mine = std::ranges::find_if(there->events, [&](const RecordedEvent& e) {
    return e.kind == recovered_kind && e.text == identity;
  });
  if (mine == there->events.end())
    throw Error(fmt::format(
        "{}: exists already and was not made from {}, as it is now; choose another name with -o",
        output, report.input));
  // The last ones are the recovery's.
  for (const RecordedEvent& e : std::span(there->events.begin(), mine))
    if (e.kind == damaged_kind) {
      RecoveryDamage damage;
      const std::size_t slash = e.subject.find('/');
      damage.stream = e.subject.substr(0, slash);
      if (slash != std::string::npos) damage.channel = e.subject.substr(slash + 1);
      damage.first_sample = e.first;
      damage.count = e.count;
      damage.why = e.text;
      report.damages.push_back(damage);
    }
  return true;
}

// Describes the streams; true if the file counts more samples than can be had.
bool describe_streams(const RecordingBackend& from, RecoveryReport& report) {
  bool lost = false;
  for (std::size_t i = 0; i < from.streams.size(); ++i) {
    const RecordedStream& s = from.streams[i];
    const RecordedCounts& counted = i < from.told_counts.size() ? from.told_counts[i] : s.counts;
    RecordedCounts sum;
    for (const Segment& segment : s.segments) sum.recorded += segment.count;
    for (const Gap& gap : s.gaps) {
      sum.lost += gap.lost;
      sum.missing += gap.missing;
    }
    sum.produced = sum.recorded + sum.lost + sum.missing;
    if (sum != counted)
      report.remarks.push_back(fmt::format(
          "stream '{}': counts {} samples as recorded and {} as produced; {} and {} could be had",
          s.info.name, counted.recorded, counted.produced, sum.recorded, sum.produced));
    lost |= sum.produced < counted.produced || sum.recorded < counted.recorded;
    std::uint64_t end = sum.produced;
    if (!s.segments.empty()) end = s.segments.back().first_sample + s.segments.back().count;
    if (!s.gaps.empty()) end = std::max(end, s.gaps.back().first_sample + s.gaps.back().count);
    report.streams.push_back({s.info.name, sum, end});
  }
  return lost;
}

// What HDF5 has allocated beyond the end of the file; 0: nothing. By the superblock of versions 2
// and 3 (HDF5 File Format Specification 3.0, section II.A), with offsets of 8 bytes.
std::uint64_t missing_at_end(FileCalls& calls, const std::string& path) {
  constexpr std::size_t version_at = 8;
  constexpr std::size_t offset_bytes_at = 9;
  constexpr std::size_t end_at = 28;
  const File file(calls, path, File::Mode::read);
  std::array<std::byte, end_at + sizeof(std::uint64_t)> front{};
  if (file.read_up_to(0, front) < front.size()) return 0;
  const auto version = std::to_integer<unsigned>(front[version_at]);
  if ((version != 2 && version != 3) || front[offset_bytes_at] != std::byte{8}) return 0;
  std::uint64_t end = 0;
  std::memcpy(&end, &front[end_at], sizeof end);
  return end > file.size() ? end - file.size() : 0;
}

// Without a journal that can be read; `why`: why there is none, empty: it is not there. Throws
// Error if nothing can be told of what is in it.
std::unique_ptr<RecordingBackend> open_without_journal(const std::string& part,
                                                       const std::string& why, FileCalls& calls) {
  try {
    auto from = open_recording(part, calls);
    // What readers don't take is not right because it is read here.
    for (const RecordedStream& stream : from->streams) check_books(stream, part);
    return from;
  } catch (const Error& error) {
    const std::string what = error.what();
    throw Error(fmt::format("{}{}; acknowledged samples may be in {}: keep it{}", what,
                            why.empty() || what == why ? "" : "; its journal: " + why, part,
                            why.empty() ? "" : " and its journal"));
  }
}

// A sealed file is there. Its journal, if there still is one, is of no use any more.
RecoveryReport nothing_to_do(const Files& files, bool has_journal, bool holds) {
  RecoveryReport report;
  report.outcome = holds ? RecoveryReport::Outcome::complete : RecoveryReport::Outcome::lost;
  report.input = files.path;
  report.output = files.path;
  report.was_there = true;
  report.remarks.push_back("it is sealed: there is nothing to recover");
  if (!holds)
    report.remarks.push_back(
        "it is damaged, and there is no journal to mend it by: 'spillway verify' tells where");
  if (has_journal)
    report.remarks.push_back(
        fmt::format("{} was left when it was sealed, and may be removed", files.journal));
  return report;
}

// That the journal is of the sealed recording, and not of another that was to get its name.
bool same_recording(const RecordingBackend& sealed, const JournalBegin& begin) {
  return sealed.start_time == begin.info.start_time && sealed.title == begin.info.title &&
         std::ranges::equal(
             sealed.streams, begin.info.streams, {},
             [](const RecordedStream& s) { return s.info.name; }, &StreamInfo::name);
}

}  // namespace

RecoveryReport recover(const std::string& path, const RecoveryOptions& options, FileCalls& calls) {
  if (calls.kind(path.c_str()) == PathKind::directory)
    throw Error(fmt::format("{}: is a directory; give it one recording", path));
  const Files files(path);
  std::string part = files.part;
  const bool has_part = is_file(calls, part);
  const bool has_journal = is_file(calls, files.journal);
  if (!has_part && !has_journal && !is_file(calls, files.path))
    throw Error(fmt::format("{}: there is no such recording, nor {} nor {}", path, files.part,
                            files.journal));

  RecoveryReport report;
  report.input = has_part ? part : files.path;
  std::optional<JournalBegin> begin;
  std::string no_journal;  // why it can't be read
  if (has_journal) {
    std::optional<JournalReader> reader;
    try {
      reader.emplace(files.journal, calls);
    } catch (const Error& error) {
      // It got its name with its first commit: something may have been acknowledged.
      no_journal = error.what();
      report.remarks.push_back(fmt::format("the journal is of no use: {}", error.what()));
    }
    if (reader && reader->in_use())
      throw Error(fmt::format("{}: its recorder lives and writes it at this moment; stop it first",
                              report.input));
    if (reader) begin = reader->begin();
  }

  if (!has_part && !begin && is_of_others(files.path, calls))
    throw Error(fmt::format(
        "{}: is no HDF5 or CSV recording that was made here: there is nothing to recover "
        "of it",
        files.path));
  if (!has_part && is_file(calls, files.path)) {
    std::unique_ptr<RecordingBackend> sealed;
    try {
      sealed = open_recording(files.path, calls);
    } catch (const Error&) {
      if (!begin) throw;
    }
    if (sealed && sealed->status != "recording" && (!begin || same_recording(*sealed, *begin))) {
      const bool holds = verify(files.path, calls).findings.empty();
      if (holds || !begin) return nothing_to_do(files, has_journal, holds);
    }
    // It was renamed, or is damaged, and the journal knows where its chunks are.
    if (!sealed || !begin || same_recording(*sealed, *begin)) part = files.path;
  }
  if (!begin && !is_file(calls, part))
    throw Error(
        fmt::format("{}: is not there, and its journal {} can't be read", part, files.journal));

  std::unique_ptr<RecordingBackend> from;
  if (begin) {
    from = open_by_journal(files.journal, part, calls);
    report.by = "journal";
    report.commits = from->journal->commits;
    report.tail = from->journal->tail;
    if (from->journal->lost_commits > 0)
      report.remarks.push_back(
          fmt::format("damaged at the end of the journal: {} commit{}, of which all that was "
                      "acknowledged is lost",
                      from->journal->lost_commits, from->journal->lost_commits == 1 ? "" : "s"));
    if (!from->journal->unacknowledged.empty())
      report.remarks.push_back(from->journal->unacknowledged);
  } else {
    if (has_part && !has_journal && File(calls, part, File::Mode::read).size() == 0) {
      // Of a part file it is known whose it is: it ended before there was anything to keep.
      report.remarks.push_back(fmt::format(
          "it is empty, and there is no journal: {} may be removed, and {} recorded anew", part,
          files.path));
      return report;
    }
    from = open_without_journal(part, no_journal, calls);
    report.by = "HDF5";
    report.remarks.push_back(fmt::format(
        "{}: what was flushed and survived is there, after a power cut it may be less than was "
        "acknowledged, and nothing is checked",
        has_journal ? "there is no journal that can be read" : "there is no journal"));
  }
  bool lost = describe_streams(*from, report);
  if (const std::uint64_t missing = begin ? 0 : missing_at_end(calls, part); missing > 0) {
    report.remarks.push_back(fmt::format("{} bytes are missing at its end", missing));
    lost = true;
  }
  lost |= from->journal && from->journal->lost_commits > 0;
  if (std::ranges::all_of(report.streams, [](const auto& s) { return s.counts.produced == 0; })) {
    if (!begin && (lost || has_journal))
      throw Error(
          fmt::format("{}: HDF5 finds no samples in it, and there is no journal that can be "
                      "read{}; keep what is there, acknowledged samples may have been in it",
                      part, no_journal.empty() ? "" : ": " + no_journal));
    report.outcome = lost ? RecoveryReport::Outcome::lost : RecoveryReport::Outcome::nothing;
    report.remarks.push_back(
        report.tail.empty() ? "it has no samples: none was acknowledged before it ended"
                            : "it has no samples that the journal vouches for: " + report.tail);
    return report;
  }

  report.output = options.output.empty() ? default_output(files.path) : options.output;
  const std::string identity = identity_of(*from, calls, part);
  report.was_there = was_recovered(report.output, identity, calls, report);
  if (!report.was_there || is_file(calls, with(report.output, claim_ending))) {
    const Claim claim(calls, report.output);
    if (claim.was_there()) discard(calls, report.output);
    // Another one may have come to its end meanwhile.
    report.was_there = was_recovered(report.output, identity, calls, report);
    if (!report.was_there) {
      std::unique_ptr<Sink> sink = make_sink(*from, files.path, report.output, calls);
      try {
        write(*from, *sink, identity, report);
      } catch (...) {
        sink.reset();
        discard(calls, report.output);
        throw;
      }
    }
  }
  const std::string sidecar = calibration_sidecar_of(files.path);
  if (report.output != files.path && is_file(calls, sidecar))
    report.remarks.push_back(
        fmt::format("calibrations were appended to it: copy {} to {}, and they are in force there",
                    sidecar, calibration_sidecar_of(report.output)));
  lost |= !report.damages.empty();
  report.outcome = lost     ? RecoveryReport::Outcome::lost
                   : !begin ? RecoveryReport::Outcome::unknown
                            : RecoveryReport::Outcome::complete;
  return report;
}

std::vector<std::string> unfinished_recordings(const std::string& directory, FileCalls& calls) {
  std::vector<std::string> names;
  if (calls.list(directory.c_str(), names) != 0) fail_with_errno(directory, "can't be listed");
  std::ranges::sort(names);
  const auto has = [&](const std::string& name) { return std::ranges::binary_search(names, name); };
  std::vector<std::string> found;
  for (const std::string& name : names) {
    const Files files(name);
    if (name == files.path || name.ends_with(with("", metadata_ending) + ".part")) continue;
    // What a recovery itself has not finished.
    if (has(with(files.path, claim_ending))) continue;
    const bool is_part = name == files.part;
    if (!is_part && has(files.part)) continue;  // the journal of one that is listed
    const std::string path = (directory.ends_with('/') ? directory : directory + "/") + name;
    if (is_part && !has(files.journal)) {
      // Others have files of that name too.
      const auto ends = [&](std::string_view ending) { return files.path.ends_with(ending); };
      const bool ours = ends(".h5") || ends(".hdf5") || ends(".nxs") || ends(".csv");
      try {
        if (!ours) static_cast<void>(open_recording(path, calls));
      } catch (const Error&) {
        continue;
      }
    }
    found.push_back(path);
  }
  return found;
}

}  // namespace spillway
