#include "spillway/engine/recording_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;
static_assert(std::endian::native == std::endian::little, "sidecar files are little-endian");

constexpr std::uint64_t block_frames = 1024;

class File {
 public:
  explicit File(std::string path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw Error(fmt::format("{}: {}", path_, std::strerror(errno)));
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }

  [[nodiscard]] std::uint64_t size() const {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) throw Error(fmt::format("{}: {}", path_, std::strerror(errno)));
    return static_cast<std::uint64_t>(info.st_size);
  }
  void read(std::uint64_t offset, void* to, std::size_t bytes) const {
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t n = ::pread(fd_, at, bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        throw Error(fmt::format("{}: {} at byte {}", path_,
                                n < 0 ? std::strerror(errno) : "ends early", offset));
      at += n;
      offset += static_cast<std::uint64_t>(n);
      bytes -= static_cast<std::size_t>(n);
    }
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  int fd_;
};

// Ticks of the file's clock to nanoseconds, exactly.
struct TickScale {
  std::int64_t numerator = 1;
  std::int64_t denominator = 1;
  explicit TickScale(double tick_s) {
    const Fraction f = decimal_fraction(tick_s);
    const std::int64_t divisor = std::gcd(f.denominator, std::int64_t{1'000'000'000});
    const std::int64_t factor = 1'000'000'000 / divisor;
    if (f.numerator > std::numeric_limits<std::int64_t>::max() / factor)
      throw Error(fmt::format("tick_s of {} s is too long", tick_s));
    numerator = f.numerator * factor;
    denominator = f.denominator / divisor;
  }
  [[nodiscard]] Time time(std::int64_t ticks) const {
    return Time(scaled(ticks, numerator, denominator));
  }
};

struct BlockRow {
  std::int64_t first_frame;
  std::int64_t frames;
  std::int64_t start_tick;
  std::int64_t end_tick;
};

struct FlagRule {
  std::optional<double> missing;
  std::optional<Range> limits;
};

// Everything needed to play one stream.
struct Plan {
  StreamInfo info;
  std::shared_ptr<File> file;
  std::uint64_t offset = 0;
  std::uint64_t frames = 0;
  std::vector<FlagRule> rules;
  std::shared_ptr<File> times;  // timestamps
  std::optional<TickScale> ticks;
  std::vector<BlockRow> blocks;
  Time start{};                                                   // uniform
  std::vector<std::pair<std::uint64_t, CalibrationSet>> changes;  // by first frame
};

struct Sidecar {
  std::string path;
  std::string directory;
  std::vector<std::string> remarks;

  [[noreturn]] void fail(const std::string& where, const std::string& message) const {
    throw Error(fmt::format("{}: {}: {}", path, where, message));
  }

  const Json& key(const Json& in, const char* name, const std::string& where) const {
    if (!in.is_object() || !in.contains(name))
      fail(where, fmt::format("the key '{}' is missing", name));
    return in[name];
  }
  template <class T>
  T get(const Json& in, const char* name, const std::string& where) const {
    const Json& value = key(in, name, where);
    try {
      return value.get<T>();
    } catch (const Json::exception&) {
      fail(where, fmt::format("'{}' is {}, which is not of the right kind", name, value.dump()));
    }
  }
  std::uint64_t count(const Json& in, const char* name, const std::string& where) const {
    const Json& value = key(in, name, where);
    if (!value.is_number_unsigned())
      fail(where,
           fmt::format("'{}' is {}; a whole number from 0 on is needed", name, value.dump()));
    return value.get<std::uint64_t>();
  }

  // Scale 1 and offset 0 is no calibration, unless it stands for a stretch of its own.
  void steps(const Json& json, const std::string& where, Calibration& to, bool keep_unity) {
    const auto kind = get<std::string>(json, "kind", where);
    if (kind == "linear") {
      const Linear linear{get<double>(json, "scale", where), get<double>(json, "offset", where)};
      if (keep_unity || linear != Linear{}) to.steps.emplace_back(linear);
    } else if (kind == "polynomial") {
      to.steps.emplace_back(Polynomial{get<std::vector<double>>(json, "coefficients", where)});
    } else if (kind == "table") {
      const auto outside = json.contains("outside") ? get<std::string>(json, "outside", where)
                                                    : std::string("clamp");
      const std::array words{"clamp", "extrapolate", "nan"};
      const auto* const found = std::ranges::find(words, outside);
      if (found == words.end())
        fail(where,
             fmt::format("'outside' is '{}'; allowed are {}", outside, fmt::join(words, ", ")));
      Table table{get<std::vector<double>>(json, "x", where),
                  get<std::vector<double>>(json, "y", where),
                  static_cast<Outside>(found - words.begin())};
      check(table, fmt::format("{}: {}", path, where));
      to.steps.emplace_back(std::move(table));
    } else if (kind == "chain") {
      for (const Json& step : key(json, "steps", where)) steps(step, where, to, keep_unity);
    } else {
      throw std::pair(kind, 0);
    }
  }

  Calibration calibration(const Json& channel, const std::string& where, bool keep_unity = false) {
    Calibration result;
    if (!channel.contains("calibration") || channel["calibration"].is_null()) return result;
    try {
      steps(channel["calibration"], where, result, keep_unity);
    } catch (const std::pair<std::string, int>& unknown) {
      remarks.push_back(fmt::format(
          "{}: {}: a calibration of kind '{}' can't be applied; the channel is recorded raw", path,
          where, unknown.first));
      // A step of its own that changes nothing: the values stay counts, and say so.
      result.steps = {Linear{}};
      result.unit_out = "count";
      return result;
    }
    return result;
  }

  void channel(const Json& json, const std::string& where, SampleType type, Plan& plan) {
    ChannelInfo info;
    info.type = type;
    const auto name = get<std::string>(json, "name", where);
    const std::string at = fmt::format("{}, channel '{}'", where, name);
    info.unit = get<std::string>(json, "unit", at);
    info.calibration = calibration(json, at);
    if (info.calibration.unit_out == "count") info.unit = "count";
    if (json.contains("note")) info.description = get<std::string>(json, "note", at);
    FlagRule rule;
    if (json.contains("missing_raw_value") && !json["missing_raw_value"].is_null())
      rule.missing = get<double>(json, "missing_raw_value", at);
    if (json.contains("observed_limits")) {
      const auto limits = get<std::vector<double>>(json, "observed_limits", at);
      if (limits.size() != 2) fail(at, "'observed_limits' needs two numbers");
      rule.limits = {limits[0], limits[1]};
    } else if (json.contains("adc") && !json["adc"].is_null()) {
      rule.limits = {get<double>(json["adc"], "min", at), get<double>(json["adc"], "max", at)};
    }
    info.range = rule.limits;
    const std::uint64_t repeat = json.contains("repeat") ? count(json, "repeat", at) : 0;
    const auto first =
        json.contains("first_index") ? get<std::int64_t>(json, "first_index", at) : 0;
    for (std::uint64_t i = 0; i < std::max<std::uint64_t>(repeat, 1); ++i) {
      info.name =
          repeat > 0 ? fmt::format("{}[{}]", name, first + static_cast<std::int64_t>(i)) : name;
      plan.info.channels.push_back(info);
      plan.rules.push_back(rule);
      if (plan.info.channels.size() > 1'000'000) fail(at, "more than a million channels");
    }
  }

  std::shared_ptr<File> data_file(const Json& json, const std::string& where) const {
    return std::make_shared<File>(
        (std::filesystem::path(directory) / get<std::string>(json, "file", where)).string());
  }
  void check_size(const File& file, std::uint64_t offset, std::uint64_t rows,
                  std::uint64_t row_bytes) const {
    const std::uint64_t size = file.size();
    if (offset > size || rows > (size - offset) / row_bytes)
      throw Error(
          fmt::format("{}: promises {} rows of {} bytes from byte {} of {}, which has {} bytes",
                      path, rows, row_bytes, offset, file.path(), size));
  }

  static bool is_date(const std::string& text) {
    return text.size() >= 19 && text[4] == '-' && text[7] == '-' && text[10] == 'T' &&
           text[13] == ':';
  }

  void times(const Json& json, const std::string& where, Plan& plan) {
    const auto kind = get<std::string>(json, "kind", where);
    if (kind == "uniform") {
      plan.info.rate = Rate(Hertz{get<double>(json, "rate_hz", where)});
      plan.start = Time(std::llround(get<double>(json, "t0_s", where) * 1e9));
      return;
    }
    if (kind != "timestamps" && kind != "blocks")
      fail(where, fmt::format("time of kind '{}'; allowed: uniform, timestamps, blocks", kind));
    if (const auto type = get<std::string>(json, "dtype", where); type != "int64")
      fail(where, fmt::format("times of type '{}'; allowed: int64", type));
    plan.times = data_file(json, where);
    plan.ticks.emplace(get<double>(json, "tick_s", where));
    const std::string epoch =
        json.contains("epoch") && json["epoch"].is_string() ? json["epoch"].get<std::string>() : "";
    // Times counted from a date of their own do not start where the recording does.
    if (is_date(epoch))
      plan.info.origin = {Origin::Kind::local, epoch.substr(0, 19)};
    else if (plan.info.origin.kind != Origin::Kind::utc)
      plan.info.origin = {Origin::Kind::unknown, epoch};
    if (kind == "timestamps") {
      check_size(*plan.times, 0, plan.frames, sizeof(std::int64_t));
      return;
    }
    const std::uint64_t rows = count(json, "blocks", where);
    check_size(*plan.times, 0, rows, sizeof(BlockRow));
    plan.blocks.resize(rows);
    plan.times->read(0, plan.blocks.data(), rows * sizeof(BlockRow));
    std::int64_t next = 0;
    for (const BlockRow& b : plan.blocks) {
      if (b.first_frame != next || b.frames <= 0 || b.end_tick < b.start_tick)
        fail(where, fmt::format("the block table is wrong at frame {}", b.first_frame));
      next += b.frames;
    }
    if (static_cast<std::uint64_t>(next) != plan.frames)
      fail(where,
           fmt::format("the block table covers {} frames, the stream has {}", next, plan.frames));
    const char* rate = json.contains("measured_rate_hz") ? "measured_rate_hz" : "nominal_rate_hz";
    plan.info.rate = Rate(Hertz{get<double>(json, rate, where)});
  }

  Plan stream(const Json& json, const Origin& origin) {
    Plan plan;
    plan.info.name = get<std::string>(json, "name", "streams");
    const std::string where = fmt::format("stream '{}'", plan.info.name);
    plan.info.origin = origin;
    if (const auto order = get<std::string>(json, "byte_order", where); order != "little")
      fail(where, fmt::format("byte order '{}'; allowed: little", order));
    const auto layout = get<std::string>(json, "layout", where);
    if (layout != "interleaved" && layout != "single")
      fail(where, fmt::format("layout '{}'; allowed: interleaved, single", layout));
    const SampleType type = sample_type_from_name(get<std::string>(json, "dtype", where));
    plan.frames = count(json, "frames", where);
    plan.offset = count(json, "offset_bytes", where);
    for (const Json& c : key(json, "channels", where)) channel(c, where, type, plan);
    if (const std::uint64_t columns = count(json, "channel_count", where);
        columns != plan.info.channels.size())
      fail(where, fmt::format("channel_count is {}, but {} channels are described", columns,
                              plan.info.channels.size()));
    plan.file = data_file(json, where);
    check_size(*plan.file, plan.offset, plan.frames, plan.info.channels.size() * sample_size(type));
    times(key(json, "time", where), where, plan);
    return plan;
  }

  // Calibrations that hold for a range of frames each, of all streams.
  void segments(const Json& json, Plan& plan) {
    CalibrationSet set;
    for (const ChannelInfo& c : plan.info.channels) set.push_back(c.calibration);
    for (const Json& segment : json) {
      const std::uint64_t first = count(segment, "first_frame", "segments");
      for (std::size_t c = 0; c < set.size(); ++c) {
        const ChannelInfo& info = plan.info.channels[c];
        const Json& channels = key(segment, "channels", "segments");
        if (!channels.contains(info.name)) continue;
        set[c] = calibration(channels[info.name], fmt::format("segments, channel '{}'", info.name),
                             true);
        set[c].unit_in = "count";
      }
      if (plan.changes.empty() || plan.changes.back().second != set)
        plan.changes.emplace_back(first, set);
    }
    if (plan.changes.empty()) return;
    // The first one in force is the channel's own.
    for (std::size_t c = 0; c < set.size(); ++c) {
      for (const auto& change : plan.changes) {
        if (change.second[c].is_identity()) continue;
        plan.info.channels[c].calibration = change.second[c];
        break;
      }
      for (auto& change : plan.changes)
        if (change.second[c].is_identity()) change.second[c] = plan.info.channels[c].calibration;
    }
  }
};

template <Sample T>
void flag(const Plan& plan, std::span<const T> values, std::vector<Quality>& quality) {
  const std::size_t channels = plan.rules.size();
  quality.assign(values.size(), Quality::good());
  for (std::size_t c = 0; c < channels; ++c) {
    const FlagRule& rule = plan.rules[c];
    for (std::size_t i = c; i < values.size(); i += channels) {
      const auto v = static_cast<double>(values[i]);
      if (std::isnan(v) || (rule.missing && v == *rule.missing))
        quality[i] = Quality(Verdict::bad, Quality::missing);
      else if (rule.limits && (v <= rule.limits->low || v >= rule.limits->high))
        quality[i] = Quality(Verdict::suspect, Quality::out_of_range);
    }
  }
}

template <Sample T>
void play(const Plan& plan, bool real_time, Stream& stream, Writer<T>& writer,
          SourceContext& context) {
  const std::size_t channels = plan.info.channels.size();
  const std::size_t frame_bytes = channels * sizeof(T);
  const std::uint64_t block =
      std::min({block_frames, writer.info().largest_block.value, stream.capacity().value});
  std::vector<T> values(block * channels);
  std::vector<Quality> quality;
  std::vector<std::int64_t> ticks(block);
  std::vector<Time> times(block);
  std::vector<CalibrationSetId> sets;
  for (const auto& change : plan.changes) sets.push_back(stream.add_calibrations(change.second));
  if (plan.info.rate && plan.blocks.empty()) writer.set_clock({0}, plan.start);

  const auto begin = std::chrono::steady_clock::now();
  std::optional<Time> first_time;
  std::size_t next_block = 0;
  std::size_t next_change = 0;
  for (std::uint64_t frame = 0; frame < plan.frames;) {
    std::uint64_t count = std::min(block, plan.frames - frame);
    // Stamps and calibrations belong to the exact frame.
    if (next_block < plan.blocks.size()) {
      const BlockRow& row = plan.blocks[next_block];
      if (static_cast<std::uint64_t>(row.first_frame) == frame) {
        writer.stamp(
            {plan.ticks->time(row.start_tick), static_cast<std::uint64_t>(row.start_tick)});
        ++next_block;
      }
      if (next_block < plan.blocks.size())
        count = std::min(count,
                         static_cast<std::uint64_t>(plan.blocks[next_block].first_frame) - frame);
    }
    for (; next_change < sets.size() && plan.changes[next_change].first <= frame; ++next_change)
      writer.calibrate(sets[next_change]);
    if (next_change < sets.size()) count = std::min(count, plan.changes[next_change].first - frame);

    const std::span<T> now = std::span(values).first(count * channels);
    plan.file->read(plan.offset + frame * frame_bytes, now.data(), now.size_bytes());
    flag<T>(plan, now, quality);
    Time last{};
    if (!plan.info.rate) {
      plan.times->read(frame * sizeof(std::int64_t), ticks.data(), count * sizeof(std::int64_t));
      for (std::size_t i = 0; i < count; ++i) times[i] = plan.ticks->time(ticks[i]);
      last = times[count - 1];
      if (!first_time) first_time = times[0];
    } else {
      last = plan.info.rate->duration(frame + count);
      if (!first_time) first_time = Time(0);
    }
    if (real_time ? !context.sleep_until(begin + (last - *first_time))
                  : !context.wait_for_room(writer, {count}))
      return;
    if (plan.info.rate)
      writer.push(now, quality);
    else
      writer.push(now, std::span<const Time>(times).first(count), quality);
    frame += count;
  }
}

}  // namespace

std::vector<std::string> add_source(Engine& engine, const RecordingSource& source) {
  Sidecar sidecar{source.path, std::filesystem::path(source.path).parent_path().string(), {}};
  Json json;
  {
    std::ifstream in(source.path);
    if (!in) throw Error(fmt::format("{}: {}", source.path, std::strerror(errno)));
    try {
      json = Json::parse(in);
    } catch (const Json::exception& e) {
      throw Error(fmt::format("{}: is not JSON: {}", source.path, e.what()));
    }
  }
  Origin origin;
  if (json.contains("start") && json["start"].is_object()) {
    const Json& start = json["start"];
    if (start.contains("utc") && start["utc"].is_string())
      origin = {Origin::Kind::utc, start["utc"]};
    else if (start.contains("local") && start["local"].is_string())
      origin = {Origin::Kind::local, start["local"]};
  }
  // The kind says it already.
  if (origin.kind == Origin::Kind::utc && origin.text.ends_with('Z')) origin.text.pop_back();
  const Json& streams = sidecar.key(json, "streams", "the file");
  std::vector<std::string> names;
  for (const Json& s : streams) names.push_back(sidecar.get<std::string>(s, "name", "streams"));
  for (const std::string& wanted : source.streams)
    if (std::ranges::find(names, wanted) == names.end())
      throw Error(fmt::format("{}: no stream '{}'; it has {}", source.path, wanted,
                              fmt::join(names, ", ")));

  for (const Json& s : streams) {
    if (!source.streams.empty() &&
        std::ranges::find(source.streams, s["name"].get<std::string>()) == source.streams.end())
      continue;
    auto plan = std::make_shared<Plan>(sidecar.stream(s, origin));
    if (json.contains("segments")) sidecar.segments(json["segments"], *plan);
    // Room for two seconds in real time, and for whole blocks at full speed.
    std::uint64_t capacity = 16384;
    if (plan->info.rate)
      capacity = std::max<std::uint64_t>(capacity,
                                         plan->info.rate->samples_within(std::chrono::seconds(2)));
    // Many channels: no more than is useful, and no more than there is.
    const std::uint64_t few = (std::uint64_t{64} << 20) / (plan->info.channels.size() * 9);
    plan->info.capacity =
        SampleCount{std::max<std::uint64_t>(std::min(capacity, few), 4 * block_frames)};
    Stream& stream = engine.add_stream(plan->info);
    const SourceOptions options{plan->info.name, {plan->info.name}, !source.real_time};
    visit_sample_type(plan->info.channels.at(0).type, [&]<class T>(std::type_identity<T>) {
      auto writer = std::make_shared<Writer<T>>(stream);
      engine.add_source(
          options, [plan, writer, &stream, real_time = source.real_time](SourceContext& context) {
            play<T>(*plan, real_time, stream, *writer, context);
          });
    });
  }
  return sidecar.remarks;
}

}  // namespace spillway
