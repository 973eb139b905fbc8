// What an HDF5 recording looks like to others: names, versions of the format, checksums, tools.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <set>

#include "chunk_file.hpp"
#include "faulty_files.hpp"
#include "hdf5_support.hpp"
#include "seal.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

void record(const std::string& path, std::vector<Feed>& feeds, const Hdf5Options& options,
            std::size_t rows, std::size_t flush_every) {
  std::vector<StreamInfo> infos;
  for (const Feed& feed : feeds) infos.push_back(feed.info());
  Hdf5Sink sink(path, Existing::refuse, options);
  sink.begin(recording_of(infos, "a title"));
  sink.append_event({1'700'000'000'000'000'000, "samples lost", "stream", 3, 4, "a \u00e4 line"});
  sink.append_log("{\"n\": 1}");
  std::size_t done = 0;
  while (done < rows) {
    const std::size_t n = std::min(flush_every, rows - done);
    for (Feed& feed : feeds) feed.append(sink, n);
    done += n;
    sink.flush();
  }
  sink.close({});
}

bool has(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT
}

}  // namespace

TEST_CASE("a sealed file has a checksum for every byte, and every chunk is found by it") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::uint64_t round = 0; round < soak(8, 10); ++round) {
    TemporaryDirectory directory;
    const std::string path = directory / "a.h5";
    std::vector<Feed> feeds;
    feeds.emplace_back(make_info({SampleType::int16, SampleType::float64}, 64, Rate(100, 1)), 0);
    feeds.emplace_back(make_info({SampleType::uint8}, 64, std::nullopt), 1);
    StreamInfo renamed = feeds[1].info();
    renamed.name = "other";
    feeds[1] = Feed(renamed, 1);
    Hdf5Options options;
    options.durability = static_cast<Durability>(random() % 3);
    options.compression = std::array{0, 4}[random() % 2];
    options.compatible = random() % 2;
    CAPTURE(round, options.compression, options.compatible);
    record(path, feeds, options, 1 + random() % 3000, 1 + random() % 500);

    const File file(system_file_calls(), path, File::Mode::read);
    const auto seal = read_seal(file);
    REQUIRE(seal);
    std::vector<std::string> damages;
    check_seal(file, *seal,
               [&](const SealRange&, const std::string& what) { damages.push_back(what); });
    CHECK(damages.empty());
    // The columns by their chunks, without HDF5.
    std::vector<ChunkColumn> columns;
    for (const SealColumn& c : seal->columns)
      columns.push_back({c.path, c.row_bytes, c.chunk_rows, c.deflated, {}, 0, {}});
    for (const SealRange& r : seal->ranges)
      if (r.column != SealRange::no_column)
        columns[r.column].chunks.push_back({r.first_row, r.rows, r.filter_mask, r.address,
                                            static_cast<std::uint32_t>(r.length), r.crc32c});
    for (ChunkColumn& c : columns) std::ranges::sort(c.chunks, {}, &ChunkPlace::first_row);
    const ChunkFile chunks(system_file_calls(), path, columns);
    std::size_t found = 0;
    for (const Feed& feed : feeds) {
      for (const ColumnInfo& column : columns_of(feed.info())) {
        const std::string name = "/entry/" + feed.info().name + "/" + column.name;
        for (std::size_t c = 0; c < columns.size(); ++c) {
          if (columns[c].name != name) continue;
          ++found;
          const std::size_t rows = feed.numbers().size();
          REQUIRE(chunks.rows(c) == rows);
          std::vector<std::byte> bytes(rows * column.row_bytes);
          chunks.read(c, 0, rows, bytes);
          CHECK(bytes == feed.expected(column, rows));
        }
      }
    }
    CHECK(found == 7);
    CHECK(columns.size() == 9);  // and the two of time
  }
}

TEST_CASE("a flipped bit anywhere in a sealed file is found") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  std::vector<Feed> feeds;
  feeds.emplace_back(make_info({SampleType::int16}, 64, Rate(100, 1)), 0);
  record(path, feeds, {.compression = 1}, 1000, 150);
  const std::string whole = contents(path);
  for (std::uint64_t round = 0; round < soak(300); ++round) {
    std::string damaged = whole;
    const std::size_t at = random() % whole.size();
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    write_text(directory / "b.h5", damaged);
    bool found = false;
    try {
      const File file(system_file_calls(), directory / "b.h5", File::Mode::read);
      const auto seal = read_seal(file);
      found = !seal;
      if (seal)
        check_seal(file, *seal, [&](const SealRange&, const std::string&) { found = true; });
    } catch (const Error&) {
      found = true;
    }
    CAPTURE(at);
    REQUIRE(found);
  }
}

TEST_CASE("a compatible file has nothing in it that HDF5 1.8 does not know") {
  TemporaryDirectory directory;
  std::vector<Feed> feeds;
  feeds.emplace_back(make_info({SampleType::int16, SampleType::float64}), 0);
  const auto newest_layout = [](const std::string& bytes) {
    // The version of the data layout message in the object headers of version 2.
    int newest = 0;
    for (std::size_t at = bytes.find("OHDR"); at != std::string::npos;
         at = bytes.find("OHDR", at + 4)) {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
      if (byte(4) != 2) continue;
      const unsigned flags = byte(5);
      std::size_t i = 6 + ((flags & 32) ? 16 : 0) + ((flags & 16) ? 4 : 0);
      std::size_t size = 0;
      for (unsigned k = 0; k < (1U << (flags & 3)); ++k) size |= std::size_t{byte(i + k)} << 8 * k;
      i += 1U << (flags & 3);
      const std::size_t end = i + size;
      while (i + 4 <= end) {
        const auto length = static_cast<std::size_t>(byte(i + 1) | byte(i + 2) << 8);
        const std::size_t header = (flags & 4) ? 6 : 4;
        if (byte(i) == 8) newest = std::max<int>(newest, byte(i + header));
        i += header + length;
      }
    }
    return newest;
  };
  for (const int compression : {0, 5}) {
    const std::string name = fmt::format("compatible{}.h5", compression);
    record(directory / name, feeds, {.compression = compression, .compatible = true}, 5000, 700);
    const std::string bytes = contents(directory / name);
    CHECK(static_cast<int>(bytes[8]) <= 2);  // version of the superblock
    CHECK(newest_layout(bytes) == 3);
    for (const char* signature : {"EAHD", "EAIB", "EADB", "FAHD", "FADB"})
      CHECK_FALSE(contains(bytes, signature));
    feeds.clear();
    feeds.emplace_back(make_info({SampleType::int16, SampleType::float64}), 0);
  }
  // As a check of the check.
  record(directory / "live.h5", feeds, {}, 5000, 700);
  const std::string bytes = contents(directory / "live.h5");
  CHECK(static_cast<int>(bytes[8]) == 3);
  CHECK(newest_layout(bytes) == 4);
  CHECK(contains(bytes, "EAHD"));
}

TEST_CASE("names that the layout has other uses for are refused, all others come back") {
  TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::int16});
  for (const char* name : {"status", "configuration", "provenance", "state", "events", "log",
                           "integrity", "spillway", "title"}) {
    info.name = name;
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    const std::string message = message_of([&] { sink.begin(recording_of({info})); });
    CHECK(contains(message, name));
    CHECK(contains(message, "reserved"));
  }
  info.name = "fast";
  info.channels[0].name = "row";
  info.rate = Rate(1_MHz);
  {
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    CHECK(contains(message_of([&] { sink.begin(recording_of({info})); }), "'row'"));
  }
  info.channels[0].name = "\xff\xfe";
  {
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    CHECK(contains(message_of([&] { sink.begin(recording_of({info})); }), "can't be stored"));
  }
  CHECK_FALSE(exists(directory / "a.h5.part"));

  info = make_info({SampleType::int16, SampleType::int16, SampleType::int16, SampleType::int16,
                    SampleType::int16});
  const std::vector<std::string> names{"a \"quoted\" 'name'", "\u6e29\u5ea6 \u00b0C", "row",
                                       "spillway", " . "};
  for (std::size_t c = 0; c < names.size(); ++c) info.channels[c].name = names[c];
  info.name = "\u00fc \"x\" entry";
  std::vector<Feed> feeds;
  feeds.emplace_back(info, 0);
  record(directory / "a.h5", feeds, {}, 300, 100);
  const Recording recording = Recording::open(directory / "a.h5");
  CHECK(recording.streams()[0].info.name == info.name);
  for (std::size_t c = 0; c < names.size(); ++c) {
    CHECK(recording.streams()[0].info.channels[c].name == names[c]);
    std::vector<std::int16_t> values(300);
    recording.read_raw<std::int16_t>(0, c, 0, values);
    CHECK(values[299] == Feed::value(c, 299));
  }
}

TEST_CASE("a recording may begin at any sample, and hold none at all") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info = make_info({SampleType::int16});
  std::vector<StreamInfo> infos{info, info, info};
  infos[1].name = "gap";
  infos[2].name = "none";
  Feed feed(infos[0], 0, 1'000'000'000'000);
  Hdf5Sink sink(path, Existing::refuse);
  sink.begin(recording_of(infos));
  feed.append(sink, 100);
  sink.append_gap(1, {5000, 10, 10, 0, Absence::not_written});
  sink.close({});
  CHECK(sink.end(0).value == 1'000'000'000'100);
  CHECK(sink.end(1).value == 5010);
  CHECK(sink.end(2).value == 0);
  const Recording recording = Recording::open(path);
  CHECK(recording.streams()[0].segments.at(0).first_sample == 1'000'000'000'000);
  CHECK(recording.streams()[0].counts == RecordedCounts{100, 100, 0, 0});
  CHECK(recording.streams()[1].gaps == std::vector<Gap>{{5000, 10, 10, 0, Absence::not_written}});
  CHECK(recording.streams()[1].counts == RecordedCounts{10, 0, 10, 0});
  CHECK(recording.streams()[2].counts == RecordedCounts{});
  CHECK(recording.streams()[2].rows == 0);
}

TEST_CASE("a thousand channels are recorded within 64 MiB of chunks") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const StreamInfo info =
      make_info(std::vector<SampleType>(1000, SampleType::float64), 64, Rate(50'000, 1));
  Feed feed(info, 0);
  Hdf5Sink sink(path, Existing::refuse, {.durability = Durability::process});
  sink.begin(recording_of({info}));
  for (int i = 0; i < 5; ++i) {
    feed.append(sink, 1000);
    sink.flush();
  }
  const Rebuilt rebuilt = rebuild(path);
  CHECK(rebuilt.wrong.empty());
  CHECK(rebuilt.begin.chunk_rows[0] == 4096);
  CHECK(rebuilt.rows(0) == 5000);
  sink.close({});
  const Recording recording = Recording::open(path);
  std::vector<double> values(5000);
  recording.read_raw<double>(0, 999, 0, values);
  CHECK(values[4999] == static_cast<double>(Feed::value(999, 4999)));
}

TEST_CASE("between flushes nothing but whole chunks goes into a growing file") {
  // What the library would write early, were its cache of metadata full, is the lengths of
  // datasets.
  class Watch : public FaultyFiles {
   public:
    bool armed = false;
    std::set<std::size_t> lengths;
    ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
      if (armed) lengths.insert(bytes);
      return FaultyFiles::pwrite(fd, from, bytes, at);
    }
  };
  TemporaryDirectory directory;
  Watch calls;
  const StreamInfo info =
      make_info(std::vector<SampleType>(1500, SampleType::float64), 64, Rate(30, 1));
  Feed feed(info, 0);
  Hdf5Sink sink(directory / "a.h5", Existing::refuse, {.durability = Durability::none}, calls);
  sink.begin(recording_of({info}));
  feed.append(sink, 64);
  sink.flush();
  calls.armed = true;
  for (int i = 0; i < 12; ++i) feed.append(sink, 64);
  calls.armed = false;
  // Of values and times, and of the quality, which is good.
  CHECK(calls.lengths.size() == 2);
  CHECK(calls.lengths.contains(512));
  sink.close({});
}

TEST_CASE("h5dump, h5py, xarray and pandas open what was recorded, however it was") {
  if (!has("/usr/bin/python3 -c 'import h5py, h5netcdf, xarray, pandas'") || !has("h5dump -V")) {
    WARN("no h5py, h5netcdf, xarray, pandas or h5dump: not tested");
    return;
  }
  TemporaryDirectory directory;
  for (const int compression : {0, 2}) {
    for (const bool compatible : {false, true}) {
      std::vector<Feed> feeds;
      feeds.emplace_back(make_info({SampleType::int16, SampleType::float64}, 64, Rate(500, 1)), 0);
      StreamInfo info = make_info({SampleType::float32}, 64, std::nullopt);
      info.name = "irregular";
      feeds.emplace_back(info, 1);
      info = make_info({SampleType::uint8}, 64, Rate(100'000, 1));
      info.name = "fast";
      feeds.emplace_back(info, 2);
      record(
          directory / fmt::format("{}{}.h5", compression, compatible), feeds,
          {.durability = Durability::process, .compression = compression, .compatible = compatible},
          5000, 333);
    }
  }
  write_text(directory / "read.py", R"(
import pathlib, subprocess, sys
import h5py, numpy as np, pandas, xarray

n = np.arange(5000)
quality = np.where((n // 1500 % 2 == 0) | (n % 7 != 0), 0, 34)
value = lambda c: (n * 7 + c * 13) % 101

def check(path):
    with h5py.File(path) as f:  # also the default of MATLAB's and everybody's: no SWMR
        # NeXus: from the root to a signal of one dimension with its axis.
        group = f[f.attrs["default"]]
        group = group[group.attrs["default"]]
        assert group.attrs["NX_class"] == b"NXdata"
        signal, axis = group[group.attrs["signal"]], group[group.attrs["axes"]]
        assert signal.shape == axis.shape == (5000,) and signal.dims[0][0] == axis
        assert group.attrs["auxiliary_signals"].tolist() == [b"ch1"]
        np.testing.assert_array_equal(signal[:], value(0))
        np.testing.assert_allclose(axis[:], n / 500)
        np.testing.assert_array_equal(group["ch1"][:], value(1))
        assert group["ch1_quality"].compression == "gzip" and group["ch1_quality"].shuffle
        extra = f["entry/spillway"]
        events = extra["events"][:]
        assert events["kind"].tolist() == [b"samples lost"] and events["count"].tolist() == [4]
        assert events["text"][0].decode() == "a \u00e4 line", events["text"]
        assert bytes(extra["log"][:]) == b'{"n": 1}\n'
        assert extra["state"].shape == (0,)
        assert extra["integrity"].dtype == np.uint8 and len(extra["integrity"]) > 0
        assert extra["status"][()] == b"complete"
        table = pandas.DataFrame({name: group[name][:] for name in ("ch0", "ch0_quality")}, index=axis[:])
        assert len(table[table.ch0_quality > 1]) == (quality > 1).sum()
        np.testing.assert_array_equal(f["entry/irregular/time_ns"][:], n * 1_000_000 + n % 3)
        np.testing.assert_array_equal(f["entry/fast/ch0"][:], value(0))
        assert f["entry/fast/row"].shape == (5000,)

    for name, axis, size in (("stream", "time", 5000), ("irregular", "time", 5000), ("fast", "row", 5000)):
        with xarray.open_dataset(path, group="entry/" + name, engine="h5netcdf", decode_times=False) as dataset:
            assert dataset["ch0"].dims == (axis,) and dataset.sizes[axis] == size, dataset
            np.testing.assert_array_equal(dataset["ch0"].values.astype(int), value(0))
            np.testing.assert_array_equal(dataset["ch0_quality"].values.astype(int), quality)

    dump = subprocess.run(["h5dump", "-H", path], capture_output=True, text=True)
    assert dump.returncode == 0 and "H5T_COMPOUND" in dump.stdout, dump.stderr
    dump = subprocess.run(["h5dump", "-d", "/entry/stream/ch0_quality", "-s", "4999", "-c", "1", path], capture_output=True, text=True)
    assert dump.returncode == 0 and "(4999): 0" in dump.stdout, dump.stderr

paths = sorted(pathlib.Path(sys.argv[1]).glob("*.h5"))
assert len(paths) == 4
for path in paths:
    check(path)
)");
  CHECK(std::system(("/usr/bin/python3 '" + (directory / "read.py") + "' '" +  // NOLINT
                     directory.path() + "'")
                        .c_str()) == 0);
}
