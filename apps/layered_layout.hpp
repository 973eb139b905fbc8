// Where the boxes of a drawing go, and the lines between them: graphs without cycles, from left to
// right.
#pragma once

#include <cstddef>
#include <vector>

namespace spillway::apps {

// A box and what feeds it. Lines come in at its left side, in this order from the top, at even
// distances, and go out in the middle of its right side.
struct LayoutBox {
  double height = 0.0;
  double entry = 0.0;                // so far to the left of it its lines are level
  std::vector<std::size_t> feeders;  // boxes; one may stand several times
};

struct LayoutMetrics {
  double box_width = 0.0;
  double column_gap = 0.0;  // at least, for the curves alone
  double box_gap = 0.0;     // between boxes of a column, at least
  double line_gap = 0.0;    // between lines that pass a column, at least
};

// y grows downwards. The corner of the whole is at 0, 0.
struct LayoutPoint {
  double x = 0.0;
  double y = 0.0;
};

// A level line, or between columns a curve that begins and ends level and rises or falls all the
// way.
struct LayoutPiece {
  LayoutPoint from;
  LayoutPoint to;  // to the right of `from`
};

struct Layout {
  double width = 0.0;
  double height = 0.0;
  std::vector<LayoutPoint> corners;             // of each box the upper left one
  std::vector<std::vector<LayoutPoint>> ports;  // of each box, where its feeders' lines end
  // Of each box all lines to what it feeds: a tree, whose branches share what way they can.
  std::vector<std::vector<LayoutPiece>> lines;
};

// Boxes stand in columns: what feeds nothing but boxes behind it to the right, as near to the left
// as its feeders and the height of the column allow. Parts that are not connected stand below or
// beside each other, in the order of their first boxes. No line runs through a box, and no two
// boxes overlap.
//
// Columns as in K. Sugiyama, S. Tagawa, M. Toda, Methods for Visual Understanding of Hierarchical
// System Structures, 1981: lines across several columns are cut at each, the order within columns
// is that of the mean of the neighbours, sweep by sweep, and the order with the fewest crossings
// counts. Heights are then those of the least weighted distances from the neighbours' heights
// that the order leaves, column by column, by pooling adjacent violators (R. Barlow et al.,
// Statistical Inference under Order Restrictions, 1972).
//
// Every feeder must be a box, and no box may feed itself, directly or not. The same boxes give the
// same layout. Allocates; some milliseconds for a hundred boxes.
[[nodiscard]] Layout lay_out(const std::vector<LayoutBox>& boxes, const LayoutMetrics& metrics);

}  // namespace spillway::apps
