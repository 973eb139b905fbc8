#include "spillway/storage/journal.hpp"

#include <cstdlib>
#include <sstream>

#include "journal_support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::contains;
using test::lines_of;
using test::MemoryDisk;
using test::message_of;
using test::RandomJournal;
using test::RandomRecords;
using test::TemporaryDirectory;

std::uint32_t crc_of(const std::string& text, std::uint32_t crc = 0) {
  return crc32c(std::as_bytes(std::span(text)), crc);
}

JournalBegin begin_of(std::vector<StreamInfo> streams, Durability durability = Durability::full) {
  JournalBegin begin;
  begin.format = "hdf5";
  begin.file = "a.h5.part";
  begin.path = "a.h5";
  begin.durability = durability;
  begin.info = test::recording_of(std::move(streams));
  begin.chunk_rows.assign(begin.info.streams.size(), 64);
  return begin;
}

JournalRows rows_of(std::uint32_t stream, std::uint64_t first_row, std::uint32_t rows,
                    std::size_t row_bytes) {
  JournalRows result{stream, first_row, rows, {}};
  for (std::size_t i = 0; i < rows * row_bytes; ++i)
    result.bytes.push_back(static_cast<std::byte>((first_row * 31 + i * i) % 251));
  return result;
}

// Where reading stopped, from what tail() says.
std::uint64_t stopped_at(const JournalReader& reader) {
  if (reader.tail().empty() || contains(reader.tail(), "whole frames")) return reader.size();
  return std::stoull(reader.tail().substr(std::string("byte ").size()));
}

// What must hold of a journal that was changed behind its writer's back: what is read is
// what was committed up to some commit, and if that is not all, or there is more, it is said where.
void check_damaged(const std::string& bytes, const RandomJournal& original) {
  MemoryDisk disk;
  disk.put("a.journal", bytes);
  try {
    JournalReader reader("a.journal", disk);
    const std::vector<std::string> lines = lines_of(reader);
    if (reader.commits() >= original.lines.size() || lines != original.lines[reader.commits()])
      FAIL("other records than were committed");
    if (bytes != original.bytes && (reader.tail().empty() || !contains(reader.tail(), "byte ")) &&
        original.bytes.compare(0, bytes.size(), bytes) != 0)
      FAIL("the damage is not named");
    if (reader.tail().empty() != (reader.good_bytes() == bytes.size()))
      FAIL("tail and length don't agree");
  } catch (const Error& error) {
    if (!contains(error.what(), "a.journal: ")) FAIL("no path in: " << error.what());
    if (!contains(error.what(), "byte ") && !contains(error.what(), "it is empty"))
      FAIL("no position in: " << error.what());
  }
}

}  // namespace

TEST_CASE("crc32c: gives the checksums of RFC 3720") {
  CHECK(crc_of("123456789") == 0xE3069283);
  CHECK(crc_of(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(crc_of(std::string(32, '\xFF')) == 0x62A8AB43);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  CHECK(crc_of(ascending) == 0x46DD794E);
  CHECK(crc_of({ascending.rbegin(), ascending.rend()}) == 0x113FDB5C);
  std::string read_command(48, '\0');
  const std::vector<std::pair<std::size_t, int>> set{{0, 0x01},  {1, 0xC0},  {16, 0x14},
                                                     {20, 0x00}, {22, 0x04}, {27, 0x14},
                                                     {31, 0x18}, {32, 0x28}, {40, 0x02}};
  for (const auto& [at, value] : set) read_command[at] = static_cast<char>(value);
  CHECK(crc_of(read_command) == 0xD9963A56);
  CHECK(crc_of("") == 0);
}

TEST_CASE("crc32c: continues where the one before ended") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  RandomRecords make(seed);
  std::string text;
  for (int i = 0; i < 50; ++i) text += make.bytes();
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    if (crc_of(text.substr(cut), crc_of(text.substr(0, cut))) != crc_of(text)) FAIL("cut " << cut);
}

TEST_CASE("Journal: everything that was committed is read back, in order") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const TemporaryDirectory directory;
  const int rounds = std::getenv("SPILLWAY_TEST_FULL") ? 2000 : 100;
  for (int round = 0; round < rounds; ++round) {
    RandomRecords make(seed + static_cast<std::uint64_t>(round));
    const std::string path = directory / (std::to_string(round) + ".journal");
    const JournalBegin begin = make.begin();
    std::vector<std::string> expected{test::line_of(begin)};
    std::uint64_t commits = 1;
    {
      JournalWriter writer(path, begin, system_file_calls());
      REQUIRE(writer.commits() == 1);
      for (std::uint64_t batch = make.below(6); batch > 0; --batch) {
        for (std::uint64_t n = 1 + make.below(20); n > 0; --n) {
          const JournalRecord record = make.record(begin);
          test::add(writer, begin, record);
          expected.push_back(test::line_of(record));
        }
        writer.commit();
        REQUIRE(writer.commits() == ++commits);
        REQUIRE(writer.bytes() == test::contents(path).size());
      }
    }
    JournalReader reader(path, system_file_calls());
    REQUIRE(test::line_of(reader.begin()) == expected[0]);
    REQUIRE(lines_of(reader) == expected);
    REQUIRE_FALSE(reader.next());
    REQUIRE(reader.commits() == commits);
    REQUIRE(reader.tail().empty());
    REQUIRE(reader.lost_commits() == 0);
    REQUIRE(reader.good_bytes() == reader.size());
  }
}

TEST_CASE("Journal: what was added and not committed is not read") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  JournalWriter writer("a.journal", begin, disk);
  writer.add_log("one");
  writer.commit();
  const std::uint64_t committed = writer.bytes();
  writer.add_log("two");
  // So much that it is written before the commit.
  for (int i = 0; i < 40; ++i) writer.add_log(std::string(100'000, 'x'));
  REQUIRE(writer.bytes() > committed);
  JournalReader reader("a.journal", disk);
  CHECK(lines_of(reader).size() == 2);
  CHECK(reader.good_bytes() == committed);
  CHECK(contains(reader.tail(), "byte " + std::to_string(committed) + ": "));
  CHECK(contains(reader.tail(), "no commit"));
  CHECK(reader.lost_commits() == 0);
}

TEST_CASE("Journal: a commit of nothing writes nothing") {
  MemoryDisk disk;
  JournalWriter writer("a.journal", begin_of({test::make_info({SampleType::float64})}), disk);
  const std::uint64_t bytes = writer.bytes();
  disk.before = [](const std::string&, const std::string&) { return EIO; };
  writer.commit();
  CHECK(writer.bytes() == bytes);
  CHECK(writer.commits() == 1);
}

TEST_CASE("Journal: many rows come back in pieces") {
  MemoryDisk disk;
  const JournalBegin begin =
      begin_of({test::make_info({SampleType::int16, SampleType::float64}, 1 << 16, std::nullopt)});
  const std::uint32_t rows = 300'000;
  const JournalRows added = rows_of(0, 1000, rows, 2 + 1 + 8 + 1 + 8);
  {
    JournalWriter writer("a.journal", begin, disk);
    test::add_rows(writer, begin, added);
    writer.commit();
  }
  JournalReader reader("a.journal", disk);
  std::vector<std::vector<std::byte>> columns(5);
  const std::vector<std::size_t> row_bytes{2, 1, 8, 1, 8};
  std::uint64_t next = 1000;
  std::size_t pieces = 0;
  REQUIRE(reader.next());
  while (const auto record = reader.next()) {
    const auto& piece = std::get<JournalRows>(*record);
    REQUIRE(piece.first_row == next);
    REQUIRE(piece.bytes.size() <= 1 << 20);
    next += piece.rows;
    ++pieces;
    auto from = piece.bytes.begin();
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const auto to = from + static_cast<std::ptrdiff_t>(row_bytes[c] * piece.rows);
      columns[c].insert(columns[c].end(), from, to);
      from = to;
    }
  }
  CHECK(next == 1000 + rows);
  CHECK(pieces > 1);
  std::vector<std::byte> together;
  for (const auto& column : columns) together.insert(together.end(), column.begin(), column.end());
  CHECK(together == added.bytes);
}

TEST_CASE("Journal: a column of one value costs the same whatever the number of rows") {
  const auto bytes_of = [](std::uint32_t rows, std::byte last) {
    MemoryDisk disk;
    JournalWriter writer("a.journal", begin_of({test::make_info({SampleType::int8})}), disk);
    const std::uint64_t before = writer.bytes();
    const std::vector<std::byte> values(rows, std::byte{7});
    std::vector<std::byte> quality(rows, std::byte{1});
    quality.back() = last;
    const std::span<const std::byte> columns[]{values, quality};
    writer.add_rows(0, 0, rows, columns);
    writer.commit();
    return writer.bytes() - before;
  };
  CHECK(bytes_of(10, std::byte{1}) == bytes_of(60'000, std::byte{1}));
  CHECK(bytes_of(60'000, std::byte{2}) > 60'000);
}

TEST_CASE("Journal: is in use as long as its writer lives") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.journal";
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  std::optional<JournalWriter> writer(std::in_place, path, begin, system_file_calls());
  CHECK(JournalReader(path, system_file_calls()).in_use());
  CHECK(
      contains(message_of([&] { JournalWriter second(path, begin, system_file_calls()); }), path));
  writer->add_log("more");
  writer->commit();
  CHECK(JournalReader(path, system_file_calls()).in_use());
  writer.reset();
  CHECK_FALSE(JournalReader(path, system_file_calls()).in_use());
  // Readers don't disturb each other.
  const JournalReader first(path, system_file_calls());
  CHECK_FALSE(JournalReader(path, system_file_calls()).in_use());
  CHECK_FALSE(test::exists(path + ".new"));
}

TEST_CASE("Journal: a journal that stands there is not touched") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.journal";
  test::write_text(path, "somebody's only copy");
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  CHECK(
      contains(message_of([&] { JournalWriter writer(path, begin, system_file_calls()); }), path));
  CHECK(test::contents(path) == "somebody's only copy");
  CHECK_FALSE(test::exists(path + ".new"));
}

TEST_CASE("Journal: is gone when it is removed, also after a failure") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  for (const bool failed : {false, true}) {
    JournalWriter writer("a.journal", begin, disk);
    disk.put("a.journal.new", "left over");
    if (failed) {
      disk.before = [](const std::string& call, const std::string&) {
        return call == "fdatasync" ? EIO : 0;
      };
      writer.add_log("x");
      CHECK_THROWS_AS(writer.commit(), Error);
      disk.before = {};
    }
    writer.remove();
    CHECK(disk.names.empty());
    CHECK_THROWS_AS(writer.commit(), Error);
  }
}

TEST_CASE("Journal: a recording that can't be described is refused, and leaves no file") {
  MemoryDisk disk;
  JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  begin.info.streams[0].channels[0].unit = "\xFF";
  CHECK(
      contains(message_of([&] { JournalWriter writer("a.journal", begin, disk); }), "a.journal: "));
  begin.info.streams[0].channels[0].unit = "V";
  begin.file = "dir/a.h5.part";
  CHECK(contains(message_of([&] { JournalWriter writer("a.journal", begin, disk); }), "dir/"));
  CHECK(disk.names.empty());
}

TEST_CASE("Journal: what does not fit the streams is refused") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::int32})});
  const std::vector<std::byte> four(4);
  const std::vector<std::byte> one(1);
  const auto refused = [&](auto&& f) {
    MemoryDisk own;
    JournalWriter writer("a.journal", begin, own);
    return !message_of([&] { f(writer); }).empty();
  };
  CHECK(refused([](JournalWriter& w) { w.add(JournalChunk{1, 0, 0, 64, 0, 0, 0, 0, false}); }));
  CHECK(refused([](JournalWriter& w) { w.add(JournalChunk{0, 2, 0, 64, 0, 0, 0, 0, false}); }));
  CHECK(refused([](JournalWriter& w) { w.add(JournalBooks{.stream = 1}); }));
  CHECK(refused([](JournalWriter& w) { w.add(JournalBooks{.replaces_last_gap = true}); }));
  CHECK(refused([&](JournalWriter& w) {
    w.add_rows(0, 0, 1, std::vector<std::span<const std::byte>>{four});
  }));
  CHECK(refused([&](JournalWriter& w) {
    w.add_rows(0, 0, 1, std::vector<std::span<const std::byte>>{four, four});
  }));
  CHECK_FALSE(refused([&](JournalWriter& w) {
    w.add_rows(0, 0, 1, std::vector<std::span<const std::byte>>{four, one});
  }));
}

TEST_CASE("Journal: every changed byte is noticed, and what is read was committed") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const RandomJournal journal(seed, 4, 6);
  std::mt19937_64 random(seed);
  for (std::size_t at = 0; at < journal.bytes.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xFF, 1 + static_cast<int>(random() % 255)}) {
      std::string bytes = journal.bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      CAPTURE(at, change);
      check_damaged(bytes, journal);
    }
  }
}

TEST_CASE("Journal: cut anywhere, it is read up to the last commit in front") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const RandomJournal journal(seed, 5, 6);
  for (std::size_t length = 0; length < journal.bytes.size(); ++length) {
    CAPTURE(length);
    check_damaged(journal.bytes.substr(0, length), journal);
    // As a file system may leave it that made it longer and did not come to write.
    std::string zeros = journal.bytes;
    std::fill(zeros.begin() + static_cast<std::ptrdiff_t>(length), zeros.end(), '\0');
    check_damaged(zeros, journal);
  }
}

TEST_CASE("Journal: blocks that are swapped, repeated, missing or another journal's are noticed") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const RandomJournal journal(seed, 12, 10);
  const RandomJournal other(seed + 1, 12, 10);
  for (const std::size_t block : {8U, 32U, 512U}) {
    const std::size_t blocks = std::min(journal.bytes.size(), other.bytes.size()) / block;
    std::mt19937_64 random(seed);
    for (int i = 0; i < 200; ++i) {
      const std::size_t a = random() % blocks * block;
      const std::size_t b = random() % blocks * block;
      CAPTURE(block, a, b);
      std::string bytes = journal.bytes;
      bytes.replace(a, block, journal.bytes.substr(b, block));
      check_damaged(bytes, journal);
      bytes.replace(b, block, journal.bytes.substr(a, block));
      check_damaged(bytes, journal);
      bytes = journal.bytes;
      bytes.replace(a, block, other.bytes.substr(a, block));
      check_damaged(bytes, journal);
      bytes = journal.bytes;
      check_damaged(bytes.erase(a, block), journal);
      bytes = journal.bytes;
      check_damaged(bytes.insert(a, journal.bytes.substr(b, block)), journal);
    }
  }
}

TEST_CASE("Journal: a frame of an older journal on the same blocks does not count") {
  // Both journals tell the same; the old one is longer.
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  const auto write = [&](const std::string& path, int lines) {
    JournalWriter writer(path, begin, disk);
    for (int i = 0; i < lines; ++i) {
      writer.add_log("the same line");
      writer.commit();
    }
    return writer.bytes();
  };
  write("old", 10);
  const std::uint64_t bytes = write("new", 5);
  std::string together = disk.names.at("new")->bytes;
  together += disk.names.at("old")->bytes.substr(together.size());
  disk.put("new", together);
  JournalReader reader("new", disk);
  CHECK(reader.commits() == 6);
  CHECK(reader.good_bytes() == bytes);
  CHECK(contains(reader.tail(), "byte " + std::to_string(bytes) + ": "));
  CHECK(reader.lost_commits() == 0);
}

TEST_CASE("Journal: commits behind damage are told of as lost") {
  MemoryDisk disk;
  std::vector<std::uint64_t> ends;  // [n]: of commit n + 1
  JournalWriter writer("a", begin_of({test::make_info({SampleType::int8})}), disk);
  for (int i = 0; i < 10; ++i) {
    ends.push_back(writer.bytes());
    writer.add_log("line");
    writer.commit();
  }
  ends.push_back(writer.bytes());
  writer.add_log(std::string(2 << 20, 'x'));  // so long that it is written at once
  const std::string all = disk.names.at("a")->bytes;
  const std::uint64_t commit_bytes = 40;
  const auto lost = [&](std::string bytes, std::size_t batch) {
    bytes[ends[batch] + 40] ^= 1;
    disk.put("damaged", std::move(bytes));
    JournalReader reader("damaged", disk);
    REQUIRE(reader.commits() == batch + 1);
    if (reader.lost_commits() > 0) REQUIRE(contains(reader.tail(), "lost"));
    return reader.lost_commits();
  };
  for (std::size_t batch = 0; batch < 10; ++batch) {
    CAPTURE(batch);
    CHECK(lost(all, batch) == 10 - batch);
    // Nobody can tell whether the very last commit returned.
    CHECK(lost(all.substr(0, ends[10]), batch) == 9 - batch);
    // With a frame behind it, the one before had.
    CHECK(lost(all.substr(0, ends[10] - commit_bytes), batch) == 9 - batch);
    // Its own frames once more are not behind it.
    CHECK(lost(all.substr(0, ends[10]) + all.substr(32, ends[9] - 32), batch) == 9 - batch);
  }
}

TEST_CASE("Journal: a file that is no journal is refused") {
  MemoryDisk disk;
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(100, 'x')}) {
    disk.put("a.journal", bytes);
    CHECK(contains(message_of([&] { JournalReader reader("a.journal", disk); }),
                   "a.journal: byte 0: "));
  }
  CHECK(contains(message_of([&] { JournalReader reader("b.journal", disk); }), "b.journal: "));
}

TEST_CASE("Journal: short writes and interruptions lose nothing") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  RandomRecords make(seed);
  MemoryDisk disk;
  disk.longest_write = 7;
  disk.before = [&](const std::string& call, const std::string&) {
    return (call == "pwrite" || call == "pread" || call == "open" || call == "flock") &&
                   make.chance(3)
               ? EINTR
               : 0;
  };
  const JournalBegin begin = make.begin();
  std::vector<std::string> expected{test::line_of(begin)};
  {
    JournalWriter writer("a.journal", begin, disk);
    for (int i = 0; i < 50; ++i) {
      const JournalRecord record = make.record(begin);
      test::add(writer, begin, record);
      expected.push_back(test::line_of(record));
      if (i % 7 == 0) writer.commit();
    }
    writer.commit();
  }
  JournalReader reader("a.journal", disk);
  CHECK(lines_of(reader) == expected);
  CHECK(reader.tail().empty());
}

TEST_CASE("Journal: after a failed write or sync nothing is tried again") {
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  for (const std::string failing : {"pwrite", "fdatasync"}) {
    for (const int code : {EIO, ENOSPC}) {
      CAPTURE(failing, code);
      MemoryDisk disk;
      JournalWriter writer("a.journal", begin, disk);
      writer.add_log("safe");
      writer.commit();
      bool fail = true;
      int calls = 0;
      disk.before = [&](const std::string& call, const std::string&) {
        ++calls;
        return fail && call == failing ? code : 0;
      };
      writer.add_log("not safe");
      std::string first;
      try {
        writer.commit();
        FAIL("no error");
      } catch (const Error& error) {
        first = error.what();
        CHECK((dynamic_cast<const DiskFull*>(&error) != nullptr) == (code == ENOSPC));
      }
      CHECK(contains(first, "a.journal: "));
      fail = false;
      calls = 0;
      CHECK(message_of([&] { writer.commit(); }) == first);
      CHECK(message_of([&] { writer.add_log("x"); }) == first);
      CHECK(message_of([&] { writer.add(JournalEnd{}); }) == first);
      CHECK(calls == 0);
      CHECK(writer.commits() == 2);
      disk.before = {};
      JournalReader reader("a.journal", disk);
      CHECK(reader.commits() >= 2);
    }
  }
}

TEST_CASE("Journal: a journal that can't be made leaves nothing, whatever fails") {
  const JournalBegin begin = begin_of({test::make_info({SampleType::float64})});
  std::vector<std::string> failed;
  for (int failing = 0; failing < 20; ++failing) {
    MemoryDisk disk;
    int calls = 0;
    disk.before = [&](const std::string& call, const std::string&) {
      if (calls++ != failing) return 0;
      failed.push_back(call);
      return EIO;
    };
    const std::string message = message_of([&] { JournalWriter writer("a.journal", begin, disk); });
    CAPTURE(failing, message);
    if (calls <= failing || failed.back() == "close") continue;
    CHECK(contains(message, "a.journal") + contains(message, ".: can't be synced") == 1);
    CHECK(disk.names.empty());
  }
  const std::vector<std::string> all{"open",      "flock",  "pwrite",
                                     "fdatasync", "rename", "sync_directory"};
  CHECK(std::vector<std::string>(failed.begin(), failed.begin() + 6) == all);
}

namespace {

// What a recording's journal must say at some moment, whether it was compacted or not.
struct Needed {
  std::vector<std::string> chunks, others;                   // events, log, end
  std::map<std::uint32_t, std::vector<std::string>> tables;  // finished segments, gaps, ...
  std::map<std::uint32_t, std::string> last_books;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::string> rows;  // in no chunk
};

// Rows of a frame, one by one, as text.
void add_each_row(const JournalBegin& begin, const JournalRows& rows,
                  std::map<std::pair<std::uint32_t, std::uint64_t>, std::string>& to) {
  const auto columns = columns_of(begin.info.streams[rows.stream]);
  for (std::uint32_t r = 0; r < rows.rows; ++r) {
    std::string row;
    std::size_t at = 0;
    for (const ColumnInfo& column : columns) {
      row += test::hex(std::span(rows.bytes).subspan(at + r * column.row_bytes, column.row_bytes));
      at += column.row_bytes * rows.rows;
    }
    to[{rows.stream, rows.first_row + r}] = row;
  }
}

void take_books(Needed& needed, JournalBooks books) {
  std::vector<std::string>& tables = needed.tables[books.stream];
  for (const Segment& segment : books.finished) tables.push_back(test::line_of(segment));
  for (const Gap& gap : books.gaps)
    tables.push_back((books.replaces_last_gap ? "replaced by" : "") + test::line_of(gap));
  for (const Anchor& anchor : books.anchors) tables.push_back(test::line_of(anchor));
  for (const CalibrationChange& change : books.calibrations)
    tables.push_back(test::line_of(change));
  books.finished = {};
  books.gaps = {};
  books.anchors = {};
  books.calibrations = {};
  books.replaces_last_gap = false;
  needed.last_books[books.stream] = test::line_of(books);
}

// A recording of two streams in steps, each with a commit.
struct Recorder {
  JournalBegin begin;
  RandomRecords make;
  std::vector<Needed> after;  // [n]: after commit n; [0]: before there is a journal
  std::uint64_t acknowledged = 0;

  explicit Recorder(std::uint64_t seed, Durability durability = Durability::full)
      : begin(begin_of({test::make_info({SampleType::int16, SampleType::float64}),
                        test::make_info({SampleType::int8}, 1 << 16, std::nullopt)},
                       durability)),
        make(seed),
        after(2) {
    begin.info.streams[1].name = "irregular";
  }

  void run(const std::string& path, FileCalls& calls, std::uint64_t compact_above, int steps) {
    JournalWriter writer(path, begin, calls, compact_above);
    acknowledged = 1;
    std::vector<std::uint64_t> rows(2), in_chunks(2);
    for (int step = 0; step < steps; ++step) {
      Needed needed = after.back();
      for (std::uint32_t s = 0; s < 2; ++s) {
        const auto columns = static_cast<std::uint32_t>(columns_of(begin.info.streams[s]).size());
        std::size_t row_bytes = 0;
        for (const ColumnInfo& column : columns_of(begin.info.streams[s]))
          row_bytes += column.row_bytes;
        const auto count = static_cast<std::uint32_t>(make.below(s == 0 ? 40 : 10));
        if (count > 0) {
          const JournalRows added = rows_of(s, rows[s], count, row_bytes);
          test::add_rows(writer, begin, added);
          add_each_row(begin, added, needed.rows);
          rows[s] += count;
        }
        while (rows[s] >= in_chunks[s] + 64) {
          for (std::uint32_t c = 0; c < columns; ++c) {
            JournalChunk chunk = make.chunk(begin);
            chunk.stream = s;
            chunk.column = c;
            chunk.first_row = in_chunks[s];
            chunk.rows = 64;
            writer.add(chunk);
            needed.chunks.push_back(test::line_of(chunk));
          }
          for (int r = 0; r < 64; ++r) needed.rows.erase({s, in_chunks[s]++});
        }
        // The second stream has often no books from one compaction to the next.
        if (s == 1 && !make.chance(12)) continue;
        JournalBooks books = make.books(begin);
        books.stream = s;
        books.calibrations = {};
        if (!make.chance(4)) books = {.stream = s, .counts = books.counts, .open = books.open};
        writer.add(books);
        take_books(needed, books);
      }
      if (make.chance(5)) {
        const JournalLog log{make.bytes()};
        writer.add_log(log.line);
        needed.others.push_back(test::line_of(log));
      }
      after.push_back(std::move(needed));
      writer.commit();
      ++acknowledged;
    }
  }

  // What is wrong with what this reader says; empty: nothing.
  [[nodiscard]] std::string check(JournalReader& reader) const {
    if (reader.commits() >= after.size()) return "more commits than there were";
    const Needed& expected = after[reader.commits()];
    Needed read;
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::string> rows;
    while (const auto record = reader.next()) {
      if (const auto* const chunk = std::get_if<JournalChunk>(&*record))
        read.chunks.push_back(test::line_of(*chunk));
      else if (const auto* const r = std::get_if<JournalRows>(&*record))
        add_each_row(begin, *r, rows);
      else if (const auto* const books = std::get_if<JournalBooks>(&*record))
        take_books(read, *books);
      else if (!std::holds_alternative<JournalBegin>(*record))
        read.others.push_back(test::line_of(*record));
    }
    if (test::line_of(reader.begin()) != test::line_of(begin)) return "another beginning";
    if (read.chunks != expected.chunks) return "other chunks";
    if (read.others != expected.others) return "another log";
    if (read.last_books != expected.last_books) return "other counts";
    for (const auto& [stream, tables] : expected.tables)
      if (read.tables[stream] != tables) return "other tables";
    for (const auto& [row, bytes] : expected.rows)
      if (rows.count(row) == 0 || rows[row] != bytes)
        return "row " + std::to_string(row.second) + " is not as added";
    return {};
  }
};

}  // namespace

TEST_CASE("Journal: compaction keeps what is needed, and the journal small") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  for (const std::uint64_t above : {0U, 2000U, 20000U, 100000000U}) {
    CAPTURE(above);
    MemoryDisk disk;
    int renames = 0;
    disk.before = [&](const std::string& call, const std::string&) {
      renames += call == "rename";
      return 0;
    };
    Recorder recorder(seed);
    recorder.run("a.journal", disk, above, 150);
    JournalReader reader("a.journal", disk);
    CHECK(reader.commits() == 151);
    CHECK(reader.tail().empty());
    CHECK(recorder.check(reader) == "");
    CHECK((renames > 1) == (above < 100000));
    CHECK(disk.names.size() == 1);
  }
}

TEST_CASE("Journal: small books that later ones repeat don't make a journal grow") {
  MemoryDisk disk;
  JournalWriter writer("a.journal", begin_of({test::make_info({SampleType::int8})}), disk, 4000);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    writer.add(JournalBooks{.counts = {i, i, 0, 0}, .open = Segment{0, 0, i, 0, 0, 0}});
    writer.commit();
    REQUIRE(writer.bytes() < 8000);
  }
  JournalReader reader("a.journal", disk);
  std::uint64_t last = 0;
  while (const auto record = reader.next())
    if (const auto* const books = std::get_if<JournalBooks>(&*record))
      last = books->counts.produced;
  CHECK(last == 1000);
  CHECK(reader.commits() == 1001);
}

TEST_CASE("Journal: rows behind a hole between chunks are kept") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::int8})});
  {
    JournalWriter writer("a.journal", begin, disk, 1000);
    test::add_rows(writer, begin, rows_of(0, 0, 192, 2));
    for (std::uint32_t c = 0; c < 2; ++c)
      for (const std::uint64_t first_row : {std::uint64_t{0}, std::uint64_t{128}})
        writer.add(JournalChunk{0, c, first_row, 64, 0, 4096, 64, 0, false});
    for (std::uint64_t i = 0; i < 50; ++i) {
      writer.add(JournalBooks{.counts = {i, i, 0, 0}});
      writer.commit();
    }
    CHECK(writer.bytes() < 2500);  // it was compacted
  }
  JournalReader reader("a.journal", disk);
  bool kept = false;
  while (const auto record = reader.next())
    if (const auto* const rows = std::get_if<JournalRows>(&*record)) kept = rows->rows == 192;
  CHECK(kept);
}

TEST_CASE("Journal: the last books of a stream stay, however often the journal is compacted") {
  MemoryDisk disk;
  int renames = 0;
  disk.before = [&](const std::string& call, const std::string&) {
    renames += call == "rename";
    return 0;
  };
  std::vector<StreamInfo> streams(2, test::make_info({SampleType::int8}));
  streams[1].name = "silent";
  JournalWriter writer("a.journal", begin_of(streams), disk, 1000);
  writer.add(JournalBooks{.stream = 1, .counts = {7, 7, 0, 0}});
  for (std::uint64_t i = 0; i < 100; ++i) {
    writer.add(JournalBooks{.counts = {i, i, 0, 0}});
    writer.commit();
  }
  CHECK(renames > 3);
  JournalReader reader("a.journal", disk);
  std::vector<std::uint64_t> produced(2);
  while (const auto record = reader.next())
    if (const auto* const books = std::get_if<JournalBooks>(&*record))
      produced[books->stream] = books->counts.produced;
  CHECK(produced == std::vector<std::uint64_t>{99, 7});
}

TEST_CASE("Journal: killed at any system call, it has everything acknowledged") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  Recorder recorder(seed);
  MemoryDisk disk;
  disk.longest_write = 700;  // so that some are in the middle of a write
  struct Moment {
    std::unique_ptr<MemoryDisk> disk;
    std::string call;
    std::uint64_t acknowledged;
  };
  std::vector<Moment> moments;
  disk.before = [&](const std::string& call, const std::string&) {
    moments.push_back({disk.after_kill(), call, recorder.acknowledged});
    return 0;
  };
  recorder.run("a.journal", disk, 3000, 60);
  std::mt19937_64 random(seed);
  std::size_t renames = 0;
  for (const Moment& moment : moments) {
    renames += moment.call == "rename";
    for (int round = 0; round < 6; ++round) {
      const bool cut = round > 0;
      CAPTURE(moment.call, moment.acknowledged, cut);
      const auto left = cut ? moment.disk->after_power_cut(random) : moment.disk->after_kill();
      if (moment.acknowledged == 0 && left->names.count("a.journal") == 0) continue;
      JournalReader reader("a.journal", *left);
      REQUIRE_FALSE(reader.in_use());
      REQUIRE(reader.commits() >= moment.acknowledged);
      REQUIRE(reader.commits() <= moment.acknowledged + 1);
      REQUIRE(reader.lost_commits() == 0);
      REQUIRE(recorder.check(reader) == "");
    }
  }
  CHECK(renames > 2);
}

TEST_CASE("Journal: whatever fails in a compaction, nothing acknowledged is lost") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  // The calls of all compactions: everything that has to do with ".new", and what follows.
  int total = 1;
  std::size_t went_on = 0;
  for (int failing = -1; failing < total; ++failing) {
    for (const int code : {EIO, ENOSPC}) {
      CAPTURE(failing, code);
      Recorder recorder(seed);
      MemoryDisk disk;
      int calls = 0;
      std::string failed;
      disk.before = [&](const std::string& call, const std::string& path) {
        const bool counts = recorder.acknowledged > 0 &&
                            (contains(path, ".new") || call == "rename" || call == "pread" ||
                             call == "sync_directory" || call == "free_bytes");
        if (!counts || calls++ != failing) return 0;
        failed = call;
        return code;
      };
      const std::string error = message_of([&] { recorder.run("a.journal", disk, 3000, 60); });
      if (failing < 0) total = std::min(calls, 150);
      CAPTURE(failed, error);
      if (error.empty()) {
        ++went_on;
        REQUIRE(recorder.acknowledged == 61);
      } else {
        // Which of the two a power cut leaves, nobody knows then.
        REQUIRE(failed == "sync_directory");
      }
      disk.before = {};
      JournalReader reader("a.journal", disk);
      REQUIRE(reader.commits() >= recorder.acknowledged);
      REQUIRE(recorder.check(reader) == "");
      std::mt19937_64 random(seed);
      const auto left = disk.after_power_cut(random);
      JournalReader after("a.journal", *left);
      REQUIRE(after.commits() >= recorder.acknowledged);
      REQUIRE(recorder.check(after) == "");
    }
  }
  CHECK(went_on > 10);
}

TEST_CASE("Journal: damage on the disk does not get a right checksum by compaction") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::int8})});
  JournalWriter writer("a.journal", begin, disk, 10'000);
  writer.add_log("a line that is damaged");
  writer.commit();
  const std::size_t line = disk.names.at("a.journal")->bytes.find("a line that");
  disk.names.at("a.journal")->bytes[line] ^= 1;
  for (std::uint64_t i = 1; i < 300; ++i) {
    writer.add(JournalBooks{.counts = {i, i, 0, 0}});
    writer.commit();
  }
  CHECK(writer.bytes() > 20'000);
  JournalReader reader("a.journal", disk);
  CHECK(reader.commits() == 1);
  CHECK(reader.lost_commits() >= 298);
}

TEST_CASE("Journal: a reader that opens it while another takes its place reads the one in place") {
  MemoryDisk disk;
  const JournalBegin begin = begin_of({test::make_info({SampleType::int8})});
  std::optional<JournalWriter> writer(std::in_place, "a.journal", begin, disk, 3000);
  int opened = 0;
  disk.before = [&](const std::string& call, const std::string& path) {
    if (call != "flock" || path != "a.journal" || ++opened > 1) return 0;
    const auto inode = disk.names.at("a.journal");
    for (std::uint64_t i = 1; disk.names.at("a.journal") == inode; ++i) {
      writer->add(JournalBooks{.counts = {i, i, 0, 0}});
      writer->commit();
    }
    return 0;
  };
  JournalReader reader("a.journal", disk);
  CHECK(opened == 2);
  CHECK(reader.in_use());
  CHECK(reader.commits() == writer->commits());
}

TEST_CASE("Journal: another program that knows only docs/journal.md reads the same") {
  if (std::system("/usr/bin/python3 -c 'import json' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("no python3 at /usr/bin: not tested");
    return;
  }
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const TemporaryDirectory directory;
  std::mt19937_64 random(seed);
  std::string command = std::string("/usr/bin/python3 '") + SPILLWAY_JOURNAL_READER + "'";
  std::string expected;
  for (std::size_t i = 0; i < 60; ++i) {
    std::string bytes = RandomJournal(seed + i, 5, 10).bytes;
    if (i % 3 == 1) bytes.resize(random() % bytes.size());
    if (i % 3 == 2) bytes[random() % bytes.size()] ^= static_cast<char>(1 + random() % 255);
    const std::string path = directory / std::to_string(i);
    test::write_text(path, bytes);
    command += " '" + path + "'";
    expected += "file\n";
    try {
      JournalReader reader(path, system_file_calls());
      for (const std::string& line : lines_of(reader)) expected += line + "\n";
      expected += fmt::format("{} bytes {} commits {} of {}\n", reader.good_bytes(),
                              reader.commits(), stopped_at(reader), reader.size());
    } catch (const Error&) {
      expected += "error\n";
    }
  }
  REQUIRE(std::system((command + " > '" + (directory / "out") + "'").c_str()) == 0);  // NOLINT
  std::istringstream theirs(test::contents(directory / "out"));
  std::istringstream ours(expected);
  std::string their_line;
  std::string our_line;
  while (std::getline(ours, our_line)) {
    REQUIRE(std::getline(theirs, their_line));
    REQUIRE(their_line == our_line);
  }
  CHECK_FALSE(std::getline(theirs, their_line));
}

TEST_CASE("what names no durability is told in one line, whatever it is") {
  CHECK(message_of([] { (void)durability_from("p\nr\x01o"); }) ==
        "durability 'p?r?o': allowed are full, process, none");
}

}  // namespace spillway
