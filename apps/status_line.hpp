// One line on a terminal that is written over and over.
#pragma once

#include <string>

namespace spillway::apps {

// On standard error, if that is a terminal. Gone when it is destroyed.
class StatusLine {
 public:
  explicit StatusLine(bool wanted);
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // As much of the text as fits.
  void show(std::string text);
  // To be called before anything else is printed.
  void clear();

 private:
  bool shown_;
  bool dirty_ = false;
};

}  // namespace spillway::apps
