// Whether the times of a table are those of a regular stream that were rounded. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "table_cell.hpp"

namespace spillway::table {

// Rows at times that were rounded somehow to units of the last digit given: there may be a first
// time and a period so that none is more than half a unit off. Memory: what of the rows lies on
// a convex hull, which for times that fit is next to nothing.
class Spacing {
 public:
  // The next row's time from that of the first, and the unit it was rounded to; up to 146 years.
  void add(Wide fs, Wide unit_fs);
  // False as soon as no period fits.
  [[nodiscard]] bool fits() const noexcept { return fits_; }
  // Of the rates that fit the one that is spelled with the fewest digits, as a rate or as a period;
  // none: nothing fits, or there are fewer than three rows.
  [[nodiscard]] std::optional<Rate> rate() const;

 private:
  // rise / run; run > 0
  struct Slope {
    Wide rise = 0;
    Wide run = 0;  // 0: none yet
  };
  static bool less(const Slope& a, const Slope& b) { return a.rise * b.run < b.rise * a.run; }
  struct Point {
    Wide x = 0;
    Wide y = 0;
  };
  // Upper hull of points that come from left to right.
  class Hull {
   public:
    void add(Point point);
    // The least slope from any of the points to one that is right of all.
    [[nodiscard]] Slope least_slope_to(Point point) const;

   private:
    std::vector<Point> points_;
  };
  [[nodiscard]] bool contains(const Rate& rate) const;

  // All in half femtoseconds, so that half a unit is whole.
  Hull lows_;    // the earliest that each row can be
  Hull highs_;   // the latest, upside down
  Slope least_;  // period
  Slope most_;
  Wide rows_ = 0;
  bool fits_ = true;
};

}  // namespace spillway::table
