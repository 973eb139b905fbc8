#include "filtered_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway::apps {

namespace {

// Nobody has heard of the node: errors name the stream.
Graph graph_of(const StreamInfo& info, NodeKind kind) {
  const char* const id = info.name == "result" ? "other" : "result";
  try {
    return {{{{.id = id, .inputs = {info.name}, .kind = std::move(kind)}}}, {info}};
  } catch (const Error& error) {
    std::string text = error.what();
    const std::string node = fmt::format("node '{}': ", id);
    if (text.starts_with(node)) text.erase(0, node.size());
    throw Error(fmt::format("stream '{}': its filter {}", info.name, text));
  }
}

}  // namespace

class FilteredSink::Filtered {
 public:
  Filtered(const StreamInfo& info, NodeKind kind, std::size_t stream, Sink& to)
      : from_rate_(info.rate),
        graph_(graph_of(info, std::move(kind))),
        info_(graph_.output_info(0)),
        stream_(stream),
        to_(to),
        identity_(info_.channels.size()),
        block_(info_, graph_.most_frames(0)) {
    info_.name = info.name;
  }

  [[nodiscard]] const StreamInfo& info() const noexcept { return info_; }

  void add_gap(const Gap& gap) {
    begin_at(gap.first_sample);
    if (lost_ + missing_ == 0) from_ = gap.first_sample;
    lost_ += gap.lost;
    missing_ += gap.missing;
  }

  void add(Chunk chunk, const Block& block, const CalibrationSet& calibrations) {
    begin_at(chunk.from.value);
    if (lost_ + missing_ > 0) {
      chunk.from = {from_};
      chunk.lost = {chunk.lost.value + std::exchange(lost_, 0)};
      chunk.missing = {chunk.missing.value + std::exchange(missing_, 0)};
    }
    std::size_t begin = 0;
    do {
      const std::size_t count =
          std::min<std::size_t>(chunk.count.value - begin, graph_.block_frames());
      graph_.process(0, chunk, block, calibrations, {begin, count});
      do pass();
      while (graph_.process_rest());
      begin += count;
    } while (begin < chunk.count.value);
  }

  // A gap at the end.
  void end() {
    if (lost_ + missing_ == 0) return;
    Chunk chunk;
    chunk.first = {from_ + lost_ + missing_};
    const Block nothing(graph_.inputs()[0], 1);
    add(chunk, nothing, identity_);
  }

 private:
  // For a graph all that was before its first sample is missing. What is before the part that is
  // read is not.
  void begin_at(std::uint64_t number) {
    if (begun_) return;
    begun_ = true;
    next_ = number;
    if (!from_rate_ || !info_.rate) return;
    // The result at the time of that sample, or the next.
    __extension__ using Wide = __int128;
    const Wide up = static_cast<Wide>(info_.rate->samples()) * from_rate_->seconds();
    const Wide down = static_cast<Wide>(info_.rate->seconds()) * from_rate_->samples();
    const Wide divisor = std::gcd(info_.rate->samples(), from_rate_->samples());
    const Wide each = down / divisor;
    next_ =
        static_cast<std::uint64_t>((static_cast<Wide>(number) * (up / divisor) + each - 1) / each);
  }

  // What the node made.
  void pass() {
    if (graph_.ran().empty()) return;
    const NodeOutput made = graph_.output(0);
    const std::size_t lanes = info_.channels.size();
    const std::size_t frames = made.frames.values.size() / lanes;
    // Up to number `to`.
    const auto tell_gap = [&](std::uint64_t to, Absence cause) {
      if (to <= next_) return;
      Gap gap{next_, to - next_, 0, 0, cause};
      (cause == Absence::missing ? gap.missing : gap.lost) = gap.count;
      to_.append_gap(stream_, gap);
      next_ = to;
      new_segment_ = true;
    };
    tell_gap(made.first.value - made.missing.value, Absence::lost_upstream);
    tell_gap(made.first.value, Absence::missing);
    if (frames == 0) return;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const std::span<double> values = block_.values<double>(lane);
      const std::span<Quality> quality = block_.quality(lane);
      for (std::size_t f = 0; f < frames; ++f) {
        values[f] = made.frames.values[f * lanes + lane];
        quality[f] = made.frames.quality[f * lanes + lane];
      }
    }
    std::ranges::copy(made.times, block_.times().begin());
    Chunk chunk;
    chunk.from = chunk.first = made.first;
    chunk.count = {frames};
    chunk.new_segment = std::exchange(new_segment_, false);
    chunk.row = row_;
    chunk.clock_sample = made.clock_sample;
    chunk.clock_time = made.clock_time;
    chunk.time = info_.rate ? made.clock_time +
                                  info_.rate->duration(made.first.value - made.clock_sample.value)
                            : made.times[0];
    to_.append(stream_, chunk, block_, identity_);
    row_ += frames;
    next_ = made.first.value + frames;
  }

  std::optional<Rate> from_rate_;
  Graph graph_;
  StreamInfo info_;
  std::size_t stream_;
  Sink& to_;
  CalibrationSet identity_;
  Block block_;
  // Gaps that go with the next chunk.
  std::uint64_t from_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t missing_ = 0;
  bool begun_ = false;
  std::uint64_t next_ = 0;  // the result that follows
  bool new_segment_ = true;
  std::uint64_t row_ = 0;
};

FilteredSink::FilteredSink(Sink& to, FilterOptions options)
    : to_(&to), options_(std::move(options)) {}

FilteredSink::~FilteredSink() = default;

void FilteredSink::begin(const RecordingInfo& info) {
  RecordingInfo results = info;
  results.provenance = options_.provenance;
  results.state.clear();
  for (std::size_t i = 0; i < info.streams.size(); ++i) {
    const std::optional<NodeKind>& node = options_.nodes.at(i);
    std::unique_ptr<Filtered> filtered;
    if (node) {
      filtered = std::make_unique<Filtered>(info.streams[i], *node, i, *to_);
      results.streams[i] = filtered->info();
    }
    streams_.push_back(std::move(filtered));
  }
  to_->begin(results);
}

void FilteredSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                          const CalibrationSet& calibrations) {
  if (streams_[stream])
    streams_[stream]->add(chunk, block, calibrations);
  else
    to_->append(stream, chunk, block, calibrations);
}

void FilteredSink::append_gap(std::size_t stream, const Gap& gap) {
  if (streams_[stream])
    streams_[stream]->add_gap(gap);
  else
    to_->append_gap(stream, gap);
}

void FilteredSink::close(const Ending& ending) {
  for (const auto& stream : streams_)
    if (stream) stream->end();
  to_->close(ending);
}

void FilteredSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  if (!streams_[stream]) to_->append(stream, anchors);
}

}  // namespace spillway::apps
