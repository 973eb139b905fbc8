// Reads raw binary files that a JSON text, the sidecar, describes; see docs/sidecar.md.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "columns.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "json_error.hpp"
#include "row_backend.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;
static_assert(std::endian::native == std::endian::little, "raw files are little-endian");

constexpr std::uint64_t most_sidecar_bytes = 64 << 20;
constexpr std::size_t most_channels = 1'000'000;
constexpr std::size_t most_calibrations = 10'000'000;  // of a stream, in time
constexpr std::size_t most_nested_steps = 16;
// Times beyond are refused, so that differences of two can be told: 146 years.
constexpr std::int64_t most_ns = std::int64_t{1} << 62;

// A calibration of a kind that is not known.
struct UnknownKind {
  std::string kind;
};

// Ticks of the file's clock to nanoseconds, exactly.
class TickScale {
 public:
  TickScale() = default;
  explicit TickScale(double tick_s) {
    const Fraction f = decimal_fraction(tick_s);
    const std::int64_t divisor = std::gcd(f.denominator, std::int64_t{1'000'000'000});
    if (__builtin_mul_overflow(f.numerator, 1'000'000'000 / divisor, &numerator_))
      throw Error(fmt::format("tick_s of {} s is too long", tick_s));
    denominator_ = f.denominator / divisor;
  }
  [[nodiscard]] Time time(std::int64_t ticks) const {
    __extension__ using Wide = __int128;
    const Wide limit = static_cast<Wide>(most_ns) * denominator_;
    const Wide wide = static_cast<Wide>(ticks) * numerator_;
    if (wide > limit || wide < -limit)
      throw Error(fmt::format("tick {} is more than 146 years from the origin", ticks));
    return Time(scaled(ticks, numerator_, denominator_));
  }

 private:
  std::int64_t numerator_ = 1;
  std::int64_t denominator_ = 1;
};

struct BlockRow {
  std::int64_t first_frame;
  std::int64_t frames;
  std::int64_t start_tick;
  std::int64_t end_tick;
};

// A number as it is written, exactly: what is an integer of 64 bits is one here.
using RawNumber = std::variant<std::int64_t, std::uint64_t, double>;

RawNumber raw_number(const Json& json) {
  if (json.is_number_unsigned()) return json.get<std::uint64_t>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  const auto value = json.get<double>();
  if (value != std::floor(value)) return value;
  if (value >= -0x1p63 && value < 0x1p63) return static_cast<std::int64_t>(value);
  if (value >= 0.0 && value < 0x1p64) return static_cast<std::uint64_t>(value);
  return value;
}

// None: no T is equal to it.
template <Sample T>
std::optional<T> as_sample(const RawNumber& number) {
  return std::visit(
      []<class N>(N n) -> std::optional<T> {
        if constexpr (std::is_integral_v<T> && std::is_integral_v<N>) {
          if (!std::in_range<T>(n)) return std::nullopt;
        } else if constexpr (std::is_integral_v<T>) {
          return std::nullopt;
        } else if (static_cast<double>(static_cast<T>(n)) != static_cast<double>(n)) {
          return std::nullopt;
        }
        return static_cast<T>(n);
      },
      number);
}

struct FlagRule {
  std::optional<RawNumber> missing;
  std::optional<Range> limits;
};

// Where one stream lies.
struct RawStream {
  std::optional<File> file;
  std::uint64_t offset = 0;
  std::vector<FlagRule> rules;
  std::optional<File> times;  // one tick count a frame
  TickScale ticks;
};

template <Sample T>
void split(std::span<const std::byte> rows, std::size_t channel, const FlagRule& rule,
           std::span<std::byte> values, std::span<std::byte> quality) {
  const std::size_t frame_bytes = rows.size() / quality.size();
  const std::optional<T> missing = rule.missing ? as_sample<T>(*rule.missing) : std::nullopt;
  for (std::size_t i = 0; i < quality.size(); ++i) {
    T value;
    std::memcpy(&value, rows.data() + i * frame_bytes + channel * sizeof value, sizeof value);
    std::memcpy(values.data() + i * sizeof value, &value, sizeof value);
    const auto v = static_cast<double>(value);
    if (std::isnan(v) || (missing && value == *missing))
      quality[i] = static_cast<std::byte>(Quality(Verdict::bad, Quality::missing).byte());
    else if (rule.limits && (v <= rule.limits->low || v >= rule.limits->high))
      quality[i] = static_cast<std::byte>(Quality(Verdict::suspect, Quality::out_of_range).byte());
  }
}

// The keys of the objects that are open while a text is parsed. Of a key that stands twice the
// parser keeps the last one, and nobody knows which one was meant.
class KeysOnce {
 public:
  void see(Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(key).second)
        throw Error(fmt::format("the key '{}' stands twice", shown(key)));
    }
  }

 private:
  std::vector<std::set<std::string>> open_;
};

class RawRecording final : public RowBackend {
 public:
  explicit RawRecording(FileCalls& calls) : calls_(calls) {}
  void load(const std::string& from);

 private:
  void make(std::size_t stream, std::uint64_t row, std::uint64_t count, Columns& to) const override;

  [[noreturn]] void fail(const std::string& where, const std::string& message) const {
    throw Error(fmt::format("{}: {}: {}", path, where, message));
  }
  // What throws without a place gets one.
  template <class F>
  auto at(const std::string& where, F&& f) const {
    try {
      return std::forward<F>(f)();
    } catch (const Error& error) {
      fail(where, error.what());
    }
  }
  [[nodiscard]] const Json& key(const Json& in, const char* name, const std::string& where) const;
  template <class T>
  [[nodiscard]] T get(const Json& in, const char* name, const std::string& where) const;
  [[nodiscard]] std::uint64_t count(const Json& in, const char* name,
                                    const std::string& where) const;
  void steps(const Json& json, const std::string& where, Calibration& to, bool keep_unity,
             std::size_t depth) const;
  Calibration calibration(const Json& channel, const std::string& where, bool keep_unity = false);
  void add_channel(const Json& json, const std::string& where, SampleType type, RawStream& raw,
                   RecordedStream& stream);
  // That `json` names; `name_of_key` says where, in errors.
  [[nodiscard]] File data_file(const Json& json, const char* name_of_key, const std::string& where);
  void use_up_to(const File& file, std::uint64_t end);
  void check_size(const File& file, std::uint64_t offset, std::uint64_t rows,
                  std::uint64_t row_bytes) const;
  Time read_times(const Json& json, const std::string& where, RawStream& raw,
                  RecordedStream& stream);
  void find_segments(const RawStream& raw, RecordedStream& stream) const;
  void read_blocks(const Json& json, const std::string& where, RawStream& raw,
                   RecordedStream& stream);
  void read_changes(const Json& json, RecordedStream& stream);
  void check_changes(const Json& segments) const;
  void read_stream(const Json& json, const Json& file);
  void add_origin(const Json& json);

  FileCalls& calls_;
  Origin origin_;
  std::size_t channels_ = 0;  // of all streams
  std::vector<RawStream> raw_;
  struct Use {
    std::uint64_t end = 0;  // behind all that is described of it
    std::uint64_t size = 0;
  };
  std::map<std::string, Use> files_;
};

const Json& RawRecording::key(const Json& in, const char* name, const std::string& where) const {
  if (!in.is_object() || !in.contains(name))
    fail(where, fmt::format("the key '{}' is missing", name));
  return in[name];
}

template <class T>
T RawRecording::get(const Json& in, const char* name, const std::string& where) const {
  const Json& value = key(in, name, where);
  try {
    return value.get<T>();
  } catch (const Json::exception&) {
    fail(where, fmt::format("'{}' is {}, which is not of the right kind", name,
                            value.dump().substr(0, 60)));
  }
}

std::uint64_t RawRecording::count(const Json& in, const char* name,
                                  const std::string& where) const {
  const Json& value = key(in, name, where);
  if (!value.is_number_unsigned())
    fail(where, fmt::format("'{}' is {}; a whole number from 0 on is needed", name,
                            value.dump().substr(0, 60)));
  return value.get<std::uint64_t>();
}

// Scale 1 and offset 0 is no calibration, unless it stands for a stretch of its own.
void RawRecording::steps(const Json& json, const std::string& where, Calibration& to,
                         bool keep_unity, std::size_t depth) const {
  if (depth > most_nested_steps) fail(where, "chains of calibrations within each other");
  const auto kind = get<std::string>(json, "kind", where);
  if (kind == "linear") {
    const Linear linear{get<double>(json, "scale", where), get<double>(json, "offset", where)};
    if (keep_unity || linear != Linear{}) to.steps.emplace_back(linear);
  } else if (kind == "polynomial") {
    to.steps.emplace_back(Polynomial{get<std::vector<double>>(json, "coefficients", where)});
  } else if (kind == "table") {
    const auto outside =
        json.contains("outside") ? get<std::string>(json, "outside", where) : std::string("clamp");
    const std::array words{"clamp", "extrapolate", "nan"};
    const auto* const found = std::ranges::find(words, outside);
    if (found == words.end())
      fail(where, fmt::format("'outside' is '{}'; allowed are {}", shown(outside),
                              fmt::join(words, ", ")));
    Table table{get<std::vector<double>>(json, "x", where),
                get<std::vector<double>>(json, "y", where),
                static_cast<Outside>(found - words.begin())};
    check(Calibration(table), fmt::format("{}: {}", path, where));
    to.steps.emplace_back(std::move(table));
  } else if (kind == "chain") {
    for (const Json& step : key(json, "steps", where))
      steps(step, where, to, keep_unity, depth + 1);
  } else {
    throw UnknownKind{kind};
  }
}

Calibration RawRecording::calibration(const Json& channel, const std::string& where,
                                      bool keep_unity) {
  Calibration result;
  if (!channel.contains("calibration") || channel["calibration"].is_null()) return result;
  try {
    steps(channel["calibration"], where, result, keep_unity, 0);
  } catch (const UnknownKind& unknown) {
    remarks.push_back(fmt::format(
        "{}: {}: a calibration of kind '{}' can't be applied; the channel is recorded raw", path,
        where, shown(unknown.kind)));
    // A step of its own that changes nothing: the values stay counts, and say so.
    result.steps = {Linear{}};
    result.unit_out = "count";
  }
  return result;
}

void RawRecording::add_channel(const Json& json, const std::string& where, SampleType type,
                               RawStream& raw, RecordedStream& stream) {
  ChannelInfo info;
  info.type = type;
  const auto name = get<std::string>(json, "name", where);
  const std::string place = fmt::format("{}, channel '{}'", where, shown(name));
  info.unit = get<std::string>(json, "unit", place);
  info.calibration = calibration(json, place);
  if (info.calibration.unit_out == "count") info.unit = "count";
  if (json.contains("note")) info.description = get<std::string>(json, "note", place);
  FlagRule rule;
  if (json.contains("missing_raw_value") && !json["missing_raw_value"].is_null()) {
    const Json& missing = json["missing_raw_value"];
    if (!missing.is_number())
      fail(place, fmt::format("'missing_raw_value' is {}; a number is needed",
                              missing.dump().substr(0, 60)));
    rule.missing = raw_number(missing);
    visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
      if (as_sample<T>(*rule.missing)) return;
      std::string near;
      if constexpr (std::is_floating_point_v<T>)
        if (const auto value = static_cast<T>(missing.get<double>()); std::isfinite(value))
          near = fmt::format("; the nearest one is {}", static_cast<double>(value));
      fail(place, fmt::format("'missing_raw_value' is {}, which no {} can be{}",
                              missing.dump().substr(0, 60), sample_type_name(type), near));
    });
  }
  if (json.contains("observed_limits")) {
    const auto limits = get<std::vector<double>>(json, "observed_limits", place);
    if (limits.size() != 2) fail(place, "'observed_limits' needs two numbers");
    rule.limits = {limits[0], limits[1]};
  } else if (json.contains("adc") && !json["adc"].is_null()) {
    rule.limits = {get<double>(json["adc"], "min", place), get<double>(json["adc"], "max", place)};
  }
  info.range = rule.limits;
  const std::uint64_t repeat = json.contains("repeat") ? count(json, "repeat", place) : 0;
  if (repeat == 0 && json.contains("repeat"))
    fail(place, "'repeat' is 0; a channel stands for one at least");
  const auto first =
      json.contains("first_index") ? get<std::int64_t>(json, "first_index", place) : 0;
  if (repeat > most_channels || first > INT64_MAX - static_cast<std::int64_t>(most_channels) ||
      channels_ + std::max<std::uint64_t>(repeat, 1) > most_channels)
    fail(place, "more than a million channels");
  for (std::uint64_t i = 0; i < std::max<std::uint64_t>(repeat, 1); ++i) {
    info.name =
        repeat > 0 ? fmt::format("{}[{}]", name, first + static_cast<std::int64_t>(i)) : name;
    stream.info.channels.push_back(info);
    raw.rules.push_back(rule);
    ++channels_;
  }
}

File RawRecording::data_file(const Json& json, const char* name_of_key, const std::string& where) {
  const auto name = get<std::string>(json, "file", where);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (name.empty() || std::ranges::any_of(name, is_control))
    fail(where, fmt::format("'{}' can't be the name of a file", shown(name)));
  const std::string full = (std::filesystem::path(path).parent_path() / name).string();
  // Opening a pipe waits for whoever writes to it.
  const PathKind kind = calls_.kind(full.c_str());
  if (kind != PathKind::file && kind != PathKind::nothing)
    fail(where, fmt::format("'{}' is '{}', which is no regular file", name_of_key, name));
  other_files.push_back(full);
  return {calls_, full, File::Mode::read};
}

// What no stream tells of is told when all are known: several may share a file.
void RawRecording::use_up_to(const File& file, std::uint64_t end) {
  Use& use = files_[std::filesystem::path(file.path()).lexically_normal().string()];
  use.end = std::max(use.end, end);
  use.size = file.size();
}

void RawRecording::check_size(const File& file, std::uint64_t offset, std::uint64_t rows,
                              std::uint64_t row_bytes) const {
  const std::uint64_t size = file.size();
  if (offset > size || rows > (size - offset) / row_bytes)
    throw Error(
        fmt::format("{}: promises {} rows of {} bytes from byte {} of {}, which has {} "
                    "bytes",
                    path, rows, row_bytes, offset, file.path(), size));
}

// "2018-06-21T18:21:56", with decimals of the second or without.
bool is_date_time(std::string_view text) {
  constexpr std::string_view form = "0000-00-00T00:00:00";
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() < form.size()) return false;
  for (std::size_t i = 0; i < form.size(); ++i)
    if (form[i] == '0' ? !is_digit(text[i]) : text[i] != form[i]) return false;
  const std::string_view rest = text.substr(form.size());
  if (!rest.empty() &&
      (rest[0] != '.' || rest.size() == 1 || !std::ranges::all_of(rest.substr(1), is_digit)))
    return false;
  const auto two = [&](std::size_t at) {
    return static_cast<unsigned>(10 * (text[at] - '0') + (text[at + 1] - '0'));
  };
  const std::chrono::year_month_day day{std::chrono::year(static_cast<int>(100 * two(0) + two(2))),
                                        std::chrono::month(two(5)), std::chrono::day(two(8))};
  return day.ok() && two(11) < 24 && two(14) < 60 && two(17) < 60;
}

// Of an irregular stream, or one with a stamp for each block; the start of others.
Time RawRecording::read_times(const Json& json, const std::string& where, RawStream& raw,
                              RecordedStream& stream) {
  const auto kind = get<std::string>(json, "kind", where);
  if (kind == "uniform") {
    const auto hertz = get<double>(json, "rate_hz", where);
    stream.info.rate = at(where, [&] { return Rate(Hertz{hertz}); });
    const double start_ns = get<double>(json, "t0_s", where) * 1e9;
    if (!(std::abs(start_ns) <= static_cast<double>(most_ns)))
      fail(where, "'t0_s' is more than 146 years from the origin");
    return Time(std::llround(start_ns));
  }
  if (kind != "timestamps" && kind != "blocks")
    fail(where,
         fmt::format("time of kind '{}'; allowed: uniform, timestamps, blocks", shown(kind)));
  if (const auto type = get<std::string>(json, "dtype", where); type != "int64")
    fail(where, fmt::format("times of type '{}'; allowed: int64", shown(type)));
  raw.times = data_file(json, "time.file", where);
  const auto tick_s = get<double>(json, "tick_s", where);
  raw.ticks = at(where, [&] { return TickScale(tick_s); });
  const std::string epoch =
      json.contains("epoch") && json["epoch"].is_string() ? json["epoch"].get<std::string>() : "";
  // Times counted from a date of their own do not start where the recording does.
  if (is_date_time(epoch.substr(0, 19)))
    stream.info.origin = {Origin::Kind::local, epoch.substr(0, 19)};
  else if (stream.info.origin.kind != Origin::Kind::utc)
    stream.info.origin = {Origin::Kind::unknown, epoch};
  if (kind == "blocks") {
    read_blocks(json, where, raw, stream);
    raw.times.reset();
  } else {
    check_size(*raw.times, 0, stream.rows, sizeof(std::int64_t));
    use_up_to(*raw.times, stream.rows * sizeof(std::int64_t));
    at(where, [&] { find_segments(raw, stream); });
  }
  return {};
}

void RawRecording::find_segments(const RawStream& raw, RecordedStream& stream) const {
  TimesOfRows times;
  std::vector<std::int64_t> ticks(8192);
  for (std::uint64_t row = 0; row < stream.rows; row += ticks.size()) {
    ticks.resize(std::min<std::uint64_t>(ticks.size(), stream.rows - row));
    raw.times->read_at(row * sizeof(std::int64_t), std::as_writable_bytes(std::span(ticks)));
    for (const std::int64_t tick : ticks) times.add(raw.ticks.time(tick));
  }
  stream.segments = times.take();
}

// A stamp for each block: as StreamWriter::stamp takes it.
void RawRecording::read_blocks(const Json& json, const std::string& where, RawStream& raw,
                               RecordedStream& stream) {
  const char* rate = json.contains("measured_rate_hz") ? "measured_rate_hz" : "nominal_rate_hz";
  const auto hertz = get<double>(json, rate, where);
  stream.info.rate = at(where, [&] { return Rate(Hertz{hertz}); });
  const std::uint64_t rows = count(json, "blocks", where);
  check_size(*raw.times, 0, rows, sizeof(BlockRow));
  use_up_to(*raw.times, rows * sizeof(BlockRow));
  std::vector<BlockRow> blocks(rows);
  raw.times->read_at(0, std::as_writable_bytes(std::span(blocks)));
  const std::int64_t half_period = stream.info.rate->duration(1).count() / 2;
  std::uint64_t next = 0;
  for (const BlockRow& b : blocks) {
    if (b.first_frame < 0 || static_cast<std::uint64_t>(b.first_frame) != next || b.frames <= 0 ||
        static_cast<std::uint64_t>(b.frames) > stream.rows - next || b.end_tick < b.start_tick)
      fail(where, fmt::format("the block table is wrong at frame {}", b.first_frame));
    const Time time = at(where, [&] { return raw.ticks.time(b.start_tick); });
    stream.anchors.push_back({{next}, time, static_cast<std::uint64_t>(b.start_tick)});
    bool step = stream.segments.empty();
    if (!step) {
      const Segment& s = stream.segments.back();
      const std::int64_t expected =
          saturating_add(Time(s.clock_ns), stream.info.rate->duration(next - s.clock_sample))
              .count();
      // The difference may be more than a Time can tell.
      std::int64_t deviation = 0;
      step = __builtin_sub_overflow(time.count(), expected, &deviation) ||
             deviation > half_period || deviation < -half_period;
    }
    if (step) stream.segments.push_back({next, next, 0, time.count(), next, time.count()});
    stream.segments.back().count += static_cast<std::uint64_t>(b.frames);
    next += static_cast<std::uint64_t>(b.frames);
  }
  if (next != stream.rows)
    fail(where,
         fmt::format("the block table covers {} frames, the stream has {}", next, stream.rows));
}

// Calibrations that hold for a range of frames each, of all streams.
void RawRecording::read_changes(const Json& json, RecordedStream& stream) {
  std::vector<ChannelInfo>& channels = stream.info.channels;
  CalibrationSet set;
  for (const ChannelInfo& c : channels) set.push_back(c.calibration);
  std::vector<CalibrationChange> changes;
  std::uint64_t last = 0;
  for (const Json& segment : json) {
    const std::uint64_t first = count(segment, "first_frame", "segments");
    if (first < last)
      fail("segments", fmt::format("'first_frame' is {} behind one of {}", first, last));
    last = first;
    const Json& changed = key(segment, "channels", "segments");
    if (!changed.is_object())
      fail("segments", fmt::format("'channels' is {}; an object of channels is needed",
                                   changed.dump().substr(0, 60)));
    for (std::size_t c = 0; c < set.size(); ++c) {
      const ChannelInfo& info = channels[c];
      if (!changed.contains(info.name)) continue;
      set[c] = calibration(changed[info.name],
                           fmt::format("segments, channel '{}'", shown(info.name)), true);
      set[c].unit_in = "count";
      at(fmt::format("segments, channel '{}'", shown(info.name)), [&] {
        check(set[c], "calibration");
        if (!set[c].unit_out.empty() && set[c].unit_out != info.unit)
          throw Error(fmt::format("it gives '{}', but the channel's unit is '{}'", set[c].unit_out,
                                  info.unit));
      });
    }
    // Of several at one frame the last one holds.
    if (!changes.empty() && changes.back().from_sample == first)
      changes.back().calibrations = set;
    else if (changes.empty() || changes.back().calibrations != set)
      changes.push_back({first, set});
    if (changes.size() * set.size() > most_calibrations)
      fail("segments", fmt::format("more than {} calibrations", most_calibrations));
  }
  if (changes.empty()) return;
  // The first one in force is the channel's own.
  for (std::size_t c = 0; c < set.size(); ++c) {
    for (const auto& change : changes) {
      if (change.calibrations[c].is_identity()) continue;
      channels[c].calibration = change.calibrations[c];
      break;
    }
    for (auto& change : changes)
      if (change.calibrations[c].is_identity()) change.calibrations[c] = channels[c].calibration;
  }
  CalibrationSet in_force;
  for (const ChannelInfo& c : channels) in_force.push_back(c.calibration);
  if (stream.rows > 0) stream.calibrations.push_back({0, in_force});
  for (CalibrationChange& change : changes) {
    if (change.from_sample >= stream.rows) break;
    if (change.from_sample == 0)
      stream.calibrations[0].calibrations = std::move(change.calibrations);
    else if (change.calibrations != stream.calibrations.back().calibrations)
      stream.calibrations.push_back(std::move(change));
  }
}

// That each channel whose calibration changes is one of a stream, and has the frame.
void RawRecording::check_changes(const Json& segments) const {
  std::map<std::string, std::uint64_t> names;  // and the frames of the longest stream
  for (const RecordedStream& stream : streams)
    for (const ChannelInfo& channel : stream.info.channels)
      names[channel.name] = std::max(names[channel.name], stream.rows);
  for (const Json& segment : segments) {
    const auto first = segment["first_frame"].get<std::uint64_t>();
    for (const auto& [name, changed] : segment["channels"].items()) {
      if (const auto at = names.find(name); at != names.end()) {
        if (first > 0 && first >= at->second)
          fail("segments", fmt::format("'first_frame' is {}, but channel '{}' has {} frames", first,
                                       shown(name), at->second));
        continue;
      }
      constexpr std::size_t most_listed = 10;
      std::string list;
      std::size_t n = 0;
      for (auto at = names.begin(); at != names.end() && n < most_listed; ++at, ++n)
        list += fmt::format("{}'{}'", n > 0 ? ", " : "", shown(at->first));
      if (n < names.size()) list += fmt::format(" and {} others", names.size() - n);
      fail("segments",
           fmt::format("channel '{}' is in no stream; there are {}", shown(name), list));
    }
  }
}

void RawRecording::read_stream(const Json& json, const Json& file) {
  RawStream raw;
  RecordedStream stream;
  stream.info.name = get<std::string>(json, "name", "streams");
  const std::string where = fmt::format("stream '{}'", shown(stream.info.name));
  stream.info.origin = origin_;
  if (const auto order = get<std::string>(json, "byte_order", where); order != "little")
    fail(where, fmt::format("byte order '{}'; allowed: little", shown(order)));
  const auto layout = get<std::string>(json, "layout", where);
  if (layout != "interleaved" && layout != "single")
    fail(where, fmt::format("layout '{}'; allowed: interleaved, single", shown(layout)));
  const auto type_name = get<std::string>(json, "dtype", where);
  const SampleType type = at(where, [&] { return sample_type_from_name(type_name); });
  stream.rows = count(json, "frames", where);
  raw.offset = count(json, "offset_bytes", where);
  for (const Json& c : key(json, "channels", where)) add_channel(c, where, type, raw, stream);
  if (const std::uint64_t columns = count(json, "channel_count", where);
      columns != stream.info.channels.size() || columns == 0)
    fail(where, fmt::format("channel_count is {}, but {} channels are described", columns,
                            stream.info.channels.size()));
  if (layout == "single" && stream.info.channels.size() > 1)
    fail(where, fmt::format("layout 'single' is that of one channel, but {} are described",
                            stream.info.channels.size()));
  raw.file = data_file(json, "file", where);
  const std::uint64_t frame_bytes = stream.info.channels.size() * sample_size(type);
  check_size(*raw.file, raw.offset, stream.rows, frame_bytes);
  use_up_to(*raw.file, raw.offset + stream.rows * frame_bytes);
  const Time start = read_times(key(json, "time", where), where, raw, stream);
  if (file.contains("segments")) read_changes(file["segments"], stream);
  raw_.push_back(std::move(raw));
  add_stream(std::move(stream), start);
}

void RawRecording::add_origin(const Json& json) {
  if (!json.contains("start") || json["start"].is_null()) return;
  const Json& start = json["start"];
  if (!start.is_object())
    fail("start", fmt::format("is {}; an object with 'utc' or 'local' is needed",
                              start.dump().substr(0, 60)));
  for (const auto& [name, kind] :
       {std::pair{"utc", Origin::Kind::utc}, {"local", Origin::Kind::local}}) {
    if (!start.contains(name) || start[name].is_null()) continue;
    std::string text = start[name].is_string() ? start[name].get<std::string>() : "";
    // The kind says it already.
    if (kind == Origin::Kind::utc && text.ends_with('Z')) text.pop_back();
    if (!is_date_time(text))
      fail("start", fmt::format("'{}' is {}; a time without a zone, 2018-06-21T18:21:56, is needed",
                                name, start[name].dump().substr(0, 60)));
    if (origin_.text.empty()) origin_ = {kind, text};
  }
  if (origin_.kind == Origin::Kind::utc) start_time = origin_.text + 'Z';
}

void RawRecording::load(const std::string& from) {
  path = from;
  status = "complete";
  Json json;
  {
    const File file(calls_, path, File::Mode::read);
    if (file.size() > most_sidecar_bytes)
      throw Error(fmt::format("{}: has {} bytes; a sidecar has {} at most", path, file.size(),
                              most_sidecar_bytes));
    std::string text(file.size(), '\0');
    file.read_at(0, std::as_writable_bytes(std::span(text)));
    try {
      KeysOnce keys;
      json = Json::parse(text, [&](int, Json::parse_event_t event, const Json& parsed) {
        keys.see(event, parsed);
        return true;
      });
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", path, error.what()));
    } catch (const Json::exception& e) {
      throw Error(fmt::format("{}: is not JSON: {}", path, json_error_text(e)));
    }
  }
  add_origin(json);
  const Json& described = key(json, "streams", "the file");
  if (!described.is_array() || described.empty())
    fail("streams", fmt::format("is {}; a list of at least one stream is needed",
                                described.dump().substr(0, 60)));
  for (const Json& s : described) read_stream(s, json);
  if (json.contains("segments")) check_changes(json["segments"]);
  for (const auto& [name, use] : files_)
    if (use.end < use.size)
      remarks.push_back(fmt::format("{}: {} bytes of {} behind what is described are left out",
                                    path, use.size - use.end, name));
}

void RawRecording::make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                        Columns& to) const {
  const RawStream& raw = raw_[stream];
  const StreamInfo& info = streams[stream].info;
  const std::size_t channels = info.channels.size();
  visit_sample_type(info.channels[0].type, [&]<class T>(std::type_identity<T>) {
    const std::size_t frame_bytes = channels * sizeof(T);
    std::vector<std::byte> rows(count * frame_bytes);
    raw.file->read_at(raw.offset + row * frame_bytes, rows);
    for (std::size_t c = 0; c < channels; ++c)
      split<T>(rows, c, raw.rules[c], to[value_column(c)], to[quality_column(c)]);
  });
  if (info.rate) return;
  std::vector<std::int64_t> times(count);
  raw.times->read_at(row * sizeof(std::int64_t), std::as_writable_bytes(std::span(times)));
  for (std::int64_t& t : times) t = raw.ticks.time(t).count();
  std::memcpy(to[time_column(info)].data(), times.data(), count * sizeof(std::int64_t));
  flag_late(stream, row, to);
}

}  // namespace

bool is_raw(std::string_view front) {
  // The parser skips it too.
  if (front.starts_with(byte_order_mark)) front.remove_prefix(byte_order_mark.size());
  const std::size_t first = front.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && front[first] == '{';
}

std::unique_ptr<RecordingBackend> open_raw(const std::string& path, const Foreign& how,
                                           FileCalls& calls) {
  require_left_open(path, how, {}, "a sidecar says itself how its files are to be read");
  auto recording = std::make_unique<RawRecording>(calls);
  recording->load(path);
  return recording;
}

}  // namespace spillway
