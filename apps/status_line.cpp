#include "status_line.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "run.hpp"

namespace spillway::apps {

StatusLine::StatusLine(bool wanted) : shown_(wanted && ::isatty(STDERR_FILENO) != 0) {}

void StatusLine::show(std::string text) {
  if (!shown_) return;
  struct winsize size {};
  std::size_t width = 79;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) width = size.ws_col - 1U;
  if (text.size() > width) text.resize(width);
  tell(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
  dirty_ = true;
}

void StatusLine::clear() {
  if (dirty_) tell(stderr, "\r\033[K");
  dirty_ = false;
}

}  // namespace spillway::apps
