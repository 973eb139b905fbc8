// The median of one lane's window in O(log window). Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace spillway {

// Of two values in order, rounded once. The sum of two finite values may overflow; halving
// them first is exact then.
template <class T>
[[nodiscard]] T mean_of_two(T a, T b) noexcept {
  const T sum = a + b;
  return sum - sum == T(0) ? sum * T(0.5) : a * T(0.5) + b * T(0.5);
}

// The values in two heaps, the lower half with the greatest on top and the upper half with
// the least on top; the lower one has as many or one more. Heaps hold slots of the ring, and
// every slot knows its place in them.
template <class T>
class MedianHeaps {
 public:
  explicit MedianHeaps(std::size_t window)
      : values_(window),
        places_(window, nowhere),
        low_{std::vector<Slot>(window / 2 + 1)},
        high_{std::vector<Slot>(window / 2 + 1)} {}

  // The value in `slot` gives way to `x`; a NaN is kept and does not count.
  void replace(std::size_t slot, T x) noexcept {
    if (places_[slot] != nowhere) erase(static_cast<Slot>(slot));
    values_[slot] = x;
    if (x == x) insert(static_cast<Slot>(slot));
  }
  // Of no value any more. The slots are not looked at, so each must be forgotten before it is
  // used again.
  void clear() noexcept { low_.size = high_.size = 0; }
  void forget(std::size_t slot) noexcept { places_[slot] = nowhere; }

  [[nodiscard]] T median() const noexcept {
    if (low_.size == 0) return std::numeric_limits<T>::quiet_NaN();
    const T middle = values_[low_.slots[0]];
    return low_.size > high_.size ? middle : mean_of_two(middle, values_[high_.slots[0]]);
  }
  [[nodiscard]] T at(std::size_t slot) const noexcept { return values_[slot]; }

 private:
  using Slot = std::uint32_t;  // windows have at most 2^28
  static constexpr Slot nowhere = 0xFFFFFFFF;
  static constexpr Slot in_high = 0x80000000;
  struct Heap {
    std::vector<Slot> slots;
    Slot size = 0;
  };

  template <Slot side>
  Heap& heap() noexcept {
    return side == in_high ? high_ : low_;
  }
  template <Slot side>
  [[nodiscard]] bool is_above(Slot a, Slot b) const noexcept {
    return side == in_high ? values_[a] < values_[b] : values_[a] > values_[b];
  }
  template <Slot side>
  void set(Slot place, Slot slot) noexcept {
    heap<side>().slots[place] = slot;
    places_[slot] = place | side;
  }

  // `slot` goes into the hole at `place`, or to where it belongs above it.
  template <Slot side>
  void rise(Slot place, Slot slot) noexcept {
    const Heap& h = heap<side>();
    while (place > 0) {
      const Slot parent = (place - 1) / 2;
      if (!is_above<side>(slot, h.slots[parent])) break;
      set<side>(place, h.slots[parent]);
      place = parent;
    }
    set<side>(place, slot);
  }
  template <Slot side>
  void sink(Slot place, Slot slot) noexcept {
    const Heap& h = heap<side>();
    for (Slot child = 2 * place + 1; child < h.size; child = 2 * place + 1) {
      if (child + 1 < h.size && is_above<side>(h.slots[child + 1], h.slots[child])) ++child;
      if (!is_above<side>(h.slots[child], slot)) break;
      set<side>(place, h.slots[child]);
      place = child;
    }
    set<side>(place, slot);
  }
  template <Slot side>
  void push(Slot slot) noexcept {
    rise<side>(heap<side>().size++, slot);
  }
  template <Slot side>
  void remove(Slot place) noexcept {
    Heap& h = heap<side>();
    const Slot last = h.slots[--h.size];
    if (place == h.size) return;
    if (place > 0 && is_above<side>(last, h.slots[(place - 1) / 2]))
      rise<side>(place, last);
    else
      sink<side>(place, last);
  }

  void erase(Slot slot) noexcept {
    const Slot place = std::exchange(places_[slot], nowhere);
    if ((place & in_high) != 0)
      remove<in_high>(place & ~in_high);
    else
      remove<0>(place);
    balance();
  }
  void insert(Slot slot) noexcept {
    if (low_.size == 0 || values_[slot] <= values_[low_.slots[0]])
      push<0>(slot);
    else
      push<in_high>(slot);
    balance();
  }
  void balance() noexcept {
    if (low_.size > high_.size + 1) {
      const Slot top = low_.slots[0];
      remove<0>(0);
      push<in_high>(top);
    } else if (high_.size > low_.size) {
      const Slot top = high_.slots[0];
      remove<in_high>(0);
      push<0>(top);
    }
  }

  std::vector<T> values_;     // [slot]
  std::vector<Slot> places_;  // [slot]: in low_, in high_ (with in_high) or nowhere
  Heap low_;
  Heap high_;
};

}  // namespace spillway
