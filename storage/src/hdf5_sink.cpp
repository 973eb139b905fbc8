#include "spillway/storage/hdf5_sink.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <limits>

#include "calibration_json.hpp"
#include "h5.hpp"
#include "h5_column.hpp"
#include "h5_tables.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/stream_log.hpp"
#include "stream_json.hpp"

namespace spillway {

namespace {

constexpr std::size_t status_room = 512;
constexpr double fastest_with_time_hz = 20e3;
constexpr std::uint64_t check_space_every = 1 << 20;
constexpr std::uint64_t tables_bytes = 64 << 10;  // a chunk of each table of a stream, and more

// About two seconds a chunk: long enough for large writes, short enough that a
// slow stream does not reserve room it will never fill.
std::size_t chunk_rows_for(const StreamInfo& info) {
  if (!info.rate) return 1024;
  const double rows = std::clamp(info.rate->hertz().value * 2.0, 64.0, 65536.0);
  return std::bit_ceil(static_cast<std::size_t>(rows));
}

// Whole seconds and the rest apart, so that every machine rounds alike.
double seconds(std::int64_t ns) {
  return static_cast<double>(ns / 1'000'000'000) + static_cast<double>(ns % 1'000'000'000) / 1e9;
}

h5::Id make_group(hid_t parent, const std::string& name, const std::string& nx_class) {
  // Readers are to see things in the order they were declared.
  const h5::Id properties(H5Pcreate(H5P_GROUP_CREATE), name, "properties");
  H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  h5::Id group(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT),
               "group " + name, "can't be made");
  if (!nx_class.empty()) h5::put_attribute(group, "NX_class", nx_class);
  return group;
}

// Makes `columns` share the dimension scale `scale`, as H5DSattach_scale would,
// but in one go: attaching one by one rewrites the list each time.
void attach_scale(hid_t scale, const std::string& scale_path, const std::string& scale_name,
                  hid_t file, hid_t group, const std::vector<std::string>& columns) {
  h5::put_attribute(scale, "CLASS", std::string("DIMENSION_SCALE"));
  h5::put_attribute(scale, "NAME", scale_name);
  hobj_ref_t scale_reference{};
  if (H5Rcreate(&scale_reference, file, scale_path.c_str(), H5R_OBJECT, -1) < 0)
    h5::fail(scale_path, "can't be referred to");
  struct Use {
    hobj_ref_t dataset;
    std::int32_t dimension;
  };
  std::vector<Use> uses;
  const h5::Id list_type(H5Tvlen_create(H5T_STD_REF_OBJ), "HDF5", "list type");
  const hsize_t one = 1;
  const h5::Id one_space(H5Screate_simple(1, &one, nullptr), "HDF5", "space");
  for (const std::string& name : columns) {
    const h5::Id column(H5Dopen2(group, name.c_str(), H5P_DEFAULT), name, "can't be opened");
    const h5::Id attribute(
        H5Acreate2(column, "DIMENSION_LIST", list_type, one_space, H5P_DEFAULT, H5P_DEFAULT), name,
        "DIMENSION_LIST");
    hvl_t list{1, &scale_reference};
    if (H5Awrite(attribute, list_type, &list) < 0)
      h5::fail(name, "DIMENSION_LIST can't be written");
    Use use{};
    if (H5Rcreate(&use.dataset, group, name.c_str(), H5R_OBJECT, -1) < 0)
      h5::fail(name, "can't be referred to");
    uses.push_back(use);
  }
  const h5::Id use_type =
      h5::compound(sizeof(Use), {{"dataset", offsetof(Use, dataset), H5T_STD_REF_OBJ},
                                 {"dimension", offsetof(Use, dimension), H5T_NATIVE_INT32}});
  const hsize_t count = uses.size();
  const h5::Id space(H5Screate_simple(1, &count, nullptr), "HDF5", "space");
  const h5::Id attribute(
      H5Acreate2(scale, "REFERENCE_LIST", use_type, space, H5P_DEFAULT, H5P_DEFAULT), scale_name,
      "REFERENCE_LIST");
  if (H5Awrite(attribute, use_type, uses.data()) < 0)
    h5::fail(scale_name, "REFERENCE_LIST can't be written");
}

std::string time_units(const Origin& origin) {
  // CF needs a calendar date to count from; words about an unknown origin are none.
  if (origin.kind == Origin::Kind::unknown || origin.text.empty()) return "s";
  return "seconds since " + origin.text + (origin.kind == Origin::Kind::utc ? "Z" : "");
}

void describe_quality(hid_t dataset, const std::string& channel) {
  h5::put_attribute(dataset, "standard_name", std::string("status_flag"));
  h5::put_attribute(dataset, "long_name", "quality of " + channel);
  // CF 1.8, section 3.5: where a mask is repeated, the value tells which state it is in.
  h5::put_attribute(dataset, "flag_masks",
                    std::vector<std::uint8_t>{3, 3, 3, 3, 4, 8, 16, 32, 64, 128});
  h5::put_attribute(dataset, "flag_values",
                    std::vector<std::uint8_t>{0, 1, 2, 3, 4, 8, 16, 32, 64, 128});
  h5::put_attribute(
      dataset, "flag_meanings",
      std::string("good interpolated suspect bad out_of_range missing transient implausible "
                  "calibration time_uncertain"));
}

}  // namespace

struct Hdf5Sink::Impl {
  struct Stream {
    StreamInfo info;
    std::vector<h5::Column> values;
    std::vector<h5::Column> quality;
    std::optional<h5::Column> time;
    std::optional<h5::Column> time_ns;
    std::optional<h5::Id> rows;  // fast streams: the bare dimension
    h5::Table segments;
    h5::Table gaps;
    h5::Table anchors;
    h5::Table calibrations;
    h5::Table calibration_bytes;
    h5::Table counts;
    StreamLog log;
    std::vector<h5::AnchorRow> new_anchors;
    std::uint64_t segments_done = 0;
  };

  OutputFile output;
  h5::Id file;
  h5::Id status;
  h5::Id end_time;
  std::vector<Stream> streams;
  std::uint64_t since_check = 0;
  std::uint64_t chunks_bytes = 0;  // one chunk of every dataset
  bool closing = false;
  std::atomic<std::uint64_t> written{0};

  Impl(std::string path, Existing existing) : output(std::move(path), existing) {}

  // Gives all identifiers back; the file is closed with the last of them.
  herr_t release() {
    streams.clear();
    status.close();
    end_time.close();
    return file.close();
  }

  void count(std::uint64_t bytes) {
    written.fetch_add(bytes, std::memory_order_relaxed);
    since_check += bytes;
    if (closing || since_check < check_space_every) return;
    since_check = 0;
    require_space();
  }

  // To close takes at most a new chunk of every dataset: that much must stay free.
  void require_space() const {
    require_free_space(output.path(), chunks_bytes + check_space_every);
  }

  Stream make_stream(hid_t entry, hid_t extra, const StreamInfo& info) {
    const std::size_t chunk_rows = chunk_rows_for(info);
    const h5::Id group = make_group(entry, info.name, "NXdata");
    const h5::Id books = make_group(extra, info.name, "");
    h5::put_text(books, "info", to_json(info).dump(), 0);

    const bool with_time = !info.rate || info.rate->hertz().value <= fastest_with_time_hz;
    const std::string axis = with_time ? "time" : "row";
    std::vector<std::string> column_names;
    std::vector<std::string> auxiliary;
    Stream stream{
        info,
        {},
        {},
        {},
        {},
        {},
        {books, "segments", h5::segment_type(), 64},
        {books, "gaps", h5::gap_type(), 64},
        {books, "anchors", h5::anchor_type(), 1024},
        {books, "calibration", h5::calibration_type(), 64},
        {books, "calibration_bytes", h5::Id(H5Tcopy(H5T_NATIVE_UINT8), "HDF5", "type"), 4096},
        {books, "counts", h5::counts_type(), 1},
        {},
        {},
        0};
    for (const ChannelInfo& channel : info.channels) {
      const hid_t type = h5::native_type(static_cast<int>(channel.type));
      const double nan_double = std::numeric_limits<double>::quiet_NaN();
      const float nan_float = std::numeric_limits<float>::quiet_NaN();
      const void* fill = channel.type == SampleType::float64 ? static_cast<const void*>(&nan_double)
                         : channel.type == SampleType::float32
                             ? static_cast<const void*>(&nan_float)
                             : nullptr;
      const std::string quality_name = channel.name + "_quality";
      stream.values.emplace_back(group, channel.name, type, sample_size(channel.type), chunk_rows,
                                 fill);
      const hid_t dataset = stream.values.back().id();
      h5::put_attribute(dataset, "units", channel.raw_unit());
      h5::put_attribute(dataset, "long_name",
                        channel.description.empty() ? channel.name : channel.description);
      h5::put_attribute(dataset, "ancillary_variables", quality_name);
      if (!channel.calibration.is_identity()) {
        // Not CF's scale_factor: it could not change in the middle of the recording.
        h5::put_attribute(dataset, "calibration", describe(channel.calibration));
        h5::put_attribute(dataset, "calibrated_units", channel.unit);
      }
      if (channel.range) {
        h5::put_attribute(dataset, "range_low", channel.range->low);
        h5::put_attribute(dataset, "range_high", channel.range->high);
      }
      const std::uint8_t never = Quality::never_written().byte();
      stream.quality.emplace_back(group, quality_name, H5T_NATIVE_UINT8, 1, chunk_rows, &never);
      describe_quality(stream.quality.back().id(), channel.name);
      column_names.push_back(channel.name);
      column_names.push_back(quality_name);
      if (&channel != info.channels.data()) auxiliary.push_back(channel.name);
    }
    if (!info.rate) {
      stream.time_ns.emplace(group, "time_ns", H5T_NATIVE_INT64, sizeof(std::int64_t), chunk_rows,
                             nullptr);
      h5::put_attribute(stream.time_ns->id(), "units", std::string("ns"));
      h5::put_attribute(stream.time_ns->id(), "long_name",
                        std::string("exact time from the origin"));
      column_names.emplace_back("time_ns");
    }
    hid_t scale = -1;
    if (with_time) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      stream.time.emplace(group, "time", H5T_NATIVE_DOUBLE, sizeof(double), chunk_rows, &nan);
      scale = stream.time->id();
      h5::put_attribute(scale, "units", time_units(info.origin));
      h5::put_attribute(scale, "long_name", std::string("time"));
      h5::put_attribute(scale, "standard_name", std::string("time"));
    } else {
      stream.rows = h5::make_growing(group, "row", H5T_NATIVE_INT8, 65536, nullptr);
      scale = *stream.rows;
    }
    // netCDF-4's words for a dimension that has no values of its own.
    attach_scale(scale, fmt::format("/entry/{}/{}", info.name, axis),
                 with_time ? "time" : "This is a netCDF dimension but not a netCDF variable.", file,
                 group, column_names);
    for (const ChannelInfo& channel : info.channels)
      chunks_bytes += chunk_rows * (sample_size(channel.type) + 1);
    chunks_bytes += chunk_rows * 2 * sizeof(double) + tables_bytes;
    h5::put_attribute(group, "signal", info.channels[0].name);
    if (!auxiliary.empty()) h5::put_attribute(group, "auxiliary_signals", auxiliary);
    h5::put_attribute(group, "axes", std::string(with_time ? "time" : "."));
    if (info.rate) h5::put_attribute(group, "sample_rate_hz", info.rate->hertz().value);
    return stream;
  }

  void put_rows(Stream& stream, const Chunk& chunk, const Block& block) {
    const std::size_t n = chunk.count.value;
    for (std::size_t c = 0; c < stream.values.size(); ++c) {
      count(stream.values[c].append(block.bytes(c), n));
      count(stream.quality[c].append(block.quality(c).data(), n));
    }
    if (stream.time_ns) count(stream.time_ns->append(block.times().data(), n));
    if (!stream.time) return;
    const std::uint64_t clock = chunk.first.value - chunk.clock_sample.value;
    for (std::size_t done = 0; done < n;) {
      std::size_t room = 0;
      std::byte* to = stream.time->reserve(room);
      room = std::min(room, n - done);
      for (std::size_t i = 0; i < room; ++i) {
        const Time t = block.has_times()
                           ? block.times()[done + i]
                           : chunk.clock_time + stream.info.rate->duration(clock + done + i);
        const double s = seconds(t.count());
        std::memcpy(to + i * sizeof s, &s, sizeof s);
      }
      done += room;
      count(stream.time->added(room));
    }
  }

  void flush_stream(Stream& stream) {
    std::uint64_t bytes = 0;
    for (h5::Column& column : stream.values) bytes += column.flush();
    for (h5::Column& column : stream.quality) bytes += column.flush();
    if (stream.time_ns) bytes += stream.time_ns->flush();
    if (stream.time) bytes += stream.time->flush();
    if (stream.rows) {
      const hsize_t extent = stream.log.rows();
      H5Dset_extent(*stream.rows, &extent);
    }
    const std::vector<Segment> finished = stream.log.take_finished_segments();
    bytes += stream.segments.write(stream.segments_done, finished.data(), finished.size());
    stream.segments_done += finished.size();
    if (stream.log.has_segment())
      bytes += stream.segments.write(stream.segments_done, &stream.log.open_segment(), 1);
    const std::vector<Gap> gaps = stream.log.take_gaps();
    bytes += stream.gaps.write(stream.gaps.rows(), gaps.data(), gaps.size());
    bytes += stream.anchors.write(stream.anchors.rows(), stream.new_anchors.data(),
                                  stream.new_anchors.size());
    stream.new_anchors.clear();
    for (const CalibrationChange& change : stream.log.take_calibrations()) {
      for (std::size_t c = 0; c < change.calibrations.size(); ++c) {
        const std::string text = to_json(change.calibrations[c]).dump();
        const h5::CalibrationRow row{change.from_sample, static_cast<std::uint32_t>(c),
                                     stream.calibration_bytes.rows(),
                                     static_cast<std::uint32_t>(text.size())};
        bytes += stream.calibration_bytes.write(row.offset, text.data(), text.size());
        bytes += stream.calibrations.write(stream.calibrations.rows(), &row, 1);
      }
    }
    bytes += stream.counts.write(0, &stream.log.counts(), 1);
    count(bytes);
  }

  void flush() {
    require_space();
    for (Stream& stream : streams) flush_stream(stream);
    if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) h5::fail(output.part(), "can't be flushed");
  }
};

Hdf5Sink::Hdf5Sink(std::string path, Existing existing)
    : impl_(std::make_unique<Impl>(std::move(path), existing)) {}

Hdf5Sink::~Hdf5Sink() {
  const h5::Library library;
  impl_->release();
  impl_.reset();
}

void Hdf5Sink::abandon() noexcept {
  const h5::Library library;
  impl_->release();
  impl_->output.discard();
}

void Hdf5Sink::begin(const RecordingInfo& info) {
  const h5::Library library;
  Impl& self = *impl_;
  for (const StreamInfo& stream : info.streams) check(stream);
  require_free_space(self.output.path(), check_space_every);
  const h5::Id access(H5Pcreate(H5P_FILE_ACCESS), "HDF5", "properties");
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  self.file = h5::Id(H5Fcreate(self.output.part().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access),
                     self.output.part(), "can't be made");
  h5::put_attribute(self.file, "default", std::string("entry"));
  h5::put_attribute(self.file, "NX_class", std::string("NXroot"));
  h5::put_attribute(self.file, "format_version", std::string("1"));
  h5::put_attribute(self.file, "creator", std::string("Spillway " SPILLWAY_VERSION));
  const h5::Id entry = make_group(self.file, "entry", "NXentry");
  if (!info.streams.empty()) h5::put_attribute(entry, "default", info.streams[0].name);
  const std::string start = info.start_time.empty() ? utc_now() : info.start_time;
  h5::put_text(entry, "title", info.title, 0);
  h5::put_text(entry, "start_time", start, 0);
  self.end_time = h5::put_text(entry, "end_time", "", 32);
  const h5::Id extra = make_group(entry, "spillway", "NXcollection");
  self.status = h5::put_text(extra, "status", "recording", status_room);
  h5::put_text(extra, "configuration", info.configuration, 0);
  h5::put_text(extra, "provenance", info.provenance, 0);
  for (const StreamInfo& stream : info.streams)
    self.streams.push_back(self.make_stream(entry, extra, stream));
  self.require_space();
  // From here on nothing may be made any more, only appended: others may read along.
  if (H5Fstart_swmr_write(self.file) < 0)
    h5::fail(self.output.part(), "can't be opened to live readers");
}

void Hdf5Sink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                      const CalibrationSet& calibrations) {
  const h5::Library library;
  Impl::Stream& to = impl_->streams[stream];
  // Rows before books: what the books name as recorded is in the columns.
  if (chunk.count.value > 0) impl_->put_rows(to, chunk, block);
  to.log.add(chunk, calibrations);
}

void Hdf5Sink::append(std::size_t stream, std::span<const Anchor> anchors) {
  for (const Anchor& a : anchors)
    impl_->streams[stream].new_anchors.push_back({a.sample.value, a.time.count(), a.ticks});
}

void Hdf5Sink::flush() {
  const h5::Library library;
  impl_->flush();
}

void Hdf5Sink::close(const Ending& ending) {
  const h5::Library library;
  Impl& self = *impl_;
  self.closing = true;
  for (Impl::Stream& stream : self.streams) self.flush_stream(stream);
  h5::change_text(self.status, ending.complete ? "complete" : "incomplete: " + ending.reason);
  h5::change_text(self.end_time, utc_now());
  if (self.release() < 0) h5::fail(self.output.part(), "can't be closed");
  self.output.seal();
}

std::uint64_t Hdf5Sink::bytes_written() const noexcept {
  return impl_->written.load(std::memory_order_relaxed);
}

std::string Hdf5Sink::name() const { return impl_->output.path(); }

}  // namespace spillway
