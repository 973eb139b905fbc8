#include "unacknowledged.hpp"

#include <algorithm>

namespace spillway {

void Unacknowledged::add_samples(std::uint64_t first, std::uint64_t count) {
  if (count == 0) return;
  if (!pieces_.empty() && pieces_.back().given &&
      pieces_.back().gap.first_sample + pieces_.back().gap.count == first) {
    pieces_.back().gap.count += count;
    return;
  }
  pieces_.push_back({{.first_sample = first, .count = count}, true});
}

void Unacknowledged::add(const Gap& gap) {
  if (gap.count > 0) pieces_.push_back({gap, false});
}

std::uint64_t Unacknowledged::end_at(std::uint64_t end) {
  std::uint64_t not_written = 0;
  std::vector<Piece> behind;
  for (Piece piece : pieces_) {
    Gap& gap = piece.gap;
    if (gap.first_sample + gap.count <= end) continue;
    const std::uint64_t cut = end > gap.first_sample ? end - gap.first_sample : 0;
    gap.first_sample += cut;
    gap.count -= cut;
    if (piece.given) {
      not_written += gap.count;
      gap.lost = gap.count;
      gap.cause = Absence::not_written;
      piece.given = false;
    } else {
      const std::uint64_t lost = std::min(gap.lost, cut);
      gap.lost -= lost;
      gap.missing -= cut - lost;
    }
    behind.push_back(piece);
  }
  pieces_ = std::move(behind);
  return not_written;
}

std::vector<Gap> Unacknowledged::gaps() const {
  std::vector<Gap> gaps;
  for (const Piece& piece : pieces_) gaps.push_back(piece.gap);
  return gaps;
}

}  // namespace spillway
