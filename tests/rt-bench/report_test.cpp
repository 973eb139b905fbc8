#include "report.hpp"

#include <regex>

#include "support.hpp"
#include "support/catch.hpp"
#include "svg.hpp"

using namespace spillway::bench;

TEST_CASE("a report has every workload, machine, row and warning, and nothing from elsewhere") {
  Results other = example_results();
  other.workloads[1].id = "round-trip";
  other.workloads[1].title = "round trip";
  const std::vector<NamedResults> both{{"one.json", example_results()}, {"two<&>.json", other}};
  for (const auto& all : {std::vector{both[0]}, both}) {
    const std::string page = report(all);
    for (const NamedResults& r : all) {
      CHECK(page.find(escaped(r.name)) != std::string::npos);
      CHECK(page.find(r.results.machine.kernel) != std::string::npos);
      CHECK(page.find(r.results.machine.governor) != std::string::npos);
      CHECK(page.find(r.results.build.compiler) != std::string::npos);
      CHECK(page.find(r.results.build.commit) != std::string::npos);
      for (const std::string& warning : r.results.warnings)
        CHECK(page.find(escaped(warning)) != std::string::npos);
      for (const Workload& w : r.results.workloads) {
        CHECK(page.find("<h2 id=\"" + w.id + "\">" + w.title) != std::string::npos);
        for (const Row& row : w.rows) CHECK(page.find(escaped(row.name)) != std::string::npos);
      }
    }
    // What names hold is text, wherever it stands.
    CHECK(page.find("<script") == std::string::npos);
    CHECK(page.find("<fast>") == std::string::npos);
    CHECK(page.find("<queue>") == std::string::npos);
    CHECK(page.find("two<&>") == std::string::npos);
    CHECK(page.find("http://") == std::string::npos);
    CHECK(page.find("https://") == std::string::npos);
    CHECK_FALSE(std::regex_search(page, std::regex("url\\(|@import|src=|<link|<img")));
    // No number of a drawing came out as none.
    CHECK_FALSE(std::regex_search(page, std::regex("\"-?(nan|inf)|[MHV ]-?(nan|inf)")));
  }
}

TEST_CASE("a report can be made of a run that measured next to nothing") {
  Results empty = example_results();
  for (Workload& w : empty.workloads)
    for (Row& row : w.rows) {
      row.metrics.clear();
      row.counts.clear();
      row.times = {};
    }
  CHECK(report({{"empty.json", empty}}).find("single pushes, paced") != std::string::npos);
  Results zero = example_results();
  Row row{.name = "zero"};
  Histogram times;
  times.record(0.0);
  row.record_times(times, "ns");
  zero.workloads[0].rows = {row};
  CHECK(report({{"zero.json", zero}}).find("nan") == std::string::npos);
}

TEST_CASE("what stands in text and attributes is escaped") {
  CHECK(escaped("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
}
