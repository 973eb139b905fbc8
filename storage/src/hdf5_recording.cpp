// Reads HDF5 recordings: their books by the HDF5 library, their columns by it too, or, in a sealed
// file, by the chunk table of its seal, or, in a master, by the files that have them.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "calibration_json.hpp"
#include "chunk_file.hpp"
#include "columns.hpp"
#include "file.hpp"
#include "h5.hpp"
#include "h5_driver.hpp"
#include "h5_tables.hpp"
#include "json_error.hpp"
#include "numbered_parts.hpp"
#include "recording_backend.hpp"
#include "seal.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"

namespace spillway {

namespace {

class Hdf5Recording final : public RecordingBackend {
 public:
  ~Hdf5Recording() override { release(); }

  void load(const std::string& from, FileCalls& calls);
  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const override;
  [[nodiscard]] std::span<const std::byte> view(std::size_t stream, std::size_t column,
                                                std::uint64_t row) const override {
    if (!chunks_) return {};
    return chunks_->view(first_column_[stream] + column, row);
  }
  void release() noexcept override {
    const h5::Library library;
    columns_.clear();
    file_.close();
  }

 private:
  struct Column {
    h5::Id dataset;
    hid_t type;  // of the library's own: not closed
    std::string name;
    std::uint64_t chunk_rows;
    std::vector<std::uint64_t> not_there = {};  // chunks that the file ends before, by number
  };

  [[nodiscard]] h5::Id open(hid_t at, const std::string& name) const {
    return {H5Dopen2(at, name.c_str(), H5P_DEFAULT), path, "no dataset " + name};
  }
  [[nodiscard]] std::uint64_t length(hid_t dataset, const std::string& name) const;
  [[nodiscard]] std::uint64_t chunk_rows(hid_t dataset, const std::string& name) const;
  void read_rows(const Column& from, std::uint64_t row, std::uint64_t count,
                 std::span<std::byte> to) const;
  void read_in_chunk(Column& from, std::uint64_t row, std::uint64_t count,
                     std::span<std::byte> to) const;
  template <class Row>
  [[nodiscard]] std::vector<Row> table(hid_t group, const std::string& name,
                                       const h5::Id& type) const;
  void open_file(FileCalls& calls);
  void load_entry();
  void load_events(hid_t extra);
  void read_by_seal(const Seal& seal, FileCalls& calls);
  void load_stream(hid_t entry, hid_t extra, const std::string& name);
  [[nodiscard]] std::vector<PartRows> rows_in_parts(const Column& column);
  void load_parts(FileCalls& calls);
  void load_calibrations(hid_t books, RecordedStream& stream) const;

  h5::Id file_;
  // Of each stream, as columns_of counts. Held: Library.
  mutable std::vector<std::vector<Column>> columns_;
  bool growing_ = false;
  std::optional<ChunkFile> chunks_;        // of a sealed file, instead of these two
  std::vector<std::size_t> first_column_;  // of each stream, in chunks_
  std::optional<NumberedParts> parts_;     // of a master, instead of all these
};

std::uint64_t Hdf5Recording::length(hid_t dataset, const std::string& name) const {
  const h5::Id space(H5Dget_space(dataset), path, name);
  hsize_t n = 0;
  if (H5Sget_simple_extent_ndims(space) != 1 || H5Sget_simple_extent_dims(space, &n, nullptr) != 1)
    throw Error(fmt::format("{}: dataset {} has not one dimension", path, name));
  return n;
}

std::uint64_t Hdf5Recording::chunk_rows(hid_t dataset, const std::string& name) const {
  const h5::Id properties(H5Dget_create_plist(dataset), path, name);
  hsize_t rows = 0;
  if (H5Pget_chunk(properties, 1, &rows) != 1 || rows == 0)
    throw Error(fmt::format("{}: dataset {} is not in chunks", path, name));
  return rows;
}

template <class Row>
std::vector<Row> Hdf5Recording::table(hid_t group, const std::string& name,
                                      const h5::Id& type) const {
  const h5::Id dataset = open(group, name);
  const std::uint64_t count = length(dataset, name);
  // A file may claim rows of which it has none. A deflated byte becomes 1032 at most, and of a
  // growing file the last rows may be on their way.
  constexpr std::uint64_t most_on_their_way = 16 << 20;
  hsize_t file_bytes = 0;
  H5Fget_filesize(file_, &file_bytes);
  const std::uint64_t stored = std::min<std::uint64_t>(H5Dget_storage_size(dataset), file_bytes);
  if (count > (most_on_their_way + 1032 * stored) / sizeof(Row))
    throw Error(
        fmt::format("{}: dataset {} claims {} rows, but has {} bytes", path, name, count, stored));
  std::vector<Row> rows(count);
  if (!rows.empty() && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()) < 0)
    h5::fail(path, name + " can't be read");
  if (h5::take_read_behind_end(file_))
    throw Error(
        fmt::format("{}: is damaged: it ends before its table {} does, so nothing tells which "
                    "samples are in it",
                    path, name));
  return rows;
}

void Hdf5Recording::load_calibrations(hid_t books, RecordedStream& stream) const {
  const auto changes = table<h5::CalibrationRow>(books, "calibration", h5::calibration_type());
  const h5::Id byte(H5Tcopy(H5T_NATIVE_UINT8), path, "type");
  const auto bytes = table<char>(books, "calibration_bytes", byte);
  for (const auto& row : changes) {
    if (row.offset > bytes.size() || row.length > bytes.size() - row.offset ||
        row.channel >= stream.info.channels.size())
      throw Error(
          fmt::format("{}: the calibration table of stream {} is damaged", path, stream.info.name));
    if (stream.calibrations.empty() || stream.calibrations.back().from_sample != row.from_sample)
      stream.calibrations.push_back({row.from_sample, CalibrationSet(stream.info.channels.size())});
    const char* text = bytes.data() + row.offset;
    stream.calibrations.back().calibrations[row.channel] =
        calibration_from_json(nlohmann::ordered_json::parse(text, text + row.length));
  }
}

void Hdf5Recording::load_stream(hid_t entry, hid_t extra, const std::string& name) {
  RecordedStream stream;
  const h5::Id books(H5Gopen2(extra, name.c_str(), H5P_DEFAULT), path,
                     "no group for stream " + name);
  stream.info =
      stream_info_from_json(nlohmann::ordered_json::parse(h5::get_text(books, "info", path)));
  stream.segments = table<Segment>(books, "segments", h5::segment_type());
  stream.gaps = table<Gap>(books, "gaps", h5::gap_type());
  for (const auto& a : table<h5::AnchorRow>(books, "anchors", h5::anchor_type()))
    stream.anchors.push_back({{a.sample}, Time(a.time_ns), a.ticks});
  const auto counts = table<RecordedCounts>(books, "counts", h5::counts_type());
  if (!counts.empty()) stream.counts = counts[0];
  load_calibrations(books, stream);
  if (growing_) {
    // What the tables say is cut below to what all of them know of: damage would look like that.
    check_books(stream, path);
    told_counts.push_back(stream.counts);
  }

  const h5::Id group(H5Gopen2(entry, name.c_str(), H5P_DEFAULT), path, "no group " + name);
  std::vector<Column> columns;
  // In a growing file columns may be ahead of the books: only what both know is there.
  stream.rows = std::numeric_limits<std::uint64_t>::max();
  for (const ColumnInfo& info : columns_of(stream.info)) {
    const hid_t type =
        info.kind == ColumnInfo::Kind::values
            ? h5::native_type(static_cast<int>(stream.info.channels[info.channel].type))
        : info.kind == ColumnInfo::Kind::quality ? H5T_NATIVE_UINT8
                                                 : H5T_NATIVE_INT64;
    h5::Id dataset = open(group, info.name);
    const std::uint64_t rows = growing_ ? chunk_rows(dataset, info.name) : 0;
    columns.push_back({std::move(dataset), type, name + "/" + info.name, rows});
    stream.rows = std::min(stream.rows, length(columns.back().dataset, info.name));
  }
  fit_segments(stream, path);
  if (growing_) fit_books(stream);
  streams.push_back(std::move(stream));
  columns_.push_back(std::move(columns));
}

void Hdf5Recording::load_entry() {
  const h5::Id entry(H5Gopen2(file_, "entry", H5P_DEFAULT), path, "no group /entry");
  const h5::Id extra(H5Gopen2(entry, "spillway", H5P_DEFAULT), path, "no group /entry/spillway");
  title = h5::get_text(entry, "title", path);
  start_time = h5::get_text(entry, "start_time", path);
  end_time = h5::get_text(entry, "end_time", path);
  status = h5::get_text(extra, "status", path);
  configuration = h5::get_text(extra, "configuration", path);
  provenance = h5::get_text(extra, "provenance", path);
  std::vector<std::string> names;
  H5Literate(
      extra, H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr,
      [](hid_t group, const char* name, const H5L_info_t*, void* data) -> herr_t {
        H5O_info_t object;
        if (H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) >= 0 &&
            object.type == H5O_TYPE_GROUP)
          static_cast<std::vector<std::string>*>(data)->emplace_back(name);
        return 0;
      },
      &names);
  for (const std::string& name : names) load_stream(entry, extra, name);
  load_events(extra);
  // Texts: what is behind the end reads as none.
  if (h5::take_read_behind_end(file_) && growing_)
    throw Error(path + ": is damaged: it ends before what describes it");
}

void Hdf5Recording::load_events(hid_t extra) {
  // Files of format 1 have none of these.
  const auto has = [&](const char* name) { return H5Lexists(extra, name, H5P_DEFAULT) > 0; };
  const h5::Id byte(H5Tcopy(H5T_NATIVE_UINT8), path, "type");
  if (has("events"))
    for (const h5::EventRow& row : table<h5::EventRow>(extra, "events", h5::event_type()))
      events.push_back(h5::event_of(row));
  if (has("state")) {
    const auto bytes = table<char>(extra, "state", byte);
    state.assign(bytes.begin(), bytes.end());
  }
  if (!has("log")) return;
  const auto lines = table<char>(extra, "log", byte);
  // In a growing file the last line may be there in part.
  for (auto at = lines.begin(), end = at; (end = std::find(at, lines.end(), '\n')) != lines.end();
       at = end + 1)
    log.emplace_back(at, end);
}

void Hdf5Recording::open_file(FileCalls& calls) {
  const h5::Id access(H5Pcreate(H5P_FILE_ACCESS), path, "properties");
  h5::set_driver(access, calls);
  // What a live reader finds half written it reads again, sleeping twice as long each time: at most
  // some 30 ms in all, not the hundred times that nobody lives to see the end of.
  H5Pset_metadata_read_attempts(access, 25);
  // A file that grows, or was left unfinished, opens for live readers only.
  hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
  growing_ = file < 0;
  if (growing_) file = H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
  file_ = h5::Id(file, path, "can't be opened");
}

void Hdf5Recording::load(const std::string& from, FileCalls& calls) {
  path = from;
  std::optional<Seal> seal;
  {
    // The library believes what it reads: it gets to see nothing that is not right.
    const File file(calls, path, File::Mode::read);
    seal = read_seal(file);
    if (seal) {
      Seal between = *seal;
      std::erase_if(between.ranges,
                    [](const SealRange& r) { return r.column != SealRange::no_column; });
      check_seal(file, between, [&](const SealRange& range, const std::string& what) {
        throw Error(fmt::format("{}: is damaged in bytes {} to {}: {}; 'spillway verify' tells all",
                                path, range.address, range.address + range.length - 1, what));
      });
    }
  }
  const h5::Library library;
  open_file(calls);
  try {
    load_entry();
  } catch (const nlohmann::json::exception& e) {
    throw Error(fmt::format("{}: is damaged: a description in it: {}", path, json_error_text(e)));
  } catch (const Error& e) {
    const std::string text = e.what();
    throw Error(text.starts_with(path)
                    ? fmt::format("{} (not a recording of this program, or damaged)", text)
                    : fmt::format("{}: {}", path, text));
  }
  if (seal)
    read_by_seal(*seal, calls);
  else if (!growing_)
    load_parts(calls);
}

// Where the rows of a virtual dataset are; none: it is no such dataset.
std::vector<PartRows> Hdf5Recording::rows_in_parts(const Column& column) {
  const h5::Id properties(H5Dget_create_plist(column.dataset), path, column.name);
  if (H5Pget_layout(properties) != H5D_VIRTUAL) return {};
  std::size_t count = 0;
  if (H5Pget_virtual_count(properties, &count) < 0) h5::fail(path, column.name);
  std::vector<PartRows> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const h5::Id space(H5Pget_virtual_vspace(properties, i), path, column.name);
    hsize_t first = 0;
    hsize_t last = 0;
    std::string file(4096, '\0');
    std::string dataset(4096, '\0');
    if (H5Sget_select_bounds(space, &first, &last) < 0 ||
        H5Pget_virtual_filename(properties, i, file.data(), file.size()) < 0 ||
        H5Pget_virtual_dsetname(properties, i, dataset.data(), dataset.size()) < 0)
      h5::fail(path, column.name);
    dataset.resize(dataset.find('\0'));
    if (dataset != "/entry/" + column.name)
      throw Error(fmt::format("{}: {} shows '{}', not the dataset of the same name", path,
                              column.name, dataset));
    rows.push_back({first, last - first + 1, parts_->add(file.substr(0, file.find('\0')))});
  }
  return rows;
}

void Hdf5Recording::load_parts(FileCalls& calls) {
  parts_.emplace(path, calls);
  const auto same = [](const PartRows& a, const PartRows& b) {
    return a.first_row == b.first_row && a.rows == b.rows && a.part == b.part;
  };
  for (std::size_t s = 0; s < streams.size(); ++s) {
    std::vector<PartRows> rows = rows_in_parts(columns_[s][0]);
    is_master |= !rows.empty();
    // Without rows there is nothing to be virtual.
    if (!is_master && streams[s].rows > 0) break;
    std::vector<NumberedParts::Fill> fills;
    for (const Column& column : columns_[s]) {
      if (!std::ranges::equal(rows, rows_in_parts(column), same))
        throw Error(fmt::format("{}: {} is not in the same files as {}", path, column.name,
                                columns_[s][0].name));
      const h5::Id properties(H5Dget_create_plist(column.dataset), path, column.name);
      if (H5Pget_fill_value(properties, column.type, fills.emplace_back().data()) < 0)
        h5::fail(path, column.name);
    }
    parts_->add_stream(streams[s], std::move(rows), std::move(fills));
  }
  if (!is_master) {
    parts_.reset();
    return;
  }
  other_files = parts_->paths();
  if (std::string missing = parts_->missing(); !missing.empty())
    remarks.push_back(std::move(missing));
  columns_.clear();
  file_.close();
}

void Hdf5Recording::read_by_seal(const Seal& seal, FileCalls& calls) {
  std::vector<ChunkColumn> all(seal.columns.size());
  for (std::size_t c = 0; c < all.size(); ++c) {
    all[c].row_bytes = seal.columns[c].row_bytes;
    all[c].chunk_rows = seal.columns[c].chunk_rows;
    all[c].deflated = seal.columns[c].deflated;
  }
  for (const SealRange& r : seal.ranges)
    if (r.column < all.size())
      all[r.column].chunks.push_back({r.first_row, r.rows, r.filter_mask, r.address,
                                      static_cast<std::uint32_t>(r.length), r.crc32c});
  std::vector<ChunkColumn> used;
  for (const RecordedStream& stream : streams) {
    first_column_.push_back(used.size());
    for (const ColumnInfo& info : columns_of(stream.info)) {
      const std::string name = fmt::format("/entry/{}/{}", stream.info.name, info.name);
      const auto found = std::ranges::find(seal.columns, name, &SealColumn::path);
      if (found == seal.columns.end() || found->row_bytes != info.row_bytes)
        throw Error(fmt::format("{}: its seal does not tell of {}", path, name));
      ChunkColumn& column =
          used.emplace_back(std::move(all[static_cast<std::size_t>(found - seal.columns.begin())]));
      column.name =
          fmt::format("{} '{}/{}'", info.kind == ColumnInfo::Kind::time_ns ? "column" : "channel",
                      stream.info.name, info.name);
      std::ranges::sort(column.chunks, {}, &ChunkPlace::first_row);
      if (!column.chunks.empty())
        column.tail_row = column.chunks.back().first_row + column.chunks.back().rows;
      if (column.tail_row < stream.rows)
        throw Error(fmt::format("{}: {}: the seal tells of {} rows, the books of {}", path,
                                column.name, column.tail_row, stream.rows));
    }
  }
  chunks_.emplace(calls, path, std::move(used));
  guard = Recording::Guard::seal;
  columns_.clear();
  file_.close();
}

void Hdf5Recording::read(std::size_t stream, std::size_t column, std::uint64_t row,
                         std::uint64_t count, std::span<std::byte> to) const {
  if (count == 0) return;
  if (chunks_) return chunks_->read(first_column_[stream] + column, row, count, to);
  if (parts_) return parts_->read(stream, column, row, count, to);
  if (columns_.empty()) throw Error(path + ": was closed to be refreshed, which failed");
  const h5::Library library;
  Column& from = columns_[stream][column];
  if (!growing_) return read_rows(from, row, count, to);
  const std::size_t row_bytes = H5Tget_size(from.type);
  while (count > 0) {
    const std::uint64_t n = std::min(count, from.chunk_rows - row % from.chunk_rows);
    try {
      read_in_chunk(from, row, n, to.first(n * row_bytes));
    } catch (const DamagedRows&) {
      throw;
    } catch (const Error& error) {
      throw DamagedRows(error.what(), row, n);
    }
    to = to.subspan(n * row_bytes);
    row += n;
    count -= n;
  }
}

// Of a file that grows, or was left: nobody but the library knows where its chunks are, and to the
// library what is not there is zeros, or fill values, and right.
void Hdf5Recording::read_in_chunk(Column& from, std::uint64_t row, std::uint64_t count,
                                  std::span<std::byte> to) const {
  const std::uint64_t chunk = row / from.chunk_rows;
  const hsize_t first = chunk * from.chunk_rows;
  hsize_t stored = 0;
  if (H5Dget_chunk_storage_size(from.dataset, &first, &stored) < 0 || stored == 0)
    throw DamagedRows(fmt::format("{}: {}: rows {} to {} are in no chunk of the file", path,
                                  from.name, row, row + count - 1),
                      row, count);
  static_cast<void>(h5::take_read_behind_end(file_));
  read_rows(from, row, count, to);
  // The library keeps the chunk, and does not read it a second time.
  if (h5::take_read_behind_end(file_)) from.not_there.push_back(chunk);
  if (std::ranges::find(from.not_there, chunk) != from.not_there.end())
    throw DamagedRows(fmt::format("{}: {}: the file ends before the chunk of rows {} to {} does",
                                  path, from.name, first, first + from.chunk_rows - 1),
                      row, count);
}

void Hdf5Recording::read_rows(const Column& from, std::uint64_t row, std::uint64_t count,
                              std::span<std::byte> to) const {
  const hsize_t start = row;
  const hsize_t n = count;
  const h5::Id file_space(H5Dget_space(from.dataset), path, from.name);
  const h5::Id memory_space(H5Screate_simple(1, &n, nullptr), path, from.name);
  if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &n, nullptr) < 0 ||
      H5Dread(from.dataset, from.type, memory_space, file_space, H5P_DEFAULT, to.data()) < 0)
    h5::fail(path, fmt::format("{}: rows {} to {} can't be read", from.name, row, row + count - 1));
}

}  // namespace

std::unique_ptr<RecordingBackend> open_hdf5(const std::string& path, FileCalls& calls) {
  auto recording = std::make_unique<Hdf5Recording>();
  recording->load(path, calls);
  return recording;
}

}  // namespace spillway
