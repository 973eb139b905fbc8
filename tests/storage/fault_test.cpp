// System calls that fail under a recorder: it goes on, or tells, and what it had acknowledged is
// there.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "faulty_files.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "trial.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Format = SinkChoice::Format;

struct Faults {
  std::uint64_t struck = 0;
  std::uint64_t told = 0;      // by append, flush or begin
  std::uint64_t by_close = 0;  // only there
  std::uint64_t borne = 0;     // it went on
  std::uint64_t disk_full = 0;
  std::uint64_t sealed_early = 0;  // told, and sealed all the same
  Tally tally;
};

std::string to_string(const Faults& f) {
  return fmt::format(
      "{} struck: {} told (disk full {}; sealed then {}), {} told by close, {} borne; {}", f.struck,
      f.told, f.disk_full, f.sealed_early, f.by_close, f.borne, to_string(f.tally));
}

// How often a call is made in a recording.
std::uint64_t calls_made(std::uint64_t seed, const SinkChoice& choice, FileCall call) {
  SimulatedDisk disk;
  FaultyFiles files(disk);
  Trial trial(seed, choice, RandomRecording::short_one);
  trial.record_on(files, disk);
  return files.made(call);
}

// One fault; the power is cut behind it all, so that nothing hides in the memory of the kernel.
// `harmless`: the recorder must not mind.
std::string strike(std::uint64_t seed, const SinkChoice& choice, const FaultRule& rule,
                   bool harmless, Faults& faults) {
  SimulatedDisk disk;
  FaultyFiles files(disk);
  FaultRule active = rule;
  if (rule.call == FileCall::fdatasync && rule.error != 0)
    active.then = [&](const std::string& path) { disk.give_up_unsynced(path); };
  files.add(active);
  Trial trial(seed, choice, RandomRecording::short_one);
  const Trial::Ended ended = trial.record_on(files, disk);
  const auto say = [&](const std::string& what) {
    return fmt::format("seed {} ({}), {} number {}{}{} fails with {}: {}", seed, to_string(choice),
                       to_string(rule.call), rule.first, rule.count == 1 ? "" : " and on",
                       rule.half ? ", half done," : "", rule.error, what);
  };
  if (files.struck() == 0) return {};
  ++faults.struck;
  faults.told += !ended.thrown.empty();
  faults.disk_full += ended.disk_full;
  faults.by_close += ended.thrown.empty() && !ended.thrown_by_close.empty();
  faults.borne += ended.thrown.empty() && ended.thrown_by_close.empty();
  faults.sealed_early += !ended.thrown.empty() && ended.thrown_by_close.empty();
  if (files.syncs_tried_again() > 0) return say("a sync was tried again");
  if (harmless && !(ended.thrown.empty() && ended.thrown_by_close.empty()))
    return say("minded: " + ended.thrown + ended.thrown_by_close);
  if (rule.error == ENOSPC && ended.begun && !ended.thrown.empty() && !ended.disk_full)
    return say("not told as a full disk: " + ended.thrown);
  std::string wrong = trial.judge_ended(disk.state(), ended, faults.tally);
  if (!wrong.empty()) return say("as the kernel has it: " + wrong);
  const std::uint64_t tear = seed + rule.first;
  wrong = trial.judge_ended(disk.state().after_power_cut(tear, tear % 2 == 0, faults.tally.disk),
                            ended, faults.tally);
  if (!wrong.empty()) return say(fmt::format("after a power cut {}: {}", tear, wrong));
  return {};
}

struct Kind {
  FileCall call;
  int error = EIO;
  bool half = false;
  bool lasting = false;
  bool harmless = false;
};

// Of each kind, about `count` faults at places all over the recording.
std::string strike_everywhere(const std::vector<Kind>& kinds, std::uint64_t count,
                              const SinkChoice& choice, std::uint64_t seed, Faults& faults) {
  std::mt19937_64 random(seed);
  for (const Kind& kind : kinds) {
    const std::uint64_t calls = calls_made(seed, choice, kind.call);
    const std::uint64_t step = std::max<std::uint64_t>(1, calls / count);
    for (std::uint64_t at = random() % step; at < calls; at += step) {
      FaultRule rule;
      rule.call = kind.call;
      rule.first = at;
      if (!kind.lasting) rule.count = 1;
      rule.error = kind.error;
      rule.half = kind.half;
      if (std::string wrong = strike(seed, choice, rule, kind.harmless, faults); !wrong.empty())
        return wrong;
    }
  }
  return {};
}

const std::vector<Kind> writes{
    {FileCall::pwrite, EIO},
    {FileCall::pwrite, EIO, true},
    {FileCall::pwrite, ENOSPC, false, true},
    {FileCall::pwrite, ENOSPC, true, true},
};
const std::vector<Kind> others{
    {FileCall::fdatasync, EIO}, {FileCall::fdatasync, ENOSPC}, {FileCall::sync_directory, EIO},
    {FileCall::rename, EIO},    {FileCall::unlink, EIO},       {FileCall::ftruncate, EIO},
    {FileCall::open, EMFILE},   {FileCall::close, EIO},        {FileCall::pread, EIO},
    {FileCall::size, EIO},      {FileCall::free_bytes, EIO},
};
const std::vector<Kind> harmless{
    {FileCall::pwrite, 0, true, true, true},
    {FileCall::pwrite, EINTR, false, false, true},
    {FileCall::pread, 0, true, true, true},
    {FileCall::pread, EINTR, false, false, true},
    {FileCall::start_writeback, EIO, false, true, true},
};

}  // namespace

TEST_CASE("faults: writes that fail under an HDF5 recording") {
  Faults faults;
  for (std::uint64_t n = 0; n < soak(2); ++n) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    CHECK(strike_everywhere(writes, soak(25, 4),
                            SinkChoice::random(Format::hdf5, Durability::full, seed), seed,
                            faults) == "");
  }
  WARN(to_string(faults));
  CHECK(faults.told > 20);
}

TEST_CASE("faults: everything else that fails under an HDF5 recording") {
  Faults faults;
  for (std::uint64_t n = 0; n < soak(2); ++n) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    CHECK(strike_everywhere(others, soak(10, 4),
                            SinkChoice::random(Format::hdf5, Durability::full, seed), seed,
                            faults) == "");
  }
  WARN(to_string(faults));
  CHECK(faults.told > 10);
}

TEST_CASE("faults: whatever fails under a CSV recording") {
  Faults faults;
  for (std::uint64_t n = 0; n < soak(2); ++n) {
    for (const Format format : {Format::csv, Format::csv_long}) {
      const std::uint64_t seed = given_seed().value_or(new_seed());
      CAPTURE(seed);
      const SinkChoice choice = SinkChoice::random(format, Durability::full, seed);
      CHECK(strike_everywhere(writes, soak(25, 4), choice, seed, faults) == "");
      CHECK(strike_everywhere(others, soak(10, 4), choice, seed, faults) == "");
    }
  }
  WARN(to_string(faults));
  CHECK(faults.told > 20);
}

TEST_CASE("faults: short transfers and interruptions are nobody's business") {
  Faults faults;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    CHECK(strike_everywhere(harmless, soak(10, 4),
                            SinkChoice::random(format, Durability::full, seed), seed,
                            faults) == "");
  }
  WARN(to_string(faults));
  CHECK(faults.struck > 50);
  CHECK(faults.borne == faults.struck);
}

TEST_CASE("faults: when the disk is about to be full, the recording is closed whole") {
  Faults faults;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    const SinkChoice choice = SinkChoice::random(format, Durability::full, seed);
    const std::uint64_t calls = calls_made(seed, choice, FileCall::free_bytes);
    for (std::uint64_t at = 0; at < calls; ++at) {
      FaultRule rule;
      rule.call = FileCall::free_bytes;
      rule.first = at;
      rule.value = 1000;
      const std::uint64_t sealed = faults.sealed_early;
      const std::uint64_t told = faults.told;
      CHECK(strike(seed, choice, rule, false, faults) == "");
      if (faults.told > told) {
        CAPTURE(at);
        CHECK(faults.disk_full == faults.told);
        if (at > 1) CHECK(faults.sealed_early == sealed + 1);
      }
    }
  }
  WARN(to_string(faults));
  CHECK(faults.sealed_early >= 3);
}
