// Proof that a loop is fit for real time: runs it, and tells whether it allocated, locked,
// faulted or entered the kernel.
//
// For test programs: watch a run of your own loop, and fail the test unless it was clean.
//
//   const RealtimeFindings findings = watch_realtime([&] { lap(); }, [&] { for (...) lap(); });
//   REQUIRE(describe(findings) == "clean");
//
// The program that includes this header, in any number of its sources, has malloc and its
// relatives, locks, condition variables and semaphores of the C library replaced by functions that
// note who calls them and call the real ones: hence not for a program that is delivered. System
// calls are handed over by the kernel itself (seccomp with user notification), whoever makes them
// and however; they are made as ever, only later. Nothing else of Spillway is needed.
//
// What is seen, all of it in the watched thread alone:
//   - allocations and deallocations through operator new and delete, malloc and all that rests
//     on it, in the program and its shared libraries; not a pool of your own, unless it grows;
//   - locks, waiting and waking through pthreads and semaphores, hence std::mutex and so on, also
//     when nobody else holds or waits; not a lock made of atomics, nor the C library's own,
//     such as that of a FILE, until it waits in the kernel;
//   - page faults, as the kernel counts them for the thread;
//   - every system call. Reading the clock is none where the vDSO does it, as on most machines.
// Interrupts and preemption are nobody's doing. A loop is clean for what it did while it was
// watched, not for branches it did not take.
//
// Watches on Linux with glibc 2.34 or later, linked dynamically, on x86-64 and aarch64; system
// calls since Linux 5.5. Elsewhere, and under the address, memory and thread sanitizers, which
// replace malloc themselves, it compiles, runs the loop and says that it was not watched; that is
// never clean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(hwaddress_sanitizer) || \
    __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SPILLWAY_REALTIME_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_HWADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPILLWAY_REALTIME_SANITIZED
#endif

namespace spillway {

// How often something was done, and the first time in detail.
struct RealtimeOffences {
  std::uint64_t count = 0;
  std::string first;  // "malloc of 64 bytes", "pthread_mutex_lock", "write (1)"; empty: none
  // The functions that led there, the innermost first. By name where the program exports it
  // (-rdynamic, or ENABLE_EXPORTS in CMake), else as "program+0x1234" for addr2line. Of a system
  // call only where it was made; `strace -k` tells more.
  std::vector<std::string> where;
};

struct RealtimeFindings {
  RealtimeOffences allocations;
  RealtimeOffences deallocations;
  RealtimeOffences locks;  // taken, tried, waited for or woken
  RealtimeOffences system_calls;
  std::uint64_t minor_faults = 0;  // a page was not there, and did not have to be read
  std::uint64_t major_faults = 0;  // a page had to be read from a disk

  // For information: without a system call or a fault the loop is to blame for neither.
  std::uint64_t waits = 0;        // gave the processor away to wait (voluntary switches)
  std::uint64_t preemptions = 0;  // others took it (involuntary switches)

  // What could not be watched, and why; empty if everything was.
  std::string not_watched;

  [[nodiscard]] std::uint64_t faults() const noexcept { return minor_faults + major_faults; }
  // Everything was watched, and nothing found.
  [[nodiscard]] bool clean() const noexcept {
    return not_watched.empty() && allocations.count == 0 && deallocations.count == 0 &&
           locks.count == 0 && system_calls.count == 0 && faults() == 0;
  }
};

// One line for people: "clean", or "2 allocations (first: malloc of 64 bytes), 3 page faults".
[[nodiscard]] std::string describe(const RealtimeFindings& findings);

// Runs `prepare` and then `loop` on a new thread, with the scheduling of the caller's; `loop` is
// watched. Blocks until both are done; rethrows what they throw.
//
// Code and stack that are used for the first time fault. So `prepare` is the place for what your
// acquisition thread does before its loop: set its priority, and go through the loop once. What
// faults in spite of that is memory the loop meets anew.
//
// Any number of threads may watch at a time, but not a loop that watches another. A thread that
// `loop` starts must end before it does: it is without the kernel afterwards.
template <class Prepare, class Loop>
[[nodiscard]] RealtimeFindings watch_realtime(Prepare&& prepare, Loop&& loop);
template <class Loop>
[[nodiscard]] RealtimeFindings watch_realtime(Loop&& loop);

}  // namespace spillway

// --- The rest is how. ---

#if defined(__linux__) && defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__)) && \
    !defined(SPILLWAY_REALTIME_SANITIZED)

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <system_error>

// glibc's allocator under the names that are not replaced.
extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier)
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* __libc_valloc(std::size_t size);
void* __libc_pvalloc(std::size_t size);
void __libc_free(void* memory);
// NOLINTEND(bugprone-reserved-identifier)
}

namespace spillway::realtime_check {

// --- Notes: what the watched thread did ---

// As noted on the spot, where nothing may be allocated.
struct Note {
  static constexpr std::size_t unsized = static_cast<std::size_t>(-1);
  std::uint64_t count = 0;
  const char* function = nullptr;  // of the first
  std::size_t bytes = unsized;
  std::array<void*, 32> frames;
  int depth = 0;
};

struct SystemCallNote {
  std::uint64_t count = 0;
  seccomp_data first{};
};

struct Usage {
  std::uint64_t minor_faults, major_faults, waits, preemptions;
};

struct Notes {
  Note allocations;
  Note deallocations;
  Note locks;
  SystemCallNote system_calls;  // noted by the thread that serves them
  Usage before{};
  Usage after{};
  // Whether a system call counts: one that the watch itself makes does not.
  std::atomic<bool> armed{false};
  // The kernel lets getrusage into this very place pass.
  rusage usage{};
  const void* outside = nullptr;  // where the watch ends, on the stack
};

// Of the watched thread, while it is watched. Never allocated late, as other thread-local
// variables of a shared library may be.
__attribute__((tls_model("initial-exec"))) inline constinit thread_local Notes* current = nullptr;

// While one lives, what this thread does is the watch's own.
class Pause {
 public:
  Pause() noexcept : notes_(std::exchange(current, nullptr)) {
    if (notes_ != nullptr) notes_->armed.store(false, std::memory_order_relaxed);
  }
  ~Pause() {
    if (notes_ != nullptr) notes_->armed.store(true, std::memory_order_relaxed);
    current = notes_;
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  [[nodiscard]] Notes* notes() const noexcept { return notes_; }

 private:
  Notes* notes_;
};

// The two innermost frames are always this one and the function replaced.
inline constexpr std::ptrdiff_t own_frames = 2;
__attribute__((noinline)) inline void note_here(Note Notes::*kind, const char* function,
                                                std::size_t bytes) noexcept {
  const Pause pause;
  Note& note = pause.notes()->*kind;
  if (note.count++ > 0) return;
  note.function = function;
  note.bytes = bytes;
  note.depth = backtrace(note.frames.data(), static_cast<int>(note.frames.size()));
}

__attribute__((always_inline)) inline void note(Note Notes::*kind, const char* function,
                                                std::size_t bytes = Note::unsized) noexcept {
  if (current != nullptr) [[unlikely]]
    note_here(kind, function, bytes);
}

// Notes the lock, and finds the C library's function behind the one of that name here.
template <class Function>
__attribute__((always_inline)) inline Function note_lock(std::atomic<Function>& real,
                                                         const char* name) noexcept {
  note(&Notes::locks, name);
  Function function = real.load(std::memory_order_relaxed);
  if (function == nullptr) {
    const Pause pause;
    // On x86-64 there are condition variables of two makes; this is the version of the newer.
    void* found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    if (found == nullptr) found = dlsym(RTLD_NEXT, name);
    if (found == nullptr) std::abort();  // called, yet absent: there is no going on
    std::memcpy(&function, &found, sizeof function);
    real.store(function, std::memory_order_relaxed);
  }
  return function;
}

// --- The kernel's part: every system call of the thread is handed to the one that serves it ---

inline constexpr std::uint32_t native_architecture =
#ifdef __x86_64__
    AUDIT_ARCH_X86_64;
#else
    AUDIT_ARCH_AARCH64;
#endif

// From here on every system call of this thread waits for the listener, which is returned; or
// -errno. For good: the kernel takes no filter back.
inline int hand_over_system_calls(const rusage& permitted) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(&permitted);
  const auto load = [](std::size_t offset) -> sock_filter {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  };
  // Skips `others` instructions unless it is equal.
  const auto expect = [](std::uint64_t value, std::uint8_t others) -> sock_filter {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(value), 0, others);
  };
  const auto verdict = [](std::uint32_t action) -> sock_filter {
    return BPF_STMT(BPF_RET | BPF_K, action);
  };
  constexpr std::size_t second = offsetof(seccomp_data, args) + sizeof(std::uint64_t);
  std::array<sock_filter, 10> filter{load(offsetof(seccomp_data, arch)),
                                     expect(native_architecture, 7),
                                     load(offsetof(seccomp_data, nr)),
                                     expect(SYS_getrusage, 5),
                                     load(second),
                                     expect(address & 0xFFFF'FFFF, 3),
                                     load(second + 4),
                                     expect(address >> 32, 1),
                                     verdict(SECCOMP_RET_ALLOW),
                                     verdict(SECCOMP_RET_USER_NOTIF)};
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  // Of this thread alone; without it only a privileged one may have a filter.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
  const auto listener =
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  return listener < 0 ? -errno : static_cast<int>(listener);
}

// Lets the system calls of the watched thread be made, and notes them. Allocates nothing after
// its constructor: the thread that waits may hold the allocator's lock.
class SystemCallServer {
 public:
  SystemCallServer() {
    seccomp_notif_sizes sizes{};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0) {
      request_.resize(sizes.seccomp_notif);
      response_.resize(sizes.seccomp_notif_resp);
    }
    // The kernel's idea of them may be larger than the header's, or smaller.
    request_.resize(std::max(request_.size(), sizeof(seccomp_notif)));
    response_.resize(std::max(response_.size(), sizeof(seccomp_notif_resp)));
  }

  // Serves what is waiting, or comes within a millisecond.
  void serve(int listener, std::uint32_t watched, Notes& notes) noexcept {
    pollfd waiting{listener, POLLIN, 0};
    if (poll(&waiting, 1, 1) <= 0 || (waiting.revents & POLLIN) == 0) return;
    std::memset(request_.data(), 0, request_.size());
    // Fails if a signal has taken the caller away meanwhile.
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, request_.data()) != 0) return;
    const auto& request = *reinterpret_cast<const seccomp_notif*>(request_.data());
    if (request.pid == watched && notes.armed.load(std::memory_order_relaxed) &&
        notes.system_calls.count++ == 0)
      notes.system_calls.first = request.data;
    std::memset(response_.data(), 0, response_.size());
    auto& response = *reinterpret_cast<seccomp_notif_resp*>(response_.data());
    response.id = request.id;
    response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0 || errno == ENOENT) return;
    // A kernel before 5.5. The caller must not wait for ever.
    refused_ = true;
    response.flags = 0;
    response.error = -ENOSYS;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }

  // The kernel can hand system calls over, but not have them made afterwards.
  [[nodiscard]] bool refused() const noexcept { return refused_; }

 private:
  // As operator new returns them: aligned for the structures.
  std::vector<std::byte> request_;
  std::vector<std::byte> response_;
  bool refused_ = false;
};

// --- The watched thread ---

struct Run {
  const std::function<void()>& prepare;
  const std::function<void()>& loop;
  Notes notes;
  std::exception_ptr error;
  std::uint32_t thread_id = 0;
  static constexpr int preparing = -10'000;  // no errno
  std::atomic<int> listener{preparing};
};

inline Usage read_usage(Notes& notes) noexcept {
  getrusage(RUSAGE_THREAD, &notes.usage);
  const auto unsigned_of = [](long value) { return static_cast<std::uint64_t>(value); };
  return {unsigned_of(notes.usage.ru_minflt), unsigned_of(notes.usage.ru_majflt),
          unsigned_of(notes.usage.ru_nvcsw), unsigned_of(notes.usage.ru_nivcsw)};
}

__attribute__((noinline)) inline void watched_call(Run& run, const std::function<void()>& loop) {
  run.notes.outside = __builtin_return_address(0);
  run.notes.before = read_usage(run.notes);
  run.notes.armed.store(true, std::memory_order_relaxed);
  current = &run.notes;
  try {
    loop();
  } catch (...) {
    run.error = std::current_exception();
  }
  current = nullptr;
  run.notes.armed.store(false, std::memory_order_relaxed);
  run.notes.after = read_usage(run.notes);
}

inline void* run_watched(void* argument) {
  Run& run = *static_cast<Run*>(argument);
  run.thread_id = static_cast<std::uint32_t>(syscall(SYS_gettid));
  try {
    run.prepare();
  } catch (...) {
    run.error = std::current_exception();
    run.listener = -ECANCELED;
    return nullptr;
  }
  run.listener = hand_over_system_calls(run.notes.usage);
  // What the watch itself uses for the first time faults, too.
  const std::function<void()> anything = [] { note(&Notes::locks, ""); };
  watched_call(run, anything);
  run.notes.locks = {};
  run.notes.system_calls = {};
  watched_call(run, run.loop);
  return nullptr;
}

// --- From notes to findings ---

inline std::string place(const void* address) {
  Dl_info found{};
  // A return address may be the first of the next function.
  const void* const inside = static_cast<const char*>(address) - 1;
  if (dladdr(inside, &found) == 0 || found.dli_fname == nullptr) return "?";
  if (found.dli_sname != nullptr) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> readable(
        abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, &status), std::free);
    return status == 0 ? readable.get() : found.dli_sname;
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string offset;
  for (auto rest = static_cast<std::uint64_t>(static_cast<const char*>(inside) -
                                              static_cast<const char*>(found.dli_fbase));
       rest > 0; rest >>= 4)
    offset.insert(offset.begin(), digits[rest & 0xF]);
  return std::string(found.dli_fname) + "+0x" + offset;
}

// Of those that real-time loops run into; any other has its number alone.
inline std::string system_call_name(const seccomp_data& call) {
  struct Named {
    long number;
    const char* name;
  };
  constexpr std::array table{Named{SYS_brk, "brk"},
                             Named{SYS_clock_gettime, "clock_gettime"},
                             Named{SYS_clock_nanosleep, "clock_nanosleep"},
                             Named{SYS_clone, "clone"},
                             Named{SYS_clone3, "clone3"},
                             Named{SYS_close, "close"},
                             Named{SYS_epoll_pwait, "epoll_pwait"},
#ifdef SYS_epoll_wait
                             Named{SYS_epoll_wait, "epoll_wait"},
#endif
                             Named{SYS_fdatasync, "fdatasync"},
                             Named{SYS_fsync, "fsync"},
                             Named{SYS_futex, "futex"},
                             Named{SYS_getpid, "getpid"},
                             Named{SYS_getrandom, "getrandom"},
                             Named{SYS_getrusage, "getrusage"},
                             Named{SYS_gettid, "gettid"},
                             Named{SYS_gettimeofday, "gettimeofday"},
                             Named{SYS_ioctl, "ioctl"},
                             Named{SYS_lseek, "lseek"},
                             Named{SYS_madvise, "madvise"},
                             Named{SYS_mmap, "mmap"},
                             Named{SYS_mprotect, "mprotect"},
                             Named{SYS_mremap, "mremap"},
                             Named{SYS_munmap, "munmap"},
                             Named{SYS_nanosleep, "nanosleep"},
                             Named{SYS_newfstatat, "newfstatat"},
                             Named{SYS_openat, "openat"},
#ifdef SYS_poll
                             Named{SYS_poll, "poll"},
#endif
                             Named{SYS_ppoll, "ppoll"},
                             Named{SYS_pread64, "pread64"},
                             Named{SYS_pselect6, "pselect6"},
                             Named{SYS_pwrite64, "pwrite64"},
                             Named{SYS_read, "read"},
                             Named{SYS_recvfrom, "recvfrom"},
                             Named{SYS_recvmsg, "recvmsg"},
                             Named{SYS_rt_sigprocmask, "rt_sigprocmask"},
                             Named{SYS_sched_yield, "sched_yield"},
#ifdef SYS_select
                             Named{SYS_select, "select"},
#endif
                             Named{SYS_sendmsg, "sendmsg"},
                             Named{SYS_sendto, "sendto"},
                             Named{SYS_tgkill, "tgkill"},
                             Named{SYS_write, "write"},
                             Named{SYS_writev, "writev"}};
  const std::string number = std::to_string(call.nr);
  if (call.arch != native_architecture) return "number " + number + " of another architecture";
  const auto* const found =
      std::find_if(table.begin(), table.end(), [&](const Named& n) { return n.number == call.nr; });
  return found == table.end() ? "number " + number : std::string(found->name) + " (" + number + ")";
}

inline RealtimeOffences offences(const Note& note, const void* outside_of_watch) {
  RealtimeOffences result;
  result.count = note.count;
  if (note.count == 0) return result;
  result.first = note.function;
  if (note.bytes != Note::unsized) result.first += " of " + std::to_string(note.bytes) + " bytes";
  // Without the frames of the watch itself: watched_call is the last before the outside.
  const auto begin = note.frames.begin() + own_frames;
  const auto end = note.frames.begin() + std::max<std::ptrdiff_t>(note.depth, own_frames);
  const auto outside = std::find(begin, end, outside_of_watch);
  const auto stop = outside == end || outside == begin ? outside : outside - 1;
  std::transform(begin, stop, std::back_inserter(result.where), place);
  return result;
}

inline RealtimeOffences offences(const SystemCallNote& note) {
  if (note.count == 0) return {};
  const auto address = static_cast<std::uintptr_t>(note.first.instruction_pointer);
  return {
      note.count, system_call_name(note.first), {place(reinterpret_cast<const void*>(address))}};
}

inline RealtimeFindings watch(const std::function<void()>& prepare,
                              const std::function<void()>& loop) {
  Run run{prepare, loop, {}, {}};
  SystemCallServer server;
  pthread_t thread{};
  if (const int error = pthread_create(&thread, nullptr, run_watched, &run); error != 0)
    throw std::system_error(error, std::generic_category(), "watch_realtime: no thread");
  // Not woken: waking is a system call, which would wait for us.
  while (run.listener == Run::preparing)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  const int listener = run.listener;
  if (listener < 0) {
    pthread_join(thread, nullptr);
  } else {
    // Until the very end: ending a thread takes system calls too.
    while (pthread_tryjoin_np(thread, nullptr) == EBUSY)
      server.serve(listener, run.thread_id, run.notes);
    close(listener);
  }
  if (run.error) std::rethrow_exception(run.error);

  const Notes& notes = run.notes;
  RealtimeFindings findings;
  findings.allocations = offences(notes.allocations, notes.outside);
  findings.deallocations = offences(notes.deallocations, notes.outside);
  findings.locks = offences(notes.locks, notes.outside);
  findings.system_calls = offences(notes.system_calls);
  findings.minor_faults = notes.after.minor_faults - notes.before.minor_faults;
  findings.major_faults = notes.after.major_faults - notes.before.major_faults;
  findings.waits = notes.after.waits - notes.before.waits;
  findings.preemptions = notes.after.preemptions - notes.before.preemptions;
  if (listener < 0)
    findings.not_watched =
        "system calls (seccomp: " + std::generic_category().message(-listener) + ")";
  else if (server.refused())
    findings.not_watched = "system calls (a kernel before 5.5)";
  return findings;
}

}  // namespace spillway::realtime_check

// --- The functions in place of the C library's ---

// Defines `result function parameters` under a name of ours and the symbol of the C library's:
// declarations of that one may differ in what they promise the compiler. Inline, so that
// several sources may have them; used, so that each does.
#define SPILLWAY_REPLACE(result, function, parameters)                                       \
  extern "C"                                                                                 \
      __attribute__((used)) inline result spillway_##function parameters __asm__(#function); \
  extern "C" inline result spillway_##function parameters

SPILLWAY_REPLACE(void*, malloc, (std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "malloc", size);
  return __libc_malloc(size);
}
SPILLWAY_REPLACE(void*, calloc, (std::size_t count, std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "calloc",
                                 count * size);
  return __libc_calloc(count, size);
}
SPILLWAY_REPLACE(void*, realloc, (void* memory, std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "realloc", size);
  return __libc_realloc(memory, size);
}
SPILLWAY_REPLACE(void*, memalign, (std::size_t alignment, std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "memalign", size);
  return __libc_memalign(alignment, size);
}
SPILLWAY_REPLACE(void*, aligned_alloc, (std::size_t alignment, std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "aligned_alloc",
                                 size);
  return __libc_memalign(alignment, size);
}
SPILLWAY_REPLACE(int, posix_memalign, (void** memory, std::size_t alignment, std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "posix_memalign",
                                 size);
  if (alignment % sizeof(void*) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
    return EINVAL;
  const int error = errno;  // which this function leaves alone
  void* const made = __libc_memalign(alignment, size);
  errno = error;
  if (made == nullptr) return ENOMEM;
  *memory = made;
  return 0;
}
SPILLWAY_REPLACE(void*, valloc, (std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "valloc", size);
  return __libc_valloc(size);
}
SPILLWAY_REPLACE(void*, pvalloc, (std::size_t size)) {
  spillway::realtime_check::note(&spillway::realtime_check::Notes::allocations, "pvalloc", size);
  return __libc_pvalloc(size);
}
SPILLWAY_REPLACE(void, free, (void* memory)) {
  // Of nothing it does nothing.
  if (memory != nullptr)
    spillway::realtime_check::note(&spillway::realtime_check::Notes::deallocations, "free");
  __libc_free(memory);
}

#define SPILLWAY_REPLACE_LOCK(function, parameters, arguments)             \
  SPILLWAY_REPLACE(int, function, parameters) {                            \
    static constinit std::atomic<int(*) parameters> real{nullptr};         \
    return spillway::realtime_check::note_lock(real, #function) arguments; \
  }

// clang-format off
SPILLWAY_REPLACE_LOCK(pthread_mutex_lock, (pthread_mutex_t* m), (m))
SPILLWAY_REPLACE_LOCK(pthread_mutex_trylock, (pthread_mutex_t* m), (m))
SPILLWAY_REPLACE_LOCK(pthread_mutex_timedlock, (pthread_mutex_t* m, const timespec* t), (m, t))
SPILLWAY_REPLACE_LOCK(pthread_mutex_clocklock, (pthread_mutex_t* m, clockid_t c, const timespec* t), (m, c, t))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_rdlock, (pthread_rwlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_wrlock, (pthread_rwlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_tryrdlock, (pthread_rwlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_trywrlock, (pthread_rwlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_timedrdlock, (pthread_rwlock_t* l, const timespec* t), (l, t))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_timedwrlock, (pthread_rwlock_t* l, const timespec* t), (l, t))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_clockrdlock, (pthread_rwlock_t* l, clockid_t c, const timespec* t), (l, c, t))
SPILLWAY_REPLACE_LOCK(pthread_rwlock_clockwrlock, (pthread_rwlock_t* l, clockid_t c, const timespec* t), (l, c, t))
SPILLWAY_REPLACE_LOCK(pthread_spin_lock, (pthread_spinlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_spin_trylock, (pthread_spinlock_t* l), (l))
SPILLWAY_REPLACE_LOCK(pthread_barrier_wait, (pthread_barrier_t* b), (b))
SPILLWAY_REPLACE_LOCK(pthread_cond_wait, (pthread_cond_t* c, pthread_mutex_t* m), (c, m))
SPILLWAY_REPLACE_LOCK(pthread_cond_timedwait, (pthread_cond_t* c, pthread_mutex_t* m, const timespec* t), (c, m, t))
SPILLWAY_REPLACE_LOCK(pthread_cond_clockwait, (pthread_cond_t* c, pthread_mutex_t* m, clockid_t k, const timespec* t), (c, m, k, t))
SPILLWAY_REPLACE_LOCK(pthread_cond_signal, (pthread_cond_t* c), (c))
SPILLWAY_REPLACE_LOCK(pthread_cond_broadcast, (pthread_cond_t* c), (c))
SPILLWAY_REPLACE_LOCK(sem_wait, (sem_t* s), (s))
SPILLWAY_REPLACE_LOCK(sem_trywait, (sem_t* s), (s))
SPILLWAY_REPLACE_LOCK(sem_timedwait, (sem_t* s, const timespec* t), (s, t))
SPILLWAY_REPLACE_LOCK(sem_clockwait, (sem_t* s, clockid_t c, const timespec* t), (s, c, t))
SPILLWAY_REPLACE_LOCK(sem_post, (sem_t* s), (s))
// clang-format on

#undef SPILLWAY_REPLACE_LOCK
#undef SPILLWAY_REPLACE

#else  // not watched

namespace spillway::realtime_check {

inline RealtimeFindings watch(const std::function<void()>& prepare,
                              const std::function<void()>& loop) {
  std::exception_ptr error;
  std::thread([&] {
    try {
      prepare();
      loop();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
  RealtimeFindings findings;
#ifdef SPILLWAY_REALTIME_SANITIZED
  findings.not_watched = "anything (a sanitizer replaces malloc)";
#else
  findings.not_watched = "anything (not Linux with glibc on x86-64 or aarch64)";
#endif
  return findings;
}

}  // namespace spillway::realtime_check

#endif
#undef SPILLWAY_REALTIME_SANITIZED

namespace spillway {

template <class Prepare, class Loop>
RealtimeFindings watch_realtime(Prepare&& prepare, Loop&& loop) {
  return realtime_check::watch(std::ref(prepare), std::ref(loop));
}

template <class Loop>
RealtimeFindings watch_realtime(Loop&& loop) {
  return watch_realtime([] {}, loop);
}

inline std::string describe(const RealtimeFindings& findings) {
  std::string text;
  const auto add = [&](std::uint64_t count, const char* what, const std::string& first) {
    if (count == 0) return;
    if (!text.empty()) text += ", ";
    text += std::to_string(count) + " " + what + (count == 1 ? "" : "s");
    if (!first.empty()) text += (count == 1 ? " (" : " (first: ") + first + ")";
  };
  add(findings.allocations.count, "allocation", findings.allocations.first);
  add(findings.deallocations.count, "deallocation", findings.deallocations.first);
  add(findings.locks.count, "lock", findings.locks.first);
  add(findings.system_calls.count, "system call", findings.system_calls.first);
  add(findings.minor_faults, "page fault", {});
  add(findings.major_faults, "page fault from disk", {});
  if (!findings.not_watched.empty())
    text += (text.empty() ? "not watched: " : "; not watched: ") + findings.not_watched;
  return text.empty() ? "clean" : text;
}

}  // namespace spillway
