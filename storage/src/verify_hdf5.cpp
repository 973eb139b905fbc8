#include "verify_hdf5.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "columns.hpp"
#include "h5.hpp"
#include "h5_driver.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Kind = VerifyFinding::Kind;

class LayoutCheck {
 public:
  LayoutCheck(const std::string& path, FileCalls& calls, const Found& found)
      : path_(path), found_(found) {
    const h5::Id access(H5Pcreate(H5P_FILE_ACCESS), path, "properties");
    h5::set_driver(access, calls);
    file_ = h5::Id(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), path, "can't be opened");
  }

  void check_file(bool sealed, bool may_lack_seal) {
    const std::string seal = "/entry/spillway/integrity";
    if (!sealed && there(seal))
      found_(Kind::checksum, seal, "the seal is gone");
    else if (!sealed && !may_lack_seal && must_be_sealed())
      found_(Kind::checksum, seal, "is not there: every recording that was closed has its seal");
    text_attribute("/", "NX_class", "NXroot");
    text_attribute("/", "default", "entry");
    text_attribute("/entry", "NX_class", "NXentry");
    text_attribute("/entry/spillway", "NX_class", "NXcollection");
  }

  void check_stream(const RecordedStream& stream, bool read_times) {
    const std::string group = "/entry/" + stream.info.name;
    text_attribute(group, "NX_class", "NXdata");
    text_attribute(group, "signal", stream.info.channels[0].name);
    for (const ColumnInfo& column : columns_of(stream.info)) {
      const std::string name = group + "/" + column.name;
      switch (column.kind) {
        case ColumnInfo::Kind::values: {
          const ChannelInfo& channel = stream.info.channels[column.channel];
          dataset(name, h5::native_type(static_cast<int>(channel.type)), stream.rows);
          text_attribute(name, "units", channel.raw_unit());
          text_attribute(name, "ancillary_variables", column.name + "_quality");
          break;
        }
        case ColumnInfo::Kind::quality:
          dataset(name, H5T_NATIVE_UINT8, stream.rows);
          text_attribute(name, "standard_name", "status_flag");
          break;
        case ColumnInfo::Kind::time_ns: dataset(name, H5T_NATIVE_INT64, stream.rows); break;
      }
    }
    if (there(group + "/time"))
      check_time(stream, group + "/time", read_times);
    else if (!there(group + "/row"))
      found_(Kind::layout, group, "has neither the dataset time nor row");
  }

 private:
  [[nodiscard]] bool there(const std::string& name) const {
    return H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0;
  }

  // Under its final name, of a version that seals.
  [[nodiscard]] bool must_be_sealed() const {
    return !path_.ends_with(".part") && there("/entry/spillway/events");
  }

  void text_attribute(const std::string& object, const std::string& name,
                      const std::string& expected) {
    const std::string where = object + "@" + name;
    if (H5Aexists_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT) <= 0) {
      found_(Kind::layout, where, "is not there");
      return;
    }
    const h5::Id attribute(
        H5Aopen_by_name(file_, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), path_,
        where);
    const h5::Id type(H5Aget_type(attribute), path_, where);
    std::string text;
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
        H5Aget_storage_size(attribute) == H5Tget_size(type)) {
      text.resize(H5Tget_size(type));
      if (H5Aread(attribute, type, text.data()) < 0) text.clear();
      text.resize(std::min(text.find('\0'), text.size()));
    }
    if (text != expected)
      found_(Kind::layout, where, fmt::format("is '{}', where '{}' must be", text, expected));
  }

  // One dimension of `rows` of `type`. False: no.
  bool dataset(const std::string& name, hid_t expected, std::uint64_t rows) {
    if (!there(name)) {
      found_(Kind::layout, name, "is not there");
      return false;
    }
    const h5::Id dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_, name);
    const h5::Id type(H5Dget_type(dataset), path_, name);
    const h5::Id space(H5Dget_space(dataset), path_, name);
    hsize_t length = 0;
    if (H5Tequal(type, expected) <= 0)
      found_(Kind::layout, name, "has not the type that info says");
    else if (H5Sget_simple_extent_ndims(space) != 1 ||
             H5Sget_simple_extent_dims(space, &length, nullptr) != 1)
      found_(Kind::layout, name, "has not one dimension");
    else if (length != rows)
      found_(Kind::layout, name,
             fmt::format("has {} rows, where the segments name {}", length, rows));
    else
      return true;
    return false;
  }

  // Seconds, rounded to a double: the nearest one, or its neighbour.
  static bool is_time(double seconds, Time time) {
    const double exact = static_cast<double>(time.count()) / 1e9;
    return seconds == exact || std::nextafter(seconds, exact) == exact;
  }

  void check_time(const RecordedStream& stream, const std::string& name, bool read_times) {
    if (!dataset(name, H5T_NATIVE_DOUBLE, stream.rows) || !read_times) return;
    const h5::Id times(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), path_, name);
    std::optional<h5::Id> exact;
    if (!stream.info.rate)
      exact.emplace(
          H5Dopen2(file_, ("/entry/" + stream.info.name + "/time_ns").c_str(), H5P_DEFAULT), path_,
          "time_ns");
    std::vector<double> seconds(8192);
    std::vector<std::int64_t> ns(seconds.size());
    for (const Segment& s : stream.segments)
      for (std::uint64_t done = 0; done < s.count;) {
        const std::size_t n = std::min<std::uint64_t>(seconds.size(), s.count - done);
        const std::uint64_t row = s.row + done;
        if (!read(times, H5T_NATIVE_DOUBLE, row, n, seconds.data()) ||
            (exact && !read(*exact, H5T_NATIVE_INT64, row, n, ns.data()))) {
          found_(Kind::layout, name, fmt::format("rows {} to {} can't be read", row, row + n - 1));
          return;
        }
        for (std::size_t i = 0; i < n; ++i) {
          const Time time =
              exact ? Time(ns[i])
                    : Time(s.clock_ns) +
                          stream.info.rate->duration(s.first_sample + done + i - s.clock_sample);
          if (is_time(seconds[i], time)) continue;
          found_(Kind::time, name,
                 fmt::format("row {} is {:.17g} s, where the books say {} ns", row + i, seconds[i],
                             time.count()));
          return;
        }
        done += n;
      }
  }

  bool read(hid_t dataset, hid_t type, std::uint64_t row, std::size_t count, void* to) const {
    const hsize_t start = row;
    const hsize_t n = count;
    const h5::Id file_space(H5Dget_space(dataset), path_, "space");
    const h5::Id memory_space(H5Screate_simple(1, &n, nullptr), path_, "space");
    return H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &n, nullptr) >= 0 &&
           H5Dread(dataset, type, memory_space, file_space, H5P_DEFAULT, to) >= 0;
  }

  const std::string& path_;
  const Found& found_;
  h5::Id file_;
};

}  // namespace

void check_hdf5_layout(const RecordingBackend& recording, FileCalls& calls, bool sealed,
                       bool read_times, const Found& found) {
  const h5::Library library;
  LayoutCheck check(recording.path, calls, found);
  // The columns of a master lie in its files.
  check.check_file(sealed, recording.streams.empty() || recording.is_master);
  for (const RecordedStream& stream : recording.streams) check.check_stream(stream, read_times);
}

}  // namespace spillway
