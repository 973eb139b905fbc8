#include "interrupted_replay.hpp"

#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::json;

// A file: this, the checksum of what follows, CBOR.
constexpr std::string_view magic = "spillway interrupted replay 2\n";

std::string part_of(const std::string& path) { return path + ".part"; }

bool is_file(const std::string& path) {
  return system_file_calls().kind(path.c_str()) == PathKind::file;
}

void remove(const std::string& path) {
  if (std::remove(path.c_str()) != 0 && errno != ENOENT)
    throw Error(fmt::format("{}: can't be removed: {}", path, std::strerror(errno)));
}

void rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0)
    throw Error(fmt::format("{}: can't be renamed to {}: {}", from, to, std::strerror(errno)));
}

// Of the journal beside a recording; empty: there is none that can be read.
std::string id_of_journal(const std::string& path) {
  const std::string journal = JournalWriter::name_for(path);
  if (!is_file(journal)) return {};
  try {
    const JournalReader reader(journal, system_file_calls());
    std::string id;
    for (const std::byte b : reader.id()) id += fmt::format("{:02x}", b);
    return id;
  } catch (const Error&) {
    return {};
  }
}

// As far as can be told: a recorder that has begun has a journal, or is none that asks for one.
bool is_of_a_replay(const std::string& path) {
  const std::string journal = JournalWriter::name_for(path);
  if (!is_file(journal)) return true;
  try {
    JournalReader reader(journal, system_file_calls());
    (void)reader.next();
    const Json made = Json::parse(reader.begin().info.provenance, nullptr, false);
    return made.is_object() && made.contains("replay");
  } catch (const Error&) {
    return true;
  }
}

// A part and its journal. The part goes last: without it there is nothing to take.
void remove_recording(const std::string& path) {
  remove(JournalWriter::name_for(path));
  remove(path + "-metadata.json.part");  // of CSV
  remove(part_of(path));
}

}  // namespace

InterruptedReplay::InterruptedReplay(std::string output)
    : output_(std::move(output)), before_(output_ + ".before"), resume_(output_ + ".resume") {}

bool InterruptedReplay::exists() const {
  const std::optional<Kept> kept = read();
  return kept && has_part(*kept);
}

std::optional<InterruptedReplay::Kept> InterruptedReplay::read() const {
  if (!is_file(resume_)) return {};
  std::ifstream file(resume_, std::ios::binary);
  if (!file) throw Error(fmt::format("{}: {}", resume_, std::strerror(errno)));
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  constexpr std::size_t front = magic.size() + sizeof(std::uint32_t);
  if (bytes.starts_with(magic) && bytes.size() > front) {
    std::uint32_t checksum = 0;
    std::memcpy(&checksum, &bytes[magic.size()], sizeof checksum);
    // Only what was written here is given to the parser.
    if (crc32c(std::as_bytes(std::span(bytes).subspan(front))) == checksum) {
      const Json json = Json::from_cbor(bytes.begin() + front, bytes.end());
      const auto& checkpoint = json.at("checkpoint").get_binary();
      return Kept{json.at("part_id").get<std::string>(),
                  json.at("input").get<std::string>(),
                  json.at("moved").get<bool>(),
                  json.at("goes_on").get<bool>(),
                  {checkpoint.begin(), checkpoint.end()}};
    }
  }
  throw Error(
      fmt::format("{}: is not what an interrupted replay leaves, or is damaged: nothing can "
                  "go on from it; move it away",
                  resume_));
}

void InterruptedReplay::write(const Kept& kept) const {
  const std::vector<std::uint8_t> bytes = Json::to_cbor(
      {{"part_id", kept.part_id},
       {"input", kept.input},
       {"moved", kept.moved},
       {"goes_on", kept.goes_on},
       {"checkpoint", Json::binary({kept.checkpoint.begin(), kept.checkpoint.end()})}});
  const std::uint32_t checksum = crc32c(std::as_bytes(std::span(bytes)));
  const std::string next = resume_ + ".part";
  {
    std::ofstream file(next, std::ios::binary | std::ios::trunc);
    file << magic;
    file.write(reinterpret_cast<const char*>(&checksum), sizeof checksum);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) throw Error(fmt::format("{}: can't be written: {}", next, std::strerror(errno)));
  }
  rename(next, resume_);
}

// Where it says, or on its way there.
bool InterruptedReplay::has_part(const Kept& kept) const {
  if (id_of_journal(before_) == kept.part_id)
    return is_file(part_of(before_)) || (!kept.moved && is_file(part_of(output_)));
  return !kept.moved && id_of_journal(output_) == kept.part_id && is_file(part_of(output_));
}

// Somebody was interrupted there: the journal goes first.
bool InterruptedReplay::is_being_moved(const Kept& kept) const {
  return !kept.moved && id_of_journal(before_) == kept.part_id;
}

// What stands under the name of the output: that part itself, or that of one that went on and did
// not come to a checkpoint; of nobody else.
void InterruptedReplay::remove_output_part(const Kept& kept) const {
  const std::string part = part_of(output_);
  if (!is_file(part) && !is_file(JournalWriter::name_for(output_))) return;
  const bool ours =
      kept.moved ? kept.goes_on && is_of_a_replay(output_) : id_of_journal(output_) == kept.part_id;
  if (!ours)
    throw Error(
        fmt::format("{}: an unfinished recording that is not of this replay stands here; "
                    "look at it with 'spillway info', save it with 'spillway recover' and "
                    "move it away",
                    part));
  remove_recording(output_);
}

// Against another one that takes the same at the same time.
void InterruptedReplay::lock() {
  for (const std::string& path : {part_of(before_), part_of(output_)}) {
    std::FILE* const file = std::fopen(path.c_str(), "re");
    if (!file) continue;
    // Not null, which would mean that nothing is locked.
    const std::shared_ptr<std::FILE> opened(file, std::fclose);
    if (::flock(::fileno(file), LOCK_EX | LOCK_NB) != 0)
      throw Error(fmt::format("{}: another replay is just going on with it", output_));
    lock_ = opened;
    break;
  }
  // Whoever had it may have come to a checkpoint just now.
  refuse_if_in_use();
}

void InterruptedReplay::refuse_if_in_use() const {
  const std::string journal = JournalWriter::name_for(output_);
  if (!is_file(journal)) return;
  bool in_use = false;
  try {
    in_use = JournalReader(journal, system_file_calls()).in_use();
  } catch (const Error&) {
    // It can't be read, so nobody writes it.
  }
  if (in_use) throw Error(fmt::format("{}: another replay is just writing it", part_of(output_)));
}

InterruptedReplay::State InterruptedReplay::take(const std::string& input) {
  if (!is_file(resume_))
    throw Error(
        fmt::format("{}: there is no interrupted replay to go on with: no {}", output_, resume_));
  refuse_if_in_use();
  lock();
  std::optional<Kept> kept = read();
  if (!kept || !has_part(*kept)) {
    const bool whole = is_file(output_) && !is_file(part_of(output_));
    // Killed between giving the output its name and removing what it needed before.
    if (whole) forget();
    throw Error(fmt::format("{}: there is no interrupted replay to go on with: {}", output_,
                            whole ? "it is whole" : "what it had written is not there"));
  }
  if (kept->input != input)
    throw Error(
        fmt::format("{}: is of another recording, or of one that is read otherwise, or with "
                    "other calibrations",
                    resume_));
  taken_ = kept;
  if (is_being_moved(*kept)) return {make_way(), std::move(kept->checkpoint)};
  return {part_of(kept->moved ? before_ : output_), std::move(kept->checkpoint)};
}

std::string InterruptedReplay::make_way() {
  Kept& kept = taken_.value();
  // Of CSV the metadata get their name first: without the table they are of no use to anybody.
  if (!is_file(output_)) remove(output_ + "-metadata.json");
  if (!kept.moved) {
    const std::string journal = JournalWriter::name_for(output_);
    if (!is_being_moved(kept)) {
      remove_recording(before_);
      rename(journal, JournalWriter::name_for(before_));
    }
    if (!is_file(part_of(before_)))
      rename(part_of(output_), part_of(before_));
    else
      remove_output_part(kept);
    remove(output_ + "-metadata.json.part");
    kept.moved = true;
  } else {
    remove_output_part(kept);
  }
  kept.goes_on = true;
  write(kept);
  made_way_ = true;
  return part_of(before_);
}

void InterruptedReplay::give_back() {
  if (!taken_) return;
  if (made_way_) {
    taken_->goes_on = false;
    write(*taken_);
  }
  taken_.reset();
  lock_.reset();
}

void InterruptedReplay::keep(const std::string& input, const std::string& checkpoint) {
  write({id_of_journal(output_), input, false, false, checkpoint});
  remove_recording(before_);
  taken_.reset();
  lock_.reset();
}

void InterruptedReplay::forget() {
  if (!is_file(resume_)) return;
  refuse_if_in_use();
  if (!lock_) lock();
  if (const std::optional<Kept> kept = read()) {
    remove_output_part(*kept);
    if (id_of_journal(before_) == kept->part_id) remove_recording(before_);
  }
  remove(resume_ + ".part");
  remove(resume_);
  lock_.reset();
}

}  // namespace spillway::apps
