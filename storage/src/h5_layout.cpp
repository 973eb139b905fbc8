#include "h5_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "calibration_json.hpp"
#include "h5_tables.hpp"
#include "json_error.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/channels/quality.hpp"
#include "stream_json.hpp"

namespace spillway::h5 {

namespace {

constexpr std::size_t status_room = 512;
constexpr double fastest_with_time_hz = 20e3;

bool with_time(const StreamInfo& info) {
  return !info.rate || info.rate->hertz().value <= fastest_with_time_hz;
}

Id make_group(hid_t parent, const std::string& name, const std::string& nx_class) {
  // Readers are to see things in the order they were declared.
  const Id properties(H5Pcreate(H5P_GROUP_CREATE), name, "properties");
  H5Pset_link_creation_order(properties, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  Id group(H5Gcreate2(parent, name.c_str(), link_properties(), properties, H5P_DEFAULT),
           "group " + name, "can't be made");
  if (!nx_class.empty()) put_attribute(group, "NX_class", nx_class);
  return group;
}

// Makes `columns` share the dimension scale `scale`, as H5DSattach_scale would,
// but in one go: attaching one by one rewrites the list each time.
void attach_scale(hid_t scale, const std::string& scale_path, const std::string& scale_name,
                  hid_t file, const std::vector<std::string>& columns) {
  put_attribute(scale, "CLASS", std::string("DIMENSION_SCALE"));
  put_attribute(scale, "NAME", scale_name);
  hobj_ref_t scale_reference{};
  if (H5Rcreate(&scale_reference, file, scale_path.c_str(), H5R_OBJECT, -1) < 0)
    fail(scale_path, "can't be referred to");
  struct Use {
    hobj_ref_t dataset;
    std::int32_t dimension;
  };
  std::vector<Use> uses;
  const Id list_type(H5Tvlen_create(H5T_STD_REF_OBJ), "HDF5", "list type");
  const hsize_t one = 1;
  const Id one_space(H5Screate_simple(1, &one, nullptr), "HDF5", "space");
  for (const std::string& name : columns) {
    const Id column(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
    const Id attribute(
        H5Acreate2(column, "DIMENSION_LIST", list_type, one_space, H5P_DEFAULT, H5P_DEFAULT), name,
        "DIMENSION_LIST");
    hvl_t list{1, &scale_reference};
    if (H5Awrite(attribute, list_type, &list) < 0) fail(name, "DIMENSION_LIST can't be written");
    Use use{};
    if (H5Rcreate(&use.dataset, file, name.c_str(), H5R_OBJECT, -1) < 0)
      fail(name, "can't be referred to");
    uses.push_back(use);
  }
  const Id use_type =
      compound(sizeof(Use), {{"dataset", offsetof(Use, dataset), H5T_STD_REF_OBJ},
                             {"dimension", offsetof(Use, dimension), H5T_NATIVE_INT32}});
  const hsize_t count = uses.size();
  const Id space(H5Screate_simple(1, &count, nullptr), "HDF5", "space");
  const Id attribute(H5Acreate2(scale, "REFERENCE_LIST", use_type, space, H5P_DEFAULT, H5P_DEFAULT),
                     scale_name, "REFERENCE_LIST");
  if (H5Awrite(attribute, use_type, uses.data()) < 0)
    fail(scale_name, "REFERENCE_LIST can't be written");
}

std::string time_units(const Origin& origin) {
  // CF needs a calendar date to count from; words about an unknown origin are none.
  if (origin.kind == Origin::Kind::unknown || origin.text.empty()) return "s";
  return "seconds since " + origin.text + (origin.kind == Origin::Kind::utc ? "Z" : "");
}

void describe_values(hid_t dataset, const ChannelInfo& channel) {
  put_attribute(dataset, "units", channel.raw_unit());
  put_attribute(dataset, "long_name",
                channel.description.empty() ? channel.name : channel.description);
  put_attribute(dataset, "ancillary_variables", channel.name + "_quality");
  if (!channel.calibration.is_identity()) {
    // Not CF's scale_factor: it could not change in the middle of the recording.
    put_attribute(dataset, "calibration", describe(channel.calibration));
    put_attribute(dataset, "calibrated_units", channel.unit);
  }
  if (channel.range && std::isfinite(channel.range->low))
    put_attribute(dataset, "range_low", channel.range->low);
  if (channel.range && std::isfinite(channel.range->high))
    put_attribute(dataset, "range_high", channel.range->high);
}

void describe_quality(hid_t dataset, const std::string& channel) {
  put_attribute(dataset, "standard_name", std::string("status_flag"));
  put_attribute(dataset, "long_name", "quality of " + channel);
  // CF 1.8, section 3.5: where a mask is repeated, the value tells which state it is in.
  put_attribute(dataset, "flag_masks",
                std::vector<std::uint8_t>{3, 3, 3, 3, 4, 8, 16, 32, 64, 128});
  put_attribute(dataset, "flag_values",
                std::vector<std::uint8_t>{0, 1, 2, 3, 4, 8, 16, 32, 64, 128});
  put_attribute(
      dataset, "flag_meanings",
      std::string("good interpolated suspect bad out_of_range missing transient implausible "
                  "calibration time_uncertain"));
}

Column make_column(hid_t group, const ColumnInfo& column, const StreamInfo& info,
                   std::size_t chunk_rows, bool compressed) {
  switch (column.kind) {
    case ColumnInfo::Kind::values: {
      const ChannelInfo& channel = info.channels[column.channel];
      const double nan_double = std::numeric_limits<double>::quiet_NaN();
      const float nan_float = std::numeric_limits<float>::quiet_NaN();
      const void* fill = channel.type == SampleType::float64 ? static_cast<const void*>(&nan_double)
                         : channel.type == SampleType::float32
                             ? static_cast<const void*>(&nan_float)
                             : nullptr;
      Column made(group, column.name, native_type(static_cast<int>(channel.type)), column.row_bytes,
                  chunk_rows, fill, compressed);
      describe_values(made.id(), channel);
      return made;
    }
    case ColumnInfo::Kind::quality: {
      const std::uint8_t never = Quality::never_written().byte();
      // Nearly always the same value: it costs nothing then.
      Column made(group, column.name, H5T_NATIVE_UINT8, 1, chunk_rows, &never, true);
      describe_quality(made.id(), info.channels[column.channel].name);
      return made;
    }
    case ColumnInfo::Kind::time_ns: break;
  }
  Column made(group, column.name, H5T_NATIVE_INT64, sizeof(std::int64_t), chunk_rows, nullptr,
              compressed);
  put_attribute(made.id(), "units", std::string("ns"));
  put_attribute(made.id(), "long_name", std::string("exact time from the origin"));
  return made;
}

Column make_time(hid_t group, const StreamInfo& info, std::size_t chunk_rows, bool compressed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Column made(group, "time", H5T_NATIVE_DOUBLE, sizeof(double), chunk_rows, &nan, compressed);
  put_attribute(made.id(), "units", time_units(info.origin));
  put_attribute(made.id(), "long_name", std::string("time"));
  put_attribute(made.id(), "standard_name", std::string("time"));
  return made;
}

Id byte_type() { return {H5Tcopy(H5T_NATIVE_UINT8), "HDF5", "type"}; }

std::string scale_name_of(const StreamLayout& stream) {
  // netCDF-4's words for a dimension that has no values of its own.
  return stream.with_time ? "time" : "This is a netCDF dimension but not a netCDF variable.";
}

StreamLayout make_stream(hid_t file, hid_t entry, hid_t extra, const StreamInfo& info,
                         bool compressed) {
  const Id group = make_group(entry, info.name, "NXdata");
  const Id books = make_group(extra, info.name, "");
  put_text(books, "info", to_json(info).dump(), 0);
  StreamLayout stream{{},
                      {},
                      with_time(info),
                      {},
                      chunk_rows_for(info),
                      {books, "segments", segment_type(), 64},
                      {books, "gaps", gap_type(), 64},
                      {books, "anchors", anchor_type(), 1024},
                      {books, "calibration", calibration_type(), 64},
                      {books, "calibration_bytes", byte_type(), 4096},
                      {books, "counts", counts_type(), 1}};
  const std::string prefix = "/entry/" + info.name + "/";
  for (const ColumnInfo& column : columns_of(info)) {
    stream.columns.push_back(make_column(group, column, info, stream.chunk_rows, compressed));
    stream.paths.push_back(prefix + column.name);
  }
  const std::string scale_name = scale_name_of(stream);
  if (stream.with_time) {
    stream.columns.push_back(make_time(group, info, stream.chunk_rows, compressed));
    attach_scale(stream.columns.back().id(), prefix + "time", scale_name, file, stream.paths);
    stream.paths.push_back(prefix + "time");
  } else {
    stream.rows = make_growing(group, "row", H5T_NATIVE_INT8, 65536, nullptr, false);
    attach_scale(*stream.rows, prefix + "row", scale_name, file, stream.paths);
  }
  std::vector<std::string> auxiliary;
  for (const ChannelInfo& channel : info.channels) auxiliary.push_back(channel.name);
  auxiliary.erase(auxiliary.begin());
  put_attribute(group, "signal", info.channels[0].name);
  if (!auxiliary.empty()) put_attribute(group, "auxiliary_signals", auxiliary);
  put_attribute(group, "axes", std::string(stream.with_time ? "time" : "."));
  if (info.rate) put_attribute(group, "sample_rate_hz", info.rate->hertz().value);
  return stream;
}

}  // namespace

std::size_t chunk_rows_for(const StreamInfo& info) {
  // About two seconds a chunk: long enough for large writes, short enough that a
  // slow stream does not reserve room it will never fill.
  std::size_t rows = 1024;
  if (info.rate)
    rows = std::bit_ceil(
        static_cast<std::size_t>(std::clamp(info.rate->hertz().value * 2.0, 64.0, 65536.0)));
  std::size_t row_bytes = sizeof(double);  // time
  for (const ColumnInfo& column : columns_of(info)) row_bytes += column.row_bytes;
  constexpr std::size_t most = std::size_t{64} << 20;
  while (rows > 1 && rows * row_bytes > most) rows /= 2;
  return rows;
}

void check_names(const RecordingInfo& info) {
  for (const StreamInfo& stream : info.streams) {
    check(stream);
    for (const char* reserved : {"status", "configuration", "provenance", "state", "events", "log",
                                 "integrity", "messages"})
      if (stream.name == reserved)
        throw Error(
            fmt::format("stream '{}': in an HDF5 recording the name is reserved for its own data",
                        stream.name));
    for (const ChannelInfo& channel : stream.channels)
      if (channel.name == "row" && !with_time(stream))
        throw Error(
            fmt::format("channel 'row' of stream '{}': in an HDF5 recording the name is "
                        "reserved for the row axis of streams above {:g} Hz",
                        stream.name, fastest_with_time_hz));
    try {
      (void)to_json(stream).dump();
    } catch (const nlohmann::json::exception& e) {
      throw Error(
          fmt::format("a name or a text of a stream can't be stored in an HDF5 recording: {}",
                      json_error_text(e)));
    }
  }
}

void Layout::hold_metadata() const {
  const auto hold = [](hid_t dataset) {
    if (H5Odisable_mdc_flushes(dataset) < 0) fail("dataset", "its metadata can't be held back");
  };
  hold(events.id());
  hold(log.id());
  for (const StreamLayout& stream : streams) {
    for (const Column& column : stream.columns) hold(column.id());
    if (stream.rows) hold(*stream.rows);
    for (const Table* table : {&stream.segments, &stream.gaps, &stream.anchors,
                               &stream.calibrations, &stream.calibration_bytes, &stream.counts})
      hold(table->id());
  }
}

Layout make_layout(hid_t file, const RecordingInfo& info, bool compressed) {
  put_attribute(file, "default", std::string("entry"));
  put_attribute(file, "NX_class", std::string("NXroot"));
  put_attribute(file, "format_version", std::string("1"));
  put_attribute(file, "creator", std::string("Spillway " SPILLWAY_VERSION));
  const Id entry = make_group(file, "entry", "NXentry");
  if (!info.streams.empty()) put_attribute(entry, "default", info.streams[0].name);
  put_text(entry, "title", info.title, 0);
  put_text(entry, "start_time", info.start_time, 0);
  Id end_time = put_text(entry, "end_time", "", 32);
  const Id extra = make_group(entry, "spillway", "NXcollection");
  Id status = put_text(extra, "status", "recording", status_room);
  put_text(extra, "configuration", info.configuration, 0);
  put_text(extra, "provenance", info.provenance, 0);
  put_bytes(extra, "state", info.state);
  Layout layout{std::move(status),
                std::move(end_time),
                {extra, "events", event_type(), 64},
                {extra, "log", byte_type(), 4096},
                {}};
  for (const StreamInfo& stream : info.streams)
    layout.streams.push_back(make_stream(file, entry, extra, stream, compressed));
  return layout;
}

void attach_scale(hid_t file, const std::string& stream, const StreamLayout& layout) {
  const std::string path = "/entry/" + stream + (layout.with_time ? "/time" : "/row");
  const Id scale(H5Dopen2(file, path.c_str(), H5P_DEFAULT), path, "can't be opened");
  for (const char* name : {"CLASS", "NAME", "REFERENCE_LIST"})
    if (H5Aexists(scale, name) > 0) H5Adelete(scale, name);
  std::vector<std::string> columns = layout.paths;
  if (layout.with_time) columns.pop_back();
  attach_scale(scale, path, scale_name_of(layout), file, columns);
}

std::uint64_t make_integrity(hid_t file, std::uint64_t bytes) {
  const std::string name = "/entry/spillway/integrity";
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), name, "properties");
  H5Pset_layout(properties, H5D_CONTIGUOUS);
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  const hsize_t size = bytes;
  const Id space(H5Screate_simple(1, &size, nullptr), name, "space");
  const Id dataset(
      H5Dcreate2(file, name.c_str(), H5T_NATIVE_UINT8, space, H5P_DEFAULT, properties, H5P_DEFAULT),
      name, "can't be made");
  const haddr_t address = H5Dget_offset(dataset);
  if (address == HADDR_UNDEF) fail(name, "has no place");
  return address;
}

}  // namespace spillway::h5
