#include "spillway/storage/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "file.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

namespace {

[[noreturn]] void fail_with_unfinished(const std::string& part, FileCalls& calls) {
  constexpr const char* what_to_do =
      "look at it with 'spillway info', save it with 'spillway recover' and move it away";
  if (is_being_written(part, calls))
    throw Error(fmt::format("{}: another recorder writes it at this moment", part));
  if (is_guarded_by_journal(part, calls))
    throw Error(
        fmt::format("{}: an unfinished recording stands here, whose recorder lives no more; "
                    "{}",
                    part, what_to_do));
  throw Error(fmt::format(
      "{}: an unfinished recording stands here, or another recorder writes it, which no journal "
      "tells; {}",
      part, what_to_do));
}

}  // namespace

OutputFile::OutputFile(std::string path, Existing existing, FileCalls& calls, PartName part)
    : calls_(&calls), path_(std::move(path)), part_(path_ + ".part"), existing_(existing) {
  if (part == PartName::own)
    part_ = fmt::format("{}.{:08x}.part", path_, std::uint32_t{std::random_device{}()});
  const std::string directory = directory_of(path_);
  switch (calls.kind(directory.c_str())) {
    case PathKind::directory: break;
    case PathKind::nothing: fail_with_errno(directory, "output directory");
    default: throw Error(fmt::format("{}: is not a directory", directory));
  }
  switch (calls.kind(path_.c_str())) {
    case PathKind::nothing: break;
    case PathKind::directory: throw Error(fmt::format("{}: is a directory", path_));
    default:
      if (existing == Existing::refuse)
        throw Error(fmt::format("{}: exists already; choose another name or use --force", path_));
  }
  try {
    File(calls, part_, File::Mode::create).close();
  } catch (const DiskFull&) {
    throw;
  } catch (const Error&) {
    if (errno == EEXIST) fail_with_unfinished(part_, calls);
    fail_with_errno(path_, "can't be written");
  }
}

OutputFile::~OutputFile() {
  if (sealed_ || calls_->kind(part_.c_str()) != PathKind::file) return;
  const int fd = calls_->open(part_.c_str(), O_RDONLY, 0);
  if (fd < 0) return;
  const bool empty = calls_->size(fd) == 0;
  calls_->close(fd);
  if (empty) calls_->unlink(part_.c_str());
}

void OutputFile::discard() noexcept {
  if (!sealed_) calls_->unlink(part_.c_str());
}

void OutputFile::seal() {
  {
    File file(*calls_, part_, File::Mode::read);
    file.sync();
  }
  if (calls_->rename(part_.c_str(), path_.c_str(), existing_ == Existing::replace) != 0)
    fail_with_errno(path_, fmt::format("can't take its final name, the data is in {}", part_));
  sealed_ = true;
  const std::string directory = directory_of(path_);
  if (calls_->sync_directory(directory.c_str()) != 0) fail_with_errno(directory, "can't be synced");
}

void require_free_space(const std::string& path, std::uint64_t bytes, FileCalls& calls) {
  constexpr std::uint64_t reserve = 4 << 20;
  const std::int64_t answer = calls.free_bytes(directory_of(path).c_str());
  if (answer < 0) fail_with_errno(path, "free space can't be told");
  const auto free = static_cast<std::uint64_t>(answer);
  if (free < bytes + reserve)
    throw DiskFull(
        fmt::format("{}: the disk is full: {} KiB free, {} KiB are needed for the next flush and "
                    "to close the file",
                    path, free >> 10, (bytes + reserve) >> 10));
}

}  // namespace spillway
