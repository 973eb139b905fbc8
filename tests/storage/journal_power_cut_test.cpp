// The journal alone, when the power is cut under it: what was committed is there, and nothing
// that was never added.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <random>

#include "faulty_files.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

const std::string path = "/disk/run.h5.journal";
constexpr std::uint64_t chunk_rows = 64;

// What is in a journal, however it is cut into records.
struct Content {
  struct PerStream {
    std::uint64_t rows = 0;        // by the books
    std::uint64_t known_rows = 0;  // in chunks or in the journal, from the first without a hole
    std::vector<std::uint64_t> gaps;
    friend bool operator==(const PerStream&, const PerStream&) = default;
  };
  std::vector<PerStream> streams{2};
  std::vector<std::string> lines;
  std::vector<std::uint64_t> events;
  bool ended = false;
  friend bool operator==(const Content&, const Content&) = default;
};

std::vector<std::byte> values(std::uint64_t first, std::uint64_t rows) {
  std::vector<std::byte> bytes(rows * 8);
  for (std::uint64_t i = 0; i < rows; ++i) {
    const std::uint64_t value = (first + i) * 0x9E3779B97F4A7C15;
    std::memcpy(bytes.data() + i * 8, &value, 8);
  }
  return bytes;
}

JournalBegin beginning() {
  JournalBegin begin;
  begin.format = "hdf5";
  begin.file = "run.h5.part";
  begin.path = "run.h5";
  StreamInfo info = make_info({SampleType::uint64});
  begin.info = recording_of({info, info});
  begin.info.streams[1].name = "other";
  begin.chunk_rows = {chunk_rows, chunk_rows};
  return begin;
}

// Writes a journal as a sink would; `content` is what it holds with the next commit.
class Recorder {
 public:
  Recorder(std::uint64_t seed, FileCalls& calls)
      : random_(seed), journal_(path, beginning(), calls, 4096) {}

  void step() {
    const auto s = static_cast<std::uint32_t>(random_() % 2);
    Content::PerStream& stream = content.streams[s];
    switch (random_() % 6) {
      case 0:
        content.lines.push_back(std::string(random_() % 300, 'l') + std::to_string(random_()));
        journal_.add_log(content.lines.back());
        break;
      case 1:
        content.events.push_back(random_());
        journal_.add(RecordedEvent{0, "kind", "subject", content.events.back(), 0, "text"});
        break;
      default: add_rows(s, 1 + random_() % 100);
    }
    if (random_() % 3 == 0) {
      gaps_[s].push_back({stream.gaps.size(), 1, 1, 0, Absence::lost});
      stream.gaps.push_back(gaps_[s].back().first_sample);
    }
  }
  void commit() {
    for (std::uint32_t s = 0; s < 2; ++s) {
      JournalBooks books;
      books.stream = s;
      books.counts.recorded = content.streams[s].rows;
      books.open = Segment{0, 0, content.streams[s].rows, 0, 0, 0};
      books.gaps = std::exchange(gaps_[s], {});
      journal_.add(books);
    }
    journal_.commit();
  }
  void end() {
    content.ended = true;
    JournalEnd end;
    end.ending.reason = "done";
    journal_.add(end);
    journal_.commit();
  }

  Content content;

 private:
  void add_rows(std::uint32_t s, std::uint64_t rows) {
    Content::PerStream& stream = content.streams[s];
    const std::uint64_t end = stream.rows + rows;
    for (; (chunks_[s] + 1) * chunk_rows <= end; ++chunks_[s])
      for (std::uint32_t column = 0; column < 2; ++column)
        journal_.add(JournalChunk{s, column, chunks_[s] * chunk_rows, chunk_rows, 3, 4096, 512, 0});
    // The chunks hold the rows in front.
    const std::uint64_t from = std::max(stream.rows, chunks_[s] * chunk_rows);
    const auto rest = static_cast<std::uint32_t>(end - from);
    const std::vector<std::byte> bytes = values(from, rest);
    const std::vector<std::byte> quality(rest);
    const std::array<std::span<const std::byte>, 2> columns{bytes, quality};
    if (rest > 0) journal_.add_rows(s, from, rest, columns);
    stream.rows = stream.known_rows = end;
  }

  std::mt19937_64 random_;
  JournalWriter journal_;
  std::array<std::uint64_t, 2> chunks_{};
  std::array<std::vector<Gap>, 2> gaps_;
};

// Throws Error if rows are other than what was added.
Content read(JournalReader& reader) {
  Content content;
  std::array<std::array<std::uint64_t, 2>, 2> in_chunks{};
  std::array<std::map<std::uint64_t, std::uint64_t>, 2> in_rows;
  while (const std::optional<JournalRecord> record = reader.next()) {
    if (const auto* const chunk = std::get_if<JournalChunk>(&*record)) {
      if (chunk->first_row != in_chunks[chunk->stream][chunk->column]) throw Error("a hole");
      in_chunks[chunk->stream][chunk->column] += chunk->rows;
    } else if (const auto* const rows = std::get_if<JournalRows>(&*record)) {
      const std::vector<std::byte> want = values(rows->first_row, rows->rows);
      const std::span<const std::byte> have = rows->bytes;
      if (have.size() != want.size() + rows->rows ||
          !std::equal(want.begin(), want.end(), have.begin()))
        throw Error("other rows");
      std::uint64_t& end = in_rows[rows->stream][rows->first_row];
      end = std::max(end, rows->first_row + rows->rows);
    } else if (const auto* const books = std::get_if<JournalBooks>(&*record)) {
      Content::PerStream& stream = content.streams[books->stream];
      stream.rows = books->counts.recorded;
      for (const Gap& gap : books->gaps) stream.gaps.push_back(gap.first_sample);
    } else if (const auto* const event = std::get_if<RecordedEvent>(&*record)) {
      content.events.push_back(event->first);
    } else if (const auto* const log = std::get_if<JournalLog>(&*record)) {
      content.lines.push_back(log->line);
    } else if (std::holds_alternative<JournalEnd>(*record)) {
      content.ended = true;
    }
  }
  for (std::size_t s = 0; s < 2; ++s) {
    std::uint64_t& known = content.streams[s].known_rows;
    known = std::min(in_chunks[s][0], in_chunks[s][1]);
    for (const auto& [first, end] : in_rows[s])
      if (first <= known) known = std::max(known, end);
  }
  return content;
}

struct Commit {
  std::uint64_t begun = 0;     // operations of the disk before and
  std::uint64_t returned = 0;  // after it
  Content content;
};

}  // namespace

TEST_CASE("what a journal has committed survives every power cut, its rewriting included") {
  const std::uint64_t recordings = soak(60);
  CutCounts counts;
  std::uint64_t cuts = 0;
  std::uint64_t rewritten = 0;
  std::uint64_t more = 0;  // than was acknowledged
  std::uint64_t before_directory_sync = 0;
  for (std::uint64_t n = 0; n < recordings; ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    struct Cut {
      std::uint64_t operation;
      DiskState state;
    };
    std::vector<Cut> states;
    std::vector<Commit> commits;
    {
      SimulatedDisk disk;
      bool renamed = false;
      disk.watch([&](std::uint64_t number, const DiskOperation& operation, const DiskState& state) {
        states.push_back({number, state});
        before_directory_sync += renamed;
        renamed = operation.kind == DiskOperation::Kind::rename ||
                  (renamed && operation.kind != DiskOperation::Kind::sync_directory);
        rewritten += operation.kind == DiskOperation::Kind::rename;
        return true;
      });
      std::mt19937_64 random(seed + 2);
      Recorder recorder(seed, disk);
      commits.push_back({0, disk.operations(), {}});
      for (int i = 0; i < 120; ++i) {
        recorder.step();
        if (random() % 3 != 0) continue;
        const std::uint64_t begun = disk.operations();
        recorder.commit();
        commits.push_back({begun, disk.operations(), recorder.content});
      }
      std::uint64_t begun = disk.operations();
      recorder.commit();
      commits.push_back({begun, disk.operations(), recorder.content});
      begun = disk.operations();
      recorder.end();
      commits.push_back({begun, disk.operations(), recorder.content});
      states.push_back({disk.operations(), disk.state()});
    }
    std::mt19937_64 random(seed + 1);
    for (const Cut& cut : states) {
      const std::uint64_t tear = random();
      SimulatedDisk left(cut.state.after_power_cut(tear, tear % 2 == 0, counts));
      ++cuts;
      CAPTURE(cut.operation, tear);
      std::size_t acknowledged = 0;
      while (acknowledged < commits.size() && commits[acknowledged].returned <= cut.operation)
        ++acknowledged;
      if (acknowledged == 0) continue;  // nothing was
      std::string message;
      try {
        JournalReader reader(path, left);
        const Content content = read(reader);
        if (reader.in_use()) throw Error("somebody writes it");
        if (reader.lost_commits() > 0) throw Error("lost commits: " + reader.tail());
        std::size_t found = acknowledged - 1;
        while (found < commits.size() && !(commits[found].content == content)) ++found;
        if (found == commits.size()) throw Error("none of the states there were");
        if (commits[found].begun > cut.operation) throw Error("of the future");
        more += found >= acknowledged;
      } catch (const Error& error) {
        message = error.what();
      }
      REQUIRE(message == "");
    }
  }
  WARN(
      fmt::format("{} cuts, {} before the sync of the directory, {} journals rewritten, {} with "
                  "more than was acknowledged; {}",
                  cuts, before_directory_sync, rewritten - recordings, more, to_string(counts)));
  CHECK(cuts > 50 * recordings);
  CHECK(rewritten > 2 * recordings);
  CHECK(before_directory_sync >= rewritten);
  CHECK(counts.pages_torn > recordings);
  CHECK(counts.renames_lost > 0);
  CHECK(more > 0);
}

TEST_CASE("a journal whose sync failed is not synced again, and keeps what was committed") {
  std::uint64_t struck = 0;
  CutCounts counts;
  for (std::uint64_t number = 0;; ++number) {
    const std::uint64_t seed = 7 + number;
    SimulatedDisk disk;
    FaultyFiles files(disk);
    files.add({.call = FileCall::fdatasync,
               .first = number,
               .count = 1,
               .error = EIO,
               .then = [&](const std::string& file) { disk.give_up_unsynced(file); }});
    Content acknowledged;
    std::uint64_t tried = 0;
    std::uint64_t told = 0;
    bool begun = false;
    try {
      Recorder recorder(7, files);
      begun = true;
      for (int i = 0; i < 60; ++i) {
        recorder.step();
        if (i % 3 != 0) continue;
        recorder.commit();
        acknowledged = recorder.content;
      }
    } catch (const Error& error) {
      ++told;
      CHECK(contains(error.what(), "Input/output error"));
    }
    tried += files.syncs_tried_again();
    if (files.struck() == 0) break;
    ++struck;
    CAPTURE(number);
    CHECK(tried == 0);
    if (!begun) continue;
    SimulatedDisk left(disk.state().after_power_cut(seed, false, counts));
    JournalReader reader(path, left);
    const Content content = read(reader);
    if (told > 0) {
      for (std::size_t s = 0; s < 2; ++s) {
        CHECK(content.streams[s].rows >= acknowledged.streams[s].rows);
        CHECK(content.streams[s].known_rows >= acknowledged.streams[s].known_rows);
      }
      CHECK(content.lines.size() >= acknowledged.lines.size());
    }
  }
  CHECK(struck > 10);
}
