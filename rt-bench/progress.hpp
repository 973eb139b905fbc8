// A line on a terminal that tells how far a run is; nothing anywhere else.
#pragma once

#include <string>

namespace spillway::bench {

class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const std::string& text);
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
};

}  // namespace spillway::bench
