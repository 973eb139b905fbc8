// Recorders that are killed: what they had acknowledged is in the files, on a real file system.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <random>
#include <thread>

#include "support.hpp"
#include "support/catch.hpp"
#include "trial.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Format = SinkChoice::Format;
constexpr std::uint64_t never = std::numeric_limits<std::uint32_t>::max();
constexpr int actions = 25;

struct Death {
  std::uint64_t at = never;  // operation
  bool middle = false;
  // Or from outside: so long after so many flushes.
  std::optional<std::uint32_t> after_flushes;
  std::chrono::microseconds later{0};
};

struct Victim {
  std::uint32_t flushes = 0;                // that returned, close() among them
  std::optional<std::uint32_t> operations;  // it came to its end
  bool killed = false;
};

Victim run_victim(const std::string& directory, std::uint64_t seed, const SinkChoice& choice,
                  const Death& death) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw Error("no pipe");
  const std::array<std::string, 9> words{SPILLWAY_VICTIM,
                                         directory,
                                         std::to_string(seed),
                                         std::to_string(static_cast<int>(choice.format)),
                                         to_string(choice.durability),
                                         std::to_string(choice.threads),
                                         std::to_string(actions),
                                         std::to_string(death.at),
                                         death.middle ? "1" : "0"};
  std::array<char*, 10> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = const_cast<char*>(words[i].c_str());
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe[1], STDOUT_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  Victim victim;
  std::vector<std::uint32_t> told;
  std::uint32_t number = 0;
  while (::read(pipe[0], &number, sizeof number) == sizeof number) {
    told.push_back(number);
    if (!death.after_flushes || told.size() != *death.after_flushes) continue;
    std::this_thread::sleep_for(death.later);
    ::kill(child, SIGKILL);
  }
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  victim.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (!victim.killed && status != 0) throw Error(fmt::format("the victim ended with {}", status));
  // Its own end is told behind the last flush.
  if (!victim.killed && !told.empty()) {
    victim.operations = told.back();
    told.pop_back();
  }
  victim.flushes = static_cast<std::uint32_t>(told.size());
  return victim;
}

// The files of a directory as they are.
DiskState load(const std::string& directory) {
  SimulatedDisk disk;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string text = contents(entry.path().string());
    const std::string path =
        std::string(SimulatedDisk::directory) + "/" + entry.path().filename().string();
    const int fd = disk.open(path.c_str(), O_RDWR | O_CREAT, 0666);
    REQUIRE(disk.pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    disk.close(fd);
  }
  return disk.state();
}

struct Kills {
  std::uint64_t kills = 0;
  std::uint64_t ends = 0;  // too late
  std::uint64_t really_recovered = 0;
  Tally tally;
};

std::string kill_and_judge(std::uint64_t seed, const SinkChoice& choice, const Death& death,
                           Kills& kills) {
  const TemporaryDirectory directory;
  const Victim victim = run_victim(directory.path(), seed, choice, death);
  ++(victim.killed ? kills.kills : kills.ends);
  Trial trial(seed, choice, {actions, 300});
  trial.imagine();
  const std::string wrong =
      trial.judge(load(directory.path()), victim.flushes, Trial::Fault::process, kills.tally);
  if (!wrong.empty())
    return fmt::format("seed {} ({}), killed at operation {} {} after {} flushes: {}", seed,
                       to_string(choice), death.at, death.middle ? "in the middle" : "",
                       victim.flushes, wrong);
  // Where it lies, too.
  const std::string part = directory / (std::string("run") + choice.suffix() + ".part");
  if (exists(part) && trial.acknowledged(victim.flushes).any_samples()) {
    const RecoveryReport report = recover(part);
    if (report.outcome != RecoveryReport::Outcome::complete) return "not recovered where it lies";
    (void)Recording::open(report.output);
    ++kills.really_recovered;
  }
  return {};
}

// At operations, evenly over the whole recording.
std::string kill_at_operations(std::uint64_t count, std::uint64_t seed, const SinkChoice& choice,
                               Kills& kills) {
  std::uint64_t operations = 0;
  {
    const TemporaryDirectory directory;
    const Victim whole = run_victim(directory.path(), seed, choice, {});
    if (!whole.operations) return "the victim does not come to its end";
    operations = *whole.operations;
  }
  std::mt19937_64 random(seed);
  const std::uint64_t step = std::max<std::uint64_t>(1, operations / count);
  for (std::uint64_t at = random() % step; at < operations; at += step) {
    Death death;
    death.at = at;
    death.middle = random() % 2 == 0;
    if (std::string wrong = kill_and_judge(seed, choice, death, kills); !wrong.empty())
      return wrong;
  }
  return {};
}

}  // namespace

TEST_CASE("kills: HDF5 recorders at operations on files") {
  Kills kills;
  for (const Durability durability : {Durability::full, Durability::process}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    CHECK(kill_at_operations(soak(50), seed, SinkChoice::random(Format::hdf5, durability, seed),
                             kills) == "");
  }
  WARN(fmt::format("{} killed, {} came to their end, {} recovered where they lay; {}", kills.kills,
                   kills.ends, kills.really_recovered, to_string(kills.tally)));
  CHECK(kills.kills >= 80);
  CHECK(kills.really_recovered > 10);
}

TEST_CASE("kills: CSV recorders at operations on files") {
  Kills kills;
  for (const Format format : {Format::csv, Format::csv_long}) {
    for (const Durability durability : {Durability::full, Durability::process}) {
      const std::uint64_t seed = given_seed().value_or(new_seed());
      CAPTURE(seed);
      CHECK(kill_at_operations(soak(25), seed, SinkChoice::random(format, durability, seed),
                               kills) == "");
    }
  }
  WARN(fmt::format("{} killed, {} came to their end, {} recovered where they lay; {}", kills.kills,
                   kills.ends, kills.really_recovered, to_string(kills.tally)));
  CHECK(kills.kills >= 80);
}

TEST_CASE("kills: recorders at each of the last operations, while they seal") {
  constexpr std::uint64_t last = 14;
  Kills kills;
  for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed, static_cast<int>(format));
    const SinkChoice choice = SinkChoice::random(format, Durability::process, seed);
    std::uint64_t operations = 0;
    {
      const TemporaryDirectory directory;
      operations = run_victim(directory.path(), seed, choice, {}).operations.value_or(0);
    }
    REQUIRE(operations > last);
    const Tally before = kills.tally;
    for (std::uint64_t at = operations - last; at < operations; ++at)
      for (const bool middle : {false, true}) {
        Death death;
        death.at = at;
        death.middle = middle;
        REQUIRE(kill_and_judge(seed, choice, death, kills) == "");
      }
    // Before it had its name, by the journal; and after.
    CHECK(kills.tally.recovered > before.recovered);
    CHECK(kills.tally.sealed > before.sealed);
  }
  WARN(fmt::format("{} killed, {} came to their end, {} recovered where they lay; {}", kills.kills,
                   kills.ends, kills.really_recovered, to_string(kills.tally)));
  CHECK(kills.kills >= 3 * 2 * (last - 2));
}

TEST_CASE("kills: recorders at any time") {
  Kills kills;
  // On a fast disk many come to their end before.
  for (std::uint64_t n = 0; n < soak(120) || (kills.kills <= 50 && n < soak(600)); ++n) {
    const std::uint64_t seed = given_seed().value_or(new_seed());
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Format format = n % 4 == 0 ? Format::csv : n % 4 == 1 ? Format::csv_long : Format::hdf5;
    const Durability durability = random() % 2 == 0 ? Durability::full : Durability::process;
    SinkChoice choice = SinkChoice::random(format, durability, seed);
    choice.threads = random() % 3;
    Death death;
    death.after_flushes = 1 + static_cast<std::uint32_t>(random() % 8);
    death.later = std::chrono::microseconds(random() % 3000);
    REQUIRE(kill_and_judge(seed, choice, death, kills) == "");
  }
  WARN(fmt::format("{} killed, {} came to their end, {} recovered where they lay; {}", kills.kills,
                   kills.ends, kills.really_recovered, to_string(kills.tally)));
  CHECK(kills.kills + kills.ends >= 100);
  CHECK(kills.kills > 50);
}
