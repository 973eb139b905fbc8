#include "random_recording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

namespace spillway::test {

SinkChoice SinkChoice::random(Format format, Durability durability, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  SinkChoice choice;
  choice.format = format;
  choice.durability = durability;
  if (format != Format::hdf5) return choice;
  if (random() % 2 == 0) choice.compression = 1 + static_cast<int>(random() % 6);
  choice.compatible = random() % 4 == 0;
  return choice;
}

std::unique_ptr<Sink> SinkChoice::make(const std::string& path, FileCalls& calls,
                                       Existing existing) const {
  if (format == Format::hdf5)
    return std::make_unique<Hdf5Sink>(
        path, existing, Hdf5Options{durability, compression, threads, compatible}, calls);
  const auto form = format == Format::csv ? CsvOptions::Form::wide : CsvOptions::Form::long_form;
  return std::make_unique<CsvSink>(path, existing, CsvOptions{form, durability}, calls);
}

const char* SinkChoice::suffix() const { return format == Format::hdf5 ? ".h5" : ".csv"; }

std::string to_string(const SinkChoice& choice) {
  const std::string durability = to_string(choice.durability);
  if (choice.format == SinkChoice::Format::csv) return "csv " + durability;
  if (choice.format == SinkChoice::Format::csv_long) return "csv long " + durability;
  return fmt::format("hdf5 {} compression {} threads {}{}", durability, choice.compression,
                     choice.threads, choice.compatible ? " compatible" : "");
}

struct RandomRecording::Source {
  explicit Source(const StreamInfo& info)
      : stream(info), writer(stream), reader(stream), block(info, 200) {}
  Stream stream;
  StreamWriter writer;
  StreamReader reader;
  Block block;
  double level = 0.0;
  std::int64_t time = 1'000'000'000;
  Time stamp{0};
};

namespace {

constexpr const char* event_kind = "made up";
constexpr const char* log_start = "{\"made_up\":";

template <class T>
T sample(std::mt19937_64& random, double& level) {
  const std::uint64_t dice = random() % 64;
  if (dice == 0) return std::numeric_limits<T>::max();
  if (dice == 1) return std::numeric_limits<T>::lowest();
  if constexpr (std::is_floating_point_v<T>) {
    if (dice == 2) return std::numeric_limits<T>::quiet_NaN();
    if (dice == 3) return -std::numeric_limits<T>::infinity();
    if (dice == 4) return T{-0.0};
    if (dice == 5) return std::numeric_limits<T>::denorm_min();
  }
  level += static_cast<double>(random() % 2001) / 1000.0 - 1.0;
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(level / 3.0);
  return static_cast<T>(static_cast<std::int64_t>(level));
}

Calibration some_calibration(std::mt19937_64& random) {
  switch (random() % 3) {
    case 0: return Linear{0.001 * static_cast<double>(1 + random() % 1000), -1.5};
    case 1: return Polynomial{{0.25, 1.0, 1.0 / static_cast<double>(3 + random() % 10)}};
    default: return Table{{0.0, 1.0 + static_cast<double>(random() % 7)}, {1.0, 2.5}, Outside::nan};
  }
}

StreamInfo some_stream(std::mt19937_64& random, std::size_t index) {
  StreamInfo info;
  info.name = fmt::format("stream {}", index);
  const std::array<std::int64_t, 5> rates{3, 20, 100, 360, 1000};
  if (random() % 4 != 0) info.rate = Rate(rates[random() % rates.size()], 1);
  info.origin = {Origin::Kind::utc, "2018-06-21T18:21:56"};
  info.capacity = SampleCount{1024};
  info.largest_block = SampleCount{64};
  info.mark_capacity = SampleCount{16};
  const std::array<SampleType, 6> types{SampleType::int16, SampleType::float32, SampleType::float64,
                                        SampleType::int32, SampleType::uint8,   SampleType::int64};
  const std::uint64_t channels = 1 + random() % 3;
  for (std::uint64_t c = 0; c < channels; ++c) {
    ChannelInfo channel;
    channel.name = fmt::format("c{}", c);
    channel.unit = "V";
    channel.type = types[random() % types.size()];
    if (random() % 3 == 0) channel.calibration = some_calibration(random);
    info.channels.push_back(std::move(channel));
  }
  return info;
}

}  // namespace

RandomRecording::RandomRecording(std::uint64_t seed, Size size, bool one_stream)
    : random_(seed), size_(size) {
  RecordingInfo& info = truth_.info;
  info.title = fmt::format("recording {}", seed);
  info.start_time = "2026-05-04T10:44:18.529Z";
  info.configuration = "streams: []\n";
  info.provenance = "{\"nodes\":[]}";
  const std::uint64_t streams = one_stream ? 1 : 1 + draw(3);
  for (std::size_t i = 0; i < streams; ++i) info.streams.push_back(some_stream(random_, i));
  for (const StreamInfo& stream : info.streams) {
    sources_.push_back(std::make_unique<Source>(stream));
    Truth::PerStream& truth = truth_.streams.emplace_back();
    truth.info = stream;
    truth.values.resize(stream.channels.size());
    truth.quality.resize(stream.channels.size());
  }
}

RandomRecording::~RandomRecording() = default;

bool Extent::any_samples() const {
  return std::any_of(streams.begin(), streams.end(), [](const PerStream& s) { return s.end > 0; });
}

Extent RandomRecording::appended() const {
  Extent extent;
  extent.begun = true;
  for (const Truth::PerStream& s : truth_.streams)
    extent.streams.push_back({s.numbers.size(), s.end, s.anchors.size()});
  extent.events = truth_.events.size();
  extent.log = truth_.log.size();
  return extent;
}

void RandomRecording::push(Source& source, std::uint64_t count) {
  const StreamInfo& info = source.writer.info();
  const std::size_t channels = info.channels.size();
  std::vector<std::vector<std::byte>> values(channels);
  std::vector<std::vector<Quality>> quality(channels);
  std::vector<const void*> lanes;
  std::vector<const Quality*> quality_lanes;
  for (std::size_t c = 0; c < channels; ++c) {
    visit_sample_type(info.channels[c].type, [&]<class T>(std::type_identity<T>) {
      values[c].resize(count * sizeof(T));
      for (std::uint64_t i = 0; i < count; ++i) {
        const T value = sample<T>(random_, source.level);
        std::memcpy(values[c].data() + i * sizeof value, &value, sizeof value);
      }
    });
    lanes.push_back(values[c].data());
    if (draw(2) == 0) {
      quality_lanes.push_back(nullptr);
      continue;
    }
    quality[c].resize(count);
    for (Quality& q : quality[c])
      if (draw(8) == 0) q = Quality(Verdict::suspect, Quality::implausible);
    quality_lanes.push_back(quality[c].data());
  }
  std::vector<Time> times;
  if (!info.rate) {
    for (std::uint64_t i = 0; i < count; ++i) {
      // Now and then it runs backwards: a step.
      source.time += draw(200) == 0 ? -50'000'000 : 1 + static_cast<std::int64_t>(draw(20'000'000));
      times.emplace_back(source.time);
    }
  }
  source.writer.push_lanes(lanes, {count}, quality_lanes, times);
}

void RandomRecording::note(std::size_t stream, const Gap& gap) {
  if (gap.count == 0) return;
  Truth::PerStream& truth = truth_.streams[stream];
  if (!truth.begun) truth.begin = truth.end = gap.first_sample;
  truth.begun = true;
  truth.absent.push_back(gap);
  truth.end = gap.first_sample + gap.count;
}

void RandomRecording::note(std::size_t stream, const Chunk& chunk, const Block& block,
                           const CalibrationSet& calibrations) {
  Truth::PerStream& truth = truth_.streams[stream];
  const std::uint64_t from = chunk.from.value;
  const std::uint64_t lost = chunk.lost.value;
  const std::uint64_t missing = chunk.missing.value;
  if (!truth.begun) truth.begin = truth.end = from;
  truth.begun = true;
  if (chunk.mixed) {
    note(stream, {from, lost + missing, lost, missing, Absence::mixed});
  } else {
    note(stream, {from, lost, lost, 0, Absence::lost});
    const bool upstream = chunk.cause == GapCause::upstream;
    note(stream, {from + lost, missing, upstream ? missing : 0, upstream ? 0 : missing,
                  upstream ? Absence::lost_upstream : Absence::missing});
  }
  const std::size_t count = chunk.count.value;
  if (count == 0) return;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t number = chunk.first.value + i;
    truth.numbers.push_back(number);
    const Time time =
        block.has_times()
            ? block.times()[i]
            : chunk.clock_time + truth.info.rate->duration(number - chunk.clock_sample.value);
    truth.times.push_back(time.count());
  }
  for (std::size_t c = 0; c < truth.values.size(); ++c) {
    const std::byte* const bytes = block.bytes(c);
    truth.values[c].insert(truth.values[c].end(), bytes,
                           bytes + count * sample_size(truth.info.channels[c].type));
    const auto quality = block.quality(c).first(count);
    truth.quality[c].insert(truth.quality[c].end(), quality.begin(), quality.end());
  }
  truth.end = chunk.first.value + count;
  if (truth.calibrations.empty() || truth.calibrations.back().calibrations != calibrations)
    truth.calibrations.push_back({chunk.first.value, calibrations});
}

void RandomRecording::feed(std::size_t stream, Sink* sink) {
  Source& source = *sources_[stream];
  for (;;) {
    const Chunk chunk = source.reader.read(source.block);
    const CalibrationSet& calibrations = source.reader.calibrations(chunk.calibrations);
    const std::uint64_t lost = chunk.lost.value;
    const std::uint64_t missing = chunk.missing.value;
    const std::uint64_t all = lost + missing + chunk.count.value;
    if (all > 0 && lost + missing == 0 && draw(25) == 0) {
      // Read, but not recorded: as when a full disk has room again.
      const Gap gap{chunk.from.value, all, all, 0, Absence::not_written};
      note(stream, gap);
      if (sink) sink->append_gap(stream, gap);
    } else if (all > 0) {
      note(stream, chunk, source.block, calibrations);
      if (sink) sink->append(stream, chunk, source.block, calibrations);
    }
    if (chunk.stop == Stop::drained) break;
  }
  std::array<Anchor, 8> anchors;
  while (const std::size_t count = source.reader.read_anchors(anchors)) {
    std::vector<Anchor>& all = truth_.streams[stream].anchors;
    all.insert(all.end(), anchors.begin(), anchors.begin() + static_cast<std::ptrdiff_t>(count));
    if (sink) sink->append(stream, std::span<const Anchor>(anchors).first(count));
  }
}

void RandomRecording::run(Sink* sink, const std::function<void(const Extent&)>& flushed) {
  const auto flush = [&] {
    if (sink) sink->flush();
    flushed(appended());
  };
  if (sink) sink->begin(truth_.info);
  for (int i = 0; i < size_.actions; ++i) {
    const std::size_t stream = draw(sources_.size());
    Source& source = *sources_[stream];
    switch (draw(16)) {
      case 0: source.writer.gap({1 + draw(50)}); break;
      case 1: source.writer.gap({1 + draw(50)}, GapCause::upstream); break;
      case 2:
        source.stamp += std::chrono::milliseconds(1 + draw(100'000));
        source.writer.stamp({source.stamp, random_()});
        break;
      case 3:
        source.writer.calibrate(draw(source.writer.info().channels.size()),
                                some_calibration(random_));
        break;
      case 4:
        // Far more than the ring holds.
        if (draw(4) == 0) push(source, 5000);
        break;
      case 5: {
        const RecordedEvent event{static_cast<std::int64_t>(draw(1'000'000)),
                                  event_kind,
                                  "subject",
                                  draw(1000),
                                  draw(1000),
                                  fmt::format("event {}", random_())};
        truth_.events.push_back(event);
        if (sink) sink->append_event(event);
        break;
      }
      case 6: {
        const std::string line = fmt::format("{}{}}}", log_start, random_());
        truth_.log.push_back(line);
        if (sink) sink->append_log(line);
        break;
      }
      case 7:
        // Many gaps at once: more than the stream keeps marks.
        for (int n = 0; n < 40; ++n) {
          source.writer.gap({1 + draw(3)});
          push(source, 1 + draw(60));
        }
        break;
      default: push(source, 1 + draw(size_.largest_push));
    }
    if (draw(8) != 0) feed(stream, sink);
    if (draw(4) == 0) flush();
  }
  for (std::size_t s = 0; s < sources_.size(); ++s) feed(s, sink);
  if (draw(2) == 0) flush();
}

namespace {

// Runs of one cause are one gap, however they came.
std::vector<Gap> joined(const std::vector<Gap>& gaps) {
  std::vector<Gap> made;
  for (const Gap& gap : gaps) {
    if (!made.empty() && made.back().cause == gap.cause &&
        made.back().first_sample + made.back().count == gap.first_sample) {
      made.back().count += gap.count;
      made.back().lost += gap.lost;
      made.back().missing += gap.missing;
    } else {
      made.push_back(gap);
    }
  }
  return made;
}

std::string to_string(const std::vector<Gap>& gaps) {
  std::string text;
  for (const Gap& g : gaps)
    text += fmt::format("[{} +{}: lost {} missing {} cause {}] ", g.first_sample, g.count, g.lost,
                        g.missing, static_cast<int>(g.cause));
  return text;
}

bool is_damaged(const Expectation& expected, const std::string& stream, const std::string& column,
                std::uint64_t row) {
  return std::any_of(expected.damages.begin(), expected.damages.end(),
                     [&](const RecoveryDamage& d) {
                       return d.stream == stream && d.channel == column && row >= d.first_row &&
                              row - d.first_row < d.count;
                     });
}

std::string compare_values(const Recording& recording, const Truth::PerStream& truth,
                           std::size_t stream, const Expectation& expected) {
  const RecordedStream& have = recording.streams()[stream];
  const std::uint64_t rows = have.rows;
  const auto damaged = [&](const std::string& column, std::uint64_t row) {
    return is_damaged(expected, truth.info.name, column, row);
  };
  for (std::size_t c = 0; c < truth.values.size(); ++c) {
    std::vector<Quality> quality(rows);
    recording.read_quality(stream, c, 0, quality);
    std::string wrong;
    visit_sample_type(truth.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
      std::vector<T> values(rows);
      recording.read_raw<T>(stream, c, 0, values);
      for (std::uint64_t row = 0; row < rows && wrong.empty(); ++row) {
        const std::string& name = truth.info.channels[c].name;
        Quality right = truth.quality[c][row];
        if (damaged(name, row) || damaged(name + "_quality", row)) {
          if (quality[row].verdict() != Verdict::bad || !quality[row].has(Quality::missing))
            wrong =
                fmt::format("{} channel {} row {}: damaged, and not told", truth.info.name, c, row);
          if (damaged(name, row)) continue;
          right = quality[row];
        } else if (damaged("time_ns", row)) {
          right = merge(right, Quality(Verdict::suspect, Quality::time_uncertain));
        }
        T want{};
        std::memcpy(&want, truth.values[c].data() + row * sizeof want, sizeof want);
        bool same = std::memcmp(&want, &values[row], sizeof want) == 0;
        if constexpr (std::is_floating_point_v<T>)
          if (expected.csv) same |= std::isnan(want) && std::isnan(values[row]);
        if (!same)
          wrong = fmt::format("{} channel {} row {} of {}: value {} instead of {}", truth.info.name,
                              c, row, rows, values[row], want);
        else if (quality[row] != right)
          wrong = fmt::format("{} channel {} row {} of {}: quality {} instead of {}",
                              truth.info.name, c, row, rows, quality[row].byte(), right.byte());
      }
    });
    if (!wrong.empty()) return wrong;
  }
  return {};
}

std::string compare_stream(const Recording& recording, const Truth::PerStream& truth,
                           std::size_t stream, const Expectation& expected) {
  const RecordedStream& have = recording.streams()[stream];
  const std::string& name = truth.info.name;
  const auto wrong = [&](const std::string& what) { return name + ": " + what; };
  const Extent::PerStream acknowledged =
      expected.acknowledged.begun ? expected.acknowledged.streams[stream] : Extent::PerStream{};

  if (have.info.name != name || have.info.rate != truth.info.rate ||
      have.info.origin != truth.info.origin ||
      have.info.channels.size() != truth.info.channels.size())
    return wrong("another description");
  for (std::size_t c = 0; c < truth.values.size(); ++c) {
    const ChannelInfo& a = have.info.channels[c];
    const ChannelInfo& b = truth.info.channels[c];
    if (a.name != b.name || a.unit != b.unit || a.type != b.type ||
        a.calibration.steps != b.calibration.steps)
      return wrong(fmt::format("another description of channel {}", c));
  }

  // The numbers: segments and gaps tile them.
  struct Range {
    std::uint64_t first;
    std::uint64_t count;
  };
  std::vector<Range> ranges;
  std::uint64_t row = 0;
  for (const Segment& s : have.segments) {
    if (s.row != row) return wrong(fmt::format("a segment at row {} instead of {}", s.row, row));
    row += s.count;
    ranges.push_back({s.first_sample, s.count});
  }
  if (row != have.rows) return wrong(fmt::format("{} rows, {} in segments", have.rows, row));
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  for (const Gap& g : have.gaps) {
    if (g.lost + g.missing != g.count) return wrong("a gap that does not add up");
    lost += g.lost;
    missing += g.missing;
    ranges.push_back({g.first_sample, g.count});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  const std::uint64_t begin = ranges.empty() ? truth.begin : ranges.front().first;
  std::uint64_t end = begin;
  for (const Range& r : ranges) {
    if (r.first != end) return wrong(fmt::format("samples from {} are not named", end));
    end += r.count;
  }
  if (!ranges.empty() && begin != truth.begin) return wrong("begins elsewhere");
  const RecordedCounts counts{end - begin, have.rows, lost, missing};
  if (!(have.counts == counts))
    return wrong(fmt::format("counts {} {} {} {} instead of {} {} {} {}", have.counts.produced,
                             have.counts.recorded, have.counts.lost, have.counts.missing,
                             counts.produced, counts.recorded, counts.lost, counts.missing));

  // All that was acknowledged, and nothing that never was.
  const std::uint64_t rows_least = expected.all ? truth.numbers.size() : acknowledged.rows;
  const std::uint64_t end_least = expected.all ? truth.end : acknowledged.end;
  if (have.rows < rows_least)
    return wrong(fmt::format("{} rows of {} acknowledged", have.rows, rows_least));
  if (have.rows > truth.numbers.size())
    return wrong(fmt::format("{} rows of {} appended", have.rows, truth.numbers.size()));
  if (!ranges.empty() && end < end_least)
    return wrong(fmt::format("ends at sample {} instead of {}", end, end_least));
  if (ranges.empty() && end_least > truth.begin) return wrong("nothing is named");
  if (end > truth.end && !ranges.empty())
    return wrong(fmt::format("names samples to {}, there were {}", end, truth.end));

  std::vector<Time> times(have.rows);
  if (have.rows > 0) recording.read_times(stream, 0, times);
  for (std::uint64_t r = 0; r < have.rows; ++r) {
    if (have.number(r).value != truth.numbers[r])
      return wrong(fmt::format("row {} is sample {} instead of {}", r, have.number(r).value,
                               truth.numbers[r]));
    if (times[r].count() != truth.times[r] && !is_damaged(expected, name, "time_ns", r))
      return wrong(
          fmt::format("row {} is at {} ns instead of {}", r, times[r].count(), truth.times[r]));
  }

  // What was read and could not be written is behind the rows that are there.
  std::vector<Gap> named;
  for (const Gap& g : have.gaps) {
    const auto first = std::lower_bound(truth.numbers.begin(), truth.numbers.end(), g.first_sample);
    const bool was_there = first != truth.numbers.end() && *first < g.first_sample + g.count;
    if (!was_there) {
      named.push_back(g);
      continue;
    }
    if (g.cause != Absence::not_written)
      return wrong(fmt::format("sample {} was there, and is named as absent", *first));
    if (static_cast<std::uint64_t>(first - truth.numbers.begin()) < have.rows)
      return wrong(fmt::format("sample {} is there, and named as not written", *first));
  }
  std::vector<Gap> absent;
  for (const Gap& g : truth.absent)
    if (g.first_sample + g.count <= end) absent.push_back(g);
  const std::vector<Gap> have_gaps = joined(named);
  const std::vector<Gap> want_gaps = joined(absent);
  if (named.size() == have.gaps.size() && have_gaps != want_gaps)
    return wrong("gaps " + to_string(have_gaps) + "instead of " + to_string(want_gaps));

  std::vector<CalibrationChange> changes;
  for (const CalibrationChange& change : truth.calibrations)
    if (have.rows > 0 && change.from_sample <= truth.numbers[have.rows - 1])
      changes.push_back(change);
  if (have.calibrations.size() != changes.size())
    return wrong(
        fmt::format("{} calibrations instead of {}", have.calibrations.size(), changes.size()));
  for (std::size_t i = 0; i < changes.size(); ++i)
    if (have.calibrations[i].from_sample != changes[i].from_sample ||
        have.calibrations[i].calibrations != changes[i].calibrations)
      return wrong(fmt::format("another calibration from sample {} on", changes[i].from_sample));

  if (have.anchors.size() > truth.anchors.size() ||
      have.anchors.size() < (expected.all ? truth.anchors.size() : acknowledged.anchors))
    return wrong(fmt::format("{} anchors", have.anchors.size()));
  for (std::size_t i = 0; i < have.anchors.size(); ++i) {
    const Anchor& a = have.anchors[i];
    const Anchor& b = truth.anchors[i];
    if (a.sample != b.sample || a.time != b.time || a.ticks != b.ticks)
      return wrong(fmt::format("another anchor {}", i));
  }
  return compare_values(recording, truth, stream, expected);
}

template <class T>
std::string compare_list(const char* what, const std::vector<T>& have, const std::vector<T>& truth,
                         std::uint64_t least) {
  if (have.size() < least || have.size() > truth.size())
    return fmt::format("{} {} of {}, at least {}", have.size(), what, truth.size(), least);
  if (!std::equal(have.begin(), have.end(), truth.begin())) return fmt::format("other {}", what);
  return {};
}

}  // namespace

std::string differences(const Recording& recording, const Truth& truth,
                        const Expectation& expected) {
  if (recording.title() != truth.info.title) return "title: " + recording.title();
  if (recording.start_time() != truth.info.start_time)
    return "start time: " + recording.start_time();
  if (recording.configuration() != truth.info.configuration)
    return "configuration: " + recording.configuration();
  if (recording.provenance() != truth.info.provenance)
    return "provenance: " + recording.provenance();
  if (recording.streams().size() != truth.streams.size())
    return fmt::format("{} streams", recording.streams().size());
  for (std::size_t s = 0; s < truth.streams.size(); ++s)
    if (std::string wrong = compare_stream(recording, truth.streams[s], s, expected);
        !wrong.empty())
      return wrong;
  // A recovery may add its own.
  std::vector<RecordedEvent> events = recording.events();
  std::erase_if(events, [](const RecordedEvent& e) { return e.kind != event_kind; });
  std::vector<std::string> log = recording.log();
  std::erase_if(log, [](const std::string& line) { return !line.starts_with(log_start); });
  const Extent& least = expected.acknowledged;
  std::string wrong = compare_list("events", events, truth.events,
                                   expected.all ? truth.events.size() : least.events);
  if (wrong.empty())
    wrong = compare_list("lines of the log", log, truth.log,
                         expected.all ? truth.log.size() : least.log);
  return wrong;
}

}  // namespace spillway::test
