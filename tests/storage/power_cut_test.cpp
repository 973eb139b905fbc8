// The promise of `full`: what was acknowledged is there and right after the power was cut, whenever
// that was; and in any case nothing wrong is presented as right.
#include <fcntl.h>
#include <fmt/format.h>

#include <random>

#include "support.hpp"
#include "support/catch.hpp"
#include "trial.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Format = SinkChoice::Format;

// Records, and cuts the power in front of a share of all operations, `tears` times each.
// The first of what is wrong; empty: nothing.
std::string cut_recordings(std::uint64_t count, Format format, Durability durability,
                           RandomRecording::Size size, double share, std::uint64_t tears,
                           Tally& tally) {
  for (std::uint64_t n = 0; n < count; ++n) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    Trial trial(seed, SinkChoice::random(format, durability, seed), size);
    try {
      trial.record(share);
    } catch (const std::exception& error) {
      return fmt::format("seed {}: can't even be recorded: {}", seed, error.what());
    }
    std::mt19937_64 random(seed);
    for (const Trial::Cut& cut : trial.cuts())
      for (std::uint64_t tear = 0; tear < tears; ++tear)
        if (std::string wrong = trial.cut_and_judge(cut, random(), tally); !wrong.empty())
          return wrong;
  }
  return {};
}

}  // namespace

TEST_CASE("power cuts: short HDF5 recordings survive them at every operation") {
  Tally tally;
  CHECK(cut_recordings(soak(4), Format::hdf5, Durability::full, RandomRecording::short_one, 1.0, 1,
                       tally) == "");
  WARN(to_string(tally));
  CHECK(tally.between_syncs > 0);
  CHECK(tally.before_directory_sync > 0);
  CHECK(tally.sealed > 0);
  CHECK(tally.disk.pages_torn > 50);
  CHECK(tally.disk.creations_lost > 0);
}

TEST_CASE("power cuts: long HDF5 recordings survive them anywhere") {
  Tally tally;
  CHECK(cut_recordings(soak(3), Format::hdf5, Durability::full, RandomRecording::long_one, 0.05, 2,
                       tally) == "");
  WARN(to_string(tally));
  CHECK(tally.recovered > 20);
}

TEST_CASE("power cuts: short CSV recordings survive them at every operation") {
  Tally tally;
  CHECK(cut_recordings(soak(4), Format::csv, Durability::full, RandomRecording::short_one, 1.0, 2,
                       tally) == "");
  CHECK(cut_recordings(soak(4), Format::csv_long, Durability::full, RandomRecording::short_one, 1.0,
                       2, tally) == "");
  WARN(to_string(tally));
  CHECK(tally.between_syncs > 0);
  CHECK(tally.before_directory_sync > 0);
  CHECK(tally.more > 0);
  CHECK(tally.sealed > 0);
  CHECK(tally.disk.pages_torn > 50);
}

TEST_CASE("power cuts: long CSV recordings survive them anywhere") {
  Tally tally;
  CHECK(cut_recordings(soak(2), Format::csv, Durability::full, RandomRecording::long_one, 0.1, 2,
                       tally) == "");
  CHECK(cut_recordings(soak(2), Format::csv_long, Durability::full, RandomRecording::long_one, 0.1,
                       2, tally) == "");
  WARN(to_string(tally));
  CHECK(tally.recovered > 20);
}

TEST_CASE("power cuts: while a recording is sealed it is whole, before and behind") {
  Tally tally;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long})
    CHECK(cut_recordings(soak(4), format, Durability::full, RandomRecording::short_one, 0.0, 3,
                         tally) == "");
  WARN(to_string(tally));
  CHECK(tally.while_closing > 100);
  CHECK(tally.sealed > 20);
  CHECK(tally.recovered > 20);
  CHECK(tally.disk.renames_lost > 0);
}

TEST_CASE("power cuts: a recovery that is cut itself can be made again") {
  Tally tally;
  std::uint64_t states = 0;
  for (std::uint64_t n = 0; n < soak(20); ++n) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    const Format format = n % 3 == 0 ? Format::csv : Format::hdf5;
    Trial trial(seed, SinkChoice::random(format, Durability::full, seed),
                RandomRecording::short_one);
    trial.record(0.1);
    std::mt19937_64 random(seed);
    // Some moment at which something was acknowledged and nothing sealed.
    for (int tries = 0; tries < 20; ++tries) {
      const Trial::Cut& cut = trial.cuts()[random() % trial.cuts().size()];
      const DiskState left = cut.state.after_power_cut(random(), true, tally.disk);
      if (!trial.acknowledged(cut.operation).any_samples() || left.has(trial.path())) continue;
      std::vector<DiskState> recovering;
      {
        SimulatedDisk disk(left);
        disk.watch([&](std::uint64_t, const DiskOperation&, const DiskState& state) {
          if (random() % 8 == 0) recovering.push_back(state);
          return true;
        });
        CHECK(recover(trial.path() + ".part", {}, disk).outcome ==
              RecoveryReport::Outcome::complete);
        recovering.push_back(disk.state());
      }
      for (const DiskState& state : recovering) {
        ++states;
        CHECK(trial.judge(state.after_power_cut(random(), true, tally.disk), cut.operation,
                          Trial::Fault::power, tally) == "");
      }
      break;
    }
  }
  WARN(fmt::format("{} cuts of recoveries; {}", states, to_string(tally)));
  CHECK(states > 50);
}

TEST_CASE("power cuts: a recorder whose disk goes away unwinds, and its files are right") {
  Tally tally;
  std::uint64_t stops = 0;
  for (const Format format : {Format::hdf5, Format::csv}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    const SinkChoice choice = SinkChoice::random(format, Durability::full, seed);
    std::mt19937_64 random(seed);
    for (std::uint64_t operation = 0;; operation += 1 + random() % soak(1)) {
      CAPTURE(operation);
      Trial trial(seed, choice, RandomRecording::short_one);
      const bool stopped = trial.record_until(operation);
      REQUIRE(trial.cut_and_judge(trial.cuts().back(), random(), tally) == "");
      if (!stopped) break;
      ++stops;
    }
  }
  WARN(fmt::format("{} stops; {}", stops, to_string(tally)));
  CHECK(stops > 50);
}

// A sector that rots, of file or journal.
TEST_CASE(
    "damage: whatever byte of an unfinished recording is changed, what is read is right or named") {
  Tally tally;
  std::uint64_t changes = 0;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long})
    for (std::uint64_t n = 0; n < soak(3); ++n) {
      const std::uint64_t seed = given_seed().value_or(new_seed());
      CAPTURE(seed, static_cast<int>(format));
      Trial trial(seed, SinkChoice::random(format, Durability::process, seed),
                  RandomRecording::long_one);
      trial.record(0.1);
      std::mt19937_64 random(seed);
      for (const Trial::Cut& cut : trial.cuts()) {
        const DiskState left = cut.state.after_process_end();
        const std::string part = trial.path() + ".part";
        if (cut.closing || !left.has(part)) continue;
        SimulatedDisk disk(left);
        const std::string path = random() % 4 == 0 ? trial.path() + ".journal" : part;
        if (!left.has(path) || left.contents(path).empty()) continue;
        const std::string bytes = left.contents(path);
        const std::size_t at = random() % bytes.size();
        const char changed = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        const int fd = disk.open(path.c_str(), O_RDWR, 0);
        REQUIRE(disk.pwrite(fd, &changed, 1, static_cast<off_t>(at)) == 1);
        disk.close(fd);
        ++changes;
        CAPTURE(path, at, cut.operation);
        REQUIRE(trial.judge(disk.state(), cut.operation, Trial::Fault::power, tally) == "");
      }
    }
  WARN(fmt::format("{} bytes changed; {}", changes, to_string(tally)));
  CHECK(changes > 60);
  CHECK(tally.damaged > 10);
}

TEST_CASE(
    "power cuts: with less than full durability what is left is right, or named, or refused") {
  Tally tally;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long})
    CHECK(cut_recordings(soak(2), format, Durability::process, RandomRecording::short_one, 0.5, 1,
                         tally) == "");
  WARN(to_string(tally));
  CHECK(tally.damaged > 0);
}

TEST_CASE("process durability: at every operation all that was acknowledged is in the files") {
  Tally tally;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    Trial trial(seed, SinkChoice::random(format, Durability::process, seed),
                RandomRecording::short_one);
    trial.record(1.0);
    for (const Trial::Cut& cut : trial.cuts()) {
      CAPTURE(cut.operation);
      REQUIRE(trial.judge(cut.state.after_process_end(), cut.operation, Trial::Fault::process,
                          tally) == "");
    }
  }
  WARN(to_string(tally));
  CHECK(tally.recovered > 20);
}
