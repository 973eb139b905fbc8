#include "spillway/storage/hdf5_master.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "calibration_json.hpp"
#include "calibrations_beside.hpp"
#include "h5.hpp"
#include "h5_driver.hpp"
#include "h5_layout.hpp"
#include "h5_tables.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

namespace {

// What the master needs of a file.
struct Part {
  std::string file;  // its name, without directory
  std::string title;
  std::string start_time;
  std::string end_time;
  std::string status;
  std::string configuration;
  std::string provenance;
  std::string state;
  std::vector<RecordedStream> streams;
  std::vector<RecordedEvent> events;
  std::vector<std::string> log;
};

Part read_part(const std::string& path, FileCalls& calls) {
  const Recording from = Recording::open(path, calls);
  return {path.substr(path.rfind('/') + 1),
          from.title(),
          from.start_time(),
          from.end_time(),
          from.status(),
          from.configuration(),
          from.provenance(),
          from.state(),
          from.streams(),
          from.events(),
          from.log()};
}

// The part of the graph that this line of the log is the first of; none: it is no such line.
std::optional<std::size_t> part_begun_by(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("begin")) return std::nullopt;
  const auto part = json.find("part");
  if (part == json.end() || !part->is_number_unsigned()) return std::nullopt;
  return part->get<std::size_t>();
}

// The books of one stream over all files.
struct Books {
  std::uint64_t rows = 0;
  RecordedCounts counts;
  std::vector<Segment> segments;
  std::vector<Gap> gaps;
  std::vector<CalibrationChange> calibrations;
  std::vector<h5::AnchorRow> anchors;

  void add(const RecordedStream& part) {
    for (Segment segment : part.segments) {
      segment.row += rows;
      Segment* last = segments.empty() ? nullptr : &segments.back();
      // The end of a file is none of a segment.
      if (last && last->first_sample + last->count == segment.first_sample &&
          last->clock_sample == segment.clock_sample && last->clock_ns == segment.clock_ns)
        last->count += segment.count;
      else
        segments.push_back(segment);
    }
    gaps.insert(gaps.end(), part.gaps.begin(), part.gaps.end());
    // Each file begins with what is in force.
    for (const CalibrationChange& change : part.calibrations)
      if (calibrations.empty() || calibrations.back().calibrations != change.calibrations)
        calibrations.push_back(change);
    for (const Anchor& a : part.anchors)
      if (anchors.empty() || a.sample.value != anchors.back().sample ||
          a.ticks != anchors.back().ticks || a.time.count() != anchors.back().time_ns)
        anchors.push_back({a.sample.value, a.time.count(), a.ticks});
    rows += part.rows;
    counts.produced += part.counts.produced;
    counts.recorded += part.counts.recorded;
    counts.lost += part.counts.lost;
    counts.missing += part.counts.missing;
  }

  void write(h5::StreamLayout& to) const {
    std::vector<h5::CalibrationRow> rows_of;
    std::string texts;
    for (const CalibrationChange& change : calibrations)
      for (std::size_t c = 0; c < change.calibrations.size(); ++c) {
        const std::string text = to_json(change.calibrations[c]).dump();
        rows_of.push_back({change.from_sample, static_cast<std::uint32_t>(c), texts.size(),
                           static_cast<std::uint32_t>(text.size())});
        texts += text;
      }
    (void)to.segments.write(0, segments.data(), segments.size());
    (void)to.gaps.write(0, gaps.data(), gaps.size());
    (void)to.anchors.write(0, anchors.data(), anchors.size());
    (void)to.calibration_bytes.write(0, texts.data(), texts.size());
    (void)to.calibrations.write(0, rows_of.data(), rows_of.size());
    (void)to.counts.write(0, &counts, 1);
  }
};

// A column that lies in the files.
struct Source {
  std::string file;
  std::uint64_t rows;
};

void copy_attributes(hid_t from, hid_t to, const std::string& path) {
  const hssize_t count = H5Aget_num_attrs(from);
  for (hssize_t i = 0; i < count; ++i) {
    const h5::Id attribute(H5Aopen_by_idx(from, ".", H5_INDEX_NAME, H5_ITER_INC,
                                          static_cast<hsize_t>(i), H5P_DEFAULT, H5P_DEFAULT),
                           path, "attribute");
    std::string name(256, '\0');
    const ssize_t length = H5Aget_name(attribute, name.size(), name.data());
    name.resize(static_cast<std::size_t>(std::clamp<ssize_t>(length, 0, 255)));
    // References, made anew.
    if (name == "DIMENSION_LIST" || name == "REFERENCE_LIST" || name == "CLASS" || name == "NAME")
      continue;
    const h5::Id type(H5Aget_type(attribute), path, name);
    const h5::Id space(H5Aget_space(attribute), path, name);
    const h5::Id copy(H5Acreate2(to, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), path,
                      name);
    std::vector<char> value(static_cast<std::size_t>(H5Aget_storage_size(attribute)));
    if (!value.empty() &&
        (H5Aread(attribute, type, value.data()) < 0 || H5Awrite(copy, type, value.data()) < 0))
      h5::fail(path, "attribute " + name + " can't be copied");
  }
}

// Puts a virtual dataset in the place of the one at `path`.
void make_virtual(hid_t file, const std::string& path, const std::vector<Source>& sources) {
  const h5::Id before(H5Dopen2(file, path.c_str(), H5P_DEFAULT), path, "can't be opened");
  const h5::Id type(H5Dget_type(before), path, "type");
  const h5::Id made_with(H5Dget_create_plist(before), path, "properties");
  hsize_t total = 0;
  for (const Source& source : sources) total += source.rows;
  const h5::Id space(H5Screate_simple(1, &total, nullptr), path, "space");
  const h5::Id properties(H5Pcreate(H5P_DATASET_CREATE), path, "properties");
  std::array<char, 8> fill{};
  if (H5Pget_fill_value(made_with, type, fill.data()) < 0 ||
      H5Pset_fill_value(properties, type, fill.data()) < 0)
    h5::fail(path, "fill value");
  hsize_t at = 0;
  for (const Source& source : sources) {
    const hsize_t rows = source.rows;
    if (rows == 0) continue;
    const h5::Id from(H5Screate_simple(1, &rows, nullptr), path, "space");
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, nullptr, &rows, nullptr) < 0 ||
        H5Pset_virtual(properties, space, source.file.c_str(), path.c_str(), from) < 0)
      h5::fail(path, "can't be mapped");
    at += rows;
  }
  if (H5Sselect_all(space) < 0 || H5Ldelete(file, path.c_str(), H5P_DEFAULT) < 0)
    h5::fail(path, "can't be replaced");
  const h5::Id made(
      H5Dcreate2(file, path.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT), path,
      "can't be made");
  copy_attributes(before, made, path);
}

}  // namespace

struct Hdf5Master::Impl {
  std::string path;
  Existing existing;
  FileCalls& calls;
  std::map<std::string, Part> known;  // by path

  void write(const std::string& to, const std::vector<const Part*>& parts) const;
};

Hdf5Master::Hdf5Master(std::string path, Existing existing, FileCalls& calls)
    : impl_(new Impl{std::move(path), existing, calls, {}}) {
  const OutputFile claimed(impl_->path, existing, calls);
  refuse_calibrations_beside(impl_->path, existing, calls);
}

Hdf5Master::~Hdf5Master() = default;

void Hdf5Master::update(const std::vector<std::string>& files) {
  std::erase_if(impl_->known, [&](const auto& known) {
    return std::ranges::find(files, known.first) == files.end();
  });
  std::vector<const Part*> parts;
  for (const std::string& file : files) {
    auto found = impl_->known.find(file);
    if (found == impl_->known.end())
      found = impl_->known.emplace(file, read_part(file, impl_->calls)).first;
    parts.push_back(&found->second);
  }
  if (parts.empty()) return;
  OutputFile output(impl_->path, impl_->existing, impl_->calls);
  try {
    impl_->write(output.part(), parts);
    output.seal();
  } catch (...) {
    output.discard();
    throw;
  }
  impl_->existing = Existing::replace;  // it is its own from here on
}

void Hdf5Master::Impl::write(const std::string& to, const std::vector<const Part*>& parts) const {
  const Part& first = *parts.front();
  const Part& last = *parts.back();
  RecordingInfo info;
  info.title = first.title;
  info.start_time = first.start_time;
  info.configuration = first.configuration;
  info.provenance = first.provenance;
  info.state = first.state;
  // Streams may come and go from file to file.
  for (const Part* part : parts)
    for (const RecordedStream& stream : part->streams)
      if (std::ranges::none_of(info.streams, [&](const StreamInfo& there) {
            return there.name == stream.info.name;
          }))
        info.streams.push_back(stream.info);
  std::vector<h5::EventRow> events;
  std::string log;
  std::set<std::size_t> begun;
  std::string status = last.status;
  for (const Part* part : parts) {
    for (const RecordedEvent& event : part->events) events.push_back(h5::event_row(event));
    // Each file begins with the graph as it was; so it did where the one before ends.
    for (const std::string& line : part->log)
      if (const auto number = part_begun_by(line); !number || begun.insert(*number).second)
        log.append(line).push_back('\n');
    if (part->status != "complete" && status == "complete")
      status = fmt::format("incomplete: {}: {}", part->file, part->status);
  }

  const h5::Library library;
  const h5::Id access(H5Pcreate(H5P_FILE_ACCESS), to, "properties");
  h5::set_driver(access, calls);
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  h5::Id file(H5Fcreate(to.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), to, "can't be made");
  std::optional<h5::Layout> made = h5::make_layout(file, info, false);
  h5::Layout& layout = *made;
  h5::change_text(layout.status, status);
  h5::change_text(layout.end_time, last.end_time);
  (void)layout.events.write(0, events.data(), events.size());
  (void)layout.log.write(0, log.data(), log.size());
  for (std::size_t s = 0; s < layout.streams.size(); ++s) {
    h5::StreamLayout& stream = layout.streams[s];
    Books books;
    std::vector<Source> sources;
    for (const Part* part : parts) {
      const auto found = std::ranges::find(part->streams, info.streams[s].name,
                                           [](const RecordedStream& r) { return r.info.name; });
      if (found == part->streams.end()) continue;
      books.add(*found);
      sources.push_back({part->file, found->rows});
    }
    books.write(stream);
    for (const std::string& column : stream.paths) make_virtual(file, column, sources);
    if (stream.rows) {
      const hsize_t extent = books.rows;
      if (H5Dset_extent(*stream.rows, &extent) < 0) h5::fail(to, "the row axis can't grow");
    }
    h5::attach_scale(file, info.streams[s].name, stream);
  }
  made.reset();  // before the file is closed
  if (file.close() < 0) h5::fail(to, "can't be closed");
}

}  // namespace spillway
