#include "spillway/channels/quality.hpp"

#include <set>

#include "support/catch.hpp"

using namespace spillway;

namespace {
Quality q(int byte) { return Quality::from_byte(static_cast<std::uint8_t>(byte)); }
}  // namespace

TEST_CASE("merging takes the worse verdict and the union of the reasons, for all pairs") {
  int wrong = 0;
  for (int a = 0; a < 256; ++a) {
    wrong += merge(q(a), q(a)) != q(a);
    wrong += merge(q(a), Quality::good()) != q(a);
    wrong += merge(q(a), Quality::never_written()) != Quality::never_written();
    for (int b = 0; b < 256; ++b) {
      const Quality m = merge(q(a), q(b));
      const int expected = std::max(a & 3, b & 3) | ((a | b) & 0xFC);
      wrong += m.byte() != expected;
      wrong += m != merge(q(b), q(a));
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("merging does not depend on the order of three") {
  int wrong = 0;
  // Verdict and reasons merge apart, so all verdicts with a few reasons cover everything.
  for (int a = 0; a < 256; ++a)
    for (int b = 0; b < 256; b += 5)
      for (int c = 0; c < 256; c += 3)
        wrong += merge(merge(q(a), q(b)), q(c)) != merge(q(a), merge(q(b), q(c)));
  CHECK(wrong == 0);
}

TEST_CASE("a byte is a verdict and its reasons, both ways") {
  for (int byte = 0; byte < 256; ++byte) {
    const Quality quality = q(byte);
    REQUIRE(quality.byte() == byte);
    REQUIRE(Quality(quality.verdict(), quality.reasons()) == quality);
    REQUIRE(quality.is_good() == (byte == 0));
    for (int bit = 2; bit < 8; ++bit) {
      const auto reason = static_cast<Quality::Reason>(1 << bit);
      REQUIRE(quality.has(reason) == ((byte >> bit & 1) == 1));
    }
  }
  CHECK(Quality{} == Quality::good());
  CHECK(Quality(Verdict::good, 0x03) == Quality::good());
}

TEST_CASE("what was never written reads as bad") {
  CHECK(Quality::never_written().verdict() == Verdict::bad);
  CHECK(Quality::never_written().has(Quality::missing));
}

TEST_CASE("the text of a quality names its verdict and every reason, and no two agree") {
  std::set<std::string> seen;
  for (int byte = 0; byte < 256; ++byte) CHECK(seen.insert(to_string(q(byte))).second);
  CHECK(to_string(Quality::good()) == "good");
  CHECK(to_string(Quality(Verdict::interpolated)) == "interpolated");
  CHECK(to_string(Quality(Verdict::bad, Quality::missing | Quality::transient)) ==
        "bad: missing, transient");
  CHECK(to_string(Quality::never_written()) ==
        "bad: out of range, missing, transient, implausible, calibration, time uncertain");
}
