#include "fir_core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fir_design.hpp"
#include "past_frames.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr Quality bad_missing(Verdict::bad, Quality::missing);
constexpr Quality overflowed(Verdict::bad, Quality::out_of_range);
constexpr Quality unsettled(Verdict::suspect, Quality::transient);
constexpr std::size_t run_length = 256;  // frames at once, for the room they need

}  // namespace

FirCore::Arithmetic FirCore::arithmetic_for(const std::vector<double>& taps, std::size_t lanes,
                                            std::size_t longest_direct) {
  // Also where it is not used: it checks.
  FirBank<double> bank(taps, lanes);
  if (taps.size() <= longest_direct) return bank;
  return OverlapSave(taps, lanes);
}

FirCore::FirCore(const std::vector<double>& taps, std::size_t lanes, std::size_t longest_direct,
                 GapPolicy gap, FirWarmUp warm_up)
    : lanes_(lanes),
      window_(taps.size()),
      gap_(gap),
      warm_up_(warm_up),
      arithmetic_(arithmetic_for(taps, lanes, longest_direct)),
      block_(0),
      delay_(group_delay(taps)),
      carried_(lanes),
      invalid_(lanes),
      is_invalid_(run_length * lanes) {
  if (const auto* blocks = std::get_if<OverlapSave>(&arithmetic_)) block_ = blocks->block();
  delay_ += static_cast<double>(block_);
  waiting_.resize(block_ * lanes);
  waiting_invalid_.resize(block_ * lanes);
  reset();
}

std::size_t FirCore::process(ConstFrames in, Frames out) noexcept {
  const std::size_t count = in.count();
  for (std::size_t f = 0; f < count; f += run_length) {
    const std::size_t n = std::min(run_length, count - f) * lanes_;
    const ConstFrames from{in.values.subspan(f * lanes_, n), in.quality.subspan(f * lanes_, n),
                           lanes_};
    const Frames to{out.values.subspan(f * lanes_, n), out.quality.subspan(f * lanes_, n), lanes_};
    if (is_calm() && all_good(from.quality) && all_finite(from.values))
      calm_frames(from, to);
    else
      frames(from, to);
  }
  return count;
}

bool FirCore::is_calm() const noexcept {
  return carried_.is_calm() && invalid_.is_calm() && troubled_ == 0;
}

void FirCore::convolve(const double* in, double* out, std::size_t frames) noexcept {
  if (auto* const bank = std::get_if<FirBank<double>>(&arithmetic_))
    bank->process(in, out, frames);
  else if (auto* const blocks = std::get_if<OverlapSave>(&arithmetic_))
    blocks->process(in, out, frames);
}

// Good and finite, and nothing left of what was not: nothing changes in waiting_.
void FirCore::calm_frames(ConstFrames in, Frames out) noexcept {
  const std::size_t count = in.count();
  convolve(in.values.data(), out.values.data(), count);
  std::ranges::fill(out.quality, Quality::good());
  carried_.advance(count);
  invalid_.advance(count);
  if (all_finite(out.values)) return;
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    if (std::isfinite(out.values[i])) continue;
    out.values[i] = nan_value;
    out.quality[i] = overflowed;
  }
}

void FirCore::frames(ConstFrames in, Frames out) noexcept {
  const std::size_t count = in.count();
  for (std::size_t f = 0; f < count; ++f) {
    const std::size_t row = f * lanes_;
    mark(in.values.data() + row, in.quality.data() + row, out.values.data() + row,
         out.quality.data() + row, is_invalid_.data() + row);
  }
  convolve(out.values.data(), out.values.data(), count);
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    double& y = out.values[i];
    if (is_invalid_[i] == 0 && !std::isfinite(y))
      out.quality[i] = merge(out.quality[i], overflowed);
    if (is_invalid_[i] != 0 || !std::isfinite(y)) y = nan_value;
  }
}

// Of one frame: the quality of the outputs, whether they are NaN, and inputs fit for the sum.
void FirCore::mark(const double* x, const Quality* q_in, double* y, Quality* q_out,
                   std::uint8_t* invalid) noexcept {
  bool trouble = false;
  for (std::size_t l = 0; l < lanes_; ++l) {
    std::uint8_t lost = std::isfinite(x[l]) ? 0 : 1;
    Quality quality = lost == 0 ? q_in[l] : merge(q_in[l], bad_missing);
    y[l] = lost == 0 ? x[l] : 0.0;
    if (block_ > 0) {
      trouble = trouble || !quality.is_good();
      std::swap(quality, waiting_[oldest_ * lanes_ + l]);
      std::swap(lost, waiting_invalid_[oldest_ * lanes_ + l]);
    }
    carried_.note(l, quality, window_);
    if (lost != 0) invalid_.note(l, bad_missing, window_);
    q_out[l] = carried_.at(l);
    invalid[l] = warming_ > 0 || !invalid_.at(l).is_good() ? 1 : 0;
  }
  if (block_ > 0 && ++oldest_ == block_) oldest_ = 0;
  if (troubled_ > 0) --troubled_;
  if (trouble) troubled_ = block_;
  if (warming_ > 0) --warming_;
  carried_.advance(1);
  invalid_.advance(1);
}

void FirCore::reset() noexcept {
  std::visit([](auto& arithmetic) { arithmetic.reset(); }, arithmetic_);
  carried_.reset();
  invalid_.reset();
  std::ranges::fill(waiting_, Quality::good());
  std::ranges::fill(waiting_invalid_, 0);
  oldest_ = 0;
  troubled_ = 0;
  carried_.note_all(unsettled, block_ + window_ - 1);
  warming_ = warm_up_ == FirWarmUp::nan ? block_ + window_ - 1 : 0;
}

void FirCore::gap() noexcept {
  if (gap_ == GapPolicy::reset) reset();
  carried_.note_all(unsettled, block_ + window_ - 1);
}

void FirCore::take_over(FirCore& before) noexcept {
  auto* const bank = std::get_if<FirBank<double>>(&arithmetic_);
  auto* const bank_before = std::get_if<FirBank<double>>(&before.arithmetic_);
  std::size_t missing = 0;
  if (bank != nullptr && bank_before != nullptr) {
    const FirBank<double>::State& from = bank_before->state();
    FirBank<double>::State& to = bank->state();
    to.frames = window_ - 1;
    missing = copy_past(from.values.data() + from.frames * lanes_, before.window_ - 1,
                        to.values.data() + to.frames * lanes_, window_ - 1, lanes_);
  } else if (bank == nullptr && bank_before == nullptr && window_ == before.window_) {
    // What is left of the block on its way out is of the taps before.
    missing =
        std::get<OverlapSave>(arithmetic_).take_over(std::get<OverlapSave>(before.arithmetic_));
    waiting_.swap(before.waiting_);
    waiting_invalid_.swap(before.waiting_invalid_);
    oldest_ = before.oldest_;
    troubled_ = before.troubled_;
  } else {
    gap();
    return;
  }
  const auto longer = static_cast<std::int64_t>(window_) -
                      static_cast<std::int64_t>(before.window_);  // both up to max_fir_taps
  carried_.take_over(before.carried_, longer);
  invalid_.take_over(before.invalid_, longer);
  carried_.note_all(unsettled, missing);
  warming_ = 0;
  if (warm_up_ == FirWarmUp::zero) return;
  const std::int64_t warming = static_cast<std::int64_t>(before.warming_) + longer;
  if (before.warming_ > 0 && warming > 0) warming_ = static_cast<std::uint64_t>(warming);
  warming_ = std::max<std::uint64_t>(warming_, missing);
}

void FirCore::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(window_));
  writer.put(static_cast<std::uint64_t>(lanes_));
  if (const auto* const bank = std::get_if<FirBank<double>>(&arithmetic_)) {
    writer.put(bank->state().frames);
    writer.put_values(bank->state().values.data(), bank->state().values.size());
  } else {
    std::get<OverlapSave>(arithmetic_).save_state(writer);
  }
  carried_.save_state(writer);
  invalid_.save_state(writer);
  writer.put(warming_);
  writer.put(waiting_);
  writer.put(waiting_invalid_);
  writer.put(static_cast<std::uint64_t>(oldest_));
  writer.put(troubled_);
}

void FirCore::load_state(StateReader& reader) {
  std::uint64_t window = 0;
  std::uint64_t lanes = 0;
  std::uint64_t oldest = 0;
  reader.get(window);
  reader.get(lanes);
  if (window != window_ || lanes != lanes_)
    throw Error(fmt::format("FIR: the state is of {} taps and {} lanes; needed is one of {} and {}",
                            window, lanes, window_, lanes_));
  FirCore loaded = *this;
  if (auto* const bank = std::get_if<FirBank<double>>(&loaded.arithmetic_)) {
    reader.get(bank->state().frames);
    std::vector<double> values(bank->state().values.size());
    reader.get(values);
    std::ranges::copy(values, bank->state().values.begin());
    if (bank->state().frames < window_ - 1 ||
        bank->state().frames > bank->state().values.size() / lanes_)
      throw Error("FIR: the state is damaged: its frames are not there");
  } else {
    std::get<OverlapSave>(loaded.arithmetic_).load_state(reader);
  }
  loaded.carried_.load_state(reader);
  loaded.invalid_.load_state(reader);
  reader.get(loaded.warming_);
  reader.get(loaded.waiting_);
  reader.get(loaded.waiting_invalid_);
  reader.get(oldest);
  reader.get(loaded.troubled_);
  if (oldest >= std::max<std::size_t>(block_, 1) || loaded.troubled_ > block_)
    throw Error("FIR: the state is damaged: its positions are outside the block");
  loaded.oldest_ = oldest;
  *this = std::move(loaded);
}

}  // namespace spillway
