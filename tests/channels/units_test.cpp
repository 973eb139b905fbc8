#include "spillway/channels/units.hpp"

#include <limits>

#include "support/catch.hpp"

using namespace spillway;

TEST_CASE("literals name the exact value in hertz, samples and bytes") {
  CHECK((360_Hz).value == 360.0);
  CHECK((249.89_Hz).value == 249.89);
  CHECK((100_kHz).value == 1e5);
  CHECK((1.5_kHz).value == 1500.0);
  CHECK((2_MHz).value == 2e6);
  CHECK((0.5_MHz).value == 5e5);
  CHECK((7_samples).value == 7);
  CHECK(1_KiB == 1024);
  CHECK(1_MiB == 1024 * 1_KiB);
  CHECK(3_GiB == 3 * 1024 * 1_MiB);
}

TEST_CASE("sample numbers and counts form a line and its distances") {
  static_assert(SampleNumber{5} + SampleCount{3} == SampleNumber{8});
  static_assert(SampleNumber{8} - SampleNumber{5} == SampleCount{3});
  static_assert(SampleCount{2} + SampleCount{3} == SampleCount{5});
  static_assert(SampleNumber{4} < SampleNumber{5} && SampleCount{4} < SampleCount{5});
  SampleNumber n{10};
  n += SampleCount{5};
  CHECK(n == SampleNumber{15});
  SampleCount c{1};
  c += SampleCount{2};
  CHECK(c == SampleCount{3});
  constexpr std::uint64_t large = std::numeric_limits<std::uint64_t>::max() - 1;
  CHECK(SampleNumber{large} + SampleCount{1} - SampleNumber{large} == SampleCount{1});
}

TEST_CASE("time reaches from 1970 to any date a recording may have") {
  CHECK(Time::max() > std::chrono::hours(24 * 365 * 290));
  CHECK(Time::min() < -std::chrono::hours(24 * 365 * 290));
}
