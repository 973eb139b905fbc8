#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <type_traits>

#include "axis.hpp"
#include "new_file.hpp"
#include "run.hpp"
#include "text.hpp"
#include "view.hpp"
#include "view_page.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

constexpr double budget_bytes = 64.0 * 1024 * 1024;
// Of one block of the page, which is decoded at once when it comes into view.
constexpr std::uint64_t points_a_block = std::uint64_t{1} << 17;
constexpr std::size_t level_factor = 16;
constexpr std::size_t fewest_bins = 2000;
constexpr std::size_t shown_channels = 8;  // to begin with

// Numbers of a type that the page reads from the bytes.
template <class T>
void append(std::string& bytes, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::size_t at = bytes.size();
  bytes.resize(at + values.size_bytes());
  if (!values.empty()) std::memcpy(bytes.data() + at, values.data(), values.size_bytes());
}

// RFC 4648. By three bytes, twelve bits at a time: pages are large.
void append_base64(std::string& text, std::string_view bytes) {
  static const auto pairs = [] {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::array<std::array<char, 2>, 4096> table{};
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = {alphabet[i >> 6], alphabet[i & 63]};
    return table;
  }();
  const std::size_t begin = text.size();
  text.resize(begin + (bytes.size() + 2) / 3 * 4);
  char* to = text.data() + begin;
  const auto byte = [&](std::size_t i) {
    return i < bytes.size() ? static_cast<unsigned>(static_cast<unsigned char>(bytes[i])) : 0U;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3, to += 4) {
    const unsigned bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    std::memcpy(to, pairs[bits >> 12].data(), 2);
    std::memcpy(to + 2, pairs[bits & 4095].data(), 2);
  }
  for (std::size_t missing = (3 - bytes.size() % 3) % 3; missing > 0; --missing)
    *(to - missing) = '=';
}

// What stands in a page besides the data must not end its element.
std::string json_for_page(const Json& json) {
  std::string safe;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return safe;
}

// offset + scale * (32 bit float) for values of which none needs more digits than their
// differences.
struct Packing {
  double offset = 0.0;
  double scale = 1.0;
};

Packing packing_of(std::span<const double> low, std::span<const double> high) {
  double least = std::numeric_limits<double>::infinity();
  double most = -least;
  bool exact = true;
  for (const std::span<const double> values : {low, high})
    for (const double v : values) {
      if (!std::isfinite(v)) continue;
      least = std::min(least, v);
      most = std::max(most, v);
      exact = exact && std::abs(v) <= std::numeric_limits<float>::max() &&
              static_cast<double>(static_cast<float>(v)) == v;
    }
  if (exact || least > most) return {};
  Packing packing;
  const double half = most / 2.0 - least / 2.0;  // the whole may be more than there is
  if (std::max(std::abs(least), std::abs(most)) > 4.0 * half) packing.offset = least + half;
  const double largest =
      std::max(std::abs(least - packing.offset), std::abs(most - packing.offset));
  if (largest > 1e30 || (largest > 0.0 && largest < 1e-30))
    packing.scale = std::ldexp(1.0, std::clamp(std::ilogb(largest), -1020, 1020));
  return packing;
}

// One page that is being written.
class Page {
 public:
  Page(const View& view, const ViewArguments& arguments)
      : view_(&view), path_(arguments.html), file_(arguments.html, arguments.force) {}

  void write() {
    const std::string_view page = page_html;
    for (std::size_t at = 0; at < page.size();) {
      const std::size_t mark = page.find("{{", at);
      file_.write(page.substr(at, mark - at));
      if (mark == std::string_view::npos) break;
      const std::size_t end = page.find("}}", mark);
      const std::string_view name = page.substr(mark + 2, end - mark - 2);
      if (name == "title")
        file_.write(escaped(heading_of(*view_->recording)));
      else if (name == "style")
        file_.write(page_css);
      else if (name == "data")
        write_data();
      else if (name == "recording")
        file_.write(json_for_page(recording_));
      else
        file_.write(page_js);
      at = end + 2;
    }
    file_.close();
  }

  [[nodiscard]] bool all_read() const noexcept { return unreadable_.empty(); }

  [[nodiscard]] std::string summary() const {
    std::string text =
        fmt::format("{}, of which {} are data", human_bytes(std::filesystem::file_size(path_)),
                    human_bytes(written_));
    for (const std::string& note : folds_) text += "\n" + note;
    return text;
  }

 private:
  // A block of the page; its number.
  std::size_t write_block(std::string_view bytes) {
    text_ = fmt::format("<script type=\"application/octet-stream\" id=\"d{}\">", blocks_);
    append_base64(text_, bytes);
    text_ += "</script>\n";
    file_.write(text_);
    written_ += bytes.size();
    return blocks_++;
  }

  // Points of a level; `high` is empty if they are samples.
  Json write_chunk(std::span<const double> low, std::span<const double> high,
                   std::span<const Quality> quality) {
    const Packing packing = packing_of(low, high);
    bytes_.clear();
    for (const std::span<const double> values : {low, high}) {
      floats_.resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i)
        floats_[i] = static_cast<float>((values[i] - packing.offset) / packing.scale);
      append<float>(bytes_, floats_);
    }
    const bool same = std::all_of(quality.begin(), quality.end(),
                                  [&](Quality q) { return q == quality.front(); });
    if (!same) append(bytes_, quality);
    const int common = same ? (quality.empty() ? 0 : quality.front().byte()) : -1;
    return Json::array({write_block(bytes_), packing.offset, packing.scale, common});
  }

  Json write_level(const EnvelopeLevel& level) {
    Json json{{"rows", level.rows_per_bin},
              {"points", level.bins.size()},
              {"per", points_a_block},
              {"pairs", true},
              {"chunks", Json::array()}};
    std::vector<double> low, high;
    std::vector<Quality> quality;
    for (std::size_t at = 0; at < level.bins.size(); at += points_a_block) {
      const std::size_t count = std::min<std::size_t>(points_a_block, level.bins.size() - at);
      low.resize(count);
      high.resize(count);
      quality.resize(count);
      for (std::size_t i = 0; i < count; ++i) {
        const EnvelopeBin& bin = level.bins[at + i];
        low[i] = bin.low;
        high[i] = bin.high;
        quality[i] = bin.quality;
      }
      json["chunks"].push_back(write_chunk(low, high, quality));
    }
    return json;
  }

  // Every sample.
  Json write_samples(const ShownStream& shown, std::size_t channel) {
    const RowRange& rows = shown.rows;
    Json json{{"rows", 1},
              {"points", rows.count()},
              {"per", points_a_block},
              {"pairs", false},
              {"chunks", Json::array()}};
    std::vector<double> values;
    std::vector<Quality> quality;
    for (std::uint64_t row = rows.begin; row < rows.end; row += points_a_block) {
      const std::uint64_t count = std::min(points_a_block, rows.end - row);
      values.resize(count);
      quality.resize(count);
      UnreadableRows unreadable;  // told by the envelope
      read_what_can_be(*view_->recording, shown.index, channel, row, view_->values, values, quality,
                       unreadable);
      json["chunks"].push_back(write_chunk(values, {}, quality));
    }
    return json;
  }

  Json write_channel(const ShownStream& shown, std::size_t channel, std::uint64_t fold) {
    const RecordedStream& s = recorded(*view_, shown);
    const ChannelInfo& info = s.info.channels[channel];
    Json json{{"name", readable(info.name)},
              {"unit", readable(unit_of(*view_, shown, channel))},
              {"facts", facts_of(info)},
              {"levels", Json::array()}};
    if (fold == 1) json["levels"].push_back(write_samples(shown, channel));
    const std::uint64_t finest = fold == 1 ? level_factor : fold;
    UnreadableRows unreadable;
    const std::vector<EnvelopeLevel> levels =
        coarser(envelope(*view_->recording, shown.index, channel, shown.rows,
                         bins_for(shown.rows.count(), finest), view_->values, &unreadable),
                level_factor, fewest_bins);
    if (!unreadable.empty())
      unreadable_.push_back(unreadable_text(*view_, shown, channel, unreadable));
    for (const EnvelopeLevel& level : levels)
      if (level.rows_per_bin > 1 || fold > 1) json["levels"].push_back(write_level(level));
    // Of all, by the coarsest.
    double low = std::numeric_limits<double>::quiet_NaN();
    double high = low;
    std::uint64_t values = 0;
    Quality worst;
    for (const EnvelopeBin& bin : levels.back().bins) {
      worst = merge(worst, bin.quality);
      values += bin.count;
      if (std::isfinite(bin.low) && !(bin.low >= low)) low = bin.low;
      if (std::isfinite(bin.high) && !(bin.high <= high)) high = bin.high;
    }
    json["values"] = values;
    json["worst"] = worst.byte();
    json["low"] = std::isnan(low) || std::isnan(high) ? Json() : Json(low);
    json["high"] = std::isnan(low) || std::isnan(high) ? Json() : Json(high);
    return json;
  }

  [[nodiscard]] static std::string facts_of(const ChannelInfo& info) {
    std::string facts = readable(info.description);
    if (!facts.empty()) facts += "; ";
    facts += fmt::format("{}, {}", sample_type_name(info.type), readable(info.raw_unit()));
    if (!info.calibration.is_identity())
      facts += fmt::format(" -> {} by {}", readable(info.unit), describe(info.calibration));
    return facts;
  }

  [[nodiscard]] static std::size_t bins_for(std::uint64_t rows, std::uint64_t fold) {
    return std::max<std::uint64_t>((rows + fold - 1) / fold, 1);
  }

  // Bytes of a stream at `fold` samples a point.
  [[nodiscard]] double cost_of(const ShownStream& shown, std::uint64_t fold) const {
    const auto rows = static_cast<double>(shown.rows.count());
    const auto channels = static_cast<double>(shown.channels.size());
    const auto each = static_cast<double>(fold == 1 ? level_factor : fold);
    // Pairs of floats and a quality, and the levels above them.
    double cost = rows * channels / each * 9.0 * level_factor / (level_factor - 1.0);
    if (fold == 1) cost += rows * channels * 5.0;
    if (!recorded(*view_, shown).info.rate) cost += rows / static_cast<double>(fold) * 8.0;
    return cost;
  }

  // How many samples a point of each stream stands for: small streams are kept whole, large ones
  // share what is left.
  [[nodiscard]] std::vector<std::uint64_t> folds() const {
    std::vector<std::size_t> order(view_->streams.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return cost_of(view_->streams[a], 1) < cost_of(view_->streams[b], 1);
    });
    std::vector<std::uint64_t> result(order.size(), 1);
    double room = budget_bytes;
    std::size_t left = order.size();
    for (const std::size_t i : order) {
      const double share = room / static_cast<double>(left--);
      std::uint64_t& fold = result[i];
      while (cost_of(view_->streams[i], fold) > share && fold < shown_rows(i))
        fold = fold == 1 ? 4 : fold * 2;
      room -= cost_of(view_->streams[i], fold);
    }
    return result;
  }
  [[nodiscard]] std::uint64_t shown_rows(std::size_t i) const {
    return view_->streams[i].rows.count();
  }

  Json segments_of(const ShownStream& shown, Time shift, std::vector<std::uint64_t>* rows_of_points,
                   std::uint64_t fold) {
    const RecordedStream& s = recorded(*view_, shown);
    Json json;
    for (const char* column :
         {"row", "count", "number", "begin", "end", "clock_sample", "clock_ns"})
      json[column] = Json::array();
    std::vector<std::uint64_t> edges;
    for (std::uint64_t row = shown.rows.begin; row < shown.rows.end;) {
      const Segment& segment = s.segment(row);
      const std::uint64_t end = std::min(segment.row + segment.count, shown.rows.end);
      json["row"].push_back(row - shown.rows.begin);
      json["count"].push_back(end - row);
      json["number"].push_back(segment.first_sample + (row - segment.row));
      // As text: more digits than a number of JavaScript has.
      json["clock_sample"].push_back(std::to_string(segment.clock_sample));
      json["clock_ns"].push_back(
          std::to_string(saturating_add(Time(segment.clock_ns), shift).count()));
      edges.push_back(row);
      edges.push_back(end - 1);
      if (rows_of_points != nullptr)
        for (std::uint64_t at = row; at < end; at += fold) rows_of_points->push_back(at);
      row = end;
    }
    const std::vector<Time> times = times_of(*view_->recording, shown.index, edges);
    for (std::size_t i = 0; i < times.size(); i += 2) {
      json["begin"].push_back(from_base(times[i], shift));
      json["end"].push_back(from_base(times[i + 1], shift));
    }
    return json;
  }

  [[nodiscard]] double from_base(Time time, Time shift) const {
    return static_cast<double>((saturating_add(time, shift) - begin_).count());
  }

  Json write_stream(const ShownStream& shown, Time shift, std::uint64_t fold) {
    const RecordedStream& s = recorded(*view_, shown);
    // As envelope() makes it of that many bins.
    if (fold > 1) {
      const std::uint64_t bins = bins_for(shown.rows.count(), fold);
      fold = (shown.rows.count() + bins - 1) / bins;
      folds_.push_back(
          fmt::format("finest detail of {}: {} samples a point", readable(s.info.name), fold));
    }
    Json json{{"name", readable(s.info.name)},
              {"rate_text", s.info.rate ? hertz(s.info.rate->hertz().value) : "irregular"},
              {"rate", Json()},
              {"rows", shown.rows.count()},
              {"fold", fold},
              {"times", Json()},
              {"gaps", Json::array()},
              {"channels", Json::array()}};
    if (s.info.rate)
      json["rate"] = Json{{"samples", s.info.rate->samples()}, {"seconds", s.info.rate->seconds()}};
    std::vector<std::uint64_t> points;
    json["segments"] = segments_of(shown, shift, s.info.rate ? nullptr : &points, fold);
    if (!s.info.rate) {
      json["times"] = Json{{"per", points_a_block}, {"blocks", Json::array()}};
      const std::vector<Time> times = times_of(*view_->recording, shown.index, points);
      std::vector<double> block;
      for (std::size_t at = 0; at < times.size(); at += points_a_block) {
        block.clear();
        for (std::size_t i = at; i < std::min<std::size_t>(at + points_a_block, times.size()); ++i)
          block.push_back(from_base(times[i], shift));
        bytes_.clear();
        append<double>(bytes_, block);
        json["times"]["blocks"].push_back(write_block(bytes_));
      }
    }
    for (const ShownGap& gap : shown.gaps)
      json["gaps"].push_back(Json{{"first", gap.gap.first_sample},
                                  {"count", gap.gap.count},
                                  {"cause", static_cast<int>(gap.gap.cause)},
                                  {"begin", from_base(gap.begin, shift)},
                                  {"end", from_base(gap.end, shift)}});
    for (const std::size_t channel : shown.channels)
      json["channels"].push_back(write_channel(shown, channel, fold));
    return json;
  }

  void write_data() {
    const Recording& recording = *view_->recording;
    const SharedTime time = shared_time(*view_);
    begin_ = time.begin;
    const std::vector<std::uint64_t> fold = folds();
    Json streams = Json::array();
    std::vector<std::string> notes;
    for (std::size_t i = 0; i < view_->streams.size(); ++i) {
      const ShownStream& shown = view_->streams[i];
      streams.push_back(write_stream(shown, time.shifts[i], fold[i]));
      if (!time.comparable[i])
        notes.push_back(
            fmt::format("{} has its own time 0", readable(recorded(*view_, shown).info.name)));
    }
    notes.insert(notes.begin(), folds_.begin(), folds_.end());
    notes.insert(notes.begin(), unreadable_.begin(), unreadable_.end());
    if (view_->values == EnvelopeOf::raw) notes.emplace_back("raw values");
    for (const std::string& remark : recording.remarks())
      notes.push_back(readable(without_directory(remark, recording)));

    recording_ = Json{{"facts", facts(time)},
                      {"notes", notes},
                      {"length_ns", static_cast<double>((time.end - time.begin).count())},
                      {"shown", shown_channels},
                      {"causes", Json::array()}};
    for (int cause = 0; cause <= static_cast<int>(Absence::damaged); ++cause)
      recording_["causes"].push_back(cause_of({0, 0, 0, 0, static_cast<Absence>(cause)}));
    const std::optional<Time> since =
        time_between({time.origin.kind, "1970-01-01T00:00:00"}, time.origin);
    recording_["base"] =
        Json{{"from_origin_ns", std::to_string(begin_.count())},
             {"since_1970_ns",
              since ? Json(std::to_string(saturating_add(*since, begin_).count())) : Json()},
             {"zone", zone_of(time.origin)}};
    recording_["streams"] = std::move(streams);
  }

  [[nodiscard]] std::string facts(const SharedTime& time) const {
    const Recording& recording = *view_->recording;
    std::string text = fmt::format(
        "{} · {}", recording.status() == "recording" ? "not finished" : recording.status(),
        length_of(time));
    const std::string begin = calendar(time.origin, time.begin, std::chrono::milliseconds(1));
    if (!begin.empty()) text += " · begins " + begin + zone_of(time.origin);
    if (!recording.start_time().empty()) text += " · recorded " + recording.start_time();
    return readable(text + named_if_titled(recording));
  }

  const View* view_;
  std::string path_;
  NewFile file_;
  Time begin_{};
  Json recording_;
  std::vector<std::string> folds_;
  std::vector<std::string> unreadable_;
  std::size_t blocks_ = 0;
  std::uint64_t written_ = 0;
  // Used again for each block.
  std::string bytes_;
  std::string text_;
  std::vector<float> floats_;
};

}  // namespace

void view_as_html(const View& view, const ViewArguments& arguments) {
  Page page(view, arguments);
  page.write();
  tell(stdout, "{}: {}\n", arguments.html, page.summary());
  if (!page.all_read()) fail_not_all_read(*view.recording);
}

}  // namespace spillway::apps
