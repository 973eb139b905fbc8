// What went wrong first in a sink, and how a recording ends then.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "spillway/storage/sink.hpp"

namespace spillway {

// For whoever writes a Sink: append, append_gap and flush go through guard(), close through
// ending(). One thread at a time. Allocates where something is thrown.
class FirstFailure {
 public:
  // Runs `f`; what it throws goes on, and the first time its text is kept.
  template <class F>
  void guard(F&& f) {
    try {
      std::forward<F>(f)();
    } catch (const std::exception& error) {
      if (text_.empty()) text_ = error.what();
      throw;
    }
  }

  // Empty: nothing.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  // As Sink::close was told; after a failure incomplete, for that reason unless it was told one.
  [[nodiscard]] Ending ending(Ending told) const {
    if (text_.empty()) return told;
    if (told.complete || told.reason.empty()) told.reason = text_;
    told.complete = false;
    return told;
  }

 private:
  std::string text_;
};

}  // namespace spillway
