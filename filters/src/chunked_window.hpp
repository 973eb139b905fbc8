// Aggregates of a sliding window without subtraction, at a bounded cost a frame. Private.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "simd/sliding_kernels.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

// Two-stack aggregation (van Herk, Gil and Werman) in chunks of half a window, h = window / 2,
// counted from the start. The window that ends in chunk k is an end of chunk k - 2, all of
// chunk k - 1 and a beginning of chunk k. The aggregates of all ends of chunk k - 1 are made
// while chunk k comes in, one a frame and from its end on, so that they are there when chunk
// k + 1 needs them, and no frame pays for a whole chunk.
class ChunkedWindow {
 public:
  // A sample that stands for the oldest one of a run of them: appended to `shorter`, the aggregate
  // of the others, it makes `longer`, that of all. Field k at [k * lanes]. NaN where there was no
  // valid value.
  using Oldest = double (*)(const double* longer, const double* shorter, std::size_t lanes);

  ChunkedWindow(const simd::SlidingKernel& kernel, Oldest oldest, double ddof, std::uint64_t window,
                std::size_t lanes)
      : kernel_(kernel),
        oldest_(oldest),
        ddof_(ddof),
        window_(static_cast<std::size_t>(window)),
        chunk_(std::max<std::size_t>(window_ / 2, 1)),
        lanes_(lanes),
        beginning_(kernel.fields * lanes),
        whole_(kernel.fields * lanes),
        current_(kernel.fields * lanes * chunk_),
        previous_(kernel.fields * lanes * chunk_),
        nothing_(kernel.fields * lanes),
        frame_(lanes) {
    kernel_.clear(nothing_.data(), lanes_);
    begin_chunk();
  }

  // y may be x.
  void process(const double* x, double* y, std::size_t frames) noexcept {
    while (frames > 0) {
      const std::size_t n = std::min(frames, chunk_ - position_);
      kernel_.run({x, y, lanes_, n, chunk_, position_, chunks_, window_ % 2 == 1, beginning_.data(),
                   whole_.data(), current_.data(), previous_.data(), ddof_});
      x += n * lanes_;
      y += n * lanes_;
      frames -= n;
      position_ += n;
      if (position_ == chunk_) next_chunk();
    }
  }
  void reset() noexcept {
    chunks_ = 0;
    begin_chunk();
  }
  // Goes on, as if from the start, with the last `frames` inputs of `before`, of the same kernel,
  // which are at most those it has seen and its window - 1; with the same window as it stands.
  void take_over(ChunkedWindow& before, std::uint64_t frames) noexcept {
    if (window_ == before.window_) {
      position_ = before.position_;
      chunks_ = before.chunks_;
      beginning_.swap(before.beginning_);
      whole_.swap(before.whole_);
      current_.swap(before.current_);
      previous_.swap(before.previous_);
      return;
    }
    reset();
    for (auto age = static_cast<std::size_t>(frames); age > 0; --age) {
      for (std::size_t l = 0; l < lanes_; ++l) frame_[l] = before.past(age, l);
      process(frame_.data(), frame_.data(), 1);
    }
  }
  void save_state(StateWriter& writer) const {
    writer.put(static_cast<std::uint64_t>(position_));
    writer.put(static_cast<std::uint64_t>(chunks_));
    writer.put(beginning_);
    writer.put(whole_);
    writer.put(current_);
    writer.put(previous_);
  }
  // Throws Error if the state is damaged; may leave a half-read one: load into a copy.
  void load_state(StateReader& reader) {
    std::uint64_t position = 0;
    std::uint64_t chunks = 0;
    reader.get(position);
    reader.get(chunks);
    if (position >= chunk_ || chunks > most_chunks())
      throw Error("sliding window: the state is damaged: its position is outside the window");
    position_ = static_cast<std::size_t>(position);
    chunks_ = static_cast<std::size_t>(chunks);
    reader.get(beginning_);
    reader.get(whole_);
    reader.get(current_);
    reader.get(previous_);
  }

 private:
  // The sample `age` frames ago, 1 or more, at most two chunks; or what stands for it in any window
  // that has all that came later, as those to come have.
  [[nodiscard]] double past(std::size_t age, std::size_t lane) const noexcept {
    const bool is_previous = age > position_ && age <= position_ + chunk_;
    const std::size_t chunks = age > position_ ? (is_previous ? 1 : 2) : 0;
    const std::size_t row = chunks * chunk_ + position_ - age;
    const std::size_t fields = kernel_.fields * lanes_;
    const double* const at = (is_previous ? previous_ : current_).data() + row * fields + lane;
    const bool is_alone =
        chunks == 0 || row + 1 == chunk_ || (is_previous && row + position_ < chunk_);
    return oldest_(at, is_alone ? nothing_.data() + lane : at + fields, lanes_);
  }
  // A window of 1 is a beginning and nothing else.
  [[nodiscard]] std::size_t most_chunks() const noexcept { return window_ == 1 ? 0 : 2; }
  void next_chunk() noexcept {
    chunks_ = std::min(chunks_ + 1, most_chunks());
    std::swap(whole_, beginning_);
    std::swap(current_, previous_);
    begin_chunk();
  }
  void begin_chunk() noexcept {
    position_ = 0;
    kernel_.clear(beginning_.data(), lanes_);
  }

  simd::SlidingKernel kernel_;
  Oldest oldest_;
  double ddof_;
  std::size_t window_;
  std::size_t chunk_;
  std::size_t lanes_;
  std::size_t position_ = 0;       // in the current chunk
  std::size_t chunks_ = 0;         // before it; 2: or more
  std::vector<double> beginning_;  // of the current chunk up to now
  std::vector<double> whole_;      // the chunk before
  // A row a position: below position_ the samples of chunk k, from there on the ends of chunk
  // k - 2 that begin there.
  std::vector<double> current_;
  // The samples of chunk k - 1; the last position_ of them are its ends already.
  std::vector<double> previous_;
  std::vector<double> nothing_;  // the aggregate of no sample
  std::vector<double> frame_;    // scratch
};

}  // namespace spillway
