// Mutations of the shipped atomics, one at a time, derived from what the scenarios run.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace spillway::model {

enum class Operation { load, store, fence };

// An atomic operation in the sources. That of a template is one, whatever its types.
struct Site {
  const char* file;
  unsigned line;
  Operation operation;
  std::memory_order order;
  bool zero_over_other = false;  // a store that has replaced something else by a zero

  [[nodiscard]] bool is(const Site& other) const noexcept;
};

enum class Change {
  none,
  relax,      // acquire or release becomes relaxed; of a fence nothing is left
  drop,       // a store does not happen; a load finds 0
  one_less,   // a store stores one less: announces too little, publishes too late
  drop_zero,  // a store of 0 does not happen: the word is taken to be 0 already
};

struct Mutant {
  Site site;
  Change change;
  unsigned one_in = 1;  // 1: whenever the site is reached; else at random, once in so many times
};

// How the operation at `site` is changed this time. Also makes the site known.
[[nodiscard]] Change change_at(const Site& site) noexcept;
// The store at `site` replaces something else by a zero.
void note_zero(const Site& site) noexcept;

// All sites reached so far.
[[nodiscard]] std::span<const Site> sites() noexcept;
// Every change that makes a difference at one of these sites.
[[nodiscard]] std::vector<Mutant> mutants(std::span<const Site> sites);
// From here on; nullptr for none.
void mutate(const Mutant* mutant) noexcept;

// "ring.hpp:57 store, release" and "relaxed instead".
[[nodiscard]] std::string to_string(const Site& site);
[[nodiscard]] std::string to_string(Change change, Operation operation);

// The atomic operations in the text of the sources under `folder` that are none of
// `sites`, as "ring.hpp: 6 in the text, 5 reached"; empty if there are none.
[[nodiscard]] std::string unreached(const std::string& folder, std::span<const Site> sites);

}  // namespace spillway::model
