// What an HDF5 recording and its journal hold together while it grows.
#include <fmt/format.h>

#include <cerrno>
#include <random>
#include <set>

#include "faulty_files.hpp"
#include "hdf5_support.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

std::vector<Feed> feeds_of(const std::vector<StreamInfo>& infos) {
  std::vector<Feed> feeds;
  for (std::size_t i = 0; i < infos.size(); ++i) feeds.emplace_back(infos[i], i);
  return feeds;
}

std::vector<StreamInfo> three_streams() {
  std::vector<StreamInfo> infos{
      make_info({SampleType::int16, SampleType::float64, SampleType::uint8}, 64, Rate(500, 1)),
      make_info({SampleType::float32}, 64, std::nullopt),
      make_info({SampleType::int32}, 64, Rate(1, 2))};  // slow
  infos[0].name = "fast";
  infos[1].name = "irregular";
  infos[2].name = "slow";
  return infos;
}

// The first thing in which rows are not those that were appended; empty: nothing.
std::string difference(const Rebuilt& rebuilt, const std::vector<Feed>& feeds) {
  if (!rebuilt.wrong.empty()) return rebuilt.wrong;
  for (std::size_t s = 0; s < feeds.size(); ++s) {
    const std::size_t rows = feeds[s].numbers().size();
    if (rebuilt.counts[s].recorded != rows)
      return fmt::format("stream {}: {} rows counted, {} appended", s, rebuilt.counts[s].recorded,
                         rows);
    if (rows > 0 && rebuilt.rows(s) != rows)
      return fmt::format("stream {}: {} rows, {} appended", s, rebuilt.rows(s), rows);
    const auto columns = columns_of(feeds[s].info());
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (rows > 0 && rebuilt.streams[s][c].bytes != feeds[s].expected(columns[c], rows))
        return fmt::format("stream {}: {}: other rows", s, columns[c].name);
  }
  return {};
}

// The same of a sealed recording.
std::string difference(const Recording& recording, const std::vector<Feed>& feeds) {
  for (std::size_t s = 0; s < feeds.size(); ++s) {
    const RecordedStream& stream = recording.streams()[s];
    const std::size_t rows = feeds[s].numbers().size();
    if (stream.rows != rows)
      return fmt::format("stream {}: {} rows, {} appended", s, stream.rows, rows);
    for (const ColumnInfo& column : columns_of(feeds[s].info())) {
      std::vector<std::byte> bytes(rows * column.row_bytes);
      const auto as = [&]<class T>(std::type_identity<T>) {
        return std::span(reinterpret_cast<T*>(bytes.data()), rows);
      };
      switch (column.kind) {
        case ColumnInfo::Kind::values:
          visit_sample_type(feeds[s].info().channels[column.channel].type,
                            [&]<class T>(std::type_identity<T> type) {
                              recording.read_raw<T>(s, column.channel, 0, as(type));
                            });
          break;
        case ColumnInfo::Kind::quality:
          recording.read_quality(s, column.channel, 0, as(std::type_identity<Quality>{}));
          break;
        case ColumnInfo::Kind::time_ns:
          recording.read_times(s, 0, as(std::type_identity<Time>{}));
          break;
      }
      if (bytes != feeds[s].expected(column, rows))
        return fmt::format("stream {}: {}: other rows", s, column.name);
    }
    for (std::size_t row = 0; row < rows; row += 97)
      if (stream.number(row).value != feeds[s].numbers()[row])
        return fmt::format("stream {}: row {} has another number", s, row);
  }
  return {};
}

}  // namespace

TEST_CASE("after each flush, file and journal together hold every row that was appended") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::uint64_t round = 0; round < soak(24); ++round) {
    TemporaryDirectory directory;
    const std::string path = directory / "a.h5";
    Hdf5Options options;
    options.durability = random() % 2 ? Durability::full : Durability::process;
    options.compression = std::array{0, 0, 1, 6}[random() % 4];
    options.compression_threads = random() % 3;
    options.compatible = random() % 4 == 0;
    CAPTURE(round, options.compression, options.compression_threads, options.compatible);
    std::vector<Feed> feeds = feeds_of(three_streams());
    Hdf5Sink sink(path, Existing::refuse, options);
    sink.begin(recording_of(three_streams()));
    const std::size_t largest = std::array<std::size_t, 3>{30, 700, 3000}[random() % 3];
    for (int action = 0; action < 40; ++action) {
      Feed& feed = feeds[random() % 3];
      feed.append(sink, random() % largest, random() % 5 == 0 ? random() % 100 : 0);
      if (random() % 3 != 0) continue;
      sink.flush();
      const std::string wrong = difference(rebuild(path), feeds);
      INFO(wrong);
      REQUIRE(wrong.empty());
    }
    sink.close({});
    CHECK_FALSE(exists(path + ".part"));
    CHECK_FALSE(exists(path + ".journal"));
    const std::string wrong = difference(Recording::open(path), feeds);
    INFO(wrong);
    REQUIRE(wrong.empty());
    for (std::size_t s = 0; s < feeds.size(); ++s) CHECK(sink.end(s).value == feeds[s].next());
  }
}

TEST_CASE("the journal has the books, events and the log as the file has them") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  std::vector<Feed> feeds = feeds_of(three_streams());
  Hdf5Sink sink(path, Existing::refuse);
  RecordingInfo info = recording_of(three_streams(), "a title");
  info.state = std::string("\0state\0", 7);
  sink.begin(info);
  const RecordedEvent first{7, "kind", "subject", 1, 2, "text"};
  RecordedEvent longer{8, std::string(30, 'k'), "", 0, 0, std::string(255, 'x') + "\u00e4"};
  sink.append_event(first);
  sink.append_log("{\"a\":1}");
  feeds[0].append(sink, 100);
  feeds[0].append(sink, 5, 17);
  sink.flush();
  sink.append_event(longer);
  sink.append_log("{\"b\":\"\u00e4\"}");
  feeds[0].append(sink, 1000, 3);
  sink.flush();
  const Rebuilt rebuilt = rebuild(path);
  CHECK(rebuilt.wrong.empty());
  CHECK(rebuilt.begin.info.title == "a title");
  CHECK(rebuilt.begin.info.state == info.state);
  CHECK(rebuilt.begin.file == "a.h5.part");
  CHECK(rebuilt.begin.path == "a.h5");
  CHECK(rebuilt.begin.format == "hdf5");
  CHECK_FALSE(rebuilt.begin.info.start_time.empty());
  CHECK(rebuilt.events == std::vector<RecordedEvent>{first, longer});
  CHECK(rebuilt.log == std::vector<std::string>{"{\"a\":1}", "{\"b\":\"\u00e4\"}"});
  CHECK(rebuilt.counts[0] == RecordedCounts{1125, 1105, 0, 20});
  sink.close({});
  const Recording recording = Recording::open(path);
  CHECK(recording.streams()[0].segments == rebuilt.segments[0]);
  CHECK(recording.streams()[0].gaps == rebuilt.gaps[0]);
  CHECK(recording.start_time() == rebuilt.begin.info.start_time);
}

TEST_CASE("quality that does not change costs nearly nothing, with and without compression") {
  const int compression = GENERATE(0, 3);
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int32}, 64, Rate(500, 1));  // chunks of 1024
  Feed feed(info, 0);
  Hdf5Sink sink(path, Existing::refuse, {.compression = compression});
  sink.begin(recording_of({info}));
  // Chunk 0 is good, 1 changes in its second half, 2 is varied from its start.
  for (int i = 0; i < 30; ++i) {
    feed.append(sink, 100);
    sink.flush();
  }
  feed.append(sink, 72);
  sink.flush();
  const Rebuilt rebuilt = rebuild(path);
  CHECK(difference(rebuilt, {feed}).empty());
  const Rebuilt::Column& quality = rebuilt.streams[0][1];
  CHECK(quality.chunks == 3);
  if (compression == 0) {
    CHECK(quality.raw_chunks == 2);
    CHECK(quality.chunk_bytes < 2 * 1024 + 64);
  } else {
    CHECK(quality.raw_chunks == 0);
    CHECK(quality.chunk_bytes < 900);
    CHECK(rebuilt.streams[0][0].raw_chunks == 0);
    CHECK(rebuilt.streams[0][0].chunk_bytes < 3 * 2048);
  }
}

TEST_CASE("a journal that stands there is refused, but that of a sealed recording") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int32});
  const std::string journal = path + ".journal";
  const auto left_behind = [&](bool end) {
    JournalBegin begin{"hdf5", "a.h5.part", "a.h5", Durability::process, recording_of({info}),
                       {64}};
    JournalWriter writer(journal, begin, system_file_calls());
    if (end) writer.add(JournalEnd{});
    writer.commit();
  };
  left_behind(false);
  const std::string kept = contents(journal);
  const std::string message = message_of([&] { Hdf5Sink(path, Existing::replace); });
  CHECK(contains(message, journal));
  CHECK(contains(message, "another recording"));
  CHECK(contents(journal) == kept);
  CHECK_FALSE(exists(path + ".part"));
  std::filesystem::remove(journal);

  write_text(journal, "no journal at all");
  CHECK(contains(message_of([&] { Hdf5Sink(path, Existing::refuse); }), "another recording"));
  std::filesystem::remove(journal);

  left_behind(true);
  Hdf5Sink sink(path, Existing::refuse);
  CHECK_FALSE(exists(journal));
  // Of a recorder that lives.
  sink.begin(recording_of({info}));
  CHECK(contains(message_of([&] { Hdf5Sink(path, Existing::replace); }),
                 "another recorder writes it"));
  CHECK(exists(journal));
  sink.close({});
  CHECK_FALSE(exists(journal));
}

TEST_CASE("abandoned, or failed to begin, a recording leaves nothing") {
  TemporaryDirectory directory;
  const StreamInfo info = make_info({SampleType::int32});
  {
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    sink.begin(recording_of({info}));
    CHECK(exists(directory / "a.h5.journal"));
    sink.abandon();
  }
  {
    Hdf5Sink sink(directory / "b.h5", Existing::refuse);
    StreamInfo wrong = info;
    wrong.name = "a/b";
    CHECK_FALSE(message_of([&] { sink.begin(recording_of({wrong})); }).empty());
    CHECK_FALSE(message_of([&] { sink.close({}); }).empty());
  }
  for (const int call : {0, 1, 2}) {
    FaultyFiles calls;
    calls.add({.call = call == 0   ? FileCall::fdatasync
                       : call == 1 ? FileCall::sync_directory
                                   : FileCall::pwrite,
               .first = call == 2 ? 3U : 0U,
               .error = EIO});
    Hdf5Sink sink(directory / "c.h5", Existing::refuse, {}, calls);
    CHECK_FALSE(message_of([&] { sink.begin(recording_of({info})); }).empty());
  }
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("without durability there is no journal, with it nothing but full syncs on flush") {
  const Durability durability = GENERATE(Durability::none, Durability::process, Durability::full);
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int32});
  Feed feed(info, 0);
  FaultyFiles calls;
  Hdf5Sink sink(path, Existing::refuse, {.durability = durability}, calls);
  sink.begin(recording_of({info}));
  CHECK(exists(path + ".journal") == (durability != Durability::none));
  const std::uint64_t begun = calls.made(FileCall::fdatasync);
  CHECK((begun > 0) == (durability == Durability::full));
  for (int i = 0; i < 3; ++i) {
    feed.append(sink, 3000);
    sink.flush();
    sink.flush();  // of nothing new: costs nothing
  }
  // The file, then the journal.
  CHECK(calls.made(FileCall::fdatasync) - begun == (durability == Durability::full ? 6U : 0U));
  const std::uint64_t flushed = calls.made(FileCall::fdatasync);
  feed.append(sink, 10);
  sink.close({});
  // Sealed, it is on the disk, whatever the durability.
  CHECK(calls.made(FileCall::fdatasync) - flushed == (durability == Durability::full ? 3U : 1U));
  CHECK(calls.made(FileCall::sync_directory) > 0);
  CHECK(difference(Recording::open(path), {feed}).empty());
}

TEST_CASE("after a sync that failed nothing is sealed, and nothing synced again") {
  const bool of_journal = GENERATE(false, true);
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int32});
  Feed feed(info, 0);
  FaultyFiles calls;
  Hdf5Sink sink(path, Existing::refuse, {}, calls);
  sink.begin(recording_of({info}));
  feed.append(sink, 1000);
  sink.flush();
  const std::uint64_t acknowledged = feed.next();
  calls.add({.call = FileCall::fdatasync,
             .suffix = of_journal ? ".journal" : ".part",
             .count = 1,
             .error = EIO});
  feed.append(sink, 1000);
  CHECK(contains(message_of([&] { sink.flush(); }), "synced"));
  const std::string message = message_of([&] { sink.close({false, "disk"}); });
  CHECK(calls.syncs_tried_again() == 0);
  if (of_journal) {
    // The recording itself can be synced: then it needs no journal.
    CHECK(message.empty());
    CHECK(Recording::open(path).status() == "incomplete: disk");
    CHECK(difference(Recording::open(path), {feed}).empty());
    CHECK_FALSE(exists(path + ".journal"));
    CHECK(sink.end(0).value == feed.next());
  } else {
    CHECK(contains(message, ".part"));
    CHECK(contains(message, "spillway recover"));
    CHECK_FALSE(exists(path));
    CHECK(exists(path + ".part"));
    CHECK(sink.end(0).value == acknowledged);
    CHECK(rebuild(path).counts[0].recorded == acknowledged);
    CHECK(rebuild(path).wrong.empty());
  }
}

TEST_CASE("a full disk is told as such, wherever it strikes, and what was recorded is sealed") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uint64_t struck = 0;
  for (std::uint64_t round = 0; round < soak(40); ++round) {
    TemporaryDirectory directory;
    const std::string path = directory / "a.h5";
    const std::vector<StreamInfo> infos = three_streams();
    std::vector<Feed> feeds = feeds_of(infos);
    FaultyFiles calls;
    Hdf5Options options;
    options.compression = random() % 2 ? 1 : 0;
    options.compression_threads = random() % 2;
    Hdf5Sink sink(path, Existing::refuse, options, calls);
    sink.begin(recording_of(infos));
    const std::array suffixes{"", ".part", ".journal"};
    const FaultRule rule{.call = FileCall::pwrite,
                         .suffix = suffixes[random() % 3],
                         .first = random() % 300,
                         .count = 1 + random() % 2,
                         .error = random() % 2 ? ENOSPC : EDQUOT};
    CAPTURE(round, rule.suffix, rule.first, rule.count, options.compression);
    calls.add(rule);
    bool full = false;
    std::string what;
    std::vector<std::uint64_t> acknowledged(3, 0);
    try {
      for (int action = 0; action < 30; ++action) {
        feeds[random() % 3].append(sink, random() % 1500);
        if (random() % 2) continue;
        sink.flush();
        for (std::size_t s = 0; s < 3; ++s) acknowledged[s] = feeds[s].next();
      }
    } catch (const DiskFull& e) {
      full = true;
      what = e.what();
    }
    INFO(what);
    CHECK(full == (calls.struck() > 0));
    struck += full;
    if (full) CHECK(contains(what, path));
    calls.clear();
    sink.close({!full, full ? "the disk is full" : ""});
    const Recording recording = Recording::open(path);
    CHECK_FALSE(exists(path + ".journal"));
    for (std::size_t s = 0; s < 3; ++s) {
      const RecordedStream& stream = recording.streams()[s];
      CHECK(stream.rows >= acknowledged[s]);
      CHECK(stream.rows == stream.counts.recorded);
      CHECK(sink.end(s).value == stream.rows);  // no gaps here
      if (!full) CHECK(stream.rows == feeds[s].numbers().size());
      feeds[s].cut(stream.rows);
    }
    const std::string wrong = difference(recording, feeds);
    INFO(wrong);
    CHECK(wrong.empty());
  }
  CHECK(struck > 5);
}

TEST_CASE("a disk that is about to be full stops the recording while it can still be sealed") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int32}, 64, Rate(100'000, 1));
  Feed feed(info, 0);
  FaultyFiles calls;
  Hdf5Sink sink(path, Existing::refuse, {}, calls);
  sink.begin(recording_of({info}));
  feed.append(sink, 100'000);
  sink.flush();
  calls.add({.call = FileCall::free_bytes, .value = 5 << 20});
  bool full = false;
  try {
    for (int i = 0; i < 50; ++i) feed.append(sink, 10'000);
  } catch (const DiskFull& e) {
    full = true;
    CHECK(contains(e.what(), "KiB free"));
  }
  CHECK(full);
  sink.close({false, "the disk is full"});
  const Recording recording = Recording::open(path);
  CHECK(recording.streams()[0].rows >= 100'000);
  CHECK(sink.end(0).value == recording.streams()[0].rows);
}
