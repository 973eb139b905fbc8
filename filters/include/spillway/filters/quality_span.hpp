// Qualities that reach from an input into later outputs, for those who write filters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

// Remembers, for each lane, up to which frame its outputs carry what was noted. With a span of
// the window's length noted for each input, an output carries the merge of exactly the
// qualities in its window: a verdict or a reason is in the window as long as the last input
// that had it.
class QualitySpan {
 public:
  explicit QualitySpan(std::size_t lanes) : lanes_(lanes), until_(kinds * lanes) {}

  // Whether no output from now on carries anything, unless more is noted.
  [[nodiscard]] bool is_calm() const noexcept { return now_ >= calm_from_; }

  // The current output of `lane` and those after it, `frames` in all, carry `quality`.
  void note(std::size_t lane, Quality quality, std::uint64_t frames) noexcept {
    if (quality.is_good() || frames == 0) return;
    const std::uint64_t end = now_ + frames;
    const auto until = [&](std::size_t kind) -> std::uint64_t& {
      return until_[kind * lanes_ + lane];
    };
    for (std::size_t r = 0; r < reasons; ++r)
      if ((quality.reasons() & (first_reason << r)) != 0) until(r) = std::max(until(r), end);
    const auto verdict = static_cast<std::size_t>(quality.verdict());
    if (verdict > 0) until(reasons + verdict - 1) = std::max(until(reasons + verdict - 1), end);
    calm_from_ = std::max(calm_from_, end);
  }
  void note_all(Quality quality, std::uint64_t frames) noexcept {
    for (std::size_t l = 0; l < lanes_; ++l) note(l, quality, frames);
  }

  // What the current output of `lane` carries.
  [[nodiscard]] Quality at(std::size_t lane) const noexcept {
    if (is_calm()) return Quality::good();
    const auto lasts = [&](std::size_t kind) { return now_ < until_[kind * lanes_ + lane]; };
    unsigned bits = 0;
    for (std::size_t r = 0; r < reasons; ++r)
      if (lasts(r)) bits |= first_reason << r;
    std::uint8_t verdict = 3;
    while (verdict > 0 && !lasts(reasons + verdict - 1U)) --verdict;
    return Quality(static_cast<Verdict>(verdict), static_cast<std::uint8_t>(bits));
  }

  // The current output is now `frames` later.
  void advance(std::uint64_t frames) noexcept { now_ += frames; }

  // Carries what `before`, of as many lanes, carries yet, each for `longer` outputs more than it
  // would (fewer, if that is negative), and nothing else.
  void take_over(const QualitySpan& before, std::int64_t longer) noexcept {
    reset();
    for (std::size_t i = 0; i < until_.size(); ++i) {
      if (before.until_[i] <= before.now_) continue;
      const std::int64_t left = static_cast<std::int64_t>(before.until_[i] - before.now_) + longer;
      if (left > 0) until_[i] = static_cast<std::uint64_t>(left);
      calm_from_ = std::max(calm_from_, until_[i]);
    }
  }

  void reset() noexcept {
    now_ = 0;
    calm_from_ = 0;
    std::ranges::fill(until_, 0);
  }
  void save_state(StateWriter& writer) const {
    writer.put(now_);
    writer.put(calm_from_);
    writer.put(until_);
  }
  // May leave a half-read state if it throws: load into a copy.
  void load_state(StateReader& reader) {
    reader.get(now_);
    reader.get(calm_from_);
    reader.get(until_);
  }

 private:
  static constexpr std::size_t reasons = 6;
  static constexpr std::size_t kinds = reasons + 3;  // and interpolated, suspect, bad
  static constexpr unsigned first_reason = 0x04;

  std::size_t lanes_;
  std::uint64_t now_ = 0;
  std::uint64_t calm_from_ = 0;
  std::vector<std::uint64_t> until_;  // [kind * lanes + lane]
};

// What an input of quality `input` leaves in the later outputs of a filter that remembers it for
// ever, fading, until they have settled. What is interpolated is no cause for doubt.
[[nodiscard]] constexpr Quality quality_of_remembered(Quality input) noexcept {
  if (input.verdict() <= Verdict::interpolated) return input;
  return Quality(Verdict::suspect, static_cast<std::uint8_t>(input.reasons() | Quality::transient));
}

// What a NaN of quality `input` leaves in the outputs of a window that ignores it: these have a
// value, but one of fewer samples.
[[nodiscard]] constexpr Quality quality_of_ignored(Quality input) noexcept {
  return Quality(Verdict::suspect, static_cast<std::uint8_t>(input.reasons() | Quality::missing));
}

[[nodiscard]] inline bool all_good(std::span<const Quality> qualities) noexcept {
  std::uint64_t bits = 0;
  std::size_t i = 0;
  for (; i + sizeof bits <= qualities.size(); i += sizeof bits) {
    std::uint64_t word;
    std::memcpy(&word, qualities.data() + i, sizeof word);
    bits |= word;
  }
  for (; i < qualities.size(); ++i) bits |= qualities[i].byte();
  return bits == 0;
}

[[nodiscard]] bool all_finite(std::span<const double> values) noexcept;

}  // namespace spillway
