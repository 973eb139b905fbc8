#include "spillway/storage/calibration_sidecar.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "calibration_json.hpp"
#include "calibrations_beside.hpp"
#include "file.hpp"
#include "json_error.hpp"
#include "recording_backend.hpp"
#include "recording_identity.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"
#include "stream_json.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view part_ending = ".part";
constexpr std::string_view format_name = "spillway calibrations";
constexpr std::uint64_t newest_version = 1;
constexpr std::size_t most_records = 1000;
constexpr std::uint64_t most_bytes = 16 << 20;

std::string base_of(std::string recording) {
  if (recording.ends_with(part_ending)) recording.resize(recording.size() - part_ending.size());
  return recording + ".calibrations";
}

// As it stands in the file; texts that are empty are left out.
Json to_json(const CalibrationRecord& record) {
  Json json{
      {"stream", record.stream}, {"channel", record.channel}, {"from_sample", record.from_sample}};
  if (record.to_sample) json["to_sample"] = *record.to_sample;
  json["calibration"] = to_json(record.calibration);
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  add("unit", record.unit);
  add("reason", record.reason);
  add("added", record.added);
  return json;
}

// Of the records without white space, so that people may lay the file out as they like.
std::string checksum_of(const Json& records) {
  const std::string text = records.dump();
  return fmt::format("{:08x}", crc32c(std::as_bytes(std::span(text))));
}

Json to_json(const RecordingIdentity& identity) {
  Json json{{"start_time", identity.start_time},
            {"title", identity.title},
            {"streams", identity.streams},
            {"made_by", identity.made_by}};
  for (const RecordingIdentity::Samples& samples : identity.samples)
    json["samples"].push_back({{"rows", samples.rows}, {"xxh3", samples.xxh3}});
  return json;
}

struct Sidecar {
  std::vector<CalibrationRecord> records;
  std::optional<RecordingIdentity> recording;  // none: by hand, or by an older program
};

std::string to_text(const RecordingIdentity& recording,
                    const std::vector<CalibrationRecord>& records) {
  Json list = Json::array();
  for (const CalibrationRecord& record : records) list.push_back(to_json(record));
  return Json{{"format", format_name},
              {"version", newest_version},
              {"crc32c", checksum_of(list)},
              {"records", list},
              {"recording", to_json(recording)}}
             .dump(2) +
         "\n";
}

// An object whose keys are all known.
class Object {
 public:
  Object(const Json& json, std::string where, const std::vector<std::string_view>& known)
      : json_(json), where_(std::move(where)) {
    if (!json.is_object())
      throw Error(fmt::format("{}: is a {}; an object is needed", where_, json.type_name()));
    for (const auto& [key, value] : json.items())
      if (std::ranges::find(known, key) == known.end())
        throw Error(fmt::format("{}: unknown key {}; known are {}", where_, Json(key).dump(),
                                fmt::join(known, ", ")));
  }
  [[nodiscard]] const Json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  [[nodiscard]] const Json& need(const char* key) const {
    const Json* const found = find(key);
    if (!found) throw Error(fmt::format("{}: \"{}\" is missing", where_, key));
    return *found;
  }
  [[nodiscard]] std::string text(const char* key) const {
    const Json& value = need(key);
    if (!value.is_string()) fail(key, "a text", value);
    return value.get<std::string>();
  }
  [[nodiscard]] const Json& list(const char* key) const {
    const Json& value = need(key);
    if (!value.is_array()) fail(key, "a list", value);
    return value;
  }
  [[nodiscard]] std::uint64_t count(const char* key) const {
    const Json& value = need(key);
    if (!value.is_number_unsigned()) fail(key, "a whole number that is not negative", value);
    return value.get<std::uint64_t>();
  }

 private:
  [[noreturn]] void fail(const char* key, const char* needed, const Json& value) const {
    throw Error(
        fmt::format("{}: \"{}\" is a {}; {} is needed", where_, key, value.type_name(), needed));
  }
  const Json& json_;
  std::string where_;
};

bool is_one_line(const std::string& text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

void check(const CalibrationRecord& record, const std::string& where) {
  if (record.to_sample && *record.to_sample <= record.from_sample)
    throw Error(fmt::format("{}: \"to_sample\" is {}, which is not behind \"from_sample\", {}",
                            where, *record.to_sample, record.from_sample));
  for (const auto& [key, text] :
       {std::pair("unit", &record.unit), std::pair("reason", &record.reason),
        std::pair("added", &record.added)})
    if (!is_one_line(*text))
      throw Error(fmt::format("{}: \"{}\" has control characters; one line is needed", where, key));
  check(record.calibration, where);
}

CalibrationRecord record_from(const Json& json, const std::string& where) {
  const Object object(
      json, where,
      {"stream", "channel", "from_sample", "to_sample", "calibration", "unit", "reason", "added"});
  CalibrationRecord record;
  record.stream = object.text("stream");
  record.channel = object.text("channel");
  record.from_sample = object.count("from_sample");
  if (object.find("to_sample")) record.to_sample = object.count("to_sample");
  try {
    record.calibration = calibration_from_json(object.need("calibration"));
  } catch (const Error& error) {
    const std::string_view text = error.what();
    throw Error(text.starts_with(where) ? std::string(text) : fmt::format("{}: {}", where, text));
  }
  if (object.find("unit")) record.unit = object.text("unit");
  if (object.find("reason")) record.reason = object.text("reason");
  if (object.find("added")) record.added = object.text("added");
  check(record, where);
  return record;
}

RecordingIdentity identity_from(const Json& json, const std::string& where) {
  const Object object(json, where, {"start_time", "title", "streams", "made_by", "samples"});
  RecordingIdentity identity;
  identity.start_time = object.text("start_time");
  identity.title = object.text("title");
  identity.made_by = object.text("made_by");
  for (const Json& name : object.list("streams")) {
    if (!name.is_string())
      throw Error(
          fmt::format("{}: \"streams\" holds a {}; texts are needed", where, name.type_name()));
    identity.streams.push_back(name.get<std::string>());
  }
  if (!object.find("samples")) return identity;
  for (const Json& one : object.list("samples")) {
    const Object samples(one, where + ": samples", {"rows", "xxh3"});
    identity.samples.push_back({samples.count("rows"), samples.text("xxh3")});
  }
  return identity;
}

Sidecar sidecar_from(const std::string& path, const std::string& text) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw Error(fmt::format("{}: is not JSON: {}", path, json_error_text(error)));
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: {}", path, json_error_text(error)));
  }
  const Object object(json, path, {"format", "version", "crc32c", "records", "recording"});
  if (object.text("format") != format_name)
    throw Error(fmt::format("{}: \"format\" is not \"{}\"", path, format_name));
  if (const std::uint64_t version = object.count("version"); version != newest_version)
    throw Error(
        fmt::format("{}: \"version\" is {}; this program knows {}", path, version, newest_version));
  const Json& list = object.list("records");
  if (list.size() > most_records)
    throw Error(fmt::format("{}: {} records; allowed are {}", path, list.size(), most_records));
  Sidecar sidecar;
  for (std::size_t i = 0; i < list.size(); ++i)
    sidecar.records.push_back(record_from(list[i], fmt::format("{}: record {}", path, i + 1)));
  // People who write such a file by hand have none.
  if (object.find("crc32c") && object.text("crc32c") != checksum_of(list))
    throw Error(
        fmt::format("{}: \"crc32c\" is not that of the records: one was changed; who "
                    "meant to, leaves it out",
                    path));
  if (const Json* const recording = object.find("recording"))
    sidecar.recording = identity_from(*recording, path + ": recording");
  return sidecar;
}

// Of a recording; empty if there is none.
Sidecar read_sidecar(const std::string& recording, FileCalls& calls) {
  const std::string path = calibration_sidecar_of(recording);
  if (calls.kind(path.c_str()) == PathKind::nothing) return {};
  const File file(calls, path, File::Mode::read);
  const std::uint64_t size = file.size();
  if (size > most_bytes)
    throw Error(fmt::format("{}: {} bytes; allowed are {}", path, size, most_bytes));
  std::string text(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return sidecar_from(path, text);
}

// Held while a sidecar is read, changed and written. A file of its own, as the sidecar is replaced,
// and nobody may lock a recording against its readers.
File locked(const std::string& path, FileCalls& calls) {
  if (calls.kind(path.c_str()) == PathKind::nothing) {
    try {
      static_cast<void>(File(calls, path, File::Mode::create));
    } catch (const Error&) {
      // Another one may have made it just now.
      if (calls.kind(path.c_str()) != PathKind::file) throw;
    }
  }
  File lock(calls, path, File::Mode::write);
  lock.wait_for_lock();
  return lock;
}

void replace(const std::string& path, const std::string& text, FileCalls& calls) {
  const std::string part = path + std::string(part_ending);
  // Left by one that ended early: nobody else writes under the lock.
  if (calls.kind(part.c_str()) == PathKind::file) calls.unlink(part.c_str());
  try {
    File file(calls, part, File::Mode::create);
    file.write_at(0, std::as_bytes(std::span(text)));
    file.sync();
    file.close();
    if (calls.rename(part.c_str(), path.c_str(), true) != 0)
      fail_with_errno(path, "can't be replaced");
  } catch (...) {
    calls.unlink(part.c_str());
    throw;
  }
  if (calls.sync_directory(directory_of(path).c_str()) != 0)
    fail_with_errno(path, "its directory can't be synced");
}

// Throws Error that lists what there is.
const RecordedStream& find(const RecordingBackend& recording, const std::string& stream) {
  std::vector<std::string> known;
  for (const RecordedStream& s : recording.streams) {
    if (s.info.name == stream) return s;
    known.push_back("'" + s.info.name + "'");
  }
  throw Error(
      fmt::format("{}: no stream '{}'; it has {}", recording.path, stream, fmt::join(known, ", ")));
}

std::string samples_text(std::uint64_t begin, std::optional<std::uint64_t> end) {
  return end ? fmt::format("samples {} to {}", begin, *end - 1)
             : fmt::format("samples from {} on", begin);
}

// Throws Error if the record is of no sample that is there; a remark if some of its samples are
// not. One that has not ended may get them yet.
std::string remark_on_samples(const CalibrationRecord& record, const RecordedStream& stream,
                              bool ended, const std::string& where) {
  std::uint64_t begin = std::numeric_limits<std::uint64_t>::max(), end = 0;
  const auto add = [&](const auto& ranges) {
    if (ranges.empty()) return;
    begin = std::min(begin, ranges.front().first_sample);
    end = std::max(end, ranges.back().first_sample + ranges.back().count);
  };
  add(stream.segments);
  add(stream.gaps);
  // From the beginning to the end is right whatever there is.
  if (record.from_sample == 0 && !record.to_sample) return "";
  const std::string asked = samples_text(record.from_sample, record.to_sample);
  if (end == 0) {
    if (ended)
      throw Error(
          fmt::format("{}: is of {}, but stream '{}' has none", where, asked, stream.info.name));
    return "";
  }
  const std::string there = samples_text(begin, end);
  if ((ended && record.from_sample >= end) || (record.to_sample && *record.to_sample <= begin))
    throw Error(
        fmt::format("{}: is of {}, but stream '{}' has {}", where, asked, stream.info.name, there));
  const std::uint64_t to = record.to_sample.value_or(std::numeric_limits<std::uint64_t>::max());
  const bool all_are_known = ended || to <= end;
  if (all_are_known && std::ranges::none_of(stream.segments, [&](const Segment& s) {
        return s.first_sample < to && s.first_sample + s.count > record.from_sample;
      }))
    throw Error(fmt::format("{}: is of {}, and stream '{}' has a gap there: none was recorded",
                            where, asked, stream.info.name));
  if ((record.from_sample > 0 && record.from_sample < begin) ||
      (ended && record.to_sample && *record.to_sample > end))
    return fmt::format("{}: is of {}, and stream '{}' has only {}", where, asked, stream.info.name,
                       there);
  return "";
}

}  // namespace

std::string calibration_sidecar_of(const std::string& recording) {
  return base_of(recording) + ".json";
}

std::vector<CalibrationRecord> appended_calibrations(const std::string& recording,
                                                     FileCalls& calls) {
  return read_sidecar(recording, calls).records;
}

std::vector<CalibrationRecord> calibrations_beside(const RecordingBackend& recording,
                                                   FileCalls& calls) {
  Sidecar sidecar = read_sidecar(recording.path, calls);
  const std::string path = calibration_sidecar_of(recording.path);
  std::vector<std::string> before;  // the names of its streams, where they may be others now
  if (sidecar.recording) {
    std::string why;
    try {
      why = difference(*sidecar.recording, recording);
    } catch (const Error& error) {
      throw Error(
          fmt::format("{}: can't be told to belong to {}: {}", path, recording.path, error.what()));
    }
    if (!why.empty())
      throw Error(
          fmt::format("{}: does not belong to {}: {}; move it away, or the recording that "
                      "it belongs to back",
                      path, recording.path, why));
    if (sidecar.recording->streams.size() == recording.streams.size())
      before = sidecar.recording->streams;
  }
  for (CalibrationRecord& record : sidecar.records) {
    const auto found = std::ranges::find(before, record.stream);
    if (found != before.end())
      record.stream = recording.streams[static_cast<std::size_t>(found - before.begin())].info.name;
    if (std::ranges::none_of(recording.streams,
                             [&](const auto& s) { return s.info.name == record.stream; }))
      throw Error(fmt::format("{}: is of stream '{}', which {} does not have", path, record.stream,
                              recording.path));
  }
  return sidecar.records;
}

void refuse_calibrations_beside(const std::string& path, Existing existing, FileCalls& calls) {
  const std::string sidecar = calibration_sidecar_of(path);
  if (existing == Existing::replace && calls.kind(sidecar.c_str()) != PathKind::nothing)
    throw Error(
        fmt::format("{}: has the calibrations of the recording that is to be replaced; "
                    "move it away, or remove it",
                    sidecar));
}

std::vector<std::string> append_calibrations(const std::string& recording,
                                             const std::vector<CalibrationRecord>& records,
                                             FileCalls& calls) {
  return append_calibrations(recording, records, Foreign{}, calls);
}

std::vector<std::string> append_calibrations(const std::string& recording,
                                             const std::vector<CalibrationRecord>& records,
                                             const Foreign& foreign, FileCalls& calls) {
  const std::unique_ptr<RecordingBackend> of = open_recording(recording, calls, foreign);
  for (const RecordedStream& stream : of->streams) check_books(stream, recording);
  const std::string path = calibration_sidecar_of(recording);
  std::vector<CalibrationRecord> added = records;
  std::vector<std::string> remarks;
  std::vector<CalibrationRecord> before = calibrations_beside(*of, calls);
  for (std::size_t i = 0; i < added.size(); ++i) {
    const std::string where = fmt::format("calibration {} of {}", i + 1, recording);
    check(added[i], where);
    const RecordedStream& stream = find(*of, added[i].stream);
    const std::string remark =
        remark_on_samples(added[i], stream, of->status != "recording", where);
    if (!remark.empty()) remarks.push_back(remark);
    StreamInfo info = stream.info;
    std::vector<CalibrationChange> changes = stream.calibrations;
    put_in_force(before, info, changes, path);
    put_in_force({added[i]}, info, changes, where);
    before.push_back(added[i]);
    if (added[i].added.empty()) added[i].added = utc_now();
    try {
      static_cast<void>(to_json(added[i]).dump());
    } catch (const Json::exception&) {
      throw Error(where + ": a text in it is not UTF-8");
    }
  }
  if (added.empty()) return remarks;
  const File lock = locked(base_of(recording) + ".lock", calls);
  std::vector<CalibrationRecord> all = calibrations_beside(*of, calls);
  all.insert(all.end(), added.begin(), added.end());
  // Together with those that others appended meanwhile.
  for (const RecordedStream& stream : of->streams) {
    StreamInfo info = stream.info;
    std::vector<CalibrationChange> changes = stream.calibrations;
    put_in_force(all, info, changes, path);
  }
  if (all.size() > most_records)
    throw Error(fmt::format("{}: {} records; allowed are {}", path, all.size(), most_records));
  const std::string text = to_text(identity_of(*of), all);
  if (text.size() > most_bytes)
    throw Error(fmt::format("{}: {} bytes; allowed are {}", path, text.size(), most_bytes));
  replace(path, text, calls);
  return remarks;
}

void put_in_force(const std::vector<CalibrationRecord>& records, StreamInfo& info,
                  std::vector<CalibrationChange>& changes, const std::string& where) {
  // The change that begins at `sample`, made if there is none.
  const auto begin_at = [&](std::uint64_t sample) {
    const auto next =
        std::ranges::lower_bound(changes, sample, {}, &CalibrationChange::from_sample);
    // What is before the first sample is in no set.
    if (next == changes.begin() || (next != changes.end() && next->from_sample == sample))
      return next;
    return changes.insert(next, {sample, (next - 1)->calibrations});
  };
  std::vector<std::string> raw_units;
  for (const ChannelInfo& channel : info.channels) raw_units.push_back(channel.raw_unit());
  for (const CalibrationRecord& record : records) {
    if (record.stream != info.name) continue;
    check(record, where);
    const auto channel = std::ranges::find(info.channels, record.channel, &ChannelInfo::name);
    if (channel == info.channels.end()) {
      std::vector<std::string> known;
      for (const ChannelInfo& c : info.channels) known.push_back("'" + c.name + "'");
      throw Error(fmt::format("{}: stream '{}' has no channel '{}'; it has {}", where, info.name,
                              record.channel, fmt::join(known, ", ")));
    }
    const auto c = static_cast<std::size_t>(channel - info.channels.begin());
    const std::uint64_t first = changes.empty() ? 0 : changes.front().from_sample;
    const std::string& unit = record.unit.empty() ? record.calibration.unit_out : record.unit;
    if (!unit.empty() && unit != channel->unit && (record.from_sample > first || record.to_sample))
      throw Error(
          fmt::format("{}: the calibration of {} of {}/{} is in '{}', and the others are in '{}'; "
                      "a channel has one unit: give them in '{}', or first one for all samples "
                      "in '{}'",
                      where, samples_text(record.from_sample, record.to_sample), info.name,
                      record.channel, unit, channel->unit, channel->unit, unit));
    Calibration calibration = record.calibration;
    if (calibration.unit_in.empty() && raw_units[c] != "count") calibration.unit_in = raw_units[c];
    const std::uint64_t end = record.to_sample.value_or(std::numeric_limits<std::uint64_t>::max());
    // The end first: what was in force there goes on there.
    if (record.to_sample) begin_at(end);
    for (auto at = begin_at(record.from_sample); at != changes.end() && at->from_sample < end; ++at)
      at->calibrations[c] = calibration;
    if (record.from_sample <= first && end > first) channel->calibration = calibration;
    if (!unit.empty()) channel->unit = unit;
  }
}

}  // namespace spillway
