#include "h5_driver.hpp"

#include <H5FDpublic.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "h5.hpp"

namespace spillway::h5 {

namespace {

// What the access properties of a file keep for the driver.
struct DriverInfo {
  FileCalls* calls = nullptr;
};

struct KeptWrite {
  haddr_t address = 0;
  std::vector<std::byte> bytes;
};

// The library knows it by its first member, which must be the first.
struct DriverFile {
  DriverFile() = default;
  DriverFile(const DriverFile&) = delete;
  DriverFile& operator=(const DriverFile&) = delete;
  ~DriverFile() {
    if (fd >= 0) calls->close(fd);
  }
  H5FD_t common{};
  FileCalls* calls = nullptr;
  int fd = -1;
  bool ignore_disabled_locks = false;
  haddr_t end_allocated = 0;
  haddr_t end_of_file = 0;
  int error = 0;
  bool read_behind_end = false;
  bool keeps = false;
  std::vector<KeptWrite> kept;
  const void* written_from = nullptr;
  haddr_t written_to = HADDR_UNDEF;
};

DriverFile& file_of(H5FD_t* file) noexcept { return *reinterpret_cast<DriverFile*>(file); }
const DriverFile& file_of(const H5FD_t* file) noexcept {
  return *reinterpret_cast<const DriverFile*>(file);
}

// Remembers errno for take_error, and leaves the words with the library.
herr_t failed(DriverFile& file, hid_t minor, const char* what, haddr_t at) noexcept {
  const int error = errno;
  if (file.error == 0) file.error = error;
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, minor,
           "%s at byte %llu: %s", what, static_cast<unsigned long long>(at), std::strerror(error));
  return -1;
}
herr_t failed(DriverFile& file, hid_t minor, const char* what) noexcept {
  const int error = errno;
  if (file.error == 0) file.error = error;
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, minor, "%s: %s", what,
           std::strerror(error));
  return -1;
}

template <class Call>
auto without_interruption(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

bool in_range(haddr_t address, std::size_t bytes) noexcept {
  constexpr haddr_t most = std::numeric_limits<off_t>::max();
  return address <= most && bytes <= most - address;
}

// As HDF5's own driver: the environment before the property.
bool ignores_disabled_locks(hid_t access) {
  const char* const variable = std::getenv("HDF5_USE_FILE_LOCKING");
  const std::string_view wish = variable ? variable : "";
  if (wish == "BEST_EFFORT") return true;
  if (wish == "TRUE" || wish == "1") return false;
  hbool_t use = true;
  hbool_t ignore = false;
  return H5Pget_file_locking(access, &use, &ignore) >= 0 && ignore;
}

void* copy_info(const void* info) { return new DriverInfo(*static_cast<const DriverInfo*>(info)); }
herr_t free_info(void* info) {
  delete static_cast<DriverInfo*>(info);
  return 0;
}
void* get_info(H5FD_t* file) { return new DriverInfo{file_of(file).calls}; }

H5FD_t* open(const char* path, unsigned flags, hid_t access, haddr_t /*most*/) try {
  const auto* const info = static_cast<const DriverInfo*>(H5Pget_driver_info(access));
  if (!info || !info->calls) return nullptr;
  auto file = std::make_unique<DriverFile>();
  file->calls = info->calls;
  file->ignore_disabled_locks = ignores_disabled_locks(access);
  const int how = ((flags & H5F_ACC_RDWR) != 0 ? O_RDWR : O_RDONLY) |
                  ((flags & H5F_ACC_TRUNC) != 0 ? O_TRUNC : 0) |
                  ((flags & H5F_ACC_CREAT) != 0 ? O_CREAT : 0) |
                  ((flags & H5F_ACC_EXCL) != 0 ? O_EXCL : 0);
  file->fd = without_interruption([&] { return file->calls->open(path, how, 0666); });
  if (file->fd < 0) {
    failed(*file, H5E_CANTOPENFILE, "can't be opened");
    return nullptr;
  }
  const off_t size = file->calls->size(file->fd);
  if (size < 0) {
    failed(*file, H5E_CANTOPENFILE, "its size can't be told");
    return nullptr;
  }
  file->end_of_file = static_cast<haddr_t>(size);
  return &file.release()->common;
} catch (const std::bad_alloc&) {
  return nullptr;
}

int write_kept(DriverFile& file);

herr_t close(H5FD_t* common) {
  const std::unique_ptr<DriverFile> file(&file_of(common));
  if ((errno = write_kept(*file)) != 0) return failed(*file, H5E_WRITEERROR, "can't be written");
  // The descriptor is gone even if this fails.
  if (file->calls->close(std::exchange(file->fd, -1)) != 0)
    return failed(*file, H5E_CANTCLOSEFILE, "can't be closed");
  return 0;
}

// No two openings are the same file: else HDF5 has one cache for all of them in this process, and a
// reader of a growing file sees rows that its writer has announced and not written, keeps what it
// saw first, and keeps the file open when the writer closes it.
int compare(const H5FD_t* a, const H5FD_t* b) {
  return std::less<>()(a, b) ? -1 : std::less<>()(b, a) ? 1 : 0;
}

// Those of HDF5's own driver. Without H5FD_FEAT_POSIX_COMPAT_HANDLE: our handle is no descriptor.
herr_t query(const H5FD_t* /*file*/, unsigned long* flags) {
  if (flags)
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_SUPPORTS_SWMR_IO |
             H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t /*type*/) { return file_of(file).end_allocated; }
herr_t set_eoa(H5FD_t* file, H5FD_mem_t /*type*/, haddr_t address) {
  file_of(file).end_allocated = address;
  return 0;
}
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t /*type*/) { return file_of(file).end_of_file; }

herr_t get_handle(H5FD_t* file, hid_t /*access*/, void** handle) {
  *handle = &file_of(file);
  return 0;
}

herr_t read(H5FD_t* common, H5FD_mem_t type, hid_t /*transfer*/, haddr_t address, std::size_t bytes,
            void* to) {
  DriverFile& file = file_of(common);
  if (!in_range(address, bytes)) {
    errno = EOVERFLOW;
    return failed(file, H5E_OVERFLOW, "there is no place in a file", address);
  }
  const std::span<std::byte> out(static_cast<std::byte*>(to), bytes);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t n = without_interruption([&] {
      return file.calls->pread(file.fd, out.data() + done, bytes - done,
                               static_cast<off_t>(address + done));
    });
    if (n < 0) return failed(file, H5E_READERROR, "can't be read", address + done);
    if (n == 0) {  // behind the end, where the library has allocated but not written yet
      std::memset(out.data() + done, 0, bytes - done);
      file.read_behind_end |= type == H5FD_MEM_DRAW;
      break;
    }
    done += static_cast<std::size_t>(n);
  }
  for (const KeptWrite& kept : file.kept) {
    const haddr_t from = std::max(address, kept.address);
    const haddr_t end = std::min(address + bytes, kept.address + kept.bytes.size());
    if (from < end)
      std::memcpy(out.data() + (from - address), kept.bytes.data() + (from - kept.address),
                  end - from);
  }
  return 0;
}

// Where it could not be written further; errno says why. The end: all is written.
haddr_t write_all(DriverFile& file, haddr_t address, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t n = without_interruption([&] {
      return file.calls->pwrite(file.fd, from.data(), from.size(), static_cast<off_t>(address));
    });
    if (n == 0) errno = EIO;
    if (n <= 0) break;
    from = from.subspan(static_cast<std::size_t>(n));
    address += static_cast<haddr_t>(n);
    file.end_of_file = std::max(file.end_of_file, address);
  }
  return address;
}

int write_kept(DriverFile& file) {
  std::size_t done = 0;
  int error = 0;
  for (const KeptWrite& kept : file.kept) {
    if (write_all(file, kept.address, kept.bytes) != kept.address + kept.bytes.size()) {
      error = errno;
      break;
    }
    ++done;
  }
  file.kept.erase(file.kept.begin(), file.kept.begin() + static_cast<std::ptrdiff_t>(done));
  return error;
}

herr_t write(H5FD_t* common, H5FD_mem_t type, hid_t /*transfer*/, haddr_t address,
             std::size_t bytes, const void* from) try {
  DriverFile& file = file_of(common);
  if (!in_range(address, bytes)) {
    errno = EOVERFLOW;
    return failed(file, H5E_OVERFLOW, "there is no place in a file", address);
  }
  const std::span<const std::byte> in(static_cast<const std::byte*>(from), bytes);
  haddr_t reached = address;
  if (file.kept.empty()) reached = write_all(file, address, in);
  if (reached != address + bytes) {
    if (!file.keeps) return failed(file, H5E_WRITEERROR, "can't be written", reached);
    // Not past what is kept already: a later write must not be undone by an earlier one.
    if (file.kept.empty() && file.error == 0) file.error = errno;
    file.kept.push_back({address, {in.begin(), in.end()}});
  }
  if (type == H5FD_MEM_DRAW) {
    file.written_from = from;
    file.written_to = address;
  }
  return 0;
} catch (const std::bad_alloc&) {
  errno = ENOMEM;
  return failed(file_of(common), H5E_WRITEERROR, "can't be kept", address);
}

herr_t truncate(H5FD_t* common, hid_t /*transfer*/, hbool_t closing) {
  DriverFile& file = file_of(common);
  if (file.end_allocated == file.end_of_file) return 0;
  const auto size = static_cast<off_t>(file.end_allocated);
  if (without_interruption([&] { return file.calls->ftruncate(file.fd, size); }) < 0) {
    if (!file.keeps || closing)
      return failed(file, H5E_SEEKERROR, "can't be made to end", file.end_allocated);
    // The library asks again with the next flush.
    if (file.error == 0) file.error = errno;
    return 0;
  }
  file.end_of_file = file.end_allocated;
  return 0;
}

herr_t flock_file(DriverFile& file, int operation) {
  if (without_interruption([&] { return file.calls->flock(file.fd, operation); }) == 0) return 0;
  if (errno == ENOSYS && file.ignore_disabled_locks) return 0;
  return failed(file, H5E_BADFILE, "can't be locked");
}
herr_t lock(H5FD_t* file, hbool_t exclusive) {
  return flock_file(file_of(file), (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
}
herr_t unlock(H5FD_t* file) { return flock_file(file_of(file), LOCK_UN); }

const H5FD_class_t& driver_class() {
  static const H5FD_class_t driver = [] {
    H5FD_class_t d{};
#if H5_VERSION_GE(1, 13, 2)
    d.version = H5FD_CLASS_VERSION;
    d.value = static_cast<H5FD_class_value_t>(H5_VFD_RESERVED + 1);
#endif
    d.name = "spillway";
    d.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
    d.fc_degree = H5F_CLOSE_WEAK;
    d.fapl_size = sizeof(DriverInfo);
    d.fapl_get = get_info;
    d.fapl_copy = copy_info;
    d.fapl_free = free_info;
    d.open = open;
    d.close = close;
    d.cmp = compare;
    d.query = query;
    d.get_eoa = get_eoa;
    d.set_eoa = set_eoa;
    d.get_eof = get_eof;
    d.get_handle = get_handle;
    d.read = read;
    d.write = write;
    d.truncate = truncate;
    d.lock = lock;
    d.unlock = unlock;
    constexpr H5FD_mem_t pools[] = H5FD_FLMAP_DICHOTOMY;  // metadata and raw data apart
    std::copy(std::begin(pools), std::end(pools), std::begin(d.fl_map));
    return d;
  }();
  return driver;
}

DriverFile& driver_file(hid_t file) {
  void* handle = nullptr;
  if (H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0) fail("HDF5", "no driver of ours");
  return *static_cast<DriverFile*>(handle);
}

}  // namespace

void set_driver(hid_t access, FileCalls& calls) {
  // H5close forgets drivers.
  static hid_t driver = -1;
  if (H5Iget_type(driver) != H5I_VFL) driver = H5FDregister(&driver_class());
  const DriverInfo info{&calls};
  if (driver < 0 || H5Pset_driver(access, driver, &info) < 0) fail("HDF5", "no driver");
}

int take_error(hid_t file) { return std::exchange(driver_file(file).error, 0); }

bool take_read_behind_end(hid_t file) {
  return std::exchange(driver_file(file).read_behind_end, false);
}

std::int64_t address_of_last_write(hid_t file, const void* buffer) {
  DriverFile& driver = driver_file(file);
  if (!buffer || driver.written_from != buffer) return -1;
  driver.written_from = nullptr;
  return static_cast<std::int64_t>(driver.written_to);
}

void keep_failed_writes(hid_t file) { driver_file(file).keeps = true; }
int write_kept(hid_t file) {
  DriverFile& driver = driver_file(file);
  const int error = write_kept(driver);
  if (error == 0) driver.error = 0;
  return error;
}

int descriptor(hid_t file) { return driver_file(file).fd; }

}  // namespace spillway::h5
