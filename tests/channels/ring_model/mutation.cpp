#include "mutation.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string_view>

#include "explore.hpp"

namespace spillway::model {

namespace {

// Not a vector: it grows in the middle of an execution, whose memory Relacy counts.
std::array<Site, 100> known;
std::size_t known_count = 0;
const Mutant* active = nullptr;

Site& remember(const Site& site) noexcept {
  const auto end = known.begin() + static_cast<std::ptrdiff_t>(known_count);
  const auto found = std::find_if(known.begin(), end, [&](const Site& s) { return s.is(site); });
  if (found != end) return *found;
  if (known_count == known.size()) std::abort();
  return known[known_count++] = site;
}

std::string file_name(const Site& site) {
  return std::filesystem::path(site.file).filename().string();
}

const char* name(Operation operation) {
  switch (operation) {
    case Operation::load: return "load";
    case Operation::store: return "store";
    case Operation::fence: return "fence";
  }
  return "";
}

const char* name(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed: return "relaxed";
    case std::memory_order_acquire: return "acquire";
    case std::memory_order_release: return "release";
    default: return "another order";
  }
}

}  // namespace

bool Site::is(const Site& other) const noexcept {
  return line == other.line && operation == other.operation && order == other.order &&
         std::strcmp(file, other.file) == 0;
}

Change change_at(const Site& site) noexcept {
  if (!active) {
    remember(site);
    return Change::none;
  }
  return active->site.is(site) && choose(active->one_in) == 0 ? active->change : Change::none;
}

void note_zero(const Site& site) noexcept {
  if (!active) remember(site).zero_over_other = true;
}

std::span<const Site> sites() noexcept { return std::span(known).first(known_count); }

std::vector<Mutant> mutants(std::span<const Site> sites) {
  std::vector<Mutant> all;
  for (const Site& site : sites) {
    if (site.order != std::memory_order_relaxed) all.push_back({site, Change::relax});
    if (site.operation != Operation::fence) all.push_back({site, Change::drop});
    if (site.operation == Operation::store) all.push_back({site, Change::one_less});
    if (site.zero_over_other) all.push_back({site, Change::drop_zero});
  }
  return all;
}

void mutate(const Mutant* mutant) noexcept { active = mutant; }

std::string to_string(const Site& site) {
  return file_name(site) + ":" + std::to_string(site.line) + " " + name(site.operation) + ", " +
         name(site.order);
}

std::string to_string(Change change, Operation operation) {
  switch (change) {
    case Change::none: return "none";
    case Change::relax: return operation == Operation::fence ? "removed" : "relaxed instead";
    case Change::drop: return operation == Operation::load ? "finds 0" : "dropped";
    case Change::one_less: return "stores one less";
    case Change::drop_zero: return "a 0 is dropped";
  }
  return "";
}

std::string unreached(const std::string& folder, std::span<const Site> sites) {
  struct Count {
    std::size_t written = 0, reached = 0;
  };
  std::map<std::string, Count> files;
  for (const Site& site : sites) ++files[file_name(site)].reached;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    // The seam itself names an order where it passes one on; what a segment of shared memory
    // says of itself, what watches a loop, and how long things took are no part of the ring.
    if (!entry.is_regular_file() || file == "atomics.hpp" || file == "segment.cpp" ||
        file == "realtime_check.hpp" || file == "duration_histogram.cpp")
      continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      // A std::atomic of set-up, not a word of the ring: where the sets of calibrations lie.
      if (line.find("calibration_") != std::string::npos) continue;
      constexpr std::string_view order = "std::memory_order_";
      for (auto at = line.find(order); at != std::string::npos; at = line.find(order, at + 1))
        ++files[file].written;
    }
  }
  std::string text;
  for (const auto& [file, count] : files)
    if (count.written != count.reached)
      text += "  " + file + ": " + std::to_string(count.written) + " atomic operations in the " +
              "text, " + std::to_string(count.reached) + " reached\n";
  return text;
}

}  // namespace spillway::model
