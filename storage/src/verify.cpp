#include "spillway/storage/verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "columns.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "npy_files.hpp"
#include "recording_backend.hpp"
#include "seal.hpp"
#include "spillway/channels/error.hpp"
#include "verify_hdf5.hpp"

namespace spillway {

namespace {

using Kind = VerifyFinding::Kind;

// The findings, of each kind so many at most: a disk that is broken all over fills no memory.
class Findings {
 public:
  explicit Findings(VerifyReport& report) : report_(report) {}

  void add(Kind kind, std::string where, std::string what) {
    // Errors tell their place themselves.
    if (what.starts_with(where + ": ")) what.erase(0, where.size() + 2);
    if (++counts_[kind] <= most_of_a_kind)
      report_.findings.push_back({kind, std::move(where), std::move(what)});
  }
  [[nodiscard]] std::uint64_t count(Kind kind) const {
    const auto found = counts_.find(kind);
    return found == counts_.end() ? 0 : found->second;
  }
  // Tells of those that were left out.
  void finish() {
    for (const auto& [kind, count] : counts_)
      if (count > most_of_a_kind)
        report_.remarks.push_back(
            fmt::format("{} more finding{} of the kind {}", count - most_of_a_kind,
                        count == most_of_a_kind + 1 ? "" : "s", to_string(kind)));
  }

 private:
  static constexpr std::uint64_t most_of_a_kind = 1000;
  VerifyReport& report_;
  std::map<Kind, std::uint64_t> counts_;
};

std::string bytes_of(const SealRange& range) {
  return fmt::format("bytes {} to {}", range.address, range.address + range.length - 1);
}

std::string range_name(const Seal& seal, const SealRange& range) {
  std::string name = bytes_of(range);
  if (range.column != SealRange::no_column && range.column < seal.columns.size())
    name = fmt::format("{}, rows {} to {}, {}", seal.columns[range.column].path, range.first_row,
                       range.first_row + range.rows - 1, name);
  return name;
}

// False: HDF5 must not open it.
bool check_hdf5_bytes(const std::string& path, FileCalls& calls, VerifyReport& report,
                      Findings& findings) {
  const File file(calls, path, File::Mode::read);
  std::optional<Seal> seal;
  try {
    seal = read_seal(file);
  } catch (const Error& error) {
    report.sealed = true;
    findings.add(Kind::checksum, "the seal", error.what());
    report.remarks.push_back("its seal is damaged: nothing else was looked at");
    return false;
  }
  if (!seal) return true;
  report.sealed = true;
  bool openable = true;
  check_seal(file, *seal, [&](const SealRange& range, std::string what) {
    if (const std::string place = bytes_of(range) + ": "; what.starts_with(place))
      what.erase(0, place.size());
    findings.add(Kind::checksum, range_name(*seal, range), std::move(what));
    openable &= range.column != SealRange::no_column;
  });
  if (!openable)
    report.remarks.push_back(
        "what HDF5 needs to find its way is damaged: only the checksums were looked at");
  return openable;
}

// Segments and gaps name every number once.
void check_continuity(const RecordedStream& s, Findings& findings) {
  const std::string where = fmt::format("stream '{}'", s.info.name);
  struct Run {
    std::uint64_t first;
    std::uint64_t count;
    const char* what;
  };
  std::vector<Run> runs;
  std::uint64_t row = 0;
  for (const Segment& segment : s.segments) {
    if (segment.row != row)
      findings.add(Kind::continuity, where,
                   fmt::format("the segment of sample {} begins at row {}, where row {} is next",
                               segment.first_sample, segment.row, row));
    row = segment.row + segment.count;
    runs.push_back({segment.first_sample, segment.count, "a segment"});
  }
  for (const Gap& gap : s.gaps) runs.push_back({gap.first_sample, gap.count, "a gap"});
  std::ranges::stable_sort(runs, {}, &Run::first);
  for (std::size_t i = 1; i < runs.size(); ++i) {
    const std::uint64_t next = runs[i - 1].first + runs[i - 1].count;
    if (runs[i].first > next)
      findings.add(
          Kind::continuity, where,
          fmt::format("samples {} to {} are in no segment and no gap", next, runs[i].first - 1));
    else if (runs[i].first < next)
      findings.add(Kind::continuity, where,
                   fmt::format("{} begins at sample {}, where {} ends with sample {}", runs[i].what,
                               runs[i].first, runs[i - 1].what, next - 1));
  }
}

void check_accounting(const RecordedStream& s, Findings& findings) {
  const std::string where = fmt::format("stream '{}'", s.info.name);
  const RecordedCounts& c = s.counts;
  if (c.recorded + c.lost + c.missing != c.produced)
    findings.add(Kind::accounting, where,
                 fmt::format("recorded {} + lost {} + missing {} is not produced {}", c.recorded,
                             c.lost, c.missing, c.produced));
  RecordedCounts sum;
  for (const Segment& segment : s.segments) sum.recorded += segment.count;
  for (const Gap& gap : s.gaps) {
    sum.lost += gap.lost;
    sum.missing += gap.missing;
    if (gap.lost + gap.missing != gap.count)
      findings.add(Kind::accounting, where,
                   fmt::format("the gap at sample {}: lost {} + missing {} is not {}",
                               gap.first_sample, gap.lost, gap.missing, gap.count));
  }
  const auto compare = [&](const char* name, std::uint64_t counted, std::uint64_t named) {
    if (counted != named)
      findings.add(Kind::accounting, where,
                   fmt::format("counts {} as {}, its tables name {}", counted, name, named));
  };
  compare("recorded", c.recorded, sum.recorded);
  compare("lost", c.lost, sum.lost);
  compare("missing", c.missing, sum.missing);
  if (s.rows != sum.recorded)
    findings.add(
        Kind::accounting, where,
        fmt::format("the number of its rows is {}, its segments name {}", s.rows, sum.recorded));
}

// The times of an irregular stream, and the clocks of the others.
class TimeCheck {
 public:
  TimeCheck(const RecordingBackend& from, std::size_t stream, Findings& findings)
      : from_(from),
        index_(stream),
        stream_(from.streams[stream]),
        where_(fmt::format("stream '{}'", stream_.info.name)),
        findings_(findings) {}

  void run() {
    for (const Segment& s : stream_.segments) {
      if (!stream_.info.rate)
        check_times(s);
      else if (s.first_sample < s.clock_sample)
        findings_.add(Kind::time, where_,
                      fmt::format("the clock of sample {} is set at sample {}, behind it",
                                  s.first_sample, s.clock_sample));
      else if (const Time time = saturating_add(
                   Time(s.clock_ns), stream_.info.rate->duration(s.first_sample - s.clock_sample));
               time != Time(s.t0_ns))
        findings_.add(Kind::time, where_,
                      fmt::format("sample {} is at {} ns, by its clock at {} ns", s.first_sample,
                                  s.t0_ns, time.count()));
    }
  }

 private:
  void check_times(const Segment& s) {
    std::vector<Time> times(std::min<std::uint64_t>(s.count, 8192));
    Time last(s.t0_ns);
    for (std::uint64_t row = s.row; row < s.row + s.count;) {
      times.resize(std::min<std::uint64_t>(times.size(), s.row + s.count - row));
      try {
        from_.read(index_, time_column(stream_.info), row, times.size(),
                   std::as_writable_bytes(std::span(times)));
      } catch (const Error&) {
        return;  // found already
      }
      if (row == s.row && times[0] != last)
        findings_.add(Kind::time, where_,
                      fmt::format("sample {} is at {} ns, its segment says {} ns", s.first_sample,
                                  times[0].count(), s.t0_ns));
      for (std::size_t i = 0; i < times.size(); ++i) {
        if (times[i] < last && !is_uncertain(row + i))
          findings_.add(
              Kind::time, where_,
              fmt::format("sample {} is at {} ns, earlier than the one before, and not marked so",
                          s.first_sample + row + i - s.row, times[i].count()));
        last = times[i];
      }
      row += times.size();
    }
  }

  // The source's own stamps may run backwards: such samples are marked.
  [[nodiscard]] bool is_uncertain(std::uint64_t row) const {
    for (std::size_t c = 0; c < stream_.info.channels.size(); ++c) {
      std::array<Quality, 1> quality{};
      try {
        from_.read(index_, quality_column(c), row, 1, std::as_writable_bytes(std::span(quality)));
      } catch (const Error&) {
        return true;  // found already
      }
      if (quality[0].has(Quality::time_uncertain)) return true;
    }
    return false;
  }

  const RecordingBackend& from_;
  std::size_t index_;
  const RecordedStream& stream_;
  std::string where_;
  Findings& findings_;
};

// That every row can be read.
void read_all(const RecordingBackend& from, std::size_t index, Findings& findings) {
  const RecordedStream& stream = from.streams[index];
  const std::vector<ColumnInfo> columns = columns_of(stream.info);
  constexpr std::uint64_t piece = 65536;
  std::vector<std::byte> bytes;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const auto found = [&](std::uint64_t first, std::uint64_t end, const char* why) {
      findings.add(Kind::checksum,
                   fmt::format("{} '{}/{}', rows {} to {}",
                               columns[c].kind == ColumnInfo::Kind::time_ns ? "column" : "channel",
                               stream.info.name, columns[c].name, first, end - 1),
                   why);
    };
    for (std::uint64_t row = 0; row < stream.rows;) {
      const std::uint64_t n = std::min(piece, stream.rows - row);
      bytes.resize(n * columns[c].row_bytes);
      try {
        from.read(index, c, row, n, bytes);
        row += n;
      } catch (const DamagedRows& damaged) {
        found(damaged.first_row, damaged.first_row + damaged.count, damaged.what());
        row = damaged.first_row + damaged.count;
      } catch (const Error& error) {
        found(row, row + n, error.what());
        row += n;
      }
    }
  }
}

void describe_streams(const RecordingBackend& from, VerifyReport& report) {
  for (const RecordedStream& s : from.streams) {
    VerifyReport::PerStream& to = report.streams.emplace_back();
    to.name = s.info.name;
    to.counts = s.counts;
    to.segments = s.segments.size();
    to.gaps = s.gaps.size();
    std::uint64_t first = UINT64_MAX;
    for (const Segment& segment : s.segments) {
      first = std::min(first, segment.first_sample);
      to.end = std::max(to.end, segment.first_sample + segment.count);
    }
    for (const Gap& gap : s.gaps) {
      first = std::min(first, gap.first_sample);
      to.end = std::max(to.end, gap.first_sample + gap.count);
    }
    to.first_sample = first == UINT64_MAX ? 0 : first;
  }
}

// Of a name that the metadata of a CSV recording may have; empty: it is none.
std::string described_csv(const std::string& path) {
  const std::string ending = csv::metadata_path("");
  return path.ends_with(ending) ? path.substr(0, path.size() - ending.size()) : std::string();
}

// By its first bytes; or by its seal, as they may be what is damaged.
bool is_hdf5(const std::string& path, FileCalls& calls) {
  if (calls.kind(path.c_str()) != PathKind::file) return false;
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  const File file(calls, path, File::Mode::read);
  std::array<char, 64> front{};
  const std::string_view content(front.data(),
                                 file.read_up_to(0, std::as_writable_bytes(std::span(front))));
  if (content.starts_with(signature)) return true;
  if (has_csv_header(content)) return false;
  try {
    return read_seal(file).has_value();
  } catch (const Error&) {
    return true;  // there is one, damaged
  }
}

}  // namespace

const char* to_string(VerifyFinding::Kind kind) noexcept {
  switch (kind) {
    case Kind::checksum: return "checksum";
    case Kind::layout: return "layout";
    case Kind::continuity: return "continuity";
    case Kind::accounting: return "accounting";
    case Kind::time: break;
  }
  return "time";
}

namespace {

VerifyReport verify_file(const std::string& path, FileCalls& calls, bool is_numbered);

// The files of a master, each as if it were given alone. False: not all of them hold.
bool check_numbered(const RecordingBackend& master, FileCalls& calls, VerifyReport& report,
                    Findings& findings) {
  bool hold = true;
  for (const std::string& path : master.other_files) {
    const std::string name = path.substr(path.rfind('/') + 1);
    const auto add = [&](Kind kind, const std::string& where, std::string what) {
      hold = false;
      if (what.starts_with(path + ": ")) what.erase(0, path.size() + 2);
      findings.add(kind, where, std::move(what));
    };
    if (calls.kind(path.c_str()) == PathKind::nothing) {
      add(Kind::layout, name, "is not there");
      continue;
    }
    try {
      const VerifyReport part = verify_file(path, calls, true);
      for (const VerifyFinding& f : part.findings)
        add(f.kind, f.where == path ? name : name + ": " + f.where, f.what);
      for (const std::string& remark : part.remarks) report.remarks.push_back(name + ": " + remark);
    } catch (const Error& error) {
      add(Kind::layout, name, error.what());
    }
  }
  return hold;
}

VerifyReport verify_file(const std::string& path, FileCalls& calls, bool is_numbered) {
  VerifyReport report;
  report.path = path;
  Findings findings(report);
  if (calls.kind(path.c_str()) == PathKind::file)
    report.bytes = File(calls, path, File::Mode::read).size();

  const bool unfinished = is_guarded_by_journal(path, calls);
  const bool hdf5 = !unfinished && is_hdf5(path, calls);
  report.format = hdf5 ? "HDF5" : "CSV";
  if (hdf5 && !check_hdf5_bytes(path, calls, report, findings)) {
    findings.finish();
    return report;
  }
  if (!unfinished && !hdf5 && calls.kind(path.c_str()) == PathKind::file) {
    if (is_of_others(path, calls)) {
      if (const std::string csv = described_csv(path); calls.kind(csv.c_str()) == PathKind::file)
        throw Error(
            fmt::format("{}: is the description of the recording {}, which is verified "
                        "together with it: give that",
                        path, csv));
      if (path.ends_with(".npy") && calls.kind(npy_json_path(path).c_str()) == PathKind::file)
        throw Error(
            fmt::format("{}: is a NumPy file: what stands beside it is compared whenever "
                        "it is opened, there is nothing else to verify",
                        path));
      throw Error(
          fmt::format("{}: is no HDF5 or CSV recording: a file of others has no checksums, "
                      "there is nothing to verify",
                      path));
    }
    report.sealed = check_csv(path, calls, [&](const std::string& where, const std::string& what) {
      findings.add(Kind::checksum, where, what);
    });
    if (!report.sealed) report.remarks.push_back("it has no checksums");
  }

  std::unique_ptr<RecordingBackend> recording;
  try {
    recording = open_recording(path, calls);
  } catch (const Error& error) {
    // What is nothing at all can't be verified.
    if (report.findings.empty() && !unfinished && !hdf5) throw;
    if (findings.count(Kind::checksum) == 0) findings.add(Kind::layout, path, error.what());
    findings.finish();
    return report;
  }
  report.status = recording->status;
  describe_streams(*recording, report);
  const bool growing = recording->status == "recording" && !recording->journal;
  const bool lives = growing && is_being_written(path, calls);
  if (recording->journal) {
    report.format = recording->journal->format == "hdf5" ? "HDF5" : "CSV";
    report.remarks.push_back(
        fmt::format("it is not finished: what its journal guards was checked, up to commit {}",
                    recording->journal->commits));
    if (recording->journal->lost_commits > 0)
      findings.add(
          Kind::checksum, "the journal",
          fmt::format("{}: {} lost", recording->journal->tail,
                      recording->journal->lost_commits == 1
                          ? "1 commit is"
                          : fmt::format("{} commits are", recording->journal->lost_commits)));
    else if (!recording->journal->tail.empty())
      report.remarks.push_back(fmt::format("behind that commit: {}", recording->journal->tail));
  } else if (lives) {
    report.remarks.push_back(
        "its recorder lives: its books need not agree yet, and it gets its checksums when it is "
        "sealed");
  } else if (growing) {
    report.remarks.push_back(
        "it is not finished and there is no journal to hold it against: its books need not agree");
  }
  const bool bytes_are_right = findings.count(Kind::checksum) == 0;
  bool numbered_hold = true;  // what a master shows of the others would be found twice
  if (recording->is_master && is_numbered) {
    // It may name itself.
    findings.add(Kind::layout, path, "is a master itself, not a numbered file");
    numbered_hold = false;
  } else if (recording->is_master) {
    report.remarks.push_back(fmt::format(
        "it is the master of {} numbered file{}: its values have their checksums there, where they "
        "were held against them; its own tables have none",
        recording->other_files.size(), recording->other_files.size() == 1 ? "" : "s"));
    numbered_hold = check_numbered(*recording, calls, report, findings);
  }
  bool seal_is_asked_for = false;
  if (hdf5 && bytes_are_right && !growing)
    check_hdf5_layout(*recording, calls, report.sealed, numbered_hold,
                      [&](Kind kind, std::string where, std::string what) {
                        seal_is_asked_for |= kind == Kind::checksum;
                        findings.add(kind, std::move(where), std::move(what));
                      });
  if (hdf5 && !report.sealed && !lives && !recording->is_master && !seal_is_asked_for)
    report.remarks.push_back(fmt::format(
        "it has no seal: it was {}; its bytes have no checksums to be held against",
        growing || path.ends_with(".part") ? "not closed properly"
                                           : "made by another program or an earlier version"));
  for (std::size_t s = 0; s < recording->streams.size(); ++s) {
    check_continuity(recording->streams[s], findings);
    if (!growing) check_accounting(recording->streams[s], findings);
    if (bytes_are_right && numbered_hold) read_all(*recording, s, findings);
    // By the tables alone, or the times.
    if (recording->streams[s].info.rate || numbered_hold) TimeCheck(*recording, s, findings).run();
  }
  findings.finish();
  return report;
}

}  // namespace

VerifyReport verify(const std::string& path, FileCalls& calls) {
  return verify_file(path, calls, false);
}

}  // namespace spillway
