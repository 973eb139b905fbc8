#include "spillway/channels/realtime_check.hpp"
#include "support/catch.hpp"

using namespace spillway;

TEST_CASE("under a sanitizer the loop is run, and said not to be watched") {
  int ran = 0;
  const RealtimeFindings findings = watch_realtime([&] { ran = 1; }, [&] { ran *= 2; });
  CHECK(ran == 2);
  CHECK_FALSE(findings.clean());
  CHECK(describe(findings) == "not watched: anything (a sanitizer replaces malloc)");
}
