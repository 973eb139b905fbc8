#include "results.hpp"

#include "spillway/channels/error.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "table.hpp"

using namespace spillway::bench;
using spillway::Error;

TEST_CASE("the median is the middle of the rounds, whatever their order") {
  Metric metric{"push", "ns", Better::less, {5.0, 1.0, 3.0}};
  CHECK(metric.median() == 3.0);
  metric.rounds.push_back(2.0);
  CHECK(metric.median() == 2.5);
  CHECK(metric.min() == 1.0);
  CHECK(metric.max() == 5.0);
  CHECK(Metric{}.median() == 0.0);
}

TEST_CASE("JSON gives back the results it was made of") {
  const Results results = example_results();
  const std::string json = to_json(results);
  const Results again = from_json(json, "file");
  // All of it, as JSON has all of it.
  CHECK(to_json(again) == json);
  CHECK(again.machine.cpu == results.machine.cpu);
  CHECK(again.machine.used == results.machine.used);
  CHECK(again.build.commit == results.build.commit);
  CHECK(again.settings == results.settings);
  CHECK(again.warnings == results.warnings);
  REQUIRE(again.workloads.size() == 2);
  REQUIRE(again.workloads[0].rows.size() == 4);
  CHECK(again.workloads[0].rows[0].floor);
  const Row& row = again.workloads[0].rows[1];
  CHECK(row.times.count() == 3000);
  CHECK(row.times.max() == results.workloads[0].rows[1].times.max());
  CHECK(row.metric("p50")->rounds == results.workloads[0].rows[1].metric("p50")->rounds);
  CHECK(again.workloads[1].rows[0].metric("pushed")->better == Better::more);
  CHECK(again.workloads[1].rows[0].find_count("lost")->value == 24);
}

TEST_CASE("a name that is not UTF-8 costs its letters, not the results") {
  Results results = example_results();
  results.machine.cpu = "CPU \xff\xfe";
  CHECK(from_json(to_json(results), "file").workloads.size() == 2);
}

TEST_CASE("whatever is cut off, bent or missing in JSON is an error with the name of the file") {
  const std::string json = to_json(example_results());
  const auto message = [](const std::string& text) -> std::string {
    try {
      (void)from_json(text, "x.json");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  for (std::size_t size = 0; size + 2 < json.size(); size += 37) {
    const std::string what = message(json.substr(0, size));
    REQUIRE(what.starts_with("x.json: "));
    REQUIRE(what.find('\n') == std::string::npos);
  }
  const auto bent = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return message(text.replace(at, from.size(), to));
  };
  CHECK(bent("spillway rt-bench", "something else").find("not a result") != std::string::npos);
  CHECK(bent("\"version\":1", "\"version\":99").find("version 99") != std::string::npos);
  CHECK(bent("\"kernel\"", "\"colonel\"").find("kernel") != std::string::npos);
  CHECK(bent("\"cores_used\":[1,3]", "\"cores_used\":\"both\"").starts_with("x.json: damaged"));
  CHECK(bent("\"count\":3000", "\"count\":3001").starts_with("x.json: "));
  CHECK(bent("\"buckets_per_octave\":64", "\"buckets_per_octave\":32").starts_with("x.json: "));
  CHECK(message("[1,2]").starts_with("x.json: "));
  CHECK(message("{}").starts_with("x.json: "));
}

TEST_CASE("a table is aligned, has the ratios, and tells once what is the same for all") {
  const std::string text = table(example_results().workloads[0]);
  CHECK(text.find("1.00x") != std::string::npos);
  CHECK(text.find("p50-floor") != std::string::npos);
  CHECK(text.find("Each: pushed 3,000") != std::string::npos);
  const auto lines = cells(example_results().workloads[1]);
  for (const auto& line : lines) CHECK(line.size() == lines[0].size());
  CHECK(lines[0].back() == "lost");
  CHECK(lines[1].back() == "24");
  CHECK(figure(0.6123) == "0.612");
  CHECK(figure(18.54) == "18.5");
  CHECK(figure(999.7) == "1,000");
  CHECK(figure(0.0) == "0.000");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(grouped(999) == "999");
}
