#include "in_child.hpp"

#include <fmt/format.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "spillway/storage/foreign.hpp"

namespace spillway::apps {

namespace {

constexpr char result_mark = 'R';
constexpr char error_mark = 'E';
constexpr char left_open_mark = 'L';  // LeftOpen; what is needed follows as a digit
constexpr char not_open_mark = 'G';   // NotLeftOpen; what is given follows as a digit

std::atomic<pid_t> child_to_end{0};
static_assert(std::atomic<pid_t>::is_always_lock_free);

void end_child(int signal) { ::kill(child_to_end.load(), signal); }

// Passes SIGINT and SIGTERM on to the child as long as it lives.
class SignalsToChild {
 public:
  explicit SignalsToChild(pid_t child) {
    child_to_end = child;
    struct sigaction action {};
    action.sa_handler = end_child;
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
  }
  ~SignalsToChild() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }
  SignalsToChild(const SignalsToChild&) = delete;
  SignalsToChild& operator=(const SignalsToChild&) = delete;

 private:
  struct sigaction interrupt_ {};
  struct sigaction terminate_ {};
};

[[noreturn]] void run(int to, pid_t parent, const std::function<ChildResult()>& f) {
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (::getppid() != parent) _exit(1);  // it has ended meanwhile
  std::string text;
  int status = 1;
  try {
    ChildResult result = f();
    status = result.status;
    text = result_mark + result.text;
  } catch (const std::bad_alloc&) {
    text = std::string(1, error_mark) + "out of memory";
  } catch (const LeftOpen& error) {
    text = left_open_mark;
    text += static_cast<char>('0' + static_cast<int>(error.needed()));
    text += error.what();
  } catch (const NotLeftOpen& error) {
    text = not_open_mark;
    text += static_cast<char>('0' + static_cast<int>(error.given()));
    text += error.what();
  } catch (const std::exception& error) {
    text = error_mark + std::string(error.what());
  }
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(to, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) _exit(1);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  _exit(status);
}

std::string read_all(int from) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(from, buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) return text;
  }
}

std::string words_of(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return fmt::format("status {}", WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  return fmt::format("signal {} ({})", signal, strsignal(signal));
}

}  // namespace

ChildResult in_child(const std::string& path, const std::function<ChildResult()>& f) {
  int ends[2];
  if (::pipe(ends) != 0) throw Error(fmt::format("{}: no pipe: {}", path, std::strerror(errno)));
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw Error(fmt::format("{}: no process: {}", path, std::strerror(errno)));
  if (child == 0) {
    ::close(ends[0]);
    run(ends[1], parent, f);
  }
  ::close(ends[1]);
  std::string text;
  int wait_status = 0;
  {
    const SignalsToChild signals(child);
    text = read_all(ends[0]);
    while (::waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(ends[0]);
  if (WIFSIGNALED(wait_status) &&
      (WTERMSIG(wait_status) == SIGINT || WTERMSIG(wait_status) == SIGTERM))
    std::raise(WTERMSIG(wait_status));
  if (WIFSIGNALED(wait_status) || text.empty())
    throw ChildCrashed(
        fmt::format("{}: reading it ended by {}: the HDF5 library crashed on it, it is damaged "
                    "(or there was no memory left)",
                    path, words_of(wait_status)));
  if (text[0] == left_open_mark)
    throw LeftOpen(static_cast<LeftOpen::Needed>(text.at(1) - '0'), text.substr(2));
  if (text[0] == not_open_mark)
    throw NotLeftOpen(static_cast<NotLeftOpen::Given>(text.at(1) - '0'), text.substr(2));
  if (text[0] == error_mark) throw Error(text.substr(1));
  return {text.substr(1), WEXITSTATUS(wait_status)};
}

std::string printed(const std::function<void(std::FILE* to)>& print) {
  char* text = nullptr;
  std::size_t size = 0;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> to(::open_memstream(&text, &size), std::fclose);
  if (!to) throw std::bad_alloc();
  try {
    print(to.get());
  } catch (...) {
    to.reset();
    std::free(text);
    throw;
  }
  to.reset();
  std::string all(text, size);
  std::free(text);
  return all;
}

}  // namespace spillway::apps
