#include "spillway/filters/median_bank.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "median_heaps.hpp"
#include "simd/median_kernels.hpp"
#include "simd/pick.hpp"
#include "spillway/channels/error.hpp"

SPILLWAY_SIMD_TABLE(MedianKernels, median_kernels, pick_median_kernels)

namespace spillway {

namespace {

constexpr std::uint64_t max_window = std::uint64_t{1} << 28;

std::uint64_t checked(std::uint64_t window, std::size_t lanes) {
  if (window == 0 || window > max_window)
    throw Error(
        fmt::format("median: a window of {} samples; allowed are 1 to {}", window, max_window));
  if (lanes == 0) throw Error("median: 0 lanes; at least 1 is needed");
  return window;
}

}  // namespace

// A window of either kind has process, reset, and
//   std::size_t slot, filled: where the next frame goes, how many the window has;
//   T at(std::size_t slot, std::size_t lane), what it has there.
namespace {

template <class T>
struct SortedWindows {
  std::size_t window;
  std::size_t lanes;
  std::size_t slot = 0;
  std::size_t filled = 0;
  void (*run)(const simd::MedianRun<T>&) = nullptr;
  std::vector<T> ring;  // these as MedianRun says
  std::vector<T> sorted;
  std::vector<T> valid;

  SortedWindows(std::size_t window_, std::size_t lanes_)
      : window(window_),
        lanes(lanes_),
        ring(window_ * lanes_),
        sorted(window_ * lanes_),
        valid(lanes_) {
    const simd::MedianKernels& kernels = simd::pick_median_kernels();
    if constexpr (std::is_same_v<T, double>)
      run = kernels.run_double;
    else
      run = kernels.run_float;
    reset();
  }
  void process(const T* x, T* y, std::size_t frames) noexcept {
    run({window, ring.data(), slot, sorted.data(), valid.data(), x, y, lanes, frames});
    slot = (slot + frames) % window;
    filled = frames < window - filled ? filled + frames : window;
  }
  void reset() noexcept {
    slot = 0;
    filled = 0;
    std::ranges::fill(ring, std::numeric_limits<T>::quiet_NaN());
    std::ranges::fill(sorted, std::numeric_limits<T>::infinity());
    std::ranges::fill(valid, T(0));
  }
  [[nodiscard]] T at(std::size_t s, std::size_t lane) const noexcept {
    return ring[s * lanes + lane];
  }
};

template <class T>
struct HeapWindows {
  std::size_t window;
  std::size_t slot = 0;
  std::size_t filled = 0;
  std::vector<MedianHeaps<T>> heaps;  // one a lane

  HeapWindows(std::size_t window_, std::size_t lanes)
      : window(window_), heaps(lanes, MedianHeaps<T>(window_)) {}
  void process(const T* x, T* y, std::size_t frames) noexcept {
    for (std::size_t f = 0; f < frames; ++f) {
      const bool is_used = filled == window;
      for (MedianHeaps<T>& h : heaps) {
        if (!is_used) h.forget(slot);
        h.replace(slot, *x++ + T(0));
        *y++ = h.median();
      }
      if (!is_used) ++filled;
      if (++slot == window) slot = 0;
    }
  }
  void reset() noexcept {
    slot = 0;
    filled = 0;
    for (MedianHeaps<T>& h : heaps) h.clear();
  }
  [[nodiscard]] T at(std::size_t s, std::size_t lane) const noexcept { return heaps[lane].at(s); }
};

template <class T>
using Windows = std::variant<SortedWindows<T>, HeapWindows<T>>;

template <class T>
Windows<T> make_windows(std::size_t window, std::size_t lanes) {
  if (window <= simd::median_most_window) return SortedWindows<T>(window, lanes);
  return HeapWindows<T>(window, lanes);
}

}  // namespace

template <class T>
struct MedianBank<T>::State {
  Windows<T> windows;
  std::vector<T> frame;  // scratch

  // Those in the window, oldest first: all there is to know.
  void put_history(StateWriter& writer, std::size_t window, std::size_t lanes) const {
    std::visit(
        [&](const auto& w) {
          writer.put(static_cast<std::uint64_t>(w.filled));
          writer.put(static_cast<std::uint64_t>(w.filled * lanes));
          for (std::size_t i = 0; i < w.filled; ++i)
            for (std::size_t l = 0; l < lanes; ++l)
              writer.put(w.at((w.slot + window - w.filled + i) % window, l));
        },
        windows);
  }
};

template <class T>
MedianBank<T>::MedianBank(std::uint64_t window, std::size_t lanes)
    : window_(checked(window, lanes)),
      lanes_(lanes),
      state_(std::make_unique<State>(State{make_windows<T>(static_cast<std::size_t>(window), lanes),
                                           std::vector<T>(lanes)})) {}

template <class T>
MedianBank<T>::MedianBank(const MedianBank& other)
    : window_(other.window_),
      lanes_(other.lanes_),
      state_(std::make_unique<State>(*other.state_)) {}
template <class T>
MedianBank<T>& MedianBank<T>::operator=(const MedianBank& other) {
  return *this = MedianBank(other);
}
template <class T>
MedianBank<T>::MedianBank(MedianBank&&) noexcept = default;
template <class T>
MedianBank<T>& MedianBank<T>::operator=(MedianBank&&) noexcept = default;
template <class T>
MedianBank<T>::~MedianBank() = default;

template <class T>
void MedianBank<T>::process(const T* in, T* out, std::size_t frames) noexcept {
  std::visit([&](auto& windows) { windows.process(in, out, frames); }, state_->windows);
}

template <class T>
void MedianBank<T>::reset() noexcept {
  std::visit([](auto& windows) { windows.reset(); }, state_->windows);
}

template <class T>
void MedianBank<T>::take_over(MedianBank& before, std::uint64_t frames) noexcept {
  reset();
  std::vector<T>& frame = state_->frame;
  for (auto age = static_cast<std::size_t>(frames); age > 0; --age) {
    std::visit(
        [&](const auto& w) {
          const std::size_t slot = (w.slot + w.window - age) % w.window;
          for (std::size_t l = 0; l < lanes_; ++l) frame[l] = w.at(slot, l);
        },
        before.state_->windows);
    process(frame.data(), frame.data(), 1);
  }
}

template <class T>
void MedianBank<T>::save_state(StateWriter& writer) const {
  writer.put(window_);
  writer.put(static_cast<std::uint64_t>(lanes_));
  state_->put_history(writer, static_cast<std::size_t>(window_), lanes_);
}

template <class T>
void MedianBank<T>::load_state(StateReader& reader) {
  std::uint64_t window = 0;
  std::uint64_t lanes = 0;
  reader.get(window);
  reader.get(lanes);
  if (window != window_ || lanes != lanes_)
    throw Error(fmt::format(
        "median: the state is of a window of {} samples and {} lanes; needed is one of {} and {}",
        window, lanes, window_, lanes_));
  std::uint64_t filled = 0;
  reader.get(filled);
  if (filled > window)
    throw Error("median: the state is damaged: it has more samples than the window");
  std::vector<T> values(static_cast<std::size_t>(filled) * lanes_);
  reader.get(values);
  reset();
  process(values.data(), values.data(), static_cast<std::size_t>(filled));
}

template class MedianBank<float>;
template class MedianBank<double>;

}  // namespace spillway
