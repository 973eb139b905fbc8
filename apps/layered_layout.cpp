#include "layered_layout.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>

namespace spillway::apps {

namespace {

// An end of a line in the column beside.
struct Link {
  std::size_t slot;  // the other one
  double here;       // from the slot's top
  double there;      // from the other's top
  double weight;     // how much it wants to be level
};

// What takes room in a column: a box, or the line of one that passes.
struct Slot {
  std::size_t box;  // itself, or whose line it is
  bool passing;
  std::size_t column;
  double height;
  std::vector<Link> left = {};   // a passing line has one
  std::vector<Link> right = {};  // at boxes of several ports in their order
  double y = 0.0;                // the top
  std::size_t place = 0;         // in its column, from the top
};

using Columns = std::vector<std::vector<std::size_t>>;  // slots from the top

double port_of(const LayoutBox& box, std::size_t feeder) {
  return box.height * static_cast<double>(feeder + 1) / static_cast<double>(box.feeders.size() + 1);
}

// The parts that are connected, each with its boxes in order.
std::vector<std::vector<std::size_t>> parts_of(const std::vector<LayoutBox>& boxes) {
  std::vector<std::size_t> root(boxes.size());
  std::iota(root.begin(), root.end(), std::size_t{0});
  const auto find = [&](std::size_t box) {
    while (root[box] != box) box = root[box] = root[root[box]];
    return box;
  };
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (const std::size_t feeder : boxes[i].feeders) {
      const std::size_t a = find(i);
      const std::size_t b = find(feeder);
      root[std::max(a, b)] = std::min(a, b);
    }
  std::vector<std::vector<std::size_t>> parts;
  std::vector<std::size_t> part_of(boxes.size());
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    if (find(i) == i) {
      part_of[i] = parts.size();
      parts.emplace_back();
    }
    parts[part_of[find(i)]].push_back(i);
  }
  return parts;
}

// The column of each box of a part. Columns are filled up to a number of boxes that keeps the
// drawing from becoming a tower; those with the longest way still to go choose first.
void assign_columns(const std::vector<LayoutBox>& boxes, const std::vector<std::size_t>& part,
                    std::vector<std::size_t>& column) {
  std::vector<std::vector<std::size_t>> fed(boxes.size());
  std::vector<std::size_t> waiting(boxes.size());
  for (const std::size_t i : part) {
    waiting[i] = boxes[i].feeders.size();
    for (const std::size_t feeder : boxes[i].feeders) fed[feeder].push_back(i);
  }
  std::vector<std::size_t> order;  // each behind its feeders
  for (const std::size_t i : part)
    if (waiting[i] == 0) order.push_back(i);
  for (std::size_t next = 0; next < order.size(); ++next)
    for (const std::size_t i : fed[order[next]])
      if (--waiting[i] == 0) order.push_back(i);
  std::vector<std::size_t> depth(boxes.size());
  std::vector<std::size_t> ahead(boxes.size());
  for (const std::size_t i : order)
    for (const std::size_t feeder : boxes[i].feeders)
      depth[i] = std::max(depth[i], depth[feeder] + 1);
  for (std::size_t k = order.size(); k-- > 0;)
    for (const std::size_t i : fed[order[k]])
      ahead[order[k]] = std::max(ahead[order[k]], ahead[i] + 1);
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    if (depth[a] != depth[b]) return depth[a] < depth[b];
    if (ahead[a] != ahead[b]) return ahead[a] > ahead[b];
    return a < b;
  });
  const auto most =
      std::max<std::size_t>(10, static_cast<std::size_t>(1.3 * std::sqrt(part.size())));
  std::vector<std::size_t> filled;
  for (const std::size_t i : order) {
    std::size_t at = 0;
    for (const std::size_t feeder : boxes[i].feeders) at = std::max(at, column[feeder] + 1);
    while (at < filled.size() && filled[at] >= most) ++at;
    if (at >= filled.size()) filled.resize(at + 1);
    ++filled[at];
    column[i] = at;
  }
}

// One part, put in order and to heights by itself.
class Part {
 public:
  Part(const std::vector<LayoutBox>& boxes, const std::vector<std::size_t>& part,
       const std::vector<std::size_t>& column, const LayoutMetrics& metrics)
      : metrics_(metrics) {
    std::size_t columns = 0;
    for (const std::size_t i : part) columns = std::max(columns, column[i] + 1);
    columns_.resize(columns);
    std::vector<std::size_t> slot_of(boxes.size());
    for (const std::size_t i : part) {
      slot_of[i] = slots_.size();
      slots_.push_back(
          {.box = i, .passing = false, .column = column[i], .height = boxes[i].height});
    }
    // The line of a box as far as it goes already: the slot in each column behind the box.
    std::vector<std::vector<std::size_t>> ways(boxes.size());
    for (const std::size_t i : part) {
      for (std::size_t k = 0; k < boxes[i].feeders.size(); ++k) {
        const std::size_t feeder = boxes[i].feeders[k];
        std::vector<std::size_t>& way = ways[feeder];
        if (way.empty()) way.push_back(slot_of[feeder]);
        while (column[feeder] + way.size() < column[i]) {
          slots_.push_back({.box = feeder,
                            .passing = true,
                            .column = column[feeder] + way.size(),
                            .height = 0.0});
          connect(way.back(), slots_.size() - 1, 0.0);
          way.push_back(slots_.size() - 1);
        }
        connect(way[column[i] - column[feeder] - 1], slot_of[i], port_of(boxes[i], k));
      }
    }
    order();
    place();
  }

  [[nodiscard]] const std::vector<Slot>& slots() const noexcept { return slots_; }
  [[nodiscard]] std::size_t columns() const noexcept { return columns_.size(); }
  [[nodiscard]] double height() const noexcept {
    double bottom = 0.0;
    for (const Slot& slot : slots_) bottom = std::max(bottom, slot.y + slot.height);
    return bottom;
  }

 private:
  void connect(std::size_t from, std::size_t to, double port) {
    const int passing = (slots_[from].passing ? 1 : 0) + (slots_[to].passing ? 1 : 0);
    const double weight = std::array{1.0, 2.0, 8.0}[static_cast<std::size_t>(passing)];
    const double out = slots_[from].height / 2.0;
    slots_[from].right.push_back({to, out, port, weight});
    slots_[to].left.push_back({from, port, out, weight});
  }

  // --- order ---

  void number(const std::vector<std::size_t>& column) {
    for (std::size_t i = 0; i < column.size(); ++i) slots_[column[i]].place = i;
  }

  // Where a line ends in a column, for comparisons: places, and within them the ports.
  double end_of(const Link& link) const {
    const Slot& slot = slots_[link.slot];
    return static_cast<double>(slot.place) + (slot.height > 0.0 ? link.there / slot.height : 0.5);
  }

  // Crossings of the lines from a column to the next one.
  std::uint64_t crossings(std::size_t column) const {
    std::vector<double> ends;
    for (const std::size_t s : columns_[column]) {
      const std::size_t begin = ends.size();
      for (const Link& link : slots_[s].right) ends.push_back(end_of(link));
      std::sort(ends.begin() + static_cast<std::ptrdiff_t>(begin), ends.end());
    }
    return inversions(ends);
  }

  static std::uint64_t inversions(std::vector<double>& values) {
    std::uint64_t count = 0;
    std::vector<double> merged(values.size());
    for (std::size_t width = 1; width < values.size(); width *= 2)
      for (std::size_t begin = 0; begin + width < values.size(); begin += 2 * width) {
        const std::size_t middle = begin + width;
        const std::size_t end = std::min(middle + width, values.size());
        std::size_t a = begin;
        std::size_t b = middle;
        for (std::size_t k = begin; k < end; ++k) {
          const bool second = a == middle || (b < end && values[b] < values[a]);
          if (second) count += middle - a;
          merged[k] = values[second ? b++ : a++];
        }
        std::copy(merged.begin() + static_cast<std::ptrdiff_t>(begin),
                  merged.begin() + static_cast<std::ptrdiff_t>(end),
                  values.begin() + static_cast<std::ptrdiff_t>(begin));
      }
    return count;
  }

  std::uint64_t crossings() const {
    std::uint64_t count = 0;
    for (std::size_t c = 0; c + 1 < columns_.size(); ++c) count += crossings(c);
    return count;
  }

  // Depth first: branches lie side by side, so that a tree has no crossings to begin with.
  void first_order() {
    std::vector<bool> seen(slots_.size());
    std::vector<std::size_t> stack;
    for (std::size_t s = slots_.size(); s-- > 0;)
      if (slots_[s].left.empty()) stack.push_back(s);
    while (!stack.empty()) {
      const std::size_t s = stack.back();
      stack.pop_back();
      if (seen[s]) continue;
      seen[s] = true;
      columns_[slots_[s].column].push_back(s);
      // A line that passes goes through the middle of the boxes beside it, so that what it feeds
      // is on their level.
      std::vector<std::size_t> next;
      for (const Link& link : slots_[s].right) next.push_back(link.slot);
      const auto passing =
          std::ranges::find_if(next, [&](std::size_t n) { return slots_[n].passing; });
      if (passing != next.end()) {
        const auto middle = next.begin() + (std::ssize(next) - 1) / 2;
        if (passing < middle)
          std::rotate(passing, passing + 1, middle + 1);
        else
          std::rotate(middle, passing, passing + 1);
      }
      stack.insert(stack.end(), next.rbegin(), next.rend());
    }
    for (const auto& column : columns_) number(column);
  }

  // Sorts a column by the means of where its lines end on one side. What has no lines there
  // stays where it is.
  void sort_by_means(std::vector<std::size_t>& column, std::vector<Link> Slot::*side) {
    std::vector<std::pair<double, std::size_t>> means;
    for (const std::size_t s : column) {
      const std::vector<Link>& links = slots_[s].*side;
      if (links.empty()) continue;
      double sum = 0.0;
      for (const Link& link : links) sum += end_of(link);
      means.emplace_back(sum / static_cast<double>(links.size()), s);
    }
    std::ranges::stable_sort(means, {}, [](const auto& mean) { return mean.first; });
    auto next = means.begin();
    for (std::size_t& s : column)
      if (!(slots_[s].*side).empty()) s = (next++)->second;
    number(column);
  }

  // Crossings among the lines of two slots on one side, if `a` is above `b`.
  std::uint64_t crossings(std::size_t a, std::size_t b, std::vector<Link> Slot::*side) const {
    std::uint64_t count = 0;
    for (const Link& of_a : slots_[a].*side)
      for (const Link& of_b : slots_[b].*side)
        if (end_of(of_b) < end_of(of_a)) ++count;
    return count;
  }

  // Swaps neighbours as long as that saves crossings.
  void swap_neighbours() {
    for (int round = 0; round < 10; ++round) {
      bool better = false;
      for (auto& column : columns_)
        for (std::size_t i = 0; i + 1 < column.size(); ++i) {
          const std::size_t a = column[i];
          const std::size_t b = column[i + 1];
          const auto now = crossings(a, b, &Slot::left) + crossings(a, b, &Slot::right);
          const auto then = crossings(b, a, &Slot::left) + crossings(b, a, &Slot::right);
          if (then >= now) continue;
          std::swap(column[i], column[i + 1]);
          number(column);
          better = true;
        }
      if (!better) return;
    }
  }

  void order() {
    first_order();
    Columns best = columns_;
    std::uint64_t fewest = crossings();
    for (int sweep = 0; sweep < 24 && fewest > 0; ++sweep) {
      if (sweep % 2 == 0)
        for (std::size_t c = 1; c < columns_.size(); ++c) sort_by_means(columns_[c], &Slot::left);
      else
        for (std::size_t c = columns_.size() - 1; c-- > 0;)
          sort_by_means(columns_[c], &Slot::right);
      swap_neighbours();
      if (const std::uint64_t count = crossings(); count < fewest) {
        fewest = count;
        best = columns_;
      }
    }
    columns_ = std::move(best);
    for (const auto& column : columns_) number(column);
  }

  // --- heights ---

  // From the top of one slot to that of the next below, at least.
  double distance(const Slot& above, const Slot& below) const {
    const auto margin = [&](const Slot& slot) {
      return (slot.passing ? metrics_.line_gap : metrics_.box_gap) / 2.0;
    };
    return above.height + margin(above) + margin(below);
  }

  enum class Measure { squares, distances };
  struct Wish {
    double at;
    double weight;
  };

  // Where the weighted squares of the distances, or the distances, are least.
  static double optimum(std::vector<Wish>& wishes, Measure measure) {
    double total = 0.0;
    double sum = 0.0;
    for (const Wish& wish : wishes) {
      total += wish.weight;
      sum += wish.weight * wish.at;
    }
    if (measure == Measure::squares) return sum / total;
    std::ranges::stable_sort(wishes, {}, &Wish::at);
    double below = 0.0;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      below += wishes[i].weight;
      // Anywhere between two that balance: in the middle.
      if (std::abs(below - total / 2.0) < 1e-9 * total && i + 1 < wishes.size())
        return (wishes[i].at + wishes[i + 1].at) / 2.0;
      if (below > total / 2.0) return wishes[i].at;
    }
    return wishes.back().at;
  }

  // Where a slot's neighbours on one side want it; one that has several lines to it has one wish.
  void add_wishes(const std::vector<Link>& links, double factor, double below,
                  std::vector<Wish>& wishes) const {
    for (auto link = links.begin(); link != links.end(); ++link) {
      const auto same = [&](const Link& other) { return other.slot == link->slot; };
      if (std::any_of(links.begin(), link, same)) continue;
      double sum = 0.0;
      double weight = 0.0;
      for (const Link& other : links)
        if (same(other)) {
          sum += other.weight * (slots_[other.slot].y + other.there - other.here - below);
          weight += other.weight;
        }
      wishes.push_back({sum / weight, factor * weight});
    }
  }

  void place_column(const std::vector<std::size_t>& column, Measure measure) {
    struct Block {  // slots that stand as closely as they may
      std::size_t count;
      std::vector<Wish> wishes;
      double at;
    };
    std::vector<Block> blocks;
    double below = 0.0;  // from the first slot's top, with all as close as they may be
    for (std::size_t i = 0; i < column.size(); ++i) {
      const Slot& slot = slots_[column[i]];
      if (i > 0) below += distance(slots_[column[i - 1]], slot);
      Block block{1, {}, 0.0};
      // A chain levels with what feeds it.
      add_wishes(slot.left, 1.05, below, block.wishes);
      add_wishes(slot.right, 1.0, below, block.wishes);
      if (block.wishes.empty()) block.wishes.push_back({slot.y - below, 1.0});
      block.at = optimum(block.wishes, measure);
      while (!blocks.empty() && blocks.back().at > block.at) {
        Block& above = blocks.back();
        block.count += above.count;
        block.wishes.insert(block.wishes.end(), above.wishes.begin(), above.wishes.end());
        block.at = optimum(block.wishes, measure);
        blocks.pop_back();
      }
      blocks.push_back(std::move(block));
    }
    std::size_t i = 0;
    below = 0.0;
    for (const Block& block : blocks)
      for (std::size_t k = 0; k < block.count; ++k, ++i) {
        if (i > 0) below += distance(slots_[column[i - 1]], slots_[column[i]]);
        slots_[column[i]].y = block.at + below;
      }
  }

  void place() {
    for (const auto& column : columns_) {
      double y = 0.0;
      for (std::size_t i = 0; i < column.size(); ++i) {
        if (i > 0) y += distance(slots_[column[i - 1]], slots_[column[i]]);
        slots_[column[i]].y = y;
      }
    }
    // Squares first: they see the whole. Distances then make level what can be.
    for (const auto& [measure, rounds] :
         {std::pair(Measure::squares, 60), {Measure::distances, 20}})
      for (int round = 0; round < rounds; ++round) {
        for (const auto& column : columns_) place_column(column, measure);
        for (std::size_t c = columns_.size(); c-- > 0;) place_column(columns_[c], measure);
      }
    double top = slots_.front().y;
    for (const Slot& slot : slots_) top = std::min(top, slot.y);
    for (Slot& slot : slots_) slot.y -= top;
  }

  const LayoutMetrics& metrics_;
  std::vector<Slot> slots_;
  Columns columns_;
};

struct Packing {
  std::vector<LayoutPoint> corners;  // of each part the upper left one
  double width = 0.0;
  double height = 0.0;
};

// Parts below each other, up to a height, and on with the next ones beside them.
Packing packed(const std::vector<Part>& parts, const std::vector<double>& column_x,
               const LayoutMetrics& metrics, double most) {
  Packing packing;
  LayoutPoint next;
  for (const Part& part : parts) {
    if (next.y > 0.0 && next.y + part.height() > most)
      next = {packing.width + metrics.column_gap, 0.0};
    packing.corners.push_back(next);
    packing.width =
        std::max(packing.width, next.x + column_x[part.columns() - 1] + metrics.box_width);
    packing.height = std::max(packing.height, next.y + part.height());
    next.y += part.height() + 1.5 * metrics.box_gap;
  }
  return packing;
}

// The packing that is the largest on a screen.
Packing best_packing(const std::vector<Part>& parts, const std::vector<double>& column_x,
                     const LayoutMetrics& metrics) {
  constexpr double screen = 1.6;  // width by height
  const auto size = [](const Packing& packing) {
    return std::max(packing.width / screen, packing.height);
  };
  double all = 0.0;
  for (const Part& part : parts) all += part.height() + 1.5 * metrics.box_gap;
  Packing best = packed(parts, column_x, metrics, all);
  for (std::size_t beside = 2; beside <= std::min<std::size_t>(parts.size(), 32); ++beside) {
    // A little more than the share, since parts are not cut.
    for (const double slack : {1.0, 1.2, 1.5}) {
      Packing other = packed(parts, column_x, metrics, slack * all / static_cast<double>(beside));
      if (size(other) < size(best)) best = std::move(other);
    }
  }
  return best;
}

}  // namespace

Layout lay_out(const std::vector<LayoutBox>& boxes, const LayoutMetrics& metrics) {
  std::vector<std::size_t> column(boxes.size());
  std::vector<Part> parts;
  std::vector<double> steepest;  // between a column and the next
  std::vector<double> entries;   // of each column
  for (const std::vector<std::size_t>& part : parts_of(boxes)) {
    assign_columns(boxes, part, column);
    parts.emplace_back(boxes, part, column, metrics);
    const std::vector<Slot>& slots = parts.back().slots();
    if (steepest.size() < parts.back().columns()) {
      steepest.resize(parts.back().columns());
      entries.resize(parts.back().columns());
    }
    for (const Slot& slot : slots) {
      if (!slot.passing)
        entries[slot.column] = std::max(entries[slot.column], boxes[slot.box].entry);
      for (const Link& link : slot.right)
        steepest[slot.column] = std::max(
            steepest[slot.column], std::abs(slots[link.slot].y + link.there - slot.y - link.here));
    }
  }
  // Steep curves are hard to follow: they get more room.
  std::vector<double> column_x;
  double x = 0.0;
  for (std::size_t c = 0; c < steepest.size(); ++c) {
    if (c > 0)
      x += metrics.box_width + metrics.column_gap +
           std::min(0.12 * steepest[c - 1], metrics.column_gap) + entries[c];
    column_x.push_back(x);
  }
  const std::vector<LayoutPoint> corners = best_packing(parts, column_x, metrics).corners;
  Layout layout;
  layout.corners.resize(boxes.size());
  layout.ports.resize(boxes.size());
  layout.lines.resize(boxes.size());
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::vector<Slot>& slots = parts[p].slots();
    for (const Slot& slot : slots) {
      const double left = corners[p].x + column_x[slot.column];
      const double right = left + metrics.box_width;
      const double top = corners[p].y + slot.y;
      layout.width = std::max(layout.width, right);
      layout.height = std::max(layout.height, top + slot.height);
      std::vector<LayoutPiece>& lines = layout.lines[slot.box];
      if (slot.passing) {
        lines.push_back({{left, top}, {right, top}});
      } else {
        layout.corners[slot.box] = {left, top};
        for (std::size_t k = 0; k < boxes[slot.box].feeders.size(); ++k)
          layout.ports[slot.box].push_back({left, top + port_of(boxes[slot.box], k)});
      }
      for (const Link& link : slot.right) {
        const double there = corners[p].y + slots[link.slot].y + link.there;
        const double end = corners[p].x + column_x[slot.column + 1];
        const double entry = end - entries[slot.column + 1];
        lines.push_back({{right, top + link.here}, {entry, there}});
        if (entry < end) lines.push_back({{entry, there}, {end, there}});
      }
    }
  }
  return layout;
}

}  // namespace spillway::apps
