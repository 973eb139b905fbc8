// What a ring or queue of doubles must offer to be measured.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace spillway::bench {

// What a consumer found: `lost` samples that were overwritten, then these. The values are
// a copy of its own, valid until it reads again.
struct Got {
  std::span<const double> values;
  std::uint64_t lost = 0;
};

// A Queue(capacity) with two ends. Producer::push takes one sample, or as many of several as
// there is room for, and tells how many it took; what overwrites takes all. flush() makes
// visible what was pushed, where that is not so at once. Consumer::read() takes up to the
// `block` samples it was made for.
template <class Q>
concept Adapter = std::constructible_from<Q, std::size_t> &&
    requires(Q& queue, typename Q::Producer& producer, typename Q::Consumer& consumer,
             std::span<const double> values) {
  typename Q::Producer;
  requires std::constructible_from<typename Q::Producer, Q&>;
  requires std::constructible_from<typename Q::Consumer, Q&, std::size_t>;
  { producer.push(1.0) } -> std::same_as<bool>;
  { producer.push(values) } -> std::same_as<std::size_t>;
  {producer.flush()};
  { consumer.read() } -> std::same_as<Got>;
};

}  // namespace spillway::bench
