#include "spillway/filters/graph_snapshot.hpp"

#include <random>

#include "spillway/channels/error.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

GraphSnapshot random_snapshot(std::mt19937_64& random) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::size_t>(random() % n); };
  const auto some_places = [&] {
    std::vector<GraphPartSnapshot::Place> places(below(4));
    for (auto& place : places) place = {std::string(below(5), 'x'), {random()}};
    return places;
  };
  GraphSnapshot snapshot;
  std::size_t number = 0;
  for (std::size_t p = below(4); p > 0; --p) {
    GraphPartSnapshot part;
    part.part = number += 1 + below(3);
    part.inputs = some_places();
    part.outputs = some_places();
    part.state.resize(below(50));
    for (std::byte& byte : part.state) byte = static_cast<std::byte>(random());
    snapshot.parts.push_back(std::move(part));
  }
  return snapshot;
}

}  // namespace

TEST_CASE("a snapshot of a graph reads back as it was written, and says which part it has") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int run = 0; run < 500; ++run) {
    const GraphSnapshot snapshot = random_snapshot(random);
    const std::string bytes = to_bytes(snapshot);
    REQUIRE_FALSE(bytes.empty());
    const GraphSnapshot read = graph_snapshot_from_bytes(bytes);
    REQUIRE(read.parts == snapshot.parts);
    for (const GraphPartSnapshot& part : read.parts) REQUIRE(read.find(part.part) == &part);
    REQUIRE(read.find(1000) == nullptr);
  }
}

TEST_CASE("damaged bytes of a snapshot are refused or are another snapshot, and nothing worse") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  int refused = 0;
  for (int run = 0; run < 3000; ++run) {
    std::string bytes = to_bytes(random_snapshot(random));
    const bool shorter = random() % 3 == 0;
    if (shorter)
      bytes.resize(random() % bytes.size());
    else
      for (std::uint64_t hits = 1 + random() % 3; hits > 0; --hits)
        bytes[random() % bytes.size()] = static_cast<char>(random());
    try {
      const GraphSnapshot read = graph_snapshot_from_bytes(bytes);
      REQUIRE_FALSE(shorter);
      REQUIRE(to_bytes(read) == bytes);
    } catch (const Error& e) {
      ++refused;
      REQUIRE(std::string(e.what()).find("state of a graph") != std::string::npos);
    }
  }
  CHECK(refused > 1000);
}
