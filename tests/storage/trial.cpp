#include "trial.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/storage/verify.hpp"

namespace spillway::test {

std::string to_string(const Tally& t) {
  return fmt::format(
      "{} cuts, {} between the syncs of data and journal, {} before a directory was synced, {} "
      "while closing; found {} sealed, {} recovered, {} of them with more than was acknowledged, "
      "{} damaged and told so, {} nothing, {} refused, {} read as they were; {}",
      t.cuts, t.between_syncs, t.before_directory_sync, t.while_closing, t.sealed, t.recovered,
      t.more, t.damaged, t.nothing, t.refused, t.opened, to_string(t.disk));
}

Trial::Trial(std::uint64_t seed, const SinkChoice& choice, RandomRecording::Size size)
    : seed_(seed),
      choice_(choice),
      recording_(seed, size, choice.format == SinkChoice::Format::csv),
      path_(std::string(SimulatedDisk::directory) + "/run" + choice.suffix()) {
  if (seed % 5 == 0) old_ = "what was recorded before";
}

void Trial::put_old_file(SimulatedDisk& disk) const {
  if (old_.empty()) return;
  const int fd = disk.open(path_.c_str(), O_RDWR | O_CREAT, 0666);
  (void)disk.pwrite(fd, old_.data(), old_.size(), 0);
  (void)disk.fdatasync(fd);
  (void)disk.close(fd);
  (void)disk.sync_directory(SimulatedDisk::directory);
}

void Trial::record(double share) {
  SimulatedDisk disk;
  put_old_file(disk);
  std::mt19937_64 random(seed_);
  bool data_synced = false;
  bool named = false;
  bool closing = false;
  disk.watch([&](std::uint64_t number, const DiskOperation& operation, const DiskState& state) {
    if (closing || static_cast<double>(random() >> 11) * 0x1p-53 < share)
      cuts_.push_back({number, state, data_synced, named, closing});
    using Kind = DiskOperation::Kind;
    if (operation.kind == Kind::sync) data_synced = operation.path.ends_with(".part");
    if (operation.kind == Kind::rename || operation.kind == Kind::create ||
        operation.kind == Kind::unlink)
      named = true;
    if (operation.kind == Kind::sync_directory) named = false;
    return true;
  });
  const auto sink = choice_.make(path_, disk, old_.empty() ? Existing::refuse : Existing::replace);
  recording_.run(sink.get(), [&](const Extent& extent) {
    flushed_.push_back({disk.operations(), extent});
  });
  closing = true;
  sink->close({});
  closed_ = disk.operations();
  cuts_.push_back({disk.operations(), disk.state(), false, false, true});
}

bool Trial::record_until(std::uint64_t operation) {
  SimulatedDisk disk;
  put_old_file(disk);
  disk.stop_at(operation);
  bool stopped = false;
  try {
    const auto sink =
        choice_.make(path_, disk, old_.empty() ? Existing::refuse : Existing::replace);
    Ending ending;
    try {
      recording_.run(sink.get(), [&](const Extent& extent) {
        flushed_.push_back({disk.operations(), extent});
      });
    } catch (const Error& error) {
      stopped = true;
      ending.complete = false;
      ending.reason = error.what();
    }
    sink->close(ending);
    if (!stopped) closed_ = disk.operations();
    // Nothing could be written any more.
    if (stopped && recording_.appended().any_samples())
      throw std::logic_error("close() returned on a disk that does not work");
  } catch (const Error&) {
    stopped = true;
  }
  cuts_.push_back({operation, disk.state(), false, false, false});
  return stopped;
}

Trial::Ended Trial::record_on(FileCalls& calls, const SimulatedDisk& disk) {
  old_.clear();
  Ended ended;
  std::unique_ptr<Sink> sink;
  try {
    sink = choice_.make(path_, calls);
    recording_.run(sink.get(), [&](const Extent& extent) {
      flushed_.push_back({disk.operations(), extent});
    });
  } catch (const DiskFull& error) {
    ended.disk_full = true;
    ended.thrown = error.what();
  } catch (const Error& error) {
    ended.thrown = error.what();
  }
  ended.begun = recording_.appended().any_samples();
  if (!sink) return ended;
  try {
    sink->close({ended.thrown.empty(), ended.thrown});
    closed_ = disk.operations();
  } catch (const Error& error) {
    ended.thrown_by_close = error.what();
  }
  for (std::size_t s = 0; s < truth().streams.size(); ++s) ended.ends.push_back(sink->end(s).value);
  return ended;
}

void Trial::imagine() {
  old_.clear();
  recording_.run(nullptr, [&](const Extent& extent) {
    flushed_.push_back({flushed_.size() + 1, extent});
  });
  closed_ = flushed_.size() + 1;
}

Extent Trial::acknowledged(std::uint64_t operation) const {
  Extent extent;
  for (const Flushed& flushed : flushed_)
    if (flushed.operations <= operation) extent = flushed.extent;
  return extent;
}

std::string Trial::judge_sealed(SimulatedDisk& disk, const Extent& least,
                                std::optional<bool> should_be_complete, Tally& tally) const {
  const VerifyReport report = verify(path_, disk);
  if (!report.findings.empty())
    return fmt::format("sealed, and not whole: {}: {}", report.findings[0].where,
                       report.findings[0].what);
  if (!report.sealed) return "sealed, without checksums";
  const Recording recording = Recording::open(path_, disk);
  if (recording.guard() != Recording::Guard::seal) return "sealed, and not guarded by its seal";
  const bool complete = recording.status() == "complete";
  if (complete != should_be_complete.value_or(complete))
    return "sealed, with the status " + recording.status();
  ++tally.sealed;
  Expectation expected;
  expected.acknowledged = least;
  expected.all = complete;
  expected.csv = choice_.format != SinkChoice::Format::hdf5;
  return differences(recording, truth(), expected);
}

std::string Trial::judge_unfinished(SimulatedDisk& disk, const Extent& acknowledged, bool promised,
                                    Tally& tally) const {
  const std::string part = path_ + ".part";
  // A recording of which no sample was ever told is not made anew.
  const bool due = promised && acknowledged.any_samples();
  Expectation expected;
  if (due) expected.acknowledged = acknowledged;
  expected.csv = choice_.format != SinkChoice::Format::hdf5;

  try {
    const Recording recording = Recording::open(part, disk);
    if (due || recording.guard() == Recording::Guard::journal) {
      const std::string wrong = differences(recording, truth(), expected);
      if (!wrong.empty()) return "read as it is: " + wrong;
    } else if (promised) {
      // Before there is a journal there are no rows.
      for (const RecordedStream& s : recording.streams())
        if (s.rows > 0) return "read as it is: rows out of nothing";
    }
    ++tally.opened;
  } catch (const Error& error) {
    if (due) return fmt::format("can't be read as it is: {}", error.what());
  }

  const DiskState before = disk.state();
  RecoveryReport report;
  try {
    report = recover(part, {}, disk);
  } catch (const Error& error) {
    if (due) return fmt::format("can't be recovered: {}", error.what());
    ++tally.refused;
    return {};
  }
  const DiskState after = disk.state();
  for (const std::string& path : before.paths())
    if (path.find(".recovered") == std::string::npos &&
        (!after.has(path) || before.contents(path) != after.contents(path)))
      return "recovery changed " + path;
  if (report.outcome == RecoveryReport::Outcome::nothing ||
      (report.outcome == RecoveryReport::Outcome::lost && report.output.empty())) {
    if (due) return "nothing to recover";
    ++tally.nothing;
    return {};
  }
  if (promised && (report.outcome != RecoveryReport::Outcome::complete || !report.damages.empty()))
    return fmt::format("something was lost: {}",
                       report.damages.empty() ? report.tail : report.damages[0].why);
  // Without a journal there is nothing to check by, and it says so.
  if (!promised && report.by != "journal") {
    ++tally.refused;
    return {};
  }
  if (report.outcome == RecoveryReport::Outcome::lost) ++tally.damaged;

  const VerifyReport verified = verify(report.output, disk);
  if (!verified.findings.empty())
    return fmt::format("recovered, and not whole: {}: {}", verified.findings[0].where,
                       verified.findings[0].what);
  const Recording recording = Recording::open(report.output, disk);
  expected.damages = report.damages;
  const std::string wrong = differences(recording, truth(), expected);
  if (!wrong.empty()) return "recovered: " + wrong;
  ++tally.recovered;
  std::uint64_t have = 0;
  std::uint64_t least = 0;
  for (const RecordedStream& s : recording.streams()) have += s.rows;
  for (const Extent::PerStream& s : acknowledged.streams) least += s.rows;
  tally.more += have > least;

  // Once more changes nothing.
  const RecoveryReport again = recover(part, {}, disk);
  if (!again.was_there || again.output != report.output) return "recovered again, otherwise";
  return {};
}

std::string Trial::judge(const DiskState& left, std::uint64_t operation, Fault fault,
                         Tally& tally) const {
  const bool promised = choice_.durability == Durability::full ||
                        (choice_.durability == Durability::process && fault == Fault::process);
  SimulatedDisk disk(left);
  try {
    if (left.has(path_) && (old_.empty() || left.contents(path_) != old_))
      return judge_sealed(disk, recording_.appended(), true, tally);
    if (!old_.empty() && !left.has(path_))
      return "the old recording is gone, and none in its place";
    if (promised && closed_ && *closed_ <= operation) return "the sealed recording is gone";
    return judge_unfinished(disk, acknowledged(operation), promised, tally);
  } catch (const std::exception& error) {
    return fmt::format("thrown: {}", error.what());
  }
}

std::string Trial::judge_ended(const DiskState& left, const Ended& ended, Tally& tally) const {
  SimulatedDisk disk(left);
  Extent least;
  if (!flushed_.empty()) least = flushed_.back().extent;
  try {
    const bool closed = ended.thrown_by_close.empty();
    // What the sink says of itself is the least, too.
    if (closed && least.begun)
      for (std::size_t s = 0; s < ended.ends.size(); ++s)
        least.streams[s].end = std::max(least.streams[s].end, ended.ends[s]);
    std::optional<bool> complete;
    if (!ended.thrown.empty() || closed) complete = ended.thrown.empty();
    if (left.has(path_)) return judge_sealed(disk, least, complete, tally);
    // Where begin() failed there is nothing to seal.
    if (closed && recording_.appended().any_samples()) return "closed, and not sealed";
    return judge_unfinished(disk, least, true, tally);
  } catch (const std::exception& error) {
    return fmt::format("thrown: {}", error.what());
  }
}

std::string Trial::cut_and_judge(const Cut& cut, std::uint64_t tear, Tally& tally) const {
  const DiskState left = cut.state.after_power_cut(tear, tear % 2 == 1, tally.disk);
  ++tally.cuts;
  tally.between_syncs += cut.between_syncs;
  tally.before_directory_sync += cut.before_directory_sync;
  tally.while_closing += cut.closing;
  const std::string wrong = judge(left, cut.operation, Fault::power, tally);
  if (wrong.empty()) return {};
  return fmt::format("seed {} ({}), cut in front of operation {}, torn by {}: {}", seed_,
                     to_string(choice_), cut.operation, tear, wrong);
}

}  // namespace spillway::test
