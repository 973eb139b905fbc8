// What the tests of the journal share: a disk in memory, and records as lines of text.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "calibration_json.hpp"
#include "columns.hpp"
#include "spillway/storage/journal.hpp"
#include "stream_json.hpp"
#include "support.hpp"

namespace spillway::test {

inline std::uint64_t journal_seed() {
  return (std::uint64_t{std::random_device()()} << 32) | std::random_device()();
}

// A file system in memory, without directories, that forgets what was not synced.
class MemoryDisk final : public FileCalls {
 public:
  struct Inode {
    struct Write {
      std::uint64_t at = 0;
      std::string bytes;
    };
    std::string bytes;   // as processes see it
    std::string synced;  // as a power cut leaves it, at least
    std::vector<Write> unsynced;
    int exclusive = -1;  // the descriptor that locks it
    int shared = 0;      // how many do
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  Names names;
  std::vector<Names> unsynced_names;  // as they were from the last sync of the directory on
  // Before each call: an error for it to fail with, or 0.
  std::function<int(const std::string& call, const std::string& path)> before;
  std::size_t longest_write = SIZE_MAX;

  MemoryDisk() : unsynced_names(1) {}

  void put(const std::string& path, std::string bytes) {
    auto inode = std::make_shared<Inode>();
    inode->synced = bytes;
    inode->bytes = std::move(bytes);
    names[path] = std::move(inode);
    unsynced_names = {names};
  }

  // What the next process finds after this one was killed at this moment.
  [[nodiscard]] std::unique_ptr<MemoryDisk> after_kill() const {
    auto disk = std::make_unique<MemoryDisk>();
    std::map<const Inode*, std::shared_ptr<Inode>> copies;
    const auto copy = [&](const Names& of) {
      Names result;
      for (const auto& [name, inode] : of) {
        auto& there = copies[inode.get()];
        if (!there) {
          there = std::make_shared<Inode>(*inode);
          there->exclusive = -1;
          there->shared = 0;
        }
        result[name] = there;
      }
      return result;
    };
    disk->names = copy(names);
    disk->unsynced_names.clear();
    for (const Names& state : unsynced_names) disk->unsynced_names.push_back(copy(state));
    return disk;
  }
  // What it finds after a power cut: of what was not synced any part, torn anywhere.
  [[nodiscard]] std::unique_ptr<MemoryDisk> after_power_cut(std::mt19937_64& random) const {
    auto disk = after_kill();
    // unsynced_names[0] is the state that was synced.
    disk->unsynced_names.push_back(disk->names);
    disk->names = disk->unsynced_names[random() % disk->unsynced_names.size()];
    disk->unsynced_names = {disk->names};
    for (auto& [name, inode] : disk->names) {
      std::string& bytes = inode->synced;
      for (const Inode::Write& write : inode->unsynced) {
        if (random() % 2 == 0) continue;
        const std::size_t from = random() % 2 ? 0 : random() % (write.bytes.size() + 1);
        const std::size_t to =
            random() % 2 ? write.bytes.size() : from + random() % (write.bytes.size() - from + 1);
        bytes.resize(std::max(bytes.size(), write.at + to));
        std::copy(write.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                  write.bytes.begin() + static_cast<std::ptrdiff_t>(to),
                  bytes.begin() + static_cast<std::ptrdiff_t>(write.at + from));
      }
      inode->unsynced.clear();
      inode->bytes = bytes;
    }
    return disk;
  }

  int open(const char* path, int flags, mode_t) noexcept override {
    if (fails("open", path)) return -1;
    const auto found = names.find(path);
    if ((flags & O_CREAT) == 0 && found == names.end()) return error(ENOENT);
    if ((flags & O_EXCL) != 0 && found != names.end()) return error(EEXIST);
    if (found == names.end()) {
      names[path] = std::make_shared<Inode>();
      unsynced_names.push_back(names);
    }
    handles_[++last_] = {path, names[path]};
    return last_;
  }
  int close(int fd) noexcept override {
    unlock(fd);
    const std::string path = handles_.at(fd).path;
    handles_.erase(fd);
    return fails("close", path) ? -1 : 0;
  }
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept override {
    if (fails("pread", handles_.at(fd).path)) return -1;
    const std::string& from = handles_.at(fd).inode->bytes;
    const std::size_t begin = std::min(static_cast<std::size_t>(at), from.size());
    const std::size_t count = std::min(bytes, from.size() - begin);
    std::memcpy(to, from.data() + begin, count);
    return static_cast<ssize_t>(count);
  }
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
    if (fails("pwrite", handles_.at(fd).path)) return -1;
    bytes = std::min(bytes, longest_write);
    Inode& inode = *handles_.at(fd).inode;
    const auto place = static_cast<std::size_t>(at);
    inode.bytes.resize(std::max(inode.bytes.size(), place + bytes));
    std::memcpy(inode.bytes.data() + place, from, bytes);
    inode.unsynced.push_back({place, {static_cast<const char*>(from), bytes}});
    return static_cast<ssize_t>(bytes);
  }
  int ftruncate(int fd, off_t size) noexcept override {
    handles_.at(fd).inode->bytes.resize(static_cast<std::size_t>(size));
    return 0;
  }
  off_t size(int fd) noexcept override {
    return static_cast<off_t>(handles_.at(fd).inode->bytes.size());
  }
  int fdatasync(int fd) noexcept override {
    Inode& inode = *handles_.at(fd).inode;
    if (fails("fdatasync", handles_.at(fd).path)) {
      inode.unsynced.clear();  // as a kernel does: the error is told once, the data is gone
      return -1;
    }
    inode.synced = inode.bytes;
    inode.unsynced.clear();
    return 0;
  }
  int flock(int fd, int operation) noexcept override {
    if (fails("flock", handles_.at(fd).path)) return -1;
    Inode& inode = *handles_.at(fd).inode;
    if (inode.exclusive >= 0 && inode.exclusive != fd) return error(EWOULDBLOCK);
    if ((operation & LOCK_EX) != 0) {
      if (inode.shared > 0) return error(EWOULDBLOCK);
      inode.exclusive = fd;
    } else {
      ++inode.shared;
      handles_.at(fd).shared = true;
    }
    return 0;
  }
  void start_writeback(int, off_t, off_t) noexcept override {}
  PathKind kind(const char* path) noexcept override {
    return names.count(path) > 0 ? PathKind::file : PathKind::nothing;
  }
  int rename(const char* from, const char* to, bool replace) noexcept override {
    if (fails("rename", to)) return -1;
    const auto found = names.find(from);
    if (found == names.end()) return error(ENOENT);
    if (!replace && names.count(to) > 0) return error(EEXIST);
    for (auto& [fd, handle] : handles_)
      if (handle.inode == found->second) handle.path = to;
    names[to] = found->second;
    names.erase(found);
    unsynced_names.push_back(names);
    return 0;
  }
  int unlink(const char* path) noexcept override {
    if (fails("unlink", path)) return -1;
    if (names.erase(path) == 0) return error(ENOENT);
    unsynced_names.push_back(names);
    return 0;
  }
  int sync_directory(const char* path) noexcept override {
    if (fails("sync_directory", path)) return -1;
    unsynced_names = {names};
    return 0;
  }
  int list(const char*, std::vector<std::string>& list) override {
    for (const auto& [name, inode] : names) list.push_back(name);
    return 0;
  }
  std::int64_t free_bytes(const char* directory) noexcept override {
    return fails("free_bytes", directory) ? -1 : std::int64_t{1} << 40;
  }

 private:
  struct Handle {
    std::string path;
    std::shared_ptr<Inode> inode;
    bool shared = false;
  };
  static int error(int code) {
    errno = code;
    return -1;
  }
  bool fails(const std::string& call, const std::string& path) {
    const int code = before ? before(call, path) : 0;
    if (code != 0) errno = code;
    return code != 0;
  }
  void unlock(int fd) {
    Handle& handle = handles_.at(fd);
    if (handle.inode->exclusive == fd) handle.inode->exclusive = -1;
    if (handle.shared) --handle.inode->shared;
  }

  std::map<int, Handle> handles_;
  int last_ = 2;
};

inline std::string hex(std::span<const std::byte> bytes) {
  std::string text = "'";
  for (const std::byte b : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  return text;
}
inline std::string hex(const std::string& text) { return hex(std::as_bytes(std::span(text))); }

inline std::string line_of(const Segment& s) {
  return fmt::format(" ({} {} {} {} {} {})", s.first_sample, s.row, s.count, s.t0_ns,
                     s.clock_sample, s.clock_ns);
}
inline std::string line_of(const Gap& g) {
  return fmt::format(" [{} {} {} {} {}]", g.first_sample, g.count, g.lost, g.missing,
                     static_cast<unsigned>(g.cause));
}
inline std::string line_of(const Anchor& a) {
  return fmt::format(" <{} {} {}>", a.sample.value, a.time.count(), a.ticks);
}
inline std::string line_of(const CalibrationChange& change) {
  nlohmann::ordered_json set = nlohmann::ordered_json::array();
  for (const Calibration& calibration : change.calibrations) set.push_back(to_json(calibration));
  return fmt::format(" {{{} {}}}", change.from_sample, hex(set.dump()));
}

inline std::string line_of(const JournalBegin& b) {
  nlohmann::ordered_json streams = nlohmann::ordered_json::array();
  for (const StreamInfo& stream : b.info.streams) streams.push_back(to_json(stream));
  std::string line = "begin";
  for (const std::string& text :
       {b.format, b.file, b.path, std::string(to_string(b.durability)), b.info.title,
        b.info.start_time, b.info.configuration, b.info.provenance, streams.dump(),
        nlohmann::ordered_json(b.chunk_rows).dump(), b.info.state})
    line += " " + hex(text);
  return line;
}
inline std::string line_of(const JournalChunk& c) {
  return fmt::format("chunk {} {} {} {} {} {} {} {} {:d}", c.stream, c.column, c.first_row, c.rows,
                     c.filter_mask, c.address, c.length, c.crc32c, c.deflated);
}
inline std::string line_of(const JournalRows& r) {
  return fmt::format("rows {} {} {} {}", r.stream, r.first_row, r.rows, hex(r.bytes));
}
inline std::string line_of(const JournalText& t) {
  return fmt::format("text {} {} {} {}", t.offset, t.length, t.lines, t.crc32c);
}
inline std::string line_of(const JournalBooks& b) {
  std::string line =
      fmt::format("books {} {:d} {} {} {} {}", b.stream, b.replaces_last_gap, b.counts.produced,
                  b.counts.recorded, b.counts.lost, b.counts.missing);
  line += " open" + (b.open ? line_of(*b.open) : "") + " finished";
  for (const Segment& segment : b.finished) line += line_of(segment);
  for (const Gap& gap : b.gaps) line += line_of(gap);
  for (const Anchor& anchor : b.anchors) line += line_of(anchor);
  for (const CalibrationChange& change : b.calibrations) line += line_of(change);
  return line;
}
inline std::string line_of(const RecordedEvent& e) {
  return fmt::format("event {} {} {} {} {} {}", e.time_ns, e.first, e.count, hex(e.kind),
                     hex(e.subject), hex(e.text));
}
inline std::string line_of(const JournalLog& log) { return "log " + hex(log.line); }
inline std::string line_of(const JournalEnd& end) {
  return fmt::format("end {} {} {}", end.ending.complete + 2 * end.ending.recovered,
                     hex(end.ending.reason), hex(end.end_time));
}
inline std::string line_of(const JournalRecord& record) {
  return std::visit([](const auto& r) { return line_of(r); }, record);
}

inline std::vector<std::string> lines_of(JournalReader& reader) {
  std::vector<std::string> lines;
  while (const auto record = reader.next()) lines.push_back(line_of(*record));
  return lines;
}

// Makes records of every kind, of anything that they may hold.
class RandomRecords {
 public:
  explicit RandomRecords(std::uint64_t seed) : random(seed) {}

  std::uint64_t below(std::uint64_t limit) { return random() % limit; }
  bool chance(unsigned one_in) { return below(one_in) == 0; }
  // Of any length, small ones more often.
  std::uint64_t number() { return random() >> below(64); }
  std::int64_t signed_number() {
    return static_cast<std::int64_t>(number()) * (chance(2) ? 1 : -1);
  }
  std::uint32_t number32() { return static_cast<std::uint32_t>(number() >> 32 >> below(32)); }
  double real() {
    return std::ldexp(static_cast<double>(signed_number()), static_cast<int>(below(40)) - 60);
  }
  // Any bytes; or what can be in JSON.
  std::string bytes() {
    std::string text(below(20), '\0');
    for (char& c : text) c = static_cast<char>(below(256));
    return text;
  }
  std::string text() {
    static const std::vector<std::string> pieces{
        "a", "Z", " ", "\"", "\\", "\xC3\xA4", "\xE2\x82\xAC", "7", "\n"};
    std::string text;
    for (std::uint64_t n = below(8); n > 0; --n) text += pieces[below(pieces.size())];
    return text;
  }

  Calibration calibration() {
    Calibration calibration;
    for (std::uint64_t n = below(3); n > 0; --n) {
      switch (below(3)) {
        case 0: calibration.steps.emplace_back(Linear{real(), real()}); break;
        case 1: calibration.steps.emplace_back(Polynomial{{real(), real(), real()}}); break;
        default:
          calibration.steps.emplace_back(Table{{-1.5, 0.1, 3}, {real(), real(), real()}, {}});
      }
    }
    calibration.certificate = text();
    return calibration;
  }

  JournalBegin begin() {
    JournalBegin begin;
    begin.format = "hdf5";
    begin.file = "run.h5.part";
    begin.path = bytes();
    begin.durability = chance(2) ? Durability::full : Durability::process;
    begin.info.title = bytes();
    begin.info.start_time = bytes();
    begin.info.configuration = bytes();
    begin.info.provenance = bytes();
    begin.info.state = bytes();
    for (std::uint64_t s = 0, n = 1 + below(3); s < n; ++s) {
      StreamInfo stream;
      stream.name = "stream" + std::to_string(s);
      if (!chance(3))
        stream.rate = Rate(static_cast<std::int64_t>(1 + below(100000)),
                           static_cast<std::int64_t>(1 + below(1000)));
      stream.origin = {static_cast<Origin::Kind>(below(3)), text()};
      for (std::uint64_t c = 0, m = 1 + below(3); c < m; ++c) {
        ChannelInfo channel;
        channel.name = "ch" + std::to_string(c);
        channel.description = "\xC2\xB5";
        channel.unit = "V";
        channel.type = static_cast<SampleType>(below(10));
        if (chance(2)) channel.range = Range{-std::abs(real()) - 1, std::abs(real())};
        channel.calibration = calibration();
        stream.channels.push_back(std::move(channel));
      }
      begin.info.streams.push_back(std::move(stream));
      begin.chunk_rows.push_back(number32());
    }
    return begin;
  }

  Segment segment() {
    return {number(), number(), number(), signed_number(), number(), signed_number()};
  }
  Gap gap() { return {number(), number(), number(), number(), static_cast<Absence>(below(6))}; }

  JournalBooks books(const JournalBegin& begin) {
    JournalBooks books;
    books.stream = static_cast<std::uint32_t>(below(begin.info.streams.size()));
    books.counts = {number(), number(), number(), number()};
    if (chance(2)) books.open = segment();
    for (std::uint64_t n = below(4); n > 1; --n) books.finished.push_back(segment());
    for (std::uint64_t n = below(4); n > 1; --n) books.gaps.push_back(gap());
    books.replaces_last_gap = !books.gaps.empty() && chance(2);
    for (std::uint64_t n = below(4); n > 1; --n)
      books.anchors.push_back({{number()}, Time(signed_number()), number()});
    for (std::uint64_t n = below(4); n > 1; --n) {
      CalibrationChange change{number(), {}};
      for (std::size_t c = begin.info.streams[books.stream].channels.size(); c > 0; --c)
        change.calibrations.push_back(calibration());
      books.calibrations.push_back(std::move(change));
    }
    return books;
  }

  JournalRows rows(const JournalBegin& begin) {
    JournalRows rows;
    rows.stream = static_cast<std::uint32_t>(below(begin.info.streams.size()));
    rows.first_row = number() >> 1;
    rows.rows = static_cast<std::uint32_t>(1 + below(6));
    for (const ColumnInfo& column : columns_of(begin.info.streams[rows.stream])) {
      const bool same = chance(2);
      std::vector<std::byte> row(column.row_bytes);
      for (std::uint32_t r = 0; r < rows.rows; ++r) {
        if (r == 0 || !same)
          for (std::byte& b : row) b = static_cast<std::byte>(below(3));
        rows.bytes.insert(rows.bytes.end(), row.begin(), row.end());
      }
    }
    return rows;
  }

  JournalChunk chunk(const JournalBegin& begin) {
    JournalChunk chunk;
    chunk.stream = static_cast<std::uint32_t>(below(begin.info.streams.size()));
    chunk.column =
        static_cast<std::uint32_t>(below(columns_of(begin.info.streams[chunk.stream]).size()));
    chunk.first_row = number() >> 1;
    chunk.rows = 1 + (number32() >> 1);
    chunk.filter_mask = number32();
    chunk.address = number();
    chunk.length = number32();
    chunk.crc32c = number32();
    chunk.deflated = chance(2);
    return chunk;
  }

  JournalRecord record(const JournalBegin& begin) {
    switch (below(8)) {
      case 0: return rows(begin);
      case 1: return JournalText{number(), number(), number32(), number()};
      case 2: return books(begin);
      case 3: return RecordedEvent{signed_number(), bytes(), bytes(), number(), number(), bytes()};
      case 4: return JournalLog{bytes()};
      case 5: {
        JournalEnd end;
        end.ending.complete = chance(2);
        end.ending.recovered = chance(2);
        end.ending.reason = bytes();
        end.end_time = bytes();
        return end;
      }
      default: return chunk(begin);
    }
  }

  std::mt19937_64 random;
};

inline void add_rows(JournalWriter& writer, const JournalBegin& begin, const JournalRows& rows) {
  std::vector<std::span<const std::byte>> columns;
  std::span<const std::byte> rest = rows.bytes;
  for (const ColumnInfo& column : columns_of(begin.info.streams[rows.stream])) {
    columns.push_back(rest.first(column.row_bytes * rows.rows));
    rest = rest.subspan(column.row_bytes * rows.rows);
  }
  writer.add_rows(rows.stream, rows.first_row, rows.rows, columns);
}

inline void add(JournalWriter& writer, const JournalBegin& begin, const JournalRecord& record) {
  if (const auto* const rows = std::get_if<JournalRows>(&record)) {
    add_rows(writer, begin, *rows);
  } else if (const auto* const log = std::get_if<JournalLog>(&record)) {
    writer.add_log(log->line);
  } else {
    std::visit(
        [&](const auto& r) {
          if constexpr (requires { writer.add(r); }) writer.add(r);
        },
        record);
  }
}

// A journal of random records, and what must be read of it up to each of its commits.
struct RandomJournal {
  std::string bytes;
  std::vector<std::vector<std::string>> lines;  // [0]: nothing; [n]: up to commit n

  RandomJournal(std::uint64_t seed, std::size_t batches, std::size_t most_records) {
    RandomRecords make(seed);
    MemoryDisk disk;
    const JournalBegin begin = make.begin();
    {
      JournalWriter writer("a.journal", begin, disk);
      lines = {{}, {line_of(begin)}};
      for (std::size_t batch = 0; batch < batches; ++batch) {
        std::vector<std::string> now = lines.back();
        for (std::uint64_t n = 1 + make.below(most_records); n > 0; --n) {
          const JournalRecord record = make.record(begin);
          add(writer, begin, record);
          now.push_back(line_of(record));
        }
        writer.commit();
        lines.push_back(std::move(now));
      }
    }
    bytes = disk.names.at("a.journal")->bytes;
  }
};

}  // namespace spillway::test
