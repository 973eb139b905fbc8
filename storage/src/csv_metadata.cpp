#include "csv_metadata.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base64.hpp"
#include "calibration_json.hpp"
#include "json_error.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"
#include "xxh3.hpp"

namespace spillway::csv {

namespace {

using Json = nlohmann::ordered_json;

// The checksum of the metadata itself is that of its text with zeros in place of these digits. No
// text inside has these quotes, they are escaped there.
constexpr std::string_view own_checksum_key = "\"metadata_xxh3_128\": \"";
constexpr std::size_t checksum_digits = 32;

constexpr std::array<std::string_view, 6> causes{"missing", "lost_upstream", "lost",
                                                 "mixed",   "not_written",   "damaged"};

// For URLs and for the column names of CSV on the Web, which are parts of URLs.
std::string percent_encoded(std::string_view text, std::string_view as_is) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       as_is.find(c) != std::string_view::npos;
    if (plain)
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string column_name(const std::string& name) {
  // A leading underscore is reserved.
  return (name.front() == '_' ? "%5F" : "") +
         percent_encoded(std::string_view(name).substr(name.front() == '_' ? 1 : 0), "_");
}

const char* csvw_type(SampleType type) {
  switch (type) {
    case SampleType::int8: return "byte";
    case SampleType::int16: return "short";
    case SampleType::int32: return "int";
    case SampleType::int64: return "long";
    case SampleType::uint8: return "unsignedByte";
    case SampleType::uint16: return "unsignedShort";
    case SampleType::uint32: return "unsignedInt";
    case SampleType::uint64: return "unsignedLong";
    case SampleType::float32: return "float";
    case SampleType::float64: break;
  }
  return "double";
}

Json column(const std::string& name, const char* datatype, const std::string& description) {
  Json json{
      {"name", column_name(name)}, {"titles", name}, {"datatype", datatype}, {"required", true}};
  if (!description.empty()) json["dc:description"] = description;
  return json;
}

Json table_schema(const Metadata& metadata) {
  Json columns = Json::array();
  if (metadata.form == CsvOptions::Form::long_form) {
    columns.push_back(column("time_ns", "long", "nanoseconds from the origin of the stream"));
    columns.push_back(column("channel", "string", "channel, or stream/channel"));
    columns.push_back(column("value", "number", "raw value"));
    columns.push_back(column("quality", "unsignedByte", "quality of the value"));
    return {{"columns", std::move(columns)}};
  }
  columns.push_back(column("sample", "unsignedLong", "sample number"));
  columns.push_back(column("time_ns", "long", "nanoseconds from the origin"));
  for (const ChannelInfo& channel : metadata.streams.at(0).info.channels) {
    columns.push_back(column(channel.name, csvw_type(channel.type), channel.description));
    columns.push_back(
        column(channel.name + "_quality", "unsignedByte", "quality of " + channel.name));
  }
  return {{"columns", std::move(columns)}, {"primaryKey", "sample"}};
}

// In the words of the CF conventions.
Json quality_json() {
  return {{"flag_masks", {3, 3, 3, 3, 4, 8, 16, 32, 64, 128}},
          {"flag_values", {0, 1, 2, 3, 4, 8, 16, 32, 64, 128}},
          {"flag_meanings",
           "good interpolated suspect bad out_of_range missing transient implausible calibration "
           "time_uncertain"}};
}

// What is kept of each stream, into `to`.
void put_stream(Json& to, const RecordedStream& stream) {
  to["stream"] = to_json(stream.info);
  Json calibrations = Json::array();
  for (const CalibrationChange& change : stream.calibrations) {
    Json set = Json::array();
    for (const Calibration& calibration : change.calibrations) set.push_back(to_json(calibration));
    calibrations.push_back({{"from_sample", change.from_sample}, {"calibrations", std::move(set)}});
  }
  to["calibrations"] = std::move(calibrations);
  to["rows"] = stream.rows;
  to["counts"] = {{"produced", stream.counts.produced},
                  {"recorded", stream.counts.recorded},
                  {"lost", stream.counts.lost},
                  {"missing", stream.counts.missing}};
  Json segments = Json::array();
  for (const Segment& s : stream.segments)
    segments.push_back({{"first_sample", s.first_sample},
                        {"row", s.row},
                        {"count", s.count},
                        {"t0_ns", s.t0_ns},
                        {"clock_sample", s.clock_sample},
                        {"clock_ns", s.clock_ns}});
  to["segments"] = std::move(segments);
  Json gaps = Json::array();
  for (const Gap& g : stream.gaps)
    gaps.push_back({{"first_sample", g.first_sample},
                    {"count", g.count},
                    {"lost", g.lost},
                    {"missing", g.missing},
                    {"cause", causes[static_cast<std::size_t>(g.cause)]}});
  to["gaps"] = std::move(gaps);
  Json anchors = Json::array();
  for (const Anchor& a : stream.anchors)
    anchors.push_back(
        {{"sample", a.sample.value}, {"time_ns", a.time.count()}, {"ticks", a.ticks}});
  to["anchors"] = std::move(anchors);
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What fits is on one line, so that tables have a line a row; other things are opened up.
void write(std::string& to, const Json& json, std::size_t depth) {
  const std::string line = dump(json);
  if (!json.is_structured() || line.size() <= 160) {
    to += line;
    return;
  }
  const std::string indent(depth + 1, ' ');
  to += json.is_object() ? '{' : '[';
  const char* separator = "\n";
  for (const auto& [key, value] : json.items()) {
    to += separator + indent;
    if (json.is_object()) to += dump(key) + ": ";
    write(to, value, depth + 1);
    separator = ",\n";
  }
  to += '\n' + std::string(depth, ' ') + (json.is_object() ? '}' : ']');
}

const Json& entry(const Json& json, const char* key) {
  if (!json.is_object()) throw Error(fmt::format("an object with \"{}\" is missing", key));
  const auto found = json.find(key);
  if (found == json.end()) throw Error(fmt::format("\"{}\" is missing", key));
  return *found;
}

[[noreturn]] void wrong(const Json& json, const char* key, const char* wanted) {
  throw Error(fmt::format("\"{}\" is {}; {} is needed", key, dump(json).substr(0, 60), wanted));
}

// Nothing is converted: a number of 1.5 or -1 is no count.
template <class T>
T get(const Json& json, const char* key) {
  const Json& value = entry(json, key);
  if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) wrong(value, key, "a text");
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) wrong(value, key, "true or false");
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (!value.is_number_unsigned()) wrong(value, key, "a whole number from 0 on");
  } else {
    static_assert(std::is_same_v<T, std::int64_t>);
    if (!value.is_number_integer() ||
        (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
      wrong(value, key, "a whole number");
  }
  return value.get<T>();
}

const Json& list(const Json& json, const char* key) {
  const Json& value = entry(json, key);
  if (!value.is_array()) wrong(value, key, "a list");
  return value;
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  std::uint64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) throw Error("counts that add up to more than 2^64");
  return result;
}

void check_segments(const RecordedStream& stream) {
  const auto damaged = [&](const char* why) {
    throw Error(fmt::format("stream '{}': \"segments\": {}", stream.info.name, why));
  };
  std::uint64_t row = 0;
  for (const Segment& s : stream.segments) {
    if (s.row != row || s.count == 0) damaged("do not cover the rows");
    row = sum(row, s.count);
    const std::uint64_t end = sum(s.first_sample, s.count);
    if (!stream.info.rate) continue;
    std::int64_t last_ns = 0;
    if (s.clock_sample > s.first_sample ||
        __builtin_add_overflow(
            s.clock_ns, stream.info.rate->duration(end - 1 - s.clock_sample).count(), &last_ns))
      damaged("times that are out of range");
  }
  if (row != stream.rows) damaged("do not cover the rows");
}

RecordedStream stream_from(const Json& json) {
  RecordedStream stream;
  stream.info = stream_info_from_json(entry(json, "stream"));
  check(stream.info);
  stream.rows = get<std::uint64_t>(json, "rows");
  const Json& counts = entry(json, "counts");
  stream.counts = {get<std::uint64_t>(counts, "produced"), get<std::uint64_t>(counts, "recorded"),
                   get<std::uint64_t>(counts, "lost"), get<std::uint64_t>(counts, "missing")};
  for (const Json& s : list(json, "segments"))
    stream.segments.push_back({get<std::uint64_t>(s, "first_sample"), get<std::uint64_t>(s, "row"),
                               get<std::uint64_t>(s, "count"), get<std::int64_t>(s, "t0_ns"),
                               get<std::uint64_t>(s, "clock_sample"),
                               get<std::int64_t>(s, "clock_ns")});
  check_segments(stream);
  for (const Json& g : list(json, "gaps")) {
    const auto* const cause = std::ranges::find(causes, get<std::string>(g, "cause"));
    if (cause == causes.end())
      wrong(entry(g, "cause"), "cause", fmt::format("{}", fmt::join(causes, ", ")).c_str());
    stream.gaps.push_back({get<std::uint64_t>(g, "first_sample"), get<std::uint64_t>(g, "count"),
                           get<std::uint64_t>(g, "lost"), get<std::uint64_t>(g, "missing"),
                           static_cast<Absence>(cause - causes.begin())});
  }
  for (const Json& c : list(json, "calibrations")) {
    CalibrationChange& change = stream.calibrations.emplace_back();
    change.from_sample = get<std::uint64_t>(c, "from_sample");
    for (const Json& calibration : list(c, "calibrations"))
      change.calibrations.push_back(calibration_from_json(calibration));
    if (change.calibrations.size() != stream.info.channels.size())
      throw Error(fmt::format("stream '{}': \"calibrations\": {} of them for {} channels",
                              stream.info.name, change.calibrations.size(),
                              stream.info.channels.size()));
  }
  for (const Json& a : list(json, "anchors"))
    stream.anchors.push_back({{get<std::uint64_t>(a, "sample")},
                              Time(get<std::int64_t>(a, "time_ns")),
                              get<std::uint64_t>(a, "ticks")});
  return stream;
}

Checksums checksums_from(const Json& json, const Metadata& metadata) {
  Checksums checksums;
  checksums.xxh3_128 = get<std::string>(json, "xxh3_128");
  std::uint64_t bytes = 0;
  std::vector<std::uint64_t> rows(metadata.streams.size());
  for (const Json& b : list(json, "blocks")) {
    Block& block = checksums.blocks.emplace_back();
    block.bytes = get<std::uint64_t>(b, "bytes");
    const auto crc = get<std::uint64_t>(b, "crc32c");
    if (crc > UINT32_MAX) wrong(entry(b, "crc32c"), "crc32c", "a number below 2^32");
    block.crc32c = static_cast<std::uint32_t>(crc);
    bytes = sum(bytes, block.bytes);
    for (const Json& n : list(b, "rows")) {
      if (!n.is_number_unsigned() || block.rows.size() == rows.size())
        wrong(entry(b, "rows"), "rows", "a whole number for each stream");
      block.rows.push_back(n.get<std::uint64_t>());
      rows[block.rows.size() - 1] = sum(rows[block.rows.size() - 1], block.rows.back());
    }
    if (block.rows.size() != rows.size())
      wrong(entry(b, "rows"), "rows", "a whole number for each stream");
  }
  if (bytes != metadata.bytes) throw Error("\"blocks\": they do not have the bytes of the file");
  for (std::size_t s = 0; s < rows.size(); ++s)
    if (rows[s] != metadata.streams[s].rows)
      throw Error("\"blocks\": they do not have the rows of the streams");
  return checksums;
}

void check_own_checksum(const std::string& text) {
  const std::size_t at = text.rfind(own_checksum_key);
  if (at == std::string::npos) return;
  const std::size_t digits = at + own_checksum_key.size();
  if (text.size() - digits < checksum_digits) throw Error("its checksum is cut");
  std::string zeroed = text;
  zeroed.replace(digits, checksum_digits, checksum_digits, '0');
  const std::string is = xxh3_128(std::as_bytes(std::span(zeroed)));
  if (text.compare(digits, checksum_digits, is) != 0)
    throw Error("its checksum is wrong: this is not what was recorded");
}

Metadata metadata_from(const std::string& text) {
  check_own_checksum(text);
  const Json json = Json::parse(text);
  const Json& own = entry(json, "spillway");
  Metadata metadata;
  metadata.version = get<std::uint64_t>(own, "format_version");
  if (metadata.version < 1 || metadata.version > Metadata::newest_version)
    throw Error(fmt::format("format_version {}; known are 1 to {}", metadata.version,
                            Metadata::newest_version));
  metadata.title = get<std::string>(own, "title");
  metadata.start_time = get<std::string>(own, "start_time");
  metadata.configuration = get<std::string>(own, "configuration");
  metadata.provenance = get<std::string>(own, "provenance");
  metadata.bytes = get<std::uint64_t>(own, "bytes");
  const Json& ending = entry(own, "ending");
  metadata.ending.complete = get<bool>(ending, "complete");
  metadata.ending.reason = get<std::string>(ending, "reason");
  if (metadata.version == 1) {
    metadata.streams.push_back(stream_from(own));
    return metadata;
  }
  if (text.rfind(own_checksum_key) == std::string::npos)
    throw Error("its checksum is missing: this is not what was recorded");
  metadata.form = csv_form_from(get<std::string>(own, "form"));
  metadata.end_time = get<std::string>(own, "end_time");
  if (ending.contains("recovered")) metadata.ending.recovered = get<bool>(ending, "recovered");
  if (!from_base64(get<std::string>(own, "state"), metadata.state))
    throw Error("\"state\" is not base64");
  for (const Json& e : list(own, "events"))
    metadata.events.push_back({get<std::int64_t>(e, "time_ns"), get<std::string>(e, "kind"),
                               get<std::string>(e, "subject"), get<std::uint64_t>(e, "first"),
                               get<std::uint64_t>(e, "count"), get<std::string>(e, "text")});
  for (const Json& line : list(own, "log")) {
    if (!line.is_string()) wrong(line, "log", "a list of texts");
    metadata.log.push_back(line.get<std::string>());
  }
  if (metadata.form == CsvOptions::Form::wide)
    metadata.streams.push_back(stream_from(own));
  else
    for (const Json& stream : list(own, "streams")) metadata.streams.push_back(stream_from(stream));
  if (own.contains("checksums")) metadata.checksums = checksums_from(own["checksums"], metadata);
  return metadata;
}

Json books_json(const Metadata& metadata) {
  Json own;
  own["format_version"] = metadata.version;
  own["form"] = to_string(metadata.form);
  own["title"] = metadata.title;
  own["start_time"] = metadata.start_time;
  own["end_time"] = metadata.end_time;
  own["ending"] = {{"complete", metadata.ending.complete}, {"reason", metadata.ending.reason}};
  if (metadata.ending.recovered) own["ending"]["recovered"] = true;
  own["bytes"] = metadata.bytes;
  own["quality"] = quality_json();
  if (metadata.form == CsvOptions::Form::wide) {
    put_stream(own, metadata.streams.at(0));
  } else {
    own["streams"] = Json::array();
    for (const RecordedStream& stream : metadata.streams)
      put_stream(own["streams"].emplace_back(), stream);
  }
  own["events"] = Json::array();
  for (const RecordedEvent& e : metadata.events)
    own["events"].push_back({{"time_ns", e.time_ns},
                             {"kind", e.kind},
                             {"subject", e.subject},
                             {"first", e.first},
                             {"count", e.count},
                             {"text", e.text}});
  own["log"] = metadata.log;
  own["configuration"] = metadata.configuration;
  own["provenance"] = metadata.provenance;
  own["state"] = to_base64(metadata.state);
  if (metadata.checksums) {
    Json blocks = Json::array();
    for (const Block& block : metadata.checksums->blocks)
      blocks.push_back({{"bytes", block.bytes}, {"crc32c", block.crc32c}, {"rows", block.rows}});
    own["checksums"] = {{"xxh3_128", metadata.checksums->xxh3_128}, {"blocks", std::move(blocks)}};
  }
  own["metadata_xxh3_128"] = std::string(checksum_digits, '0');
  return own;
}

Json csvw_json(const Metadata& metadata) {
  Json json;
  json["@context"] = "http://www.w3.org/ns/csvw";
  json["url"] = percent_encoded(metadata.file, "-._~");
  json["dialect"] = {{"encoding", "utf-8"}, {"lineTerminators", {"\r\n"}}, {"delimiter", ","},
                     {"quoteChar", "\""},   {"doubleQuote", true},         {"header", true}};
  if (!metadata.title.empty()) json["dc:title"] = metadata.title;
  json["tableSchema"] = table_schema(metadata);
  return json;
}

}  // namespace

std::string to_text(const Metadata& metadata) { return to_text(metadata, csvw_json(metadata)); }

std::string to_text(const Metadata& metadata, const Json& description) {
  Json json = description;
  json["spillway"] = books_json(metadata);
  std::string text;
  write(text, json, 0);
  text += '\n';
  const std::string checksum = xxh3_128(std::as_bytes(std::span(text)));
  text.replace(text.rfind(own_checksum_key) + own_checksum_key.size(), checksum_digits, checksum);
  return text;
}

Metadata metadata_from(const std::string& path, const std::string& text) {
  try {
    return metadata_from(text);
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: {}", path, json_error_text(error)));
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", path, error.what()));
  }
}

void check_texts(const Metadata& metadata) { static_cast<void>(books_json(metadata).dump()); }

}  // namespace spillway::csv
