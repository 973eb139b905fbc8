#include "polyphase.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fir_design.hpp"
#include "past_frames.hpp"
#include "simd/fir_pick.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/fir_bank.hpp"

namespace spillway {

namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr Quality bad_missing(Verdict::bad, Quality::missing);
constexpr Quality overflowed(Verdict::bad, Quality::out_of_range);
constexpr Quality unsettled(Verdict::suspect, Quality::transient);
constexpr std::size_t least_room = 256;  // frames, as in FirBank

// That is made with `input_number` or a later one.
Wide first_output(const Polyphase::Ratio& ratio, std::uint64_t input_number) noexcept {
  const Wide begin = Wide{input_number} * ratio.up;
  if (begin <= ratio.offset) return 0;
  return (begin - ratio.offset + ratio.down - 1) / ratio.down;
}

}  // namespace

Polyphase::Polyphase(const std::vector<double>& taps, const Ratio& ratio, GapPolicy gap,
                     std::size_t lanes)
    : lanes_(lanes),
      ratio_(ratio),
      gap_(gap),
      delay_(group_delay(taps) / static_cast<double>(ratio.up)),
      length_((taps.size() + ratio.up - 1) / ratio.up),
      full_branches_(taps.size() - (length_ - 1) * ratio.up),
      taps_(length_ * ratio.up),
      history_((length_ - 1 + std::max(length_ - 1, least_room)) * lanes),
      marks_{{QualitySpan(lanes), QualitySpan(lanes), length_},
             {QualitySpan(lanes), QualitySpan(lanes), length_ - 1}},
      kernels_(&simd::pick_fir_table().of_double) {
  if (lanes == 0) throw Error("rate change: 0 lanes; at least 1 is needed");
  for (std::size_t i = 0; i < taps.size(); ++i)
    taps_[i % ratio.up * length_ + i / ratio.up] = taps[i];
  reset();
}

std::uint64_t Polyphase::outputs_before(std::uint64_t input_number) const noexcept {
  return static_cast<std::uint64_t>(first_output(ratio_, input_number));
}

std::size_t Polyphase::most_frames(std::size_t frames) const noexcept {
  return static_cast<std::size_t>((Wide{frames} * ratio_.up + ratio_.down - 1) / ratio_.down);
}

// Within a call frames and outputs are few: 64 bits are enough.
Polyphase::Next Polyphase::after(Next next, std::uint64_t outputs) const noexcept {
  const std::uint64_t at = next.frame * ratio_.up + next.branch + outputs * ratio_.down;
  return {at / ratio_.up, at % ratio_.up};
}

Made Polyphase::process(ConstFrames in, Frames out) noexcept {
  const std::size_t count = in.count();
  const Wide first = first_output(ratio_, in.first);
  const Wide at = first * ratio_.down + ratio_.offset - Wide{in.first} * ratio_.up;
  Next next{static_cast<std::uint64_t>(at / ratio_.up), static_cast<std::uint64_t>(at % ratio_.up)};
  Made made{0, static_cast<std::uint64_t>(first)};
  for (std::size_t done = 0; done < count;) {
    if (filled_ * lanes_ == history_.size()) make_room();
    const std::size_t n = std::min(count - done, history_.size() / lanes_ - filled_);
    const std::size_t outputs =
        next.frame >= n
            ? 0
            : static_cast<std::size_t>(
                  ((n - next.frame) * ratio_.up - next.branch + ratio_.down - 1) / ratio_.down);
    run({in.values.subspan(done * lanes_, n * lanes_),
         in.quality.subspan(done * lanes_, n * lanes_), lanes_},
        next,
        {out.values.subspan(made.count * lanes_, outputs * lanes_),
         out.quality.subspan(made.count * lanes_, outputs * lanes_), lanes_});
    next = after(next, outputs);
    next.frame -= n;
    done += n;
    made.count += outputs;
  }
  return made;
}

void Polyphase::make_room() noexcept {
  const std::size_t past = (length_ - 1) * lanes_;
  std::copy(history_.end() - static_cast<std::ptrdiff_t>(past), history_.end(), history_.begin());
  filled_ = length_ - 1;
}

// Frames for which history_ has room, and their outputs.
void Polyphase::run(ConstFrames in, Next next, Frames out) noexcept {
  bool calm = all_good(in.quality) && all_finite(in.values);
  for (const Marks& marks : marks_)
    calm = calm && marks.carried.is_calm() && marks.invalid.is_calm();

  double* const newest = history_.data() + filled_ * lanes_;
  kernels_->copy_flushed(in.values.data(), least_input<double>, newest, in.values.size());
  if (!calm)
    for (std::size_t i = 0; i < in.values.size(); ++i)
      if (!std::isfinite(newest[i])) newest[i] = 0.0;
  filled_ += in.count();
  kernels_->polyphase(
      {taps_.data(), length_, ratio_.up, ratio_.down % ratio_.up, ratio_.down / ratio_.up, lanes_},
      newest, next.frame, next.branch, out.values.data(), out.values.size() / lanes_);
  if (!calm) {
    mark(in, next, out);
    return;
  }
  for (Marks& marks : marks_) {
    marks.carried.advance(in.count());
    marks.invalid.advance(in.count());
  }
  std::ranges::fill(out.quality, Quality::good());
  if (all_finite(out.values)) return;
  for (std::size_t i = 0; i < out.values.size(); ++i)
    if (!std::isfinite(out.values[i])) {
      out.values[i] = nan_value;
      out.quality[i] = overflowed;
    }
}

// The qualities, and NaN for what is not valid, of outputs from `next` on.
void Polyphase::mark(ConstFrames in, Next next, Frames out) noexcept {
  std::size_t o = 0;
  for (std::size_t f = 0; f < in.count(); ++f) {
    for (std::size_t l = 0; l < lanes_; ++l) {
      const bool valid = std::isfinite(in.values[f * lanes_ + l]);
      const Quality quality = in.quality[f * lanes_ + l];
      for (Marks& marks : marks_) {
        marks.carried.note(l, valid ? quality : merge(quality, bad_missing), marks.length);
        if (!valid) marks.invalid.note(l, bad_missing, marks.length);
      }
    }
    for (; o < out.values.size() && next.frame == f; next = after(next, 1)) {
      const Marks& marks = marks_[next.branch < full_branches_ ? 0 : 1];
      for (std::size_t l = 0; l < lanes_; ++l, ++o) {
        const bool valid = marks.invalid.at(l).is_good();
        const bool fits = std::isfinite(out.values[o]);
        if (!valid || !fits) out.values[o] = nan_value;
        const Quality quality = marks.carried.at(l);
        out.quality[o] = valid && !fits ? merge(quality, overflowed) : quality;
      }
    }
    for (Marks& marks : marks_) {
      marks.carried.advance(1);
      marks.invalid.advance(1);
    }
  }
}

void Polyphase::reset() noexcept {
  filled_ = length_ - 1;
  std::fill_n(history_.begin(), filled_ * lanes_, 0.0);
  for (Marks& marks : marks_) {
    marks.carried.reset();
    marks.invalid.reset();
  }
  note_edge();
}

void Polyphase::gap() noexcept {
  if (gap_ == GapPolicy::reset) reset();
  note_edge();
}

void Polyphase::take_over(Polyphase& before) noexcept {
  filled_ = length_ - 1;
  const std::size_t missing =
      copy_past(before.history_.data() + before.filled_ * lanes_, before.length_ - 1,
                history_.data() + filled_ * lanes_, length_ - 1, lanes_);
  // The longest window has noted every input.
  const Marks& noted = before.marks_[0];
  for (Marks& marks : marks_) {
    const auto longer = static_cast<std::int64_t>(marks.length) -
                        static_cast<std::int64_t>(noted.length);  // both up to max_fir_taps
    marks.carried.take_over(noted.carried, longer);
    marks.invalid.take_over(noted.invalid, longer);
    if (marks.length > 0 && missing > 0)
      marks.carried.note_all(unsettled, missing - (length_ - marks.length));
  }
}

// Outputs whose window begins before the next input.
void Polyphase::note_edge() noexcept {
  for (Marks& marks : marks_)
    if (marks.length > 0) marks.carried.note_all(unsettled, marks.length - 1);
}

void Polyphase::save_state(StateWriter& writer) const {
  const std::size_t past = (length_ - 1) * lanes_;
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(ratio_);
  writer.put_values(history_.data() + filled_ * lanes_ - past, past);
  for (const Marks& marks : marks_) {
    marks.carried.save_state(writer);
    marks.invalid.save_state(writer);
  }
}

void Polyphase::load_state(StateReader& reader) {
  std::uint64_t lanes = 0;
  Ratio ratio;
  reader.get(lanes);
  reader.get(ratio);
  if (lanes != lanes_ || ratio != ratio_)
    throw Error(
        fmt::format("rate change: the state is of {} / {} and {} lanes; needed is one of {} / {} "
                    "and {}",
                    ratio.up, ratio.down, lanes, ratio_.up, ratio_.down, lanes_));
  Polyphase loaded = *this;
  std::vector<double> past((length_ - 1) * lanes_);
  reader.get(past);
  std::ranges::copy(past, loaded.history_.begin());
  loaded.filled_ = length_ - 1;
  for (Marks& marks : loaded.marks_) {
    marks.carried.load_state(reader);
    marks.invalid.load_state(reader);
  }
  *this = std::move(loaded);
}

}  // namespace spillway
