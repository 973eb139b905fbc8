// Reads CSV recordings: sealed ones by their metadata, unfinished ones by their journal.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "columns.hpp"
#include "csv_format.hpp"
#include "csv_metadata.hpp"
#include "csv_number.hpp"
#include "file.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"
#include "xxh3.hpp"

namespace spillway {

namespace {

using Form = CsvOptions::Form;

// "rows 0 to 63 of stream 'pump'", of all streams that have any.
std::string rows_text(const std::vector<RecordedStream>& streams,
                      const std::vector<std::uint64_t>& first,
                      const std::vector<std::uint64_t>& count) {
  std::string text;
  for (std::size_t s = 0; s < streams.size(); ++s)
    if (count[s] > 0)
      text += fmt::format(", rows {} to {} of stream '{}'", first[s], first[s] + count[s] - 1,
                          streams[s].info.name);
  return text;
}

std::string bytes_text(std::uint64_t offset, std::uint64_t count) {
  return fmt::format("bytes {} to {}", offset, offset + count - 1);
}

constexpr std::string_view part_ending = ".part";
constexpr const char* wrong_checksum = "their checksum is wrong: this is not what was recorded";

// A piece of the file that is whole samples, but for the header in front of the first.
struct Place {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::optional<std::uint32_t> crc32c;
  std::uint64_t line = 1;  // of its first byte
  std::string damage;      // not empty: why it can't be had
};

// The samples of a place, as native bytes: of each stream each column.
struct Samples {
  std::size_t place = 0;
  std::size_t bytes = 0;
  std::vector<std::vector<std::vector<std::byte>>> columns;
};

// Walks through the text of a place, strictly.
class Text {
 public:
  Text(const std::string& path, std::string_view text, std::uint64_t line)
      : path_(path), rest_(text), line_text_(text), line_(line) {}

  [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: line {}, column {}: {}", path_, line_,
                            line_text_.size() - rest_.size() + 1, what));
  }

  // Up to the next comma or the end of the line, which stays.
  [[nodiscard]] std::string_view field() {
    std::size_t size = 0;
    while (size < rest_.size() && rest_[size] != ',' && rest_[size] != '\r' && rest_[size] != '\n')
      ++size;
    return rest_.substr(0, size);
  }
  void skip(std::size_t bytes) { rest_.remove_prefix(bytes); }
  [[nodiscard]] bool starts_with(std::string_view text) const { return rest_.starts_with(text); }
  void expect(std::string_view text, const char* what) {
    if (!rest_.starts_with(text)) {
      const auto [here, there] = std::ranges::mismatch(rest_, text);
      static_cast<void>(there);
      skip(static_cast<std::size_t>(here - rest_.begin()));
      fail(fmt::format("{} is wrong; '{}' is needed", what, text));
    }
    skip(text.size());
  }
  void line_end() {
    if (rest_.starts_with('\r')) skip(1);
    if (!rest_.starts_with('\n')) fail("the line does not end here as it should");
    skip(1);
    line_text_ = rest_;
    ++line_;
  }
  template <class T>
  T number(const char* what) {
    const std::string_view text = field();
    T value{};
    if (!csv::parse_number(text, value))
      fail(fmt::format("'{}' is no {} as it is spelled here", text.substr(0, 40), what));
    skip(text.size());
    return value;
  }

 private:
  const std::string& path_;
  std::string_view rest_;
  std::string_view line_text_;  // from the begin of the line on
  std::uint64_t line_;
};

// A value into `to`.
using ReadValue = void (*)(Text& text, std::byte* to);

ReadValue read_value_of(SampleType type) {
  return visit_sample_type(type, []<class T>(std::type_identity<T>) -> ReadValue {
    return [](Text& text, std::byte* to) {
      static const std::string what(sample_type_name(sample_type_of<T>()));
      const T value = text.number<T>(what.c_str());
      std::memcpy(to, &value, sizeof value);
    };
  });
}

class CsvRecording final : public RecordingBackend {
 public:
  explicit CsvRecording(FileCalls& calls) : calls_(calls) {}

  void load(const std::string& from, csv::Metadata metadata);
  void load(const std::string& part, JournalReader& reader);
  // What there is behind the last place; empty: nothing.
  [[nodiscard]] std::string behind() const;
  // Reads everything; false: there are no checksums.
  bool check(
      const std::function<void(const std::string& where, const std::string& what)>& damaged) const;
  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const override;

 private:
  struct Shape {
    struct Channel {
      ReadValue read_value = nullptr;
      std::size_t bytes = 0;
      std::string field;
    };
    std::vector<Channel> channels;
    std::vector<std::size_t> row_bytes;  // of each column
  };

  void make_shapes();
  // The next place, behind those there are.
  void add_place(std::uint64_t bytes, std::optional<std::uint32_t> crc,
                 const std::vector<std::uint64_t>& rows, std::string damage = {});
  void find_lines();
  void add_texts(std::vector<JournalText>& texts, const std::vector<std::uint64_t>& rows);
  [[nodiscard]] std::string text_of(const JournalText& text, std::string& damage) const;
  [[nodiscard]] std::vector<std::uint64_t> count_rows(std::string_view text, bool has_header) const;
  void skip_header(Text& text) const { text.expect(header_, "the header"); }

  [[nodiscard]] std::uint64_t first_row(std::size_t place, std::size_t stream) const {
    return first_rows_[place * streams.size() + stream];
  }
  [[nodiscard]] std::size_t place_of(std::size_t stream, std::uint64_t row) const;
  [[nodiscard]] std::string where(std::size_t place) const;
  [[nodiscard]] std::shared_ptr<const Samples> samples(std::size_t place, std::uint64_t row,
                                                       std::uint64_t count) const;
  [[nodiscard]] std::shared_ptr<const Samples> kept(std::size_t place) const;
  void keep(const std::shared_ptr<const Samples>& made) const;
  void parse_wide(Text& text, Samples& to) const;
  void parse_long(Text& text, Samples& to) const;
  void put_time(Text& text, std::int64_t time, std::size_t stream, std::uint64_t row,
                Samples& to) const;
  void read_values(Text& text, std::size_t stream, std::size_t channel, std::uint64_t row,
                   Samples& to) const;

  FileCalls& calls_;
  std::optional<File> file_;
  Form form_ = Form::wide;
  std::string header_;
  std::vector<Shape> shapes_;
  std::vector<Place> places_;
  std::vector<std::uint64_t> first_rows_{};  // of each place and one more, each stream
  std::uint64_t end_ = 0;                    // bytes of all places
  std::uint64_t size_ = 0;                   // of the file
  std::string whole_;                        // checksum

  // Those read last, the newest in front: a recording is read column by column.
  static constexpr std::size_t most_kept_bytes = 32 << 20;
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Samples>> kept_;  // guarded by it
};

void CsvRecording::make_shapes() {
  std::vector<StreamInfo> infos;
  for (const RecordedStream& stream : streams) infos.push_back(stream.info);
  header_ = csv::header(form_, infos);
  header_.resize(header_.size() - csv::line_end.size());
  for (std::size_t s = 0; s < infos.size(); ++s) {
    Shape& shape = shapes_.emplace_back();
    for (std::size_t c = 0; c < infos[s].channels.size(); ++c) {
      const SampleType type = infos[s].channels[c].type;
      shape.channels.push_back(
          {read_value_of(type), sample_size(type), csv::channel_field(infos, s, c)});
    }
    for (const ColumnInfo& column : columns_of(infos[s]))
      shape.row_bytes.push_back(column.row_bytes);
  }
  first_rows_.assign(streams.size(), 0);
}

void CsvRecording::add_place(std::uint64_t bytes, std::optional<std::uint32_t> crc,
                             const std::vector<std::uint64_t>& rows, std::string damage) {
  Place place{end_, bytes, crc, 1, std::move(damage)};
  const std::size_t before = first_rows_.size() - streams.size();
  // The header, and the lines of all samples before.
  if (!places_.empty()) place.line = 2;
  for (std::size_t s = 0; s < streams.size(); ++s) {
    place.line += first_rows_[before + s] * csv::lines_of_sample(form_, streams[s].info);
    first_rows_.push_back(first_rows_[before + s] + rows[s]);
  }
  if (bytes > INT64_MAX - end_) throw Error(fmt::format("{}: text of {} bytes", path, bytes));
  end_ += bytes;
  places_.push_back(std::move(place));
}

void CsvRecording::load(const std::string& from, csv::Metadata metadata) {
  path = from;
  form_ = metadata.form;
  title = std::move(metadata.title);
  start_time = std::move(metadata.start_time);
  end_time = std::move(metadata.end_time);
  status = to_string(metadata.ending);
  configuration = std::move(metadata.configuration);
  provenance = std::move(metadata.provenance);
  state = std::move(metadata.state);
  events = std::move(metadata.events);
  log = std::move(metadata.log);
  streams = std::move(metadata.streams);
  make_shapes();
  file_.emplace(calls_, path, File::Mode::read);
  size_ = file_->size();
  if (!metadata.checksums) {
    find_lines();
    return;
  }
  guard = Recording::Guard::seal;
  whole_ = metadata.checksums->xxh3_128;
  for (const csv::Block& block : metadata.checksums->blocks)
    add_place(block.bytes, block.crc32c, block.rows);
}

std::string CsvRecording::behind() const {
  return size_ > end_ ? bytes_text(end_, size_ - end_) : "";
}

// Without a table of blocks the file is read through once.
void CsvRecording::find_lines() {
  std::string text;
  for (std::size_t room = csv::block_bytes; end_ < size_;) {
    text.resize(std::min<std::uint64_t>(room, size_ - end_));
    file_->read_at(end_, std::as_writable_bytes(std::span(text)));
    const std::size_t last = text.rfind('\n');
    if (last == std::string::npos) {
      if (text.size() < room)
        throw Error(
            fmt::format("{}: {}: the last line has no end", path, bytes_text(end_, text.size())));
      room *= 2;
      continue;
    }
    text.resize(last + 1);
    const auto lines = static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
    add_place(text.size(), std::nullopt, {lines - (places_.empty() ? 1 : 0)});
  }
  const std::uint64_t rows = places_.empty() ? 0 : first_row(places_.size(), 0);
  if (places_.empty() || rows != streams[0].rows)
    throw Error(
        fmt::format("{}: has {} rows, and {} by its metadata", path, rows, streams[0].rows));
}

std::size_t CsvRecording::place_of(std::size_t stream, std::uint64_t row) const {
  std::size_t begin = 0;
  for (std::size_t end = places_.size(); begin < end;) {
    const std::size_t middle = begin + (end - begin) / 2;
    if (first_row(middle + 1, stream) > row)
      end = middle;
    else
      begin = middle + 1;
  }
  return begin;
}

// "bytes 0 to 1048600, lines 1 to 2040, rows 0 to 2038 of stream 'pump'"
std::string CsvRecording::where(std::size_t index) const {
  const Place& place = places_[index];
  std::vector<std::uint64_t> first;
  std::vector<std::uint64_t> count;
  std::uint64_t lines = place.line == 1 ? 1 : 0;
  for (std::size_t s = 0; s < streams.size(); ++s) {
    first.push_back(first_row(index, s));
    count.push_back(first_row(index + 1, s) - first.back());
    lines += count.back() * csv::lines_of_sample(form_, streams[s].info);
  }
  return fmt::format("{}, lines {} to {}{}", bytes_text(place.offset, place.bytes), place.line,
                     place.line + lines - 1, rows_text(streams, first, count));
}

void CsvRecording::read(std::size_t stream, std::size_t column, std::uint64_t row,
                        std::uint64_t count, std::span<std::byte> to) const {
  const std::size_t row_bytes = shapes_[stream].row_bytes[column];
  while (count > 0) {
    const std::size_t place = place_of(stream, row);
    if (place == places_.size())
      throw DamagedRows(fmt::format("{}: rows {} to {} of stream '{}' are not in the file", path,
                                    row, row + count - 1, streams[stream].info.name),
                        row, count);
    const std::uint64_t first = first_row(place, stream);
    const std::uint64_t n = std::min(count, first_row(place + 1, stream) - row);
    const std::shared_ptr<const Samples> from = samples(place, row, n);
    std::memcpy(to.data(), from->columns[stream][column].data() + (row - first) * row_bytes,
                n * row_bytes);
    row += n;
    count -= n;
    to = to.subspan(n * row_bytes);
  }
}

std::shared_ptr<const Samples> CsvRecording::kept(std::size_t index) const {
  const std::scoped_lock lock(mutex_);
  const auto found = std::ranges::find(kept_, index, [](const auto& s) { return s->place; });
  if (found == kept_.end()) return nullptr;
  std::rotate(kept_.begin(), found, found + 1);
  return kept_.front();
}

void CsvRecording::keep(const std::shared_ptr<const Samples>& made) const {
  const std::scoped_lock lock(mutex_);
  std::size_t bytes = made->bytes;
  const auto full = std::ranges::find_if(kept_, [&](const auto& s) {
    bytes += s->bytes;
    return bytes > most_kept_bytes;
  });
  kept_.erase(full, kept_.end());
  kept_.insert(kept_.begin(), made);
}

// `row`, `count`: what is wanted of them, for errors.
std::shared_ptr<const Samples> CsvRecording::samples(std::size_t index, std::uint64_t row,
                                                     std::uint64_t count) const {
  if (auto found = kept(index)) return found;
  const Place& place = places_[index];
  const auto damaged = [&](const std::string& why) {
    throw DamagedRows(fmt::format("{}: {}: {}", path, where(index), why), row, count);
  };
  if (!place.damage.empty()) damaged(place.damage);
  if (place.offset + place.bytes > size_) damaged(fmt::format("the file ends at byte {}", size_));
  std::string text(place.bytes, '\0');
  file_->read_at(place.offset, std::as_writable_bytes(std::span(text)));
  if (place.crc32c && crc32c(std::as_bytes(std::span(text))) != *place.crc32c)
    damaged(wrong_checksum);

  auto made = std::make_shared<Samples>();
  made->place = index;
  for (std::size_t s = 0; s < streams.size(); ++s) {
    const std::uint64_t rows = first_row(index + 1, s) - first_row(index, s);
    // A sample has two bytes a value at least.
    if (rows > text.size())
      throw Error(fmt::format("{}: {}: so many rows do not fit", path, where(index)));
    auto& columns = made->columns.emplace_back();
    for (const std::size_t bytes : shapes_[s].row_bytes) {
      columns.emplace_back(rows * bytes);
      made->bytes += rows * bytes;
    }
  }
  Text lines(path, text, place.line);
  if (place.line == 1) {
    skip_header(lines);
    lines.line_end();
  }
  if (form_ == Form::wide)
    parse_wide(lines, *made);
  else
    parse_long(lines, *made);

  keep(made);
  return made;
}

// The time of a row, checked where it follows from the books.
void CsvRecording::put_time(Text& text, std::int64_t time, std::size_t stream, std::uint64_t row,
                            Samples& to) const {
  const RecordedStream& of = streams[stream];
  const std::uint64_t index = row - first_row(to.place, stream);
  if (!of.info.rate) {
    std::memcpy(to.columns[stream].back().data() + index * sizeof time, &time, sizeof time);
    return;
  }
  const Segment& segment = of.segment(row);
  const std::uint64_t number = segment.first_sample + (row - segment.row);
  const std::int64_t wanted =
      saturating_add(Time(segment.clock_ns), of.info.rate->duration(number - segment.clock_sample))
          .count();
  if (time != wanted) text.fail(fmt::format("the time is {}, and {} by the books", time, wanted));
}

void CsvRecording::read_values(Text& text, std::size_t stream, std::size_t channel,
                               std::uint64_t row, Samples& to) const {
  const std::uint64_t index = row - first_row(to.place, stream);
  const Shape::Channel& of = shapes_[stream].channels[channel];
  auto& columns = to.columns[stream];
  of.read_value(text, columns[2 * channel].data() + index * of.bytes);
  text.expect(",", "a comma");
  columns[2 * channel + 1][index] = std::byte{text.number<std::uint8_t>("quality")};
}

void CsvRecording::parse_wide(Text& text, Samples& to) const {
  const std::uint64_t end = first_row(to.place + 1, 0);
  for (std::uint64_t row = first_row(to.place, 0); row < end; ++row) {
    const std::uint64_t wanted = streams[0].number(row).value;
    const auto number = text.number<std::uint64_t>("sample number");
    if (number != wanted)
      text.fail(fmt::format("sample {}, where {} is next by the books", number, wanted));
    text.expect(",", "a comma");
    put_time(text, text.number<std::int64_t>("time"), 0, row, to);
    for (std::size_t c = 0; c < shapes_[0].channels.size(); ++c) {
      text.expect(",", "a comma");
      read_values(text, 0, c, row, to);
    }
    text.line_end();
  }
  if (!text.at_end()) text.fail("there is more than the rows that the books tell of");
}

void CsvRecording::parse_long(Text& text, Samples& to) const {
  std::vector<std::uint64_t> rows;
  for (std::size_t s = 0; s < streams.size(); ++s) rows.push_back(first_row(to.place, s));
  std::size_t stream = 0;
  while (!text.at_end()) {
    const std::string_view time = text.field();
    const auto time_ns = text.number<std::int64_t>("time");
    // Samples of one stream stand together, mostly.
    std::size_t tried = 0;
    for (; tried < streams.size(); ++tried, stream = (stream + 1) % streams.size())
      if (text.starts_with(shapes_[stream].channels[0].field)) break;
    if (tried == streams.size()) text.fail("no stream has a first channel of this name");
    const std::uint64_t row = rows[stream]++;
    if (row >= first_row(to.place + 1, stream))
      text.fail(fmt::format("there are more samples of stream '{}' than the books tell of",
                            streams[stream].info.name));
    put_time(text, time_ns, stream, row, to);
    for (std::size_t c = 0; c < shapes_[stream].channels.size(); ++c) {
      if (c > 0) text.expect(time, "the time");
      text.expect(shapes_[stream].channels[c].field, "the channel");
      read_values(text, stream, c, row, to);
      text.line_end();
    }
  }
  for (std::size_t s = 0; s < streams.size(); ++s)
    if (rows[s] != first_row(to.place + 1, s))
      text.fail(fmt::format("there are fewer samples of stream '{}' than the books tell of",
                            streams[s].info.name));
}

bool CsvRecording::check(
    const std::function<void(const std::string& where, const std::string& what)>& damaged) const {
  if (guard != Recording::Guard::seal) return false;
  Xxh3 hash;
  std::string text;
  bool found = false;
  const auto find = [&](const std::string& where, const std::string& what) {
    found = true;
    damaged(where, what);
  };
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if (place.offset + place.bytes > size_) {
      find(where(i), fmt::format("the file ends at byte {}", size_));
      continue;
    }
    text.resize(place.bytes);
    const auto bytes = std::as_writable_bytes(std::span(text));
    file_->read_at(place.offset, bytes);
    hash.add(bytes);
    if (crc32c(bytes) != *place.crc32c) find(where(i), wrong_checksum);
  }
  if (!behind().empty()) find(behind(), "are behind the end of what was recorded");
  if (!found && hash.digits() != whole_)
    damaged(bytes_text(0, end_), "the checksum of the whole file is wrong");
  return true;
}

// What a journal tells of one stream, while it is read.
void add(RecordedStream& to, std::optional<Segment>& open, const JournalBooks& books) {
  to.counts = books.counts;
  to.segments.insert(to.segments.end(), books.finished.begin(), books.finished.end());
  open = books.open;
  if (books.replaces_last_gap && !to.gaps.empty()) to.gaps.pop_back();
  to.gaps.insert(to.gaps.end(), books.gaps.begin(), books.gaps.end());
  to.calibrations.insert(to.calibrations.end(), books.calibrations.begin(),
                         books.calibrations.end());
  to.anchors.insert(to.anchors.end(), books.anchors.begin(), books.anchors.end());
}

void CsvRecording::load(const std::string& part, JournalReader& reader) {
  path = part;
  guard = Recording::Guard::journal;
  status = "recording";
  journal.emplace();
  const JournalBegin& begin = reader.begin();
  form_ = begin.format == "csv" ? Form::wide : Form::long_form;
  title = begin.info.title;
  start_time = begin.info.start_time;
  configuration = begin.info.configuration;
  provenance = begin.info.provenance;
  state = begin.info.state;
  for (const StreamInfo& info : begin.info.streams) streams.emplace_back().info = info;
  if (streams.empty() || (form_ == Form::wide && streams.size() > 1))
    throw Error(fmt::format("{}: the journal tells of {} streams", path, streams.size()));
  make_shapes();
  if (calls_.kind(path.c_str()) == PathKind::file) {
    file_.emplace(calls_, path, File::Mode::read);
    size_ = file_->size();
  }

  std::vector<JournalText> texts;  // since the books were told of last
  std::vector<std::optional<Segment>> open(streams.size());
  bool books_due = false;
  const auto add_due = [&] {
    std::vector<std::uint64_t> rows;
    for (const RecordedStream& stream : streams) rows.push_back(stream.counts.recorded);
    if (books_due) add_texts(texts, rows);
    books_due = false;
  };
  while (auto record = reader.next()) {
    if (auto* text = std::get_if<JournalText>(&*record)) {
      // The books that follow a text tell what is in it.
      add_due();
      texts.push_back(*text);
    } else if (auto* books = std::get_if<JournalBooks>(&*record)) {
      if (books->stream >= streams.size())
        throw Error(fmt::format("{}: the journal tells of stream {}, where there are {}", path,
                                books->stream, streams.size()));
      add(streams[books->stream], open[books->stream], *books);
      books_due = true;
    } else if (auto* event = std::get_if<RecordedEvent>(&*record)) {
      events.push_back(std::move(*event));
    } else if (auto* line = std::get_if<JournalLog>(&*record)) {
      log.push_back(std::move(line->line));
    } else if (auto* end = std::get_if<JournalEnd>(&*record)) {
      journal->end = std::move(*end);
    } else {
      throw Error(fmt::format("{}: the journal has a record that a CSV recording has not", path));
    }
  }
  books_due = true;
  add_due();
  for (std::size_t s = 0; s < streams.size(); ++s) {
    RecordedStream& stream = streams[s];
    if (open[s]) stream.segments.push_back(*open[s]);
    stream.rows = first_row(places_.size(), s);
    fit_segments(stream, path);
    if (stream.rows != first_row(places_.size(), s))
      throw Error(fmt::format("{}: has {} rows of stream '{}', and {} by the journal", path,
                              first_row(places_.size(), s), stream.info.name, stream.rows));
  }
  if (!behind().empty())
    journal->unacknowledged =
        fmt::format("{}: {} were not acknowledged, and do not count", path, behind());
}

// The text; `damage` says why not.
std::string CsvRecording::text_of(const JournalText& from, std::string& damage) const {
  std::string text;
  if (!file_) {
    damage = "the file is gone";
  } else if (from.offset > size_ || from.length > size_ - from.offset) {
    damage = fmt::format("the file ends at byte {}", size_);
  } else {
    text.resize(from.length);
    file_->read_at(from.offset, std::as_writable_bytes(std::span(text)));
    if (crc32c(std::as_bytes(std::span(text))) != from.crc32c) damage = wrong_checksum;
  }
  return text;
}

// `texts` hold the samples up to `rows` of each stream. Leaves none of them.
void CsvRecording::add_texts(std::vector<JournalText>& texts,
                             const std::vector<std::uint64_t>& rows) {
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (texts[i].offset != (i == 0 ? end_ : texts[i - 1].offset + texts[i - 1].length))
      throw Error(
          fmt::format("{}: the journal tells of text at byte {}, which is not where the "
                      "one before ends",
                      path, texts[i].offset));
  if (form_ == Form::wide) {
    for (const JournalText& text : texts)
      add_place(text.length, text.crc32c, {text.lines - (places_.empty() ? 1 : 0)},
                file_ ? "" : "the file is gone");
    texts.clear();
    return;
  }
  // Which stream the lines of a damaged text belong to nobody knows, but what the others leave.
  // Between two damaged texts there is nothing to count from.
  std::vector<std::vector<std::uint64_t>> counted(texts.size());
  std::size_t first = texts.size();
  std::size_t last = 0;
  std::string why;
  std::vector<std::uint64_t> left = rows;
  for (std::size_t s = 0; s < streams.size(); ++s) left[s] -= first_row(places_.size(), s);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::string damage;
    const std::string text = text_of(texts[i], damage);
    if (damage.empty()) {
      counted[i] = count_rows(text, places_.empty() && i == 0);
    } else {
      first = std::min(first, i);
      last = i;
      if (why.empty()) why = damage;
    }
  }
  const auto take = [&](const std::vector<std::uint64_t>& counts) {
    for (std::size_t s = 0; s < streams.size(); ++s) {
      if (counts[s] > left[s])
        throw Error(fmt::format("{}: more samples of stream '{}' than the journal tells of", path,
                                streams[s].info.name));
      left[s] -= counts[s];
    }
  };
  for (std::size_t i = 0; i < texts.size(); ++i)
    if (i < first || i > last) take(counted[i]);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i < first || i > last) {
      add_place(texts[i].length, texts[i].crc32c, counted[i]);
    } else if (i == first) {
      std::uint64_t bytes = 0;
      for (std::size_t k = first; k <= last; ++k) bytes += texts[k].length;
      add_place(bytes, std::nullopt, left, why);
    }
  }
  texts.clear();
}

// Of each stream, in text whose checksum is right.
std::vector<std::uint64_t> CsvRecording::count_rows(std::string_view text, bool has_header) const {
  std::vector<std::uint64_t> rows(streams.size());
  const auto skip_line = [&] {
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  };
  if (has_header && !text.empty()) skip_line();
  std::size_t stream = 0;
  while (!text.empty()) {
    text.remove_prefix(std::min(text.find(','), text.size()));
    std::size_t tried = 0;
    for (; tried < streams.size(); ++tried, stream = (stream + 1) % streams.size())
      if (text.starts_with(shapes_[stream].channels[0].field)) break;
    if (tried == streams.size())
      throw Error(fmt::format("{}: has a sample of no stream that the journal tells of", path));
    ++rows[stream];
    for (std::size_t c = 0; c < shapes_[stream].channels.size() && !text.empty(); ++c) skip_line();
  }
  return rows;
}

// The text of the file beside a CSV.
std::string described(const std::string& path, FileCalls& calls) {
  const std::string beside = csv::metadata_path(path);
  if (calls.kind(beside.c_str()) != PathKind::file) {
    if (path.ends_with(part_ending))
      throw Error(
          fmt::format("{}: is a CSV recording that is not finished, and there is no journal that "
                      "would tell what of it counts",
                      path));
    throw Error(fmt::format(
        "{}: is not a recording: it is no HDF5 file, and there is no {} that would tell of a CSV",
        path, beside));
  }
  const File file(calls, beside, File::Mode::read);
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

csv::Metadata metadata_of(const std::string& path, const std::string& text) {
  csv::Metadata metadata = csv::metadata_from(csv::metadata_path(path), text);
  if (!metadata.checksums && metadata.version > 1)
    throw Error(
        fmt::format("{}: is of a recording that was not finished", csv::metadata_path(path)));
  return metadata;
}

}  // namespace

std::unique_ptr<RecordingBackend> open_csv(const std::string& path, FileCalls& calls) {
  // Nothing that was committed changes any more: so a recording may be read while it grows.
  if (path.ends_with(part_ending)) {
    const std::string journal =
        JournalWriter::name_for(path.substr(0, path.size() - part_ending.size()));
    if (calls.kind(journal.c_str()) == PathKind::file) return open_by_journal(journal, path, calls);
  }
  auto recording = std::make_unique<CsvRecording>(calls);
  recording->load(path, metadata_of(path, described(path, calls)));
  if (recording->guard == Recording::Guard::seal && !recording->behind().empty())
    throw Error(
        fmt::format("{}: {} are behind the end of what was recorded", path, recording->behind()));
  return recording;
}

std::unique_ptr<RecordingBackend> open_csv_by_journal(JournalReader& journal,
                                                      const std::string& part, FileCalls& calls) {
  auto recording = std::make_unique<CsvRecording>(calls);
  recording->load(part, journal);
  return recording;
}

bool check_csv(
    const std::string& path, FileCalls& calls,
    const std::function<void(const std::string& where, const std::string& what)>& damaged) {
  const std::string text = described(path, calls);
  csv::Metadata metadata;
  try {
    metadata = metadata_of(path, text);
  } catch (const Error& error) {
    // What others put beside their tables has no checksum of ours. Damage may have hit one of the
    // words by which ours is known.
    const bool sealed = text.find("\"metadata_xxh3_128\"") != std::string::npos ||
                        text.find("\"checksums\"") != std::string::npos;
    const bool ours = sealed || text.find("\"spillway\"") != std::string::npos;
    std::array<char, 64> front{};
    const std::string_view content(front.data(),
                                   File(calls, path, File::Mode::read)
                                       .read_up_to(0, std::as_writable_bytes(std::span(front))));
    if (!ours && !has_csv_header(content))
      throw Error(fmt::format("{}: is not a recording, and {} does not tell of one", path,
                              csv::metadata_path(path)));
    damaged(csv::metadata_path(path), error.what());
    return sealed;
  }
  CsvRecording recording(calls);
  recording.load(path, std::move(metadata));
  return recording.check(damaged);
}

}  // namespace spillway
