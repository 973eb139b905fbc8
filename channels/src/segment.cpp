#include "segment.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <new>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/channels/ring.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway {

// Apart from the header, so that the sizes never share a line with what changes.
struct SharedSegment::Changing {
  AtomicWord calibrations_used{0};  // bytes of the log
  AtomicWord finished{0};
};

namespace {

constexpr const char* directory = "/dev/shm";
constexpr std::string_view prefix = "spillway.";
constexpr char magic[] = {'S', 'P', 'I', 'L', 'L', 'W', 'A', 'Y'};
constexpr std::uint64_t changing_at = 512;
constexpr std::uint64_t description_at = 1024;
constexpr std::uint64_t page = 4096;
// An entry of the log: its length in 8 bytes, the text, zeros up to a multiple of 8.
constexpr std::uint64_t entry_head = 8;

static_assert(sizeof(SegmentHeader) <= changing_at);

std::string path_of(const std::string& name) {
  return fmt::format("{}/{}{}", directory, prefix, name);
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

std::string reason() { return std::strerror(errno); }

class File {
 public:
  explicit File(int file) noexcept : file_(file) {}
  ~File() {
    if (file_ >= 0) ::close(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int get() const noexcept { return file_; }
  [[nodiscard]] int release() noexcept { return std::exchange(file_, -1); }

 private:
  int file_;
};

// Locks of the open file and not of the process: others in this process see them, and
// closing another descriptor of the file does not drop them.
struct flock whole_file(short type) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool take_lock(int file) noexcept {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(file, F_OFD_SETLK, &lock) == 0;
}

bool same_file(int file, const std::string& path) noexcept {
  struct stat mine {};
  struct stat named {};
  return ::fstat(file, &mine) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

bool read_header(int file, SegmentHeader& header) noexcept {
  return ::pread(file, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header) &&
         std::memcmp(header.magic, magic, sizeof magic) == 0;
}

// Whether [at, at + bytes) lies behind what stands before it and within the file.
bool fits(const SegmentHeader& header, std::uint64_t at, std::uint64_t bytes) noexcept {
  return at >= description_at && at <= header.file_bytes && bytes <= header.file_bytes - at;
}

}  // namespace

SharedSegment::Changing& SharedSegment::changing() const noexcept {
  return *reinterpret_cast<Changing*>(data_ + changing_at);
}

void SharedSegment::map(bool writable) {
  void* const data =
      ::mmap(nullptr, header_.file_bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
             // All pages now: a page fault in a push would be a kernel entry.
             MAP_SHARED | MAP_POPULATE, file_, 0);
  if (data == MAP_FAILED)
    throw Error(fmt::format("published stream '{}': its {} bytes can't be mapped: {}", name_,
                            header_.file_bytes, reason()));
  data_ = static_cast<std::byte*>(data);
}

std::unique_ptr<SharedSegment> SharedSegment::create(const std::string& name,
                                                     const std::string& description,
                                                     const Sizes& sizes) {
  check_name("published stream", name);
  std::unique_ptr<SharedSegment> segment(
      new SharedSegment(name, ::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644)));
  if (segment->file_ < 0)
    throw Error(fmt::format("published stream '{}': no file can be made in {}: {}", name, directory,
                            reason()));
  SegmentHeader& header = segment->header_;
  std::memcpy(header.magic, magic, sizeof magic);
  header.version = SegmentHeader::current_version;
  header.byte_order = SegmentHeader::native_order;
  header.description_at = description_at;
  header.description_bytes = description.size();
  header.calibrations_at = round_up(header.description_at + header.description_bytes, page);
  header.calibrations_bytes =
      round_up(std::max<std::uint64_t>(1 << 16, 16 * description.size()), page);
  header.ring_at = header.calibrations_at + header.calibrations_bytes;
  header.ring_bytes = sizes.ring_bytes;
  header.slots = sizes.slots;
  header.stride = sizes.stride;
  header.mark_slots = sizes.mark_slots;
  header.file_bytes = round_up(header.ring_at + header.ring_bytes, page);
  header.process = ::getpid();
  header.started_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  // All of it now: memory that runs out later would end the process in a push.
  const int failure = ::posix_fallocate(segment->file_, 0, static_cast<off_t>(header.file_bytes));
  if (failure != 0) {
    struct statvfs space {};
    ::statvfs(directory, &space);
    throw Error(fmt::format(
        "published stream '{}' needs {} bytes of shared memory; {} has {} left ({})", name,
        header.file_bytes, directory, space.f_bavail * space.f_frsize, std::strerror(failure)));
  }
  if (!take_lock(segment->file_))
    throw Error(fmt::format("published stream '{}': no lock in {}: {}", name, directory, reason()));
  segment->is_creator_ = true;
  segment->map(true);
  std::memcpy(segment->data_, &header, sizeof header);
  new (segment->data_ + changing_at) Changing;
  std::memcpy(segment->data_ + header.description_at, description.data(), description.size());
  return segment;
}

void SharedSegment::publish() {
  const std::string path = path_of(name_);
  const std::string mine = fmt::format("/proc/self/fd/{}", file_);
  // Each round either ends or finds that another process was quicker.
  for (int round = 0; round < 100; ++round) {
    if (::linkat(AT_FDCWD, mine.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return;
    if (errno != EEXIST)
      throw Error(fmt::format("stream can't be published as '{}': {}", name_, reason()));
    const File other(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (other.get() < 0) {
      if (errno == ENOENT) continue;
      throw Error(
          fmt::format("stream can't be published as '{}': {} exists: {}", name_, path, reason()));
    }
    if (!take_lock(other.get())) {
      SegmentHeader header{};
      const bool readable = read_header(other.get(), header);
      throw Error(fmt::format(
          "stream can't be published as '{}': {} publishes under this name", name_,
          readable ? fmt::format("process {}", header.process) : std::string("another process")));
    }
    // Its process is dead. While its lock is ours nobody else replaces it.
    if (same_file(other.get(), path)) ::unlink(path.c_str());
  }
  throw Error(fmt::format("stream can't be published as '{}': others do so all the time", name_));
}

std::unique_ptr<SharedSegment> SharedSegment::attach(const std::string& name) {
  check_name("published stream", name);
  const std::string path = path_of(name);
  // Not to be held up by a pipe of that name.
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno != ENOENT)
      throw Error(fmt::format("published stream '{}' can't be opened: {}", name, reason()));
    const std::vector<std::string> all = names();
    throw Error(all.empty() ? fmt::format("no stream is published as '{}', nor any other", name)
                            : fmt::format("no stream is published as '{}'; there are: {}", name,
                                          fmt::join(all, ", ")));
  }
  const auto refuse = [&](const std::string& why) {
    return Error(fmt::format("published stream '{}' ({}): {}", name, path, why));
  };
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw refuse(reason());
  SegmentHeader header{};
  if (!S_ISREG(status.st_mode) || !read_header(file.get(), header))
    throw refuse("is not a published stream");
  if (header.byte_order != SegmentHeader::native_order ||
      header.version != SegmentHeader::current_version)
    throw refuse(fmt::format("is of version {}; this program reads version {}", header.version,
                             SegmentHeader::current_version));
  if (header.file_bytes != static_cast<std::uint64_t>(status.st_size))
    throw refuse(fmt::format("has {} bytes, but {} were written: it is truncated or damaged",
                             status.st_size, header.file_bytes));
  // What a publisher makes has no holes. One that somebody else put there could not be filled
  // when it is read, which ends a reader by SIGBUS.
  if (static_cast<std::uint64_t>(status.st_blocks) * 512 < header.file_bytes)
    throw refuse("has holes: it is damaged, or no publisher made it");
  if (!fits(header, header.description_at, header.description_bytes) ||
      !fits(header, header.calibrations_at, header.calibrations_bytes) ||
      !fits(header, header.ring_at, header.ring_bytes) || header.ring_at % apart != 0 ||
      header.calibrations_at % entry_head != 0)
    throw refuse("its sizes contradict each other: it is damaged");
  std::unique_ptr<SharedSegment> segment(new SharedSegment(name, file.release()));
  segment->header_ = header;
  segment->map(false);
  return segment;
}

std::vector<std::string> SharedSegment::names() {
  std::vector<std::string> names;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with(prefix)) continue;
    // Anybody can make a file here, and what is listed gets printed.
    std::string name = file.substr(prefix.size());
    if (is_name(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

SharedSegment::~SharedSegment() {
  // A child that was forked has a copy of this, and ends nothing of its parent's.
  if (is_creator_ && header_.process == ::getpid()) {
    if (data_) changing().finished.store(1, std::memory_order_release);
    const std::string path = path_of(name_);
    if (same_file(file_, path)) ::unlink(path.c_str());
  }
  if (data_) ::munmap(data_, header_.file_bytes);
  if (file_ >= 0) ::close(file_);
}

std::string SharedSegment::description() const {
  return {reinterpret_cast<const char*>(data_ + header_.description_at), header_.description_bytes};
}

bool SharedSegment::append(const std::string& text) {
  const std::uint64_t at = calibrations_used_;
  const std::uint64_t bytes = entry_head + round_up(text.size(), entry_head);
  if (bytes > header_.calibrations_bytes - at) return false;
  std::byte* const entry = data_ + header_.calibrations_at + at;
  const std::uint64_t size = text.size();
  std::memcpy(entry, &size, sizeof size);
  std::memcpy(entry + entry_head, text.data(), text.size());
  // Orders the entry before the count of bytes that covers it.
  calibrations_used_ = at + bytes;
  changing().calibrations_used.store(calibrations_used_, std::memory_order_release);
  return true;
}

std::string SharedSegment::entry(std::size_t index) const {
  const std::uint64_t used = std::min(changing().calibrations_used.load(std::memory_order_acquire),
                                      header_.calibrations_bytes);
  std::uint64_t at = 0;
  for (std::size_t i = 0;; ++i) {
    if (used - at < entry_head) return {};
    std::uint64_t size = 0;
    std::memcpy(&size, data_ + header_.calibrations_at + at, sizeof size);
    at += entry_head;
    if (size > used - at) return {};
    if (i == index)
      return {reinterpret_cast<const char*>(data_ + header_.calibrations_at + at), size};
    // The padding of the last entry may be cut in a damaged one.
    at = std::min(at + round_up(size, entry_head), used);
  }
}

bool SharedSegment::is_locked() const noexcept {
  struct flock lock = whole_file(F_RDLCK);
  return ::fcntl(file_, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool SharedSegment::is_current() const noexcept { return same_file(file_, path_of(name_)); }

bool SharedSegment::is_finished() const noexcept {
  return changing().finished.load(std::memory_order_acquire) != 0;
}

}  // namespace spillway
