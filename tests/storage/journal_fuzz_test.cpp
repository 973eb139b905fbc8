// Journals that are broken in every way a random number can think of.
#include <cstdlib>

#include "journal_format.hpp"
#include "journal_support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::MemoryDisk;
using test::RandomJournal;

std::size_t rounds() { return std::getenv("SPILLWAY_TEST_FULL") ? 200'000 : 5'000; }

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void put(std::string& bytes, std::size_t at, std::span<const std::byte> what) {
  std::memcpy(bytes.data() + at, what.data(), what.size());
}

journal::Id id_of(const std::string& bytes) {
  return journal::decode_file_header(bytes_of(bytes).first(journal::file_header_bytes)).id;
}

// The frames of a journal that is whole.
std::vector<journal::Frame> frames_of(const std::string& bytes) {
  MemoryDisk disk;
  disk.put("a", bytes);
  const File file(disk, "a", File::Mode::read);
  journal::FrameReader reader(file, bytes.size());
  reader.read_file_header();
  std::vector<journal::Frame> frames;
  std::string why;
  for (std::uint64_t at = journal::file_header_bytes; at < bytes.size(); at = frames.back().end())
    frames.push_back(reader.frame_at(at, why).value());
  return frames;
}

// Makes the checksums of a frame right again, whatever it says.
void sign(std::string& bytes, journal::Frame frame, const journal::Id& id) {
  frame.payload_crc =
      journal::payload_crc(bytes_of(bytes).subspan(frame.payload_at(), frame.padded_bytes()), id);
  put(bytes, frame.at, journal::encode(frame, id));
}

// A journal in which frame `index` has another payload.
std::string with_payload(const std::string& bytes, std::size_t index, std::string payload) {
  journal::Frame frame = frames_of(bytes).at(index);
  const std::string behind = bytes.substr(frame.end());
  frame.payload_bytes = payload.size();
  payload.resize(frame.padded_bytes());
  std::string result = bytes.substr(0, frame.payload_at()) + payload;
  sign(result, frame, id_of(bytes));
  return result + behind;
}

std::string payload_of(const std::string& bytes, const journal::Frame& frame) {
  return bytes.substr(frame.payload_at(), frame.payload_bytes);
}

struct Outcome {
  std::string error;
  std::size_t records = 0;
  std::uint64_t commits = 0;
  std::vector<std::string> lines;
};

Outcome read(const std::string& bytes) {
  MemoryDisk disk;
  disk.put("a.journal", bytes);
  Outcome outcome;
  try {
    JournalReader reader("a.journal", disk);
    outcome.commits = reader.commits();
    while (const auto record = reader.next()) {
      ++outcome.records;
      outcome.lines.push_back(test::line_of(*record));
    }
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

void mutate(std::string& bytes, const std::string& other, std::mt19937_64& random) {
  if (bytes.empty()) return;
  const std::size_t at = random() % bytes.size();
  const std::size_t from = random() % bytes.size();
  const std::size_t count = std::min<std::size_t>(random() % (std::size_t{1} << (random() % 11)),
                                                  bytes.size() - std::max(at, from));
  switch (random() % 8) {
    case 0: bytes[at] = static_cast<char>(random()); break;
    case 1: bytes[at] ^= static_cast<char>(1 << random() % 8); break;
    case 2: bytes.resize(at); break;
    case 3: bytes.erase(at, count); break;
    case 4: bytes.insert(at, bytes.substr(from, count)); break;
    case 5: bytes.replace(at, count, bytes.substr(from, count)); break;
    case 6: std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), count, '\0'); break;
    default:
      if (at < other.size()) bytes.replace(at, count, other.substr(at, count));
  }
}

}  // namespace

TEST_CASE("Journal, fuzzed: whatever happens to the bytes, only what was committed is read") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::vector<RandomJournal> corpus;
  for (std::size_t i = 0; i < 8; ++i) corpus.emplace_back(seed + i, 1 + i, 8);
  std::size_t whole = 0;
  std::size_t partial = 0;
  std::size_t errors = 0;
  for (std::size_t round = 0; round < rounds(); ++round) {
    const RandomJournal& journal = corpus[random() % corpus.size()];
    std::string bytes = journal.bytes;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n)
      mutate(bytes, corpus[random() % corpus.size()].bytes, random);
    // Bytes in front may have become those of another journal as a whole.
    const RandomJournal* expected = &journal;
    for (const RandomJournal& candidate : corpus)
      if (bytes.compare(0, 32, candidate.bytes, 0, 32) == 0) expected = &candidate;
    const Outcome outcome = read(bytes);
    CAPTURE(round, outcome.error);
    if (!outcome.error.empty()) {
      ++errors;
      continue;
    }
    if (outcome.commits >= expected->lines.size() ||
        outcome.lines != expected->lines[outcome.commits])
      FAIL("other records than were committed");
    ++(outcome.commits + 1 == expected->lines.size() ? whole : partial);
  }
  // All of it happened.
  CHECK(whole > 0);
  CHECK(partial > 0);
  CHECK(errors > 0);
}

TEST_CASE("Journal, fuzzed: frames with right checksums and wrong contents are records or errors") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::vector<RandomJournal> corpus;
  for (std::size_t i = 0; i < 8; ++i) corpus.emplace_back(seed + i, 4, 8);
  std::size_t errors = 0;
  for (std::size_t round = 0; round < rounds(); ++round) {
    std::string bytes = corpus[random() % corpus.size()].bytes;
    for (std::uint64_t n = 1 + random() % 2; n > 0; --n) {
      const auto frames = frames_of(bytes);
      const std::size_t index = random() % frames.size();
      journal::Frame frame = frames[index];
      std::string payload = payload_of(bytes, frame);
      const std::string other = payload_of(bytes, frames[random() % frames.size()]);
      switch (random() % 4) {
        case 0: {  // numbers at the limits
          const std::uint64_t numbers[]{0, 1, 0xFF, UINT32_MAX, std::uint64_t{1} << 62, UINT64_MAX};
          const std::uint64_t number = numbers[random() % std::size(numbers)];
          const std::size_t width = random() % 2 ? 4 : 8;
          if (payload.size() >= width)
            std::memcpy(payload.data() + random() % (payload.size() - width + 1), &number, width);
          break;
        }
        case 1: {  // another type
          frame.type = static_cast<journal::FrameType>(random() % 12);
          sign(bytes, frame, id_of(bytes));
          break;
        }
        default: mutate(payload, other, random);
      }
      bytes = with_payload(bytes, index, payload);
    }
    const Outcome outcome = read(bytes);
    if (outcome.error.empty()) continue;
    ++errors;
    if (outcome.error.find("a.journal: ") != 0 || outcome.error.find("byte ") == std::string::npos)
      FAIL("no path or position in: " << outcome.error);
    if (outcome.error.find('\n') != std::string::npos) FAIL("several lines: " << outcome.error);
  }
  CHECK(errors > rounds() / 10);
}

TEST_CASE("Journal, fuzzed: whole frames that are swapped, repeated or missing are noticed") {
  const std::uint64_t seed = test::journal_seed();
  CAPTURE(seed);
  const RandomJournal journal(seed, 6, 5);
  const auto frames = frames_of(journal.bytes);
  const auto bytes_of_frame = [&](std::size_t i) {
    return journal.bytes.substr(frames[i].at, frames[i].bytes());
  };
  const auto check = [&](const std::vector<std::size_t>& order) {
    std::string bytes = journal.bytes.substr(0, journal::file_header_bytes);
    for (const std::size_t i : order) bytes += bytes_of_frame(i);
    const Outcome outcome = read(bytes);
    if (!outcome.error.empty()) return;
    if (outcome.commits >= journal.lines.size() || outcome.lines != journal.lines[outcome.commits])
      FAIL("other records than were committed");
  };
  std::vector<std::size_t> all(frames.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    std::vector<std::size_t> order = all;
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(i));
    check(order);
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(i), 2, i);
    check(order);
    for (std::size_t j = 0; j < i; ++j) {
      order = all;
      std::swap(order[i], order[j]);
      check(order);
    }
  }
  // A commit of another number, with right checksums, is not the next one.
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].type != journal::FrameType::commit || i < 2) continue;
    const std::uint64_t number = 1000;
    const std::string payload(reinterpret_cast<const char*>(&number), sizeof(number));
    const Outcome outcome = read(with_payload(journal.bytes, i, payload));
    CHECK(outcome.commits < 1000);
    CHECK(outcome.lines == journal.lines.at(outcome.commits));
  }
}

TEST_CASE("Journal, fuzzed: a length that lies takes no memory") {
  const RandomJournal journal(7, 3, 8);
  const auto frames = frames_of(journal.bytes);
  const journal::Id id = id_of(journal.bytes);
  for (const journal::Frame& whole : frames) {
    for (const std::uint64_t length : {UINT64_MAX, UINT64_MAX - 6, UINT64_MAX / 2,
                                       std::uint64_t{1} << 40, journal.bytes.size()}) {
      std::string bytes = journal.bytes;
      journal::Frame frame = whole;
      frame.payload_bytes = length;
      put(bytes, frame.at, journal::encode(frame, id));
      const Outcome outcome = read(bytes);
      if (outcome.error.empty()) {
        CHECK(outcome.lines == journal.lines.at(outcome.commits));
      } else {
        CHECK(outcome.error.find("ends in the payload") != std::string::npos);
      }
    }
  }
}

TEST_CASE("Journal, fuzzed: nested JSON and rows without number are errors") {
  MemoryDisk disk;
  JournalBegin begin;
  begin.info = test::recording_of({test::make_info({SampleType::float64})});
  {
    JournalWriter writer("a", begin, disk);
    writer.add(JournalBooks{.calibrations = {{0, {Calibration()}}}});
    writer.commit();
    const std::vector<std::byte> eight(8);
    const std::vector<std::byte> one(1);
    const std::span<const std::byte> columns[]{eight, one};
    writer.add_rows(0, 0, 1, columns);
    writer.commit();
  }
  const std::string bytes = disk.names.at("a")->bytes;
  const auto frames = frames_of(bytes);
  REQUIRE(frames.size() == 6);
  CHECK(read(bytes).error.empty());

  std::string books = payload_of(bytes, frames[2]);
  const std::size_t at = books.find('[') - 8;
  for (const std::string& open : {std::string("["), std::string("{\"steps\":")}) {
    std::string json;
    for (int i = 0; i < 300'000; ++i) json += open;
    const std::uint64_t length = json.size();
    books.resize(at);
    books.append(reinterpret_cast<const char*>(&length), sizeof(length));
    CHECK(read(with_payload(bytes, 2, books + json)).error.find("deeply") != std::string::npos);
  }

  // All rows the same: nine bytes that tell of four thousand million rows.
  std::string rows = payload_of(bytes, frames[4]);
  const std::uint32_t most = UINT32_MAX;
  std::memcpy(rows.data() + 4, &most, sizeof(most));
  CHECK(read(with_payload(bytes, 4, rows)).error.find("in one frame") != std::string::npos);
}

TEST_CASE("Journal, fuzzed: a later minor version is read as far as known, another major refused") {
  const RandomJournal journal(8, 3, 8);
  const journal::Id id = id_of(journal.bytes);
  const auto frames = frames_of(journal.bytes);
  // What such a version may do: longer payloads, other records.
  std::string later = journal.bytes.substr(0, journal::file_header_bytes);
  std::uint64_t sequence = 0;
  const auto append = [&](journal::FrameType type, std::string payload) {
    journal::Frame frame{
        .type = type, .sequence = sequence++, .at = later.size(), .payload_bytes = payload.size()};
    payload.resize(frame.padded_bytes());
    later += std::string(journal::frame_header_bytes, '\0') + payload;
    sign(later, frame, id);
  };
  for (const journal::Frame& frame : frames) {
    const bool longer =
        frame.type != journal::FrameType::chunks && frame.type != journal::FrameType::commit;
    append(frame.type, payload_of(journal.bytes, frame) + (longer ? "more" : ""));
    append(static_cast<journal::FrameType>(77), "what is this");
  }
  append(journal::FrameType::commit, [&] {
    const std::uint64_t number = journal.lines.size();
    return std::string(reinterpret_cast<const char*>(&number), sizeof(number));
  }());
  CHECK(read(later).error.find("byte ") != std::string::npos);
  put(later, 0, journal::encode(journal::FileHeader{.minor = 1, .id = id}));
  const Outcome outcome = read(later);
  CHECK(outcome.error == "");
  CHECK(outcome.lines == journal.lines.back());
  put(later, 0, journal::encode(journal::FileHeader{.major = 2, .id = id}));
  CHECK(read(later).error.find("version 2.0") != std::string::npos);
}

}  // namespace spillway
