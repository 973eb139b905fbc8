// What somebody may have meant who wrote a word that does not exist. Private to our sources.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spillway::yaml {

// Levenshtein distance: how many letters to insert, delete or change.
inline std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row[b.size()];
}

// "; did you mean 'order'?" for something near, else "; allowed: a, b, c".
template <class Names>
std::string suggestion(std::string_view wrong, const Names& allowed) {
  std::string_view best;
  std::size_t least = wrong.size() / 3 + 2;
  for (const auto& name : allowed) {
    const std::size_t d = distance(wrong, name);
    if (d < least) {
      least = d;
      best = name;
    }
  }
  if (!best.empty()) return fmt::format("; did you mean '{}'?", best);
  return fmt::format("; allowed: {}", fmt::join(allowed, ", "));
}

}  // namespace spillway::yaml
