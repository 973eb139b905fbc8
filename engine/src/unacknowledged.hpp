// What a recording was given of a stream and has not acknowledged yet. Private.
#pragma once

#include <cstdint>
#include <vector>

#include "spillway/storage/stream_log.hpp"

namespace spillway {

// In the order of sample numbers, without a hole. Grows with the gaps, not with the samples. One
// thread at a time.
class Unacknowledged {
 public:
  void add_samples(std::uint64_t first, std::uint64_t count);
  void add(const Gap& gap);
  // Everything added so far is acknowledged.
  void clear() noexcept { pieces_.clear(); }

  // The recording says nothing of samples from `end` on: what it was given of them becomes gaps,
  // and what was told before of those in front of `end` is dropped. Returns how many samples that
  // were given to it are not in it.
  std::uint64_t end_at(std::uint64_t end);

  // After end_at, until more is added: what another recording has to be told.
  [[nodiscard]] std::vector<Gap> gaps() const;

 private:
  struct Piece {
    Gap gap;
    bool given = false;  // samples; the rest of `gap` does not count yet
  };
  std::vector<Piece> pieces_;
};

}  // namespace spillway
