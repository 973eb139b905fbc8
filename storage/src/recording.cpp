#include "spillway/storage/recording.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "calibration_json.hpp"
#include "h5.hpp"
#include "h5_tables.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"

namespace spillway {

const Segment& RecordedStream::segment(std::uint64_t row) const {
  const auto after = std::ranges::upper_bound(segments, row, {}, &Segment::row);
  return *(after - 1);
}

SampleNumber RecordedStream::number(std::uint64_t row) const {
  const Segment& s = segment(row);
  return {s.first_sample + (row - s.row)};
}

struct Recording::Impl {
  std::string path;
  std::string title, start_time, end_time, status, configuration, provenance;
  h5::Id file;
  std::vector<RecordedStream> streams;
  struct Columns {
    std::vector<h5::Id> values;
    std::vector<h5::Id> quality;
    h5::Id time_ns;
  };
  std::vector<Columns> columns;

  [[nodiscard]] h5::Id open(hid_t at, const std::string& name) const {
    return {H5Dopen2(at, name.c_str(), H5P_DEFAULT), path, "no dataset " + name};
  }

  [[nodiscard]] std::uint64_t length(hid_t dataset, const std::string& name) const {
    const h5::Id space(H5Dget_space(dataset), path, name);
    hsize_t n = 0;
    if (H5Sget_simple_extent_ndims(space) != 1 ||
        H5Sget_simple_extent_dims(space, &n, nullptr) != 1)
      throw Error(fmt::format("{}: dataset {} has not one dimension", path, name));
    return n;
  }

  template <class Row>
  [[nodiscard]] std::vector<Row> table(hid_t group, const std::string& name,
                                       const h5::Id& type) const {
    const h5::Id dataset = open(group, name);
    std::vector<Row> rows(length(dataset, name));
    if (!rows.empty() && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()) < 0)
      h5::fail(path, name + " can't be read");
    return rows;
  }

  void read(hid_t dataset, hid_t type, std::uint64_t row, std::size_t count, void* out,
            const std::string& name) const {
    if (count == 0) return;
    const hsize_t start = row;
    const hsize_t n = count;
    const h5::Id file_space(H5Dget_space(dataset), path, name);
    const h5::Id memory_space(H5Screate_simple(1, &n, nullptr), path, name);
    if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &n, nullptr) < 0 ||
        H5Dread(dataset, type, memory_space, file_space, H5P_DEFAULT, out) < 0)
      h5::fail(path, fmt::format("{}: rows {} to {} can't be read", name, row, row + count));
  }

  void load_stream(hid_t entry, hid_t extra, const std::string& name) {
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

    const auto changes = table<h5::CalibrationRow>(books, "calibration", h5::calibration_type());
    const h5::Id byte(H5Tcopy(H5T_NATIVE_UINT8), path, "type");
    const auto bytes = table<char>(books, "calibration_bytes", byte);
    for (const auto& row : changes) {
      if (row.offset > bytes.size() || row.length > bytes.size() - row.offset ||
          row.channel >= stream.info.channels.size())
        throw Error(fmt::format("{}: the calibration table of stream {} is damaged", path, name));
      if (stream.calibrations.empty() || stream.calibrations.back().from_sample != row.from_sample)
        stream.calibrations.push_back(
            {row.from_sample, CalibrationSet(stream.info.channels.size())});
      const char* text = bytes.data() + row.offset;
      stream.calibrations.back().calibrations[row.channel] =
          calibration_from_json(nlohmann::ordered_json::parse(text, text + row.length));
    }

    Columns c;
    const h5::Id group(H5Gopen2(entry, name.c_str(), H5P_DEFAULT), path, "no group " + name);
    stream.rows = std::numeric_limits<std::uint64_t>::max();
    for (const ChannelInfo& channel : stream.info.channels) {
      c.values.push_back(open(group, channel.name));
      c.quality.push_back(open(group, channel.name + "_quality"));
      stream.rows = std::min({stream.rows, length(c.values.back(), channel.name),
                              length(c.quality.back(), channel.name)});
    }
    if (!stream.info.rate) {
      c.time_ns = open(group, "time_ns");
      stream.rows = std::min(stream.rows, length(c.time_ns, "time_ns"));
    }
    check_segments(stream);
    streams.push_back(std::move(stream));
    columns.push_back(std::move(c));
  }

  // In a growing file columns may be ahead of the books: only what both know is there.
  void check_segments(RecordedStream& stream) const {
    std::uint64_t row = 0;
    for (const Segment& s : stream.segments) {
      if (s.row != row || s.count == 0)
        throw Error(
            fmt::format("{}: the segment table of stream {} is damaged", path, stream.info.name));
      row += s.count;
    }
    stream.rows = std::min(stream.rows, row);
    while (!stream.segments.empty() && stream.segments.back().row >= stream.rows)
      stream.segments.pop_back();
    if (!stream.segments.empty())
      stream.segments.back().count = stream.rows - stream.segments.back().row;
  }
};

Recording Recording::open(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
  if (S_ISDIR(info.st_mode)) throw Error(fmt::format("{}: is a directory, not a recording", path));
  const h5::Library library;
  if (H5Fis_hdf5(path.c_str()) <= 0)
    throw Error(
        fmt::format("{}: is not a recording: neither HDF5 nor another format that is known", path));
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  // A file that grows, or was left unfinished, opens for live readers only.
  hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file < 0) file = H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT);
  impl->file = h5::Id(file, path, "can't be opened");
  try {
    const h5::Id entry(H5Gopen2(impl->file, "entry", H5P_DEFAULT), path, "no group /entry");
    const h5::Id extra(H5Gopen2(entry, "spillway", H5P_DEFAULT), path, "no group /entry/spillway");
    impl->title = h5::get_text(entry, "title", path);
    impl->start_time = h5::get_text(entry, "start_time", path);
    impl->end_time = h5::get_text(entry, "end_time", path);
    impl->status = h5::get_text(extra, "status", path);
    impl->configuration = h5::get_text(extra, "configuration", path);
    impl->provenance = h5::get_text(extra, "provenance", path);
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
    for (const std::string& name : names) impl->load_stream(entry, extra, name);
  } catch (const nlohmann::json::exception& e) {
    throw Error(fmt::format("{}: is damaged: {}", path, e.what()));
  } catch (const Error& e) {
    const std::string text = e.what();
    throw Error(text.starts_with(path)
                    ? fmt::format("{} (not a recording of this program, or damaged)", text)
                    : fmt::format("{}: {}", path, text));
  }
  return Recording(std::move(impl));
}

Recording::Recording(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;
Recording::~Recording() {
  const h5::Library library;
  impl_.reset();
}

const std::string& Recording::path() const noexcept { return impl_->path; }
const std::string& Recording::title() const noexcept { return impl_->title; }
const std::string& Recording::start_time() const noexcept { return impl_->start_time; }
const std::string& Recording::end_time() const noexcept { return impl_->end_time; }
const std::string& Recording::status() const noexcept { return impl_->status; }
const std::string& Recording::configuration() const noexcept { return impl_->configuration; }
const std::string& Recording::provenance() const noexcept { return impl_->provenance; }
const std::vector<RecordedStream>& Recording::streams() const noexcept { return impl_->streams; }

std::size_t Recording::find(const std::string& stream) const {
  std::string known;
  for (std::size_t i = 0; i < streams().size(); ++i) {
    if (streams()[i].info.name == stream) return i;
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", streams()[i].info.name);
  }
  throw Error(fmt::format("{}: no stream '{}'; it has {}", path(), stream, known));
}

void Recording::read_values(std::size_t stream, std::size_t channel, std::uint64_t row,
                            std::size_t count, int type, void* out) const {
  const h5::Library library;
  const ChannelInfo& info = streams()[stream].info.channels[channel];
  if (static_cast<int>(info.type) != type)
    throw Error(
        fmt::format("{}: channel '{}' holds {}", path(), info.name, sample_type_name(info.type)));
  impl_->read(impl_->columns[stream].values[channel], h5::native_type(type), row, count, out,
              info.name);
}

void Recording::read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                                std::span<double> out) const {
  const h5::Library library;
  const RecordedStream& from = streams()[stream];
  const std::string& name = from.info.channels[channel].name;
  impl_->read(impl_->columns[stream].values[channel], H5T_NATIVE_DOUBLE, row, out.size(),
              out.data(), name);
  std::vector<Quality> quality(out.size());
  read_quality(stream, channel, row, quality);
  for (std::size_t done = 0; done < out.size();) {
    // As far as one segment and one set of calibrations reach.
    const Segment& segment = from.segment(row + done);
    const std::uint64_t number = segment.first_sample + (row + done - segment.row);
    std::uint64_t end = segment.first_sample + segment.count;
    const auto next =
        std::ranges::upper_bound(from.calibrations, number, {}, &CalibrationChange::from_sample);
    if (next != from.calibrations.end()) end = std::min(end, next->from_sample);
    const std::size_t n = std::min<std::size_t>(end - number, out.size() - done);
    for (std::size_t i = done; i < done + n; ++i)
      if (quality[i].verdict() == Verdict::bad && quality[i].has(Quality::missing))
        out[i] = std::numeric_limits<double>::quiet_NaN();
    if (next != from.calibrations.begin())
      (next - 1)->calibrations[channel].apply(out.subspan(done, n));
    done += n;
  }
}

void Recording::read_quality(std::size_t stream, std::size_t channel, std::uint64_t row,
                             std::span<Quality> out) const {
  const h5::Library library;
  impl_->read(impl_->columns[stream].quality[channel], H5T_NATIVE_UINT8, row, out.size(),
              out.data(), streams()[stream].info.channels[channel].name);
}

void Recording::read_times(std::size_t stream, std::uint64_t row, std::span<Time> out) const {
  const RecordedStream& from = streams()[stream];
  if (!from.info.rate) {
    const h5::Library library;
    impl_->read(impl_->columns[stream].time_ns, H5T_NATIVE_INT64, row, out.size(), out.data(),
                "time_ns");
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Segment& s = from.segment(row + i);
    const std::uint64_t number = s.first_sample + (row + i - s.row);
    out[i] = Time(s.clock_ns) + from.info.rate->duration(number - s.clock_sample);
  }
}

}  // namespace spillway
