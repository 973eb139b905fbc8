#include "spillway/storage/hdf5_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

#include "calibration_json.hpp"
#include "calibrations_beside.hpp"
#include "chunk_codec.hpp"
#include "chunk_pool.hpp"
#include "file.hpp"
#include "h5.hpp"
#include "h5_column.hpp"
#include "h5_driver.hpp"
#include "h5_layout.hpp"
#include "h5_tables.hpp"
#include "recorded_time.hpp"
#include "seal.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/first_failure.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t check_space_every = 1 << 20;
constexpr std::uint64_t tables_bytes = 64 << 10;  // a chunk of each table of a stream, and more
constexpr std::uint64_t write_back_every = 8 << 20;
constexpr hsize_t large_chunk = 64 << 10;
constexpr hsize_t small_things = 16 << 10;     // of the file at once, for metadata and small chunks
constexpr std::chrono::seconds hold_most(10);  // that a chunk waits to get whole, and compressed
constexpr int quality_level = 1;               // where nothing was said of compression

// Whole seconds and the rest apart, so that every machine rounds alike.
double seconds(std::int64_t ns) {
  return static_cast<double>(ns / 1'000'000'000) + static_cast<double>(ns % 1'000'000'000) / 1e9;
}

const Hdf5Options& checked(const std::string& path, const Hdf5Options& options) {
  if (options.compression < 0 || options.compression > 12)
    throw Error(
        fmt::format("{}: compression {}: allowed are 0 (none) to 12", path, options.compression));
  if (options.compression_threads > 64)
    throw Error(fmt::format("{}: {} threads to compress: allowed are 0 to 64", path,
                            options.compression_threads));
  return options;
}

// What stands there from before may be somebody's only copy, unless that recording was sealed.
void require_no_journal(const std::string& path, FileCalls& calls) {
  const std::string name = JournalWriter::name_for(path);
  if (calls.kind(name.c_str()) == PathKind::nothing) return;
  bool ended = false;
  bool in_use = false;
  try {
    JournalReader journal(name, calls);
    in_use = journal.in_use();
    while (const auto record = journal.next()) ended = std::holds_alternative<JournalEnd>(*record);
  } catch (const Error&) {
    ended = false;
  }
  if (!ended || in_use)
    throw Error(fmt::format(
        "{}: the journal of another recording of this name stands here; look at it with 'spillway "
        "recover', and move it away",
        name));
  if (calls.unlink(name.c_str()) != 0) fail_with_errno(name, "can't be removed");
}

}  // namespace

struct Hdf5Sink::Impl {
  struct Stream {
    StreamInfo info;
    h5::StreamLayout* layout = nullptr;  // none once the file is closed
    std::size_t chunk_rows = 0;
    std::size_t journalled_columns = 0;  // in front of `time`, which can be computed
    std::uint32_t first_seal_column = 0;
    std::uint64_t row_bytes = 0;  // of all columns together
    bool slow = false;            // needs longer for a chunk than it may be held

    StreamLog log;
    JournalBooks books;               // what came since the last flush that succeeded
    std::uint64_t segments_done = 0;  // rows of the tables before those
    std::uint64_t gaps_done = 0;
    std::uint64_t anchors_done = 0;
    std::uint64_t calibrations_done = 0;
    std::uint64_t calibration_bytes_done = 0;
    std::uint64_t calibration_bytes_new = 0;

    std::uint64_t base = 0;        // rows in front of the chunk that grows
    std::size_t filled = 0;        // rows in it
    std::size_t finished = 0;      // columns in which it has been taken care of, once it is whole
    std::uint64_t journalled = 0;  // rows that the journal has, or has chunks for
    std::optional<std::uint64_t> acknowledged;  // the first sample behind those that are
    Clock::time_point begun;                    // when the first row of the chunk came
  };

  FileCalls& calls;
  Hdf5Options options;
  OutputFile output;
  std::optional<File> direct;
  h5::Id file;
  std::optional<h5::Layout> layout;
  std::optional<JournalWriter> journal;
  bool begun = false;
  bool changed = false;  // since the last flush
  bool closing = false;
  bool sync_failed = false;
  bool library_failed = false;  // in the middle of its own metadata: HDF5 can't go on with it
  bool journal_failed = false;
  bool ended = false;  // everything appended will be there
  FirstFailure failure;
  std::vector<Stream> streams;

  ChunkCodec codec;
  ChunkPool pool;
  std::optional<ChunkJob> unwritten;  // from the pool, and not stored yet
  std::vector<SealColumn> seal_columns;
  std::vector<SealRange> seal_ranges;

  std::vector<h5::EventRow> new_events;
  std::uint64_t events_done = 0;
  std::string new_log;
  std::uint64_t log_done = 0;

  std::uint64_t room = 0;          // bytes that may be written before the disk is asked again
  std::uint64_t chunks_bytes = 0;  // one chunk of every dataset
  std::uint64_t dirty_from = 0;    // written, and not on its way to the disk yet
  std::uint64_t dirty_to = 0;
  std::uint64_t dirty_bytes = 0;
  std::atomic<std::uint64_t> written{0};

  Impl(std::string path, Existing existing, const Hdf5Options& wishes, FileCalls& file_calls)
      : calls(file_calls),
        options(checked(path, wishes)),
        output(std::move(path), existing, file_calls),
        codec(level()),
        pool(level(), options.compression > 0 ? options.compression_threads : 0) {
    require_no_journal(output.path(), calls);
  }

  [[nodiscard]] int level() const {
    return options.compression > 0 ? options.compression : quality_level;
  }
  [[nodiscard]] bool synced() const { return options.durability == Durability::full; }

  [[nodiscard]] bool guarded() const { return journal && !journal_failed; }

  // Gives all identifiers back; the file is closed with the last of them.
  herr_t release() {
    const h5::Library library;
    for (Stream& stream : streams) stream.layout = nullptr;
    layout.reset();
    direct.reset();
    return file.close();
  }

  void flush_file() {
    if (H5Fflush(file, H5F_SCOPE_LOCAL) >= 0) return;
    library_failed = true;
    h5::fail("metadata", "can't be written");
  }

  // Whatever goes through HDF5. Writes that fail are kept, the library does not know of it: so all
  // of `f` is done, and can be built on when they are written after all.
  template <class F>
  void in_library(F&& f) {
    const h5::Library library;
    try {
      std::forward<F>(f)();
    } catch (const DiskFull&) {
      throw;
    } catch (const Error& e) {
      if (std::string_view(e.what()).starts_with(output.part())) throw;
      throw Error(fmt::format("{}: {}", output.part(), e.what()));
    }
    if (file < 0) return;
    if ((errno = h5::take_error(file)) != 0) fail_with_errno(output.part(), "can't be written");
  }

  void write_kept() {
    const h5::Library library;
    if ((errno = h5::write_kept(file)) != 0) fail_with_errno(output.part(), "can't be written");
  }

  // A journal that failed once is not touched again; what gets sealed does without.
  template <class F>
  void in_journal(F&& f) {
    if (!journal || journal_failed) return;
    try {
      std::forward<F>(f)(*journal);
    } catch (...) {
      journal_failed = true;
      if (!closing) throw;
    }
  }

  void count(std::uint64_t bytes) { written.fetch_add(bytes, std::memory_order_relaxed); }

  // Throws DiskFull unless `bytes` can be written and the file closed properly after that: to
  // close takes at most a chunk of every dataset, the same in the journal, and the seal.
  void require_space(std::uint64_t bytes) {
    if (closing) return;
    if (bytes <= room) {
      room -= bytes;
      return;
    }
    const std::uint64_t seal =
        seal_room(seal_columns, seal_ranges.size() + 2 * seal_columns.size(), check_space_every);
    require_free_space(output.path(), bytes + check_space_every + 2 * chunks_bytes + seal, calls);
    room = check_space_every;
  }

  // Has the disk begin with what a sync waits for, the last one at least.
  void write_back(const h5::Place& place) {
    if (dirty_bytes == 0) dirty_from = dirty_to = place.address;
    dirty_from = std::min(dirty_from, place.address);
    dirty_to = std::max(dirty_to, place.address + place.length);
    dirty_bytes += place.length;
    if (dirty_bytes < write_back_every) return;
    calls.start_writeback(direct->descriptor(), static_cast<off_t>(dirty_from),
                          static_cast<off_t>(dirty_to - dirty_from));
    dirty_bytes = 0;
  }

  // A chunk lies in the file for good.
  void chunk_done(std::size_t index, std::size_t column, std::uint64_t first_row, std::size_t rows,
                  const h5::Place& place) {
    const Stream& stream = streams[index];
    seal_ranges.push_back({place.address, place.length, first_row,
                           stream.first_seal_column + static_cast<std::uint32_t>(column),
                           static_cast<std::uint32_t>(rows), place.filter_mask, place.crc32c});
    count(place.length);
    write_back(place);
    // The last one, if it is not whole, has its rows in the journal.
    if (column >= stream.journalled_columns || rows < stream.chunk_rows) return;
    in_journal([&](JournalWriter& to) {
      to.add(JournalChunk{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(column),
                          first_row, static_cast<std::uint32_t>(rows), place.filter_mask,
                          place.address, place.length, place.crc32c,
                          stream.layout->columns[column].filters()});
    });
  }

  // Stores the next chunk that the pool has compressed. False: there is none yet, or, with `wait`,
  // none at all.
  bool store_next(bool wait) {
    if (!unwritten) {
      ChunkJob job;
      if (!pool.take(job, wait)) return false;
      unwritten = std::move(job);
    }
    h5::Place place;
    in_library([&] {
      h5::Output to{file, *direct, codec};
      place = streams[unwritten->stream].layout->columns[unwritten->column].store(to, *unwritten);
    });
    const ChunkJob& job = *unwritten;
    const auto [stream, column, first_row, rows] =
        std::tuple(job.stream, job.column, job.first_row, job.rows);
    pool.recycle(std::move(*unwritten));
    unwritten.reset();
    chunk_done(stream, column, first_row, rows, place);
    return true;
  }
  void store_all() {
    while (store_next(true)) {
    }
  }

  // The chunk that grows goes into the file: it is whole, or the last one. Goes on where an error
  // interrupted it. Of columns that have them in `whole` the rows are there instead of in buffers.
  void finish_chunk(std::size_t index, const std::vector<const std::byte*>& whole = {}) {
    Stream& stream = streams[index];
    if (stream.filled == 0) return;
    require_space(stream.row_bytes * stream.chunk_rows);
    while (stream.finished < stream.layout->columns.size()) {
      const std::size_t c = stream.finished;
      h5::Column& column = stream.layout->columns[c];
      const std::byte* const rows = c < whole.size() ? whole[c] : nullptr;
      h5::Place place;
      bool done = rows != nullptr;
      in_library([&] {
        h5::Output to{file, *direct, codec};
        if (rows)
          column.finish_whole(to, rows, place);
        else
          done = column.finish(to, stream.filled, place);
      });
      if (done) {
        ++stream.finished;
        chunk_done(index, c, stream.base, stream.filled, place);
        continue;
      }
      while (pool.full()) store_next(true);
      ChunkJob job;
      job.stream = static_cast<std::uint32_t>(index);
      job.column = static_cast<std::uint32_t>(c);
      job.first_row = stream.base;
      job.rows = stream.filled;
      job.element_bytes = column.row_bytes();
      job.raw = std::exchange(column.buffer(), pool.buffer(column.buffer().size()));
      ++stream.finished;
      pool.put(std::move(job));
    }
    for (h5::Column& column : stream.layout->columns) column.next();
    stream.base += stream.chunk_rows;
    stream.filled = 0;
    stream.finished = 0;
    while (store_next(false)) {
    }
  }

  // What live readers see of the chunk that grows.
  void show_chunk(Stream& stream, Clock::time_point now) {
    if (options.compatible) return;  // nobody reads along
    const bool hold = options.compression > 0 && !stream.slow && now - stream.begun < hold_most;
    if (!hold && stream.filled > 0)
      in_library([&] {
        h5::Output to{file, *direct, codec};
        for (h5::Column& column : stream.layout->columns) column.show(to, stream.filled);
      });
  }

  void put_rows(std::size_t index, const Chunk& chunk, const Block& block,
                const CalibrationSet& calibrations) {
    Stream& stream = streams[index];
    if (chunk.count.value == 0) stream.log.add(chunk, calibrations);
    for (std::size_t done = 0; done < chunk.count.value;) {
      if (stream.filled == 0) stream.begun = Clock::now();
      const std::size_t n = std::min(stream.chunk_rows - stream.filled, chunk.count.value - done);
      // A whole chunk goes straight into the file, as far as it is stored as it is.
      const bool whole = n == stream.chunk_rows;
      for (std::size_t c = 0; c < stream.layout->columns.size(); ++c)
        if (!whole || !straight(stream, c, block, done))
          copy_rows(stream, c, stream.filled, chunk, block, done, n);
      // Rows and books together, before anything can fail: whatever happens to the chunk then,
      // the books tell of the rows that all columns have.
      Chunk piece = chunk;
      piece.count.value = n;
      piece.first.value += done;
      if (done > 0) {
        piece.from = piece.first;
        piece.lost.value = piece.missing.value = 0;
        piece.mixed = piece.new_segment = false;
      }
      stream.log.add(piece, calibrations);
      stream.filled += n;
      if (whole)
        finish_whole_chunk(index, chunk, block, done);
      else if (stream.filled == stream.chunk_rows)
        finish_chunk(index);
      done += n;
    }
  }

  void finish_whole_chunk(std::size_t index, const Chunk& chunk, const Block& block,
                          std::size_t from) {
    Stream& stream = streams[index];
    std::vector<const std::byte*> rows;
    for (std::size_t c = 0; c < stream.layout->columns.size(); ++c)
      rows.push_back(straight(stream, c, block, from));
    try {
      finish_chunk(index, rows);
    } catch (...) {
      // The block is not there any more when it goes on.
      if (stream.filled > 0)
        for (std::size_t c = 0; c < rows.size(); ++c)
          if (rows[c]) copy_rows(stream, c, 0, chunk, block, from, stream.filled);
      throw;
    }
  }

  // The rows of a column as they are stored, from row `from` of the block on; null: they aren't.
  static const std::byte* straight(const Stream& stream, std::size_t column, const Block& block,
                                   std::size_t from) {
    const h5::Column& of = stream.layout->columns[column];
    const std::byte* const rows = rows_in(stream, column, block);
    return rows && !of.filters() ? rows + from * of.row_bytes() : nullptr;
  }

  // Null: the column is computed.
  static const std::byte* rows_in(const Stream& stream, std::size_t column, const Block& block) {
    if (column < time_column(stream.info)) {
      const std::size_t channel = column / 2;
      return column == value_column(channel)
                 ? block.bytes(channel)
                 : reinterpret_cast<const std::byte*>(block.quality(channel).data());
    }
    const bool is_time = !stream.info.rate && column == time_column(stream.info);
    return is_time ? reinterpret_cast<const std::byte*>(block.times().data()) : nullptr;
  }

  // Rows of the block into the buffer of a column, from row `at` of it on.
  static void copy_rows(Stream& stream, std::size_t column, std::size_t at, const Chunk& chunk,
                        const Block& block, std::size_t from, std::size_t n) {
    h5::Column& of = stream.layout->columns[column];
    std::byte* const to = of.buffer().data() + at * of.row_bytes();
    if (const std::byte* const rows = rows_in(stream, column, block)) {
      std::memcpy(to, rows + from * of.row_bytes(), n * of.row_bytes());
      return;
    }
    const std::uint64_t clock = chunk.first.value - chunk.clock_sample.value + from;
    for (std::size_t i = 0; i < n; ++i) {
      const Time t = block.has_times() ? block.times()[from + i]
                                       : chunk.clock_time + stream.info.rate->duration(clock + i);
      const double s = seconds(t.count());
      std::memcpy(to + i * sizeof s, &s, sizeof s);
    }
  }

  static void take_books(Stream& stream) {
    const auto append = [](auto& to, auto&& from) {
      to.insert(to.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
    };
    append(stream.books.finished, stream.log.take_finished_segments());
    append(stream.books.gaps, stream.log.take_gaps());
    append(stream.books.calibrations, stream.log.take_calibrations());
    stream.books.counts = stream.log.counts();
    if (stream.log.has_segment()) stream.books.open = stream.log.open_segment();
  }

  // May be called again for the same books: each row has its place.
  static std::uint64_t write_tables(Stream& stream) {
    take_books(stream);
    h5::StreamLayout& to = *stream.layout;
    const JournalBooks& books = stream.books;
    std::vector<Segment> segments = books.finished;
    if (books.open) segments.push_back(*books.open);
    std::vector<h5::AnchorRow> anchors;
    for (const Anchor& a : books.anchors)
      anchors.push_back({a.sample.value, a.time.count(), a.ticks});
    std::vector<h5::CalibrationRow> calibrations;
    std::string texts;
    for (const CalibrationChange& change : books.calibrations) {
      for (std::size_t c = 0; c < change.calibrations.size(); ++c) {
        const std::string text = to_json(change.calibrations[c]).dump();
        calibrations.push_back({change.from_sample, static_cast<std::uint32_t>(c),
                                stream.calibration_bytes_done + texts.size(),
                                static_cast<std::uint32_t>(text.size())});
        texts += text;
      }
    }
    stream.calibration_bytes_new = texts.size();
    std::uint64_t bytes = 0;
    bytes += to.segments.write(stream.segments_done, segments.data(), segments.size());
    bytes += to.gaps.write(stream.gaps_done, books.gaps.data(), books.gaps.size());
    bytes += to.anchors.write(stream.anchors_done, anchors.data(), anchors.size());
    bytes += to.calibration_bytes.write(stream.calibration_bytes_done, texts.data(), texts.size());
    bytes +=
        to.calibrations.write(stream.calibrations_done, calibrations.data(), calibrations.size());
    bytes += to.counts.write(0, &books.counts, 1);
    if (to.rows) {
      const hsize_t extent = to.columns[0].extent();
      if (H5Dset_extent(*to.rows, &extent) < 0) h5::fail("dataset row", "can't grow");
    }
    return bytes;
  }

  // Everything but the rows of unfinished chunks, after the rows that it tells of.
  void write_tables() {
    in_library([&] {
      flush_file();
      for (Stream& stream : streams) count(write_tables(stream));
      count(layout->events.write(events_done, new_events.data(), new_events.size()));
      count(layout->log.write(log_done, new_log.data(), new_log.size()));
      flush_file();
    });
  }

  // The rows that are neither in the journal nor in chunks that it names.
  void journal_rows() {
    if (!guarded()) return;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      Stream& stream = streams[i];
      const std::uint64_t from = std::max(stream.journalled, stream.base);
      const std::uint64_t to = stream.base + stream.filled;
      if (from == to) continue;
      std::vector<std::span<const std::byte>> columns;
      for (std::size_t c = 0; c < stream.journalled_columns; ++c)
        columns.push_back(stream.layout->columns[c].rows(from - stream.base, stream.filled));
      in_journal([&](JournalWriter& journal_of) {
        journal_of.add_rows(static_cast<std::uint32_t>(i), from,
                            static_cast<std::uint32_t>(to - from), columns);
      });
      stream.journalled = to;
    }
  }

  void sync() {
    if (!synced()) return;
    try {
      direct->sync();
    } catch (...) {
      // What is on the disk now, nobody knows, and to ask again would get the wrong answer.
      sync_failed = true;
      throw;
    }
    dirty_bytes = 0;
  }

  // Whatever was written counts from here on.
  void commit(const JournalEnd* end) {
    in_journal([&](JournalWriter& to) {
      for (const Stream& stream : streams) to.add(stream.books);
      if (end) to.add(*end);
      to.commit();
    });
    for (Stream& stream : streams) {
      JournalBooks& books = stream.books;
      stream.segments_done += books.finished.size();
      stream.gaps_done += books.gaps.size();
      stream.anchors_done += books.anchors.size();
      stream.calibrations_done += books.calibrations.size() * stream.info.channels.size();
      stream.calibration_bytes_done += stream.calibration_bytes_new;
      stream.calibration_bytes_new = 0;
      books.finished.clear();
      books.gaps.clear();
      books.anchors.clear();
      books.calibrations.clear();
      if (guarded()) stream.acknowledged = stream.log.end().value;
    }
    events_done += new_events.size();
    new_events.clear();
    log_done += new_log.size();
    new_log.clear();
    changed = false;
  }

  void flush() {
    if (!changed) return;
    std::uint64_t bytes = 0;
    for (const Stream& stream : streams)
      bytes += 2 * stream.filled * stream.row_bytes + tables_bytes;
    require_space(bytes);
    store_all();
    const auto now = Clock::now();
    for (Stream& stream : streams) show_chunk(stream, now);
    write_tables();
    journal_rows();
    sync();
    commit(nullptr);
  }

  [[nodiscard]] h5::Id access() const {
    h5::Id properties(H5Pcreate(H5P_FILE_ACCESS), "HDF5", "properties");
    const auto version = options.compatible ? H5F_LIBVER_V18 : H5F_LIBVER_V110;
    H5Pset_libver_bounds(properties, version, version);
    if (options.compression == 0) {
      // Large chunks, whose sizes are multiples of this, have pages of their own, and small things
      // have theirs: else a chunk waits until the disk has written the page that it shares.
      H5Pset_alignment(properties, large_chunk, large_chunk);
      H5Pset_meta_block_size(properties, small_things);
      H5Pset_small_data_block_size(properties, small_things);
    }
    h5::set_driver(properties, calls);
    return properties;
  }

  void begin(RecordingInfo info) {
    h5::check_names(info);
    info.start_time = start_time_to_write(info.start_time);
    require_free_space(output.path(), check_space_every, calls);
    JournalBegin first{"hdf5",
                       std::filesystem::path(output.part()).filename().string(),
                       std::filesystem::path(output.path()).filename().string(),
                       options.durability,
                       {},
                       {}};
    in_library([&] {
      file = h5::Id(H5Fcreate(output.part().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access()),
                    output.part(), "can't be made");
      h5::keep_failed_writes(file);
      layout.emplace(h5::make_layout(file, info, options.compression > 0));
    });
    direct.emplace(calls, output.part(), File::Mode::write);
    for (std::size_t i = 0; i < info.streams.size(); ++i) {
      h5::StreamLayout& made = layout->streams[i];
      Stream& stream = streams.emplace_back();
      stream.info = info.streams[i];
      stream.layout = &made;
      stream.chunk_rows = made.chunk_rows;
      stream.journalled_columns = made.columns.size() - (made.with_time ? 1 : 0);
      stream.first_seal_column = static_cast<std::uint32_t>(seal_columns.size());
      stream.books.stream = static_cast<std::uint32_t>(i);
      stream.slow =
          stream.info.rate && stream.info.rate->duration(stream.chunk_rows) > Time(hold_most);
      for (std::size_t c = 0; c < made.columns.size(); ++c) {
        stream.row_bytes += made.columns[c].row_bytes();
        seal_columns.push_back({made.paths[c], static_cast<std::uint32_t>(made.chunk_rows),
                                static_cast<std::uint32_t>(made.columns[c].row_bytes()),
                                made.columns[c].filters()});
      }
      chunks_bytes += stream.row_bytes * stream.chunk_rows + tables_bytes;
      first.chunk_rows.push_back(static_cast<std::uint32_t>(stream.chunk_rows));
    }
    require_space(chunks_bytes);
    in_library([&] {
      // From here on nothing may be made any more, only appended: others may read along.
      if (!options.compatible) {
        if (H5Fstart_swmr_write(file) < 0) h5::fail("file", "can't be opened to live readers");
        layout->hold_metadata();
      }
      flush_file();
    });
    sync();
    if (options.durability != Durability::none) {
      first.info = std::move(info);
      journal.emplace(JournalWriter::name_for(output.path()), first, calls);
    }
    begun = true;
  }

  // Leaves nothing.
  void discard() noexcept {
    release();
    try {
      if (journal) journal->remove();
    } catch (...) {
      // It names nothing that was acknowledged.
    }
    output.discard();
    begun = false;
  }

  void finish(const Ending& ending) {
    const std::string end_time = end_time_to_write(ending);
    write_kept();
    store_all();
    journal_rows();
    for (std::size_t i = 0; i < streams.size(); ++i) finish_chunk(i);
    store_all();
    in_library([&] {
      h5::change_text(layout->status, to_string(ending));
      h5::change_text(layout->end_time, end_time);
    });
    write_tables();
    const JournalEnd end{ending, end_time};
    if (guarded()) sync();
    commit(&end);
    ended = guarded();
    if (release() < 0) {
      const h5::Library library;
      h5::fail(output.part(), "can't be closed");
    }
  }

  // The file is closed and complete; its checksums, its name, and the journal is not needed any
  // more.
  void seal() {
    File part(calls, output.part(), File::Mode::write);
    std::uint64_t other_bytes = part.size() + check_space_every;
    for (const SealRange& chunk : seal_ranges) other_bytes -= chunk.length;
    const std::uint64_t seal_bytes = seal_room(seal_columns, seal_ranges.size(), other_bytes);
    std::uint64_t address = 0;
    in_library([&] {
      // Whoever reads along may have it open, and locked against writers; it is ours all the same.
      const h5::Id properties = access();
      H5Pset_file_locking(properties, false, true);
      file = h5::Id(H5Fopen(output.part().c_str(), H5F_ACC_RDWR, properties), output.part(),
                    "can't be opened again");
      address = h5::make_integrity(file, seal_bytes);
      if (file.close() < 0) h5::fail(output.part(), "can't be closed");
    });
    write_seal(part, address, seal_bytes, seal_columns, std::move(seal_ranges));
    part.close();
    output.seal();
    ended = true;
  }

  void remove_journal() {
    if (!journal) return;
    try {
      journal->remove();
    } catch (const Error& e) {
      throw Error(fmt::format("{} is sealed, but its journal stays: {}", output.path(), e.what()));
    }
  }
};

Hdf5Sink::Hdf5Sink(std::string path, Existing existing, Hdf5Options options, FileCalls& calls)
    : impl_(std::make_unique<Impl>(std::move(path), existing, options, calls)) {
  refuse_calibrations_beside(impl_->output.path(), existing, calls);
}

Hdf5Sink::~Hdf5Sink() { impl_->release(); }

void Hdf5Sink::abandon() noexcept { impl_->discard(); }

void Hdf5Sink::begin(const RecordingInfo& info) {
  try {
    impl_->begin(info);
  } catch (...) {
    impl_->discard();
    throw;
  }
}

void Hdf5Sink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                      const CalibrationSet& calibrations) {
  const Impl::Stream& to = impl_->streams[stream];
  impl_->failure.guard([&] {
    to.log.check(chunk, impl_->output.path(), to.info.name);
    impl_->changed = true;
    impl_->put_rows(stream, chunk, block, calibrations);
  });
}

std::size_t Hdf5Sink::best_frames(const StreamInfo& info) const {
  return impl_->options.compression == 0 ? chunk_frames(info) : 0;
}

std::size_t Hdf5Sink::chunk_frames(const StreamInfo& info) { return h5::chunk_rows_for(info); }

void Hdf5Sink::append(std::size_t stream, std::span<const Anchor> anchors) {
  impl_->changed = true;
  std::vector<Anchor>& to = impl_->streams[stream].books.anchors;
  to.insert(to.end(), anchors.begin(), anchors.end());
}

void Hdf5Sink::append_gap(std::size_t stream, const Gap& gap) {
  Impl::Stream& to = impl_->streams[stream];
  impl_->failure.guard([&] { to.log.check(gap, impl_->output.path(), to.info.name); });
  impl_->changed = true;
  to.log.add(gap);
}

void Hdf5Sink::append_event(const RecordedEvent& event) {
  impl_->changed = true;
  impl_->new_events.push_back(h5::event_row(event));
  impl_->in_journal([&](JournalWriter& to) { to.add(event); });
}

void Hdf5Sink::append_log(std::string_view line) {
  impl_->changed = true;
  impl_->new_log.append(line).push_back('\n');
  impl_->in_journal([&](JournalWriter& to) { to.add_log(line); });
}

SampleNumber Hdf5Sink::end(std::size_t stream) const {
  if (stream >= impl_->streams.size()) return {};
  const Impl::Stream& of = impl_->streams[stream];
  return impl_->ended ? of.log.end() : SampleNumber{of.acknowledged.value_or(of.log.begin().value)};
}

void Hdf5Sink::flush() {
  impl_->failure.guard([&] { impl_->flush(); });
}

void Hdf5Sink::close(const Ending& ending) {
  Impl& self = *impl_;
  if (!self.begun) throw Error(fmt::format("{}: nothing was recorded", self.output.path()));
  if (self.sync_failed || self.library_failed) {
    self.release();
    throw Error(
        fmt::format("{}: is left as it is, since {} failed before{}", self.output.part(),
                    self.sync_failed ? "its sync" : "writing its metadata",
                    self.guarded() ? "; 'spillway recover' saves what was acknowledged" : ""));
  }
  self.closing = true;
  self.finish(self.failure.ending(ending));
  self.seal();
  self.remove_journal();
}

std::uint64_t Hdf5Sink::bytes_written() const noexcept {
  return impl_->written.load(std::memory_order_relaxed);
}

std::string Hdf5Sink::name() const { return impl_->output.path(); }

}  // namespace spillway
