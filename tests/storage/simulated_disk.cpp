#include "simulated_disk.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

namespace spillway::test {

namespace {

constexpr std::size_t versions_kept = 4;
constexpr std::size_t freed_kept = 64;

using Random = std::mt19937_64;

bool chance(Random& random, double p) { return static_cast<double>(random() >> 11) * 0x1p-53 < p; }

}  // namespace

CutCounts& CutCounts::operator+=(const CutCounts& other) {
  pages_new += other.pages_new;
  pages_old += other.pages_old;
  pages_between += other.pages_between;
  pages_torn += other.pages_torn;
  pages_blank += other.pages_blank;
  pages_stale += other.pages_stale;
  sizes_old += other.sizes_old;
  sizes_between += other.sizes_between;
  creations_lost += other.creations_lost;
  renames_lost += other.renames_lost;
  removals_lost += other.removals_lost;
  names_out_of_order += other.names_out_of_order;
  return *this;
}

std::string to_string(const CutCounts& c) {
  return fmt::format(
      "pages new {}, old {}, between {}, torn {}, blank {}, stale {}; sizes old {}, between {}; "
      "lost creations {}, renames {}, removals {}; out of order {}",
      c.pages_new, c.pages_old, c.pages_between, c.pages_torn, c.pages_blank, c.pages_stale,
      c.sizes_old, c.sizes_between, c.creations_lost, c.renames_lost, c.removals_lost,
      c.names_out_of_order);
}

void DiskState::write(File& file, std::uint64_t at, const std::byte* from, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes;) {
    const std::uint64_t index = (at + done) / page_bytes;
    const std::size_t offset = (at + done) % page_bytes;
    const std::size_t n = std::min(page_bytes - offset, bytes - done);
    Versions& page = file.pages[index];
    auto made = std::make_shared<Bytes>();
    if (page.now()) *made = *page.now();
    std::memcpy(made->data() + offset, from + done, n);
    // Of many versions some in the middle stand for all.
    if (page.since.size() >= versions_kept) page.since.erase(page.since.begin() + 1);
    page.since.push_back(std::move(made));
    page.given_up = false;
    done += n;
  }
  if (at + bytes > file.size) {
    file.size = at + bytes;
    file.sizes.push_back(file.size);
  }
}

void DiskState::resize(File& file, std::uint64_t size) {
  if (size < file.size) {
    const std::uint64_t keep = size / page_bytes;
    if (const std::size_t offset = size % page_bytes; offset > 0) {
      const auto last = file.pages.find(keep);
      if (last != file.pages.end() && last->second.now()) {
        auto made = std::make_shared<Bytes>(*last->second.now());
        std::fill(made->begin() + static_cast<std::ptrdiff_t>(offset), made->end(), std::byte{0});
        last->second.since.push_back(std::move(made));
      }
    }
    const std::uint64_t first_gone = keep + (size % page_bytes > 0 ? 1 : 0);
    for (auto page = file.pages.lower_bound(first_gone); page != file.pages.end(); ++page)
      page->second.since.push_back(nullptr);
  }
  file.size = size;
  file.sizes.push_back(size);
}

void DiskState::bury(const File& file) {
  for (const auto& [index, page] : file.pages) {
    if (!page.now()) continue;
    if (freed_.size() >= freed_kept) freed_.erase(freed_.begin());
    freed_.push_back(page.now());
  }
}

DiskState::File DiskState::settled(const File& file) {
  File made;
  made.size = made.synced_size = file.size;
  for (const auto& [index, page] : file.pages)
    if (page.now() && index * page_bytes < file.size)
      made.pages[index] = Versions{page.now(), true, {}, false};
  return made;
}

DiskState DiskState::after_process_end() const {
  DiskState made;
  made.next_file_ = next_file_;
  made.freed_ = freed_;
  made.names_ = made.synced_names_ = names_;
  for (const auto& [path, id] : names_) made.files_[id] = settled(files_.at(id));
  return made;
}

DiskState DiskState::after_power_cut(std::uint64_t seed, bool stale, CutCounts& counts) const {
  Random random(seed);
  // All that was written came through, nothing did, or some of it.
  const std::uint64_t luck = random() % 8;
  const auto likelihood = [&] {
    if (luck == 0) return 0.0;
    if (luck == 1) return 1.0;
    const std::array<double, 4> some{0.05, 0.3, 0.7, 0.95};
    return some[random() % some.size()];
  };

  DiskState made;
  made.next_file_ = next_file_;
  made.freed_ = freed_;

  // Names.
  made.names_ = synced_names_;
  const bool ordered = random() % 2 == 0;
  const double p_names = likelihood();
  bool still = true;
  bool left_out = false;
  for (const NameChange& change : changes_) {
    const bool done = chance(random, p_names) && (still || !ordered);
    still = still && done;
    if (!done) {
      left_out = true;
      switch (change.kind) {
        case DiskOperation::Kind::create: ++counts.creations_lost; break;
        case DiskOperation::Kind::rename: ++counts.renames_lost; break;
        default: ++counts.removals_lost;
      }
      continue;
    }
    if (left_out) ++counts.names_out_of_order;
    if (!change.from.empty()) {
      const auto old = made.names_.find(change.from);
      if (old != made.names_.end() && old->second == change.file) made.names_.erase(old);
    }
    if (!change.to.empty()) made.names_[change.to] = change.file;
  }
  made.synced_names_ = made.names_;

  // Blocks that something else left on the medium.
  std::vector<Page> litter;
  if (stale) {
    litter = freed_;
    for (const auto& [id, file] : files_)
      for (const auto& [index, page] : file.pages)
        if (page.now() && random() % 4 == 0) litter.push_back(page.now());
  }
  const auto unwritten = [&]() -> Page {
    if (!litter.empty() && random() % 2 == 0) {
      ++counts.pages_stale;
      return litter[random() % litter.size()];
    }
    ++counts.pages_blank;
    return nullptr;
  };

  for (const auto& [path, id] : made.names_) {
    if (made.files_.contains(id)) continue;
    const File& file = files_.at(id);
    File& left = made.files_[id];
    const double p_size = likelihood();
    left.size = file.synced_size;
    if (!file.sizes.empty()) {
      if (luck > 1 && random() % 4 == 0) {
        const auto [low, high] = std::minmax_element(file.sizes.begin(), file.sizes.end());
        const std::uint64_t from = std::min(*low, file.synced_size);
        const std::uint64_t to = std::max(*high, file.synced_size);
        left.size = from + random() % (to - from + 1);
        ++counts.sizes_between;
      } else if (chance(random, p_size)) {
        left.size = luck == 1 ? file.size : file.sizes[random() % file.sizes.size()];
      } else {
        ++counts.sizes_old;
      }
    }
    left.synced_size = left.size;

    const double p_page = likelihood();
    const double p_torn = luck < 2 ? 0.0 : luck < 5 ? 0.1 : 0.5;
    const std::uint64_t pages = (left.size + page_bytes - 1) / page_bytes;
    for (std::uint64_t index = 0; index < pages; ++index) {
      const auto found = file.pages.find(index);
      Page page;
      if (found == file.pages.end()) {
        // A hole, in a file whose size is sure, reads as zeros.
        if (index * page_bytes >= file.synced_size) page = unwritten();
      } else if (const Versions& versions = found->second; versions.since.empty()) {
        page = versions.synced;
      } else {
        const bool hole = !versions.allocated && index * page_bytes < file.synced_size;
        const Page old = versions.allocated || hole ? versions.synced : unwritten();
        std::vector<Page> all{old};
        all.insert(all.end(), versions.since.begin(), versions.since.end());
        if (chance(random, p_torn)) {
          auto torn = std::make_shared<Bytes>();
          for (std::size_t at = 0; at < page_bytes; at += sector_bytes) {
            const Page& from = chance(random, p_page) ? all.back() : all[random() % all.size()];
            if (from) std::memcpy(torn->data() + at, from->data() + at, sector_bytes);
          }
          page = std::move(torn);
          ++counts.pages_torn;
        } else if (!chance(random, p_page)) {
          page = old;
          ++counts.pages_old;
        } else if (all.size() > 2 && random() % 4 == 0 && luck != 1) {
          page = all[1 + random() % (all.size() - 2)];
          ++counts.pages_between;
        } else {
          page = all.back();
          ++counts.pages_new;
        }
      }
      if (!page) continue;
      // Behind its end a file reads as zeros when it grows again.
      if (const std::uint64_t end = left.size - index * page_bytes; end < page_bytes) {
        auto cut = std::make_shared<Bytes>(*page);
        std::fill(cut->begin() + static_cast<std::ptrdiff_t>(end), cut->end(), std::byte{0});
        page = std::move(cut);
      }
      left.pages[index] = Versions{std::move(page), true, {}, false};
    }
  }
  return made;
}

std::vector<std::string> DiskState::paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, id] : names_) paths.push_back(path);
  return paths;
}

std::string DiskState::contents(const std::string& path) const {
  const File& file = files_.at(names_.at(path));
  std::string text(file.size, '\0');
  for (const auto& [index, page] : file.pages) {
    const std::uint64_t at = index * page_bytes;
    if (!page.now() || at >= file.size) continue;
    std::memcpy(text.data() + at, page.now()->data(),
                std::min<std::uint64_t>(page_bytes, file.size - at));
  }
  return text;
}

DiskState SimulatedDisk::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::uint64_t SimulatedDisk::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void SimulatedDisk::watch(Watch watch) {
  const std::lock_guard lock(mutex_);
  watch_ = std::move(watch);
}

void SimulatedDisk::stop_at(std::uint64_t operation) {
  const std::lock_guard lock(mutex_);
  stop_at_ = operation;
}

void SimulatedDisk::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void SimulatedDisk::set_free_bytes(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  free_bytes_ = bytes;
}

void SimulatedDisk::give_up_unsynced(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto name = state_.names_.find(path);
  if (name == state_.names_.end()) return;
  for (auto& [index, page] : state_.files_[name->second].pages)
    if (!page.since.empty()) page.given_up = true;
}

bool SimulatedDisk::alive() const {
  if (stopped_) errno = EIO;
  return !stopped_;
}

bool SimulatedDisk::begin(const DiskOperation& operation) {
  if (!stopped_ && operations_ >= stop_at_) stopped_ = true;
  if (!stopped_ && watch_ && !watch_(operations_, operation, state_)) stopped_ = true;
  if (!alive()) return false;
  ++operations_;
  return true;
}

SimulatedDisk::Open* SimulatedDisk::descriptor(int fd) {
  const auto found = open_.find(fd);
  if (found == open_.end()) {
    errno = EBADF;
    return nullptr;
  }
  return &found->second;
}

std::string SimulatedDisk::name_of(std::uint64_t file) const {
  for (const auto& [path, id] : state_.names_)
    if (id == file) return path;
  return "(removed)";
}

std::uint64_t SimulatedDisk::used() const {
  std::uint64_t pages = 0;
  for (const auto& [id, file] : state_.files_)
    for (const auto& [index, page] : file.pages) pages += page.now() ? 1 : 0;
  return pages * DiskState::page_bytes;
}

void SimulatedDisk::forget_unused() {
  std::set<std::uint64_t> used;
  for (const auto& [path, id] : state_.names_) used.insert(id);
  for (const auto& [path, id] : state_.synced_names_) used.insert(id);
  for (const DiskState::NameChange& change : state_.changes_) used.insert(change.file);
  for (const auto& [fd, open] : open_) used.insert(open.file);
  for (auto file = state_.files_.begin(); file != state_.files_.end();) {
    if (used.contains(file->first)) {
      ++file;
    } else {
      state_.bury(file->second);
      file = state_.files_.erase(file);
    }
  }
}

int SimulatedDisk::open(const char* path, int flags, mode_t) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const std::string name = path;
  if (name == directory) {
    errno = EISDIR;
    return -1;
  }
  auto found = state_.names_.find(name);
  if (found != state_.names_.end() && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) {
    errno = EEXIST;
    return -1;
  }
  if (found == state_.names_.end()) {
    if ((flags & O_CREAT) == 0 || !name.starts_with(std::string(directory) + "/")) {
      errno = ENOENT;
      return -1;
    }
    if (!begin({DiskOperation::Kind::create, name, {}, 0, 0})) return -1;
    const std::uint64_t id = state_.next_file_++;
    state_.files_[id];
    found = state_.names_.emplace(name, id).first;
    state_.changes_.push_back({DiskOperation::Kind::create, id, {}, name});
  } else if ((flags & O_TRUNC) != 0) {
    DiskState::File& file = state_.files_[found->second];
    if (file.size > 0) {
      if (!begin({DiskOperation::Kind::truncate, name, {}, 0, 0})) return -1;
      state_.resize(file, 0);
    }
  }
  open_[next_fd_] = {found->second, (flags & O_ACCMODE) != O_RDONLY, name, 0};
  return next_fd_++;
}

int SimulatedDisk::close(int fd) noexcept {
  const std::lock_guard lock(mutex_);
  if (open_.erase(fd) == 0) {
    errno = EBADF;
    return -1;
  }
  forget_unused();
  return alive() ? 0 : -1;
}

ssize_t SimulatedDisk::pread(int fd, void* to, std::size_t bytes, off_t at) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const Open* const open = descriptor(fd);
  if (!open) return -1;
  const DiskState::File& file = state_.files_[open->file];
  const auto from = static_cast<std::uint64_t>(at);
  if (from >= file.size) return 0;
  bytes = std::min<std::uint64_t>(bytes, file.size - from);
  auto* const out = static_cast<std::byte*>(to);
  for (std::size_t done = 0; done < bytes;) {
    const std::uint64_t index = (from + done) / DiskState::page_bytes;
    const std::size_t offset = (from + done) % DiskState::page_bytes;
    const std::size_t n = std::min(DiskState::page_bytes - offset, bytes - done);
    const auto page = file.pages.find(index);
    if (page != file.pages.end() && page->second.now())
      std::memcpy(out + done, page->second.now()->data() + offset, n);
    else
      std::memset(out + done, 0, n);
    done += n;
  }
  return static_cast<ssize_t>(bytes);
}

ssize_t SimulatedDisk::pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const Open* const open = descriptor(fd);
  if (!open) return -1;
  if (!open->writable) {
    errno = EBADF;
    return -1;
  }
  const auto to = static_cast<std::uint64_t>(at);
  if (!begin({DiskOperation::Kind::write, name_of(open->file), {}, to, bytes})) return -1;
  if (bytes == 0) return 0;
  DiskState::File& file = state_.files_[open->file];
  if (capacity_) {
    std::uint64_t room = *capacity_ - std::min(*capacity_, used());
    std::size_t fits = 0;
    while (fits < bytes) {
      const std::uint64_t index = (to + fits) / DiskState::page_bytes;
      const auto page = file.pages.find(index);
      if (page == file.pages.end() || !page->second.now()) {
        if (room < DiskState::page_bytes) break;
        room -= DiskState::page_bytes;
      }
      fits = std::min<std::size_t>(bytes, (index + 1) * DiskState::page_bytes - to);
    }
    if (fits == 0) {
      errno = ENOSPC;
      return -1;
    }
    bytes = fits;
  }
  state_.write(file, to, static_cast<const std::byte*>(from), bytes);
  return static_cast<ssize_t>(bytes);
}

int SimulatedDisk::ftruncate(int fd, off_t size) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const Open* const open = descriptor(fd);
  if (!open) return -1;
  if (!open->writable || size < 0) {
    errno = EINVAL;
    return -1;
  }
  DiskState::File& file = state_.files_[open->file];
  const auto to = static_cast<std::uint64_t>(size);
  if (!begin({DiskOperation::Kind::truncate, name_of(open->file), {}, to, 0})) return -1;
  if (to != file.size) state_.resize(file, to);
  return 0;
}

off_t SimulatedDisk::size(int fd) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const Open* const open = descriptor(fd);
  return open ? static_cast<off_t>(state_.files_[open->file].size) : -1;
}

int SimulatedDisk::fdatasync(int fd) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const Open* const open = descriptor(fd);
  if (!open) return -1;
  if (!begin({DiskOperation::Kind::sync, name_of(open->file), {}, 0, 0})) return -1;
  DiskState::File& file = state_.files_[open->file];
  for (auto& [index, page] : file.pages) {
    if (page.since.empty() || page.given_up) continue;
    page.synced = page.since.back();
    page.allocated = page.synced != nullptr;
    page.since.clear();
  }
  file.synced_size = file.size;
  file.sizes.clear();
  return 0;
}

int SimulatedDisk::flock(int fd, int operation) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  Open* const open = descriptor(fd);
  if (!open) return -1;
  const int wanted = operation & ~LOCK_NB;
  if (wanted != LOCK_UN) {
    for (const auto& [other_fd, other] : open_) {
      if (other_fd == fd || other.file != open->file || other.lock == 0) continue;
      if (wanted == LOCK_SH && other.lock == LOCK_SH) continue;
      // Nobody will ever come to release it while this thread waits.
      errno = (operation & LOCK_NB) != 0 ? EWOULDBLOCK : EDEADLK;
      return -1;
    }
  }
  open->lock = wanted == LOCK_UN ? 0 : wanted;
  return 0;
}

void SimulatedDisk::start_writeback(int, off_t, off_t) noexcept {}

PathKind SimulatedDisk::kind(const char* path) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return PathKind::nothing;
  const std::string name = path;
  if (name == directory || name == std::string(directory) + "/") return PathKind::directory;
  if (state_.names_.contains(name)) return PathKind::file;
  errno = ENOENT;
  return PathKind::nothing;
}

int SimulatedDisk::rename(const char* from, const char* to, bool replace) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const auto old = state_.names_.find(from);
  if (old == state_.names_.end()) {
    errno = ENOENT;
    return -1;
  }
  if (!replace && state_.names_.contains(to)) {
    errno = EEXIST;
    return -1;
  }
  if (!begin({DiskOperation::Kind::rename, from, to, 0, 0})) return -1;
  const std::uint64_t id = old->second;
  state_.names_.erase(old);
  state_.names_[to] = id;
  state_.changes_.push_back({DiskOperation::Kind::rename, id, from, to});
  return 0;
}

int SimulatedDisk::unlink(const char* path) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  const auto found = state_.names_.find(path);
  if (found == state_.names_.end()) {
    errno = ENOENT;
    return -1;
  }
  if (!begin({DiskOperation::Kind::unlink, path, {}, 0, 0})) return -1;
  state_.changes_.push_back({DiskOperation::Kind::unlink, found->second, path, {}});
  state_.names_.erase(found);
  return 0;
}

int SimulatedDisk::sync_directory(const char* path) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  if (std::string(path) != directory) {
    errno = ENOENT;
    return -1;
  }
  if (!begin({DiskOperation::Kind::sync_directory, path, {}, 0, 0})) return -1;
  state_.synced_names_ = state_.names_;
  state_.changes_.clear();
  forget_unused();
  return 0;
}

int SimulatedDisk::list(const char* path, std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  if (std::string(path) != directory) {
    errno = ENOENT;
    return -1;
  }
  for (const auto& [name, id] : state_.names_)
    names.push_back(name.substr(std::strlen(directory) + 1));
  return 0;
}

std::int64_t SimulatedDisk::free_bytes(const char*) noexcept {
  const std::lock_guard lock(mutex_);
  if (!alive()) return -1;
  if (!capacity_) return free_bytes_;
  return static_cast<std::int64_t>(*capacity_ - std::min(*capacity_, used()));
}

}  // namespace spillway::test
