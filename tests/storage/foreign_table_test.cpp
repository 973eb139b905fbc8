// Tables that others wrote, as recordings.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <random>

#include "foreign_support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

constexpr Quality missing(Verdict::bad, Quality::missing);
constexpr Quality late(Verdict::suspect, Quality::time_uncertain);

class TextTable {
 public:
  explicit TextTable(const std::string& text, const OpenOptions& options = {}) {
    write_text(path(), text);
    recording_.emplace(Recording::open(path(), options));
  }
  // Instead of a table: why there is none.
  static std::string refused(const std::string& text, const OpenOptions& options = {}) {
    const TemporaryDirectory directory;
    const std::string path = directory / "table.csv";
    const std::string message = refusal(path, text, options);
    CHECK((message.empty() || contains(message, path)));
    CHECK_FALSE(contains(message, "\n"));
    return message.empty() ? "" : message.substr(path.size() + 2);
  }
  [[nodiscard]] const RecordedStream& stream() const { return recording_->streams().at(0); }
  [[nodiscard]] const Recording& recording() const { return *recording_; }
  [[nodiscard]] std::vector<double> values(std::size_t channel) const {
    return raw_values<double>(*recording_, channel);
  }
  [[nodiscard]] std::vector<Time> times() const { return times_of(*recording_); }
  [[nodiscard]] std::string remark() const { return recording_->remarks().at(0); }
  [[nodiscard]] std::string names() const {
    std::string text;
    for (const ChannelInfo& c : stream().info.channels) text += c.name + "[" + c.unit + "] ";
    return text;
  }

 private:
  [[nodiscard]] std::string path() const { return directory_ / "table.csv"; }
  TemporaryDirectory directory_;
  std::optional<Recording> recording_;
};

OpenOptions with(char separator, char decimal) {
  OpenOptions options;
  options.foreign.separator = separator;
  options.foreign.decimal = decimal;
  return options;
}

}  // namespace

TEST_CASE("a table's separator, decimal and header are found out, and told") {
  const std::vector<double> x{1.5, -2.0, 0.25}, y{10, 20, 30};
  const auto check = [&](const std::string& text, const std::string& told) {
    CAPTURE(text);
    const TextTable table(text);
    CHECK(table.values(0) == x);
    CHECK(table.values(1) == y);
    CHECK(table.times() == std::vector<Time>{0ms, 100ms, 200ms});
    CHECK(table.stream().info.rate == Rate(10, 1));
    CHECK(contains(table.remark(), told));
    CHECK(table.recording().status() == "complete");
  };
  check("time,x,y\n0,1.5,10\n0.1,-2,20\n0.2,0.25,30\n",
        "3 columns separated by ',', decimal '.', names from line 1");
  check("time;x;y\r\n0;1,5;10\r\n0,1;-2;20\r\n0,2;,25;30", "separated by ';', decimal ','");
  check("time;x;y\n0;1.5;10\n0.1;-2;20\n0.2;.25;30", "separated by ';', decimal '.'");
  check("time\tx\ty\n0\t+1.5\t10\n0.1\t-2.0\t20\n0.2\t2.5e-1\t3E+1\n", "by tabs, decimal '.'");
  check("time\tx\ty\n0\t1,5\t10\n0,1\t-2,0\t20\n0,2\t25e-2\t30\n", "by tabs, decimal ','");
  check("0,1.5,10\n0.1,-2,20\n0.2,0.25,30\n", "no names");
  check("\xEF\xBB\xBFtime, x, y\n0, 1.5, 10\n 0.1 , -2 , 20 \n0.2,0.25,30\n\n\n", "names");
  check("\"time\",\"x\",\"y\"\n\"0\",\"1.5\",\"10\"\n0.1,-2,20\n0.2,0.25,30\n", "names");
  check("# made by hand\n# time,x,y\n0,1.5,10\n0.1,-2,20\n0.2,0.25,30\n", "names from line 2");
  check("\n#\n\ntime,x,y\n\n0,1.5,10\n0.1,-2,20\n0.2,0.25,30\n", "names from line 4");
  check("time_ms,x,y\n0,1.5,10\n100,-2,20\n200,0.25,30\n", "in units of 0.001 s");
  check("t (us);x;y\n0;1,5;10\n1e5;-2;20\n2e5;0,25;30\n", "in units of 1e-06 s");
}

TEST_CASE("what can be read in two ways is refused unless it is said how") {
  const OpenOptions rate = at_rate(Rate(1, 1));
  CHECK(contains(TextTable::refused("1,5\n2,5\n", rate), "give the separator or the decimal"));
  OpenOptions options = with(',', 0);
  options.foreign.rate = Rate(1, 1);
  CHECK(TextTable("1,5\n2,5\n", options).stream().info.channels.size() == 2);
  options = with(0, ',');
  options.foreign.rate = Rate(1, 1);
  CHECK(TextTable("1,5\n2,5\n", options).values(0) == std::vector<double>{1.5, 2.5});
  options = with(0, '.');
  options.foreign.rate = Rate(1, 1);
  CHECK(TextTable("1,5\n2,5\n", options).values(1) == std::vector<double>{5, 5});
  // A header says how many columns there are.
  CHECK(TextTable("x\n1,5\n2,5\n", rate).values(0) == std::vector<double>{1.5, 2.5});
  CHECK(TextTable("a,b\n1,5\n2,5\n", rate).names() == "a[1] b[1] ");
  CHECK(TextTable("0|1\n1|2\n", with('|', 0)).values(0) == std::vector<double>{1, 2});
  CHECK(contains(TextTable::refused("1 2\n", with('5', 0)), "separates no numbers"));
  CHECK(contains(TextTable::refused("1 2\n", with(0, ';')), "allowed are '.' and ','"));
}

TEST_CASE("a cell that is no number says what it was likely to be") {
  for (const std::string cell : {"2026-13-04", "2026-05-04T10:44:60", "04.05.2026", "05/04/2026",
                                 "4.5.26 10:00", "10:44:18"}) {
    CAPTURE(cell);
    for (const std::string front : {"", "0,1\n1,2\n", "x,y\n", "x,y\n0,1\n"})
      CHECK(contains(TextTable::refused(front + cell + ",1\n" + cell + ",2\n"),
                     "'" + cell + (front.size() > 4 ? "' in column 1 looks" : "' looks") +
                         " like a date: times must be numbers or dates of ISO 8601"));
  }
  for (const std::string front : {"t,y\n", "t,y\n0,1\n"}) {
    CHECK(contains(TextTable::refused(front + "1,1e999\n"), " is too large for a float64"));
    CHECK(contains(TextTable::refused(front + "1,-1E-999\n"), " is too small for a float64"));
    for (const char* cell : {"1.234.567", "e5", "1e", "1e+", "x1e5", "abc"})
      CHECK(contains(TextTable::refused(front + "1," + cell + "\n"),
                     front.size() > 4 ? "is no number with decimal '.'" : "or without"));
  }
}

TEST_CASE("of a last line that is left out the size is told") {
  std::string text = "t,x\n";
  for (int i = 0; i < 20; ++i) text += std::to_string(i) + ",1\n";
  const TextTable table(text + std::string(50, '\0'));
  CHECK(table.stream().rows == 20);
  CHECK(contains(table.recording().remarks().at(1), "the last line, of 50 bytes, has no end"));
}

// None of these takes longer the more there are than by their number: others would hang here.
TEST_CASE("a table may have many columns, of equal names or of others") {
  for (const bool equal : {false, true}) {
    CAPTURE(equal);
    const std::size_t count = equal ? 20'000 : 65'000;
    std::string text = "time";
    for (std::size_t c = 0; c < count; ++c) text += equal ? ",x" : ",c" + std::to_string(c);
    for (int row = 0; row < 3; ++row) {
      text += "\n" + std::to_string(row);
      for (std::size_t c = 0; c < count; ++c) text += ",1";
    }
    const TextTable table(text + "\n");
    const std::vector<ChannelInfo>& channels = table.stream().info.channels;
    REQUIRE(channels.size() == count);
    CHECK(channels[0].name == (equal ? "x" : "c0"));
    for (std::size_t c = 1; c < count; ++c)
      if (channels[c].name != (equal ? "x_" + std::to_string(c + 1) : "c" + std::to_string(c)))
        FAIL(channels[c].name);
  }
}

TEST_CASE("names and units come from the header, or are given") {
  OpenOptions options;
  options.foreign.unit = "V";
  const std::string text = "time [s],x [mV],speed (m/s),plain,(odd),\"a \"\"b\"\"\"\n0,1,2,3,4,5\n";
  CHECK(TextTable(text, options).names() == "x[mV] speed[m/s] plain[V] (odd)[V] a \"b\"[V] ");
  options.foreign.names = {"a", "b", "c", "d", "e"};
  CHECK(TextTable(text, options).names() == "a[mV] b[m/s] c[V] d[V] e[V] ");
  options.foreign.names = {"a"};
  CHECK(contains(TextTable::refused(text, options), "5 channels, but 1 names"));
  // As older programs write it.
  const TextTable latin(
      "time,T [\xB0"
      "C]\n0,1\n");
  CHECK(latin.names() ==
        "T[\xC2\xB0"
        "C] ");
  CHECK(contains(latin.remark(), "ISO 8859-1"));
  CHECK(TextTable("0,1,2\n1,2,3\n").names() == "ch0[1] ch1[1] ");
  // Names that can't be stored, or stand twice, are changed and told.
  const TextTable odd("time,m/s,x,x,,sample,x_quality\n0,1,2,3,4,5,6\n");
  CHECK(odd.names() == "m_s[1] x[1] x_2[1] ch3[1] sample_[1] x_quality_[1] ");
  CHECK(odd.recording().remarks().size() == 6);
  CHECK(contains(odd.recording().remarks()[1], "column 2 is named 'm_s', not 'm/s'"));
}

TEST_CASE("times are taken exactly") {
  const TextTable table("time,x\n0.1,1\n0.3000000004,1\n123456789.987654321,1\n-0.000000001,1\n");
  CHECK(table.times() == std::vector<Time>{100ms, 300ms, Time(123'456'789'987'654'321), Time(-1)});
  CHECK_FALSE(table.stream().info.rate);
  CHECK(TextTable("time [h],x\n0.5,1\n1.0000001,1\n").times() ==
        std::vector<Time>{30min, Time(3'600'000'360'000)});
  OpenOptions ticks;
  ticks.foreign.time_unit_s = 3.0517578125e-05;  // 1 / 32768 s
  CHECK(TextTable("time,x\n1,1\n32768,1\n", ticks).times() == std::vector<Time>{Time(30518), 1s});
  CHECK(TextTable("time,x\n1.5E-3,1\n2.5e-3,1\n").times() == std::vector<Time>{1500us, 2500us});
  for (const char* wrong : {"time,x\n1e12,1\n", "time,x\n1e300,1\n", "time,x\n1e-3e,1\n"})
    CHECK_FALSE(TextTable::refused(wrong).empty());
  CHECK(contains(TextTable::refused("time,x\n0,1\n,2\n"), "line 3: '' in column 1 is no time"));
  CHECK(contains(TextTable::refused("time,x\n0,1\nnan,2\n"), "is no time"));
  ticks.foreign.time_unit_s = 0.0;
  CHECK(contains(TextTable::refused("time,x\n0,1\n", ticks), "unit of its times"));
}

TEST_CASE("the unit of times is understood or refused, and seconds only where nothing is said") {
  const auto second_time = [](const std::string& heading, const OpenOptions& options = {}) {
    CAPTURE(heading);
    return TextTable(heading + ";x\n0;1\n7;2\n", options).times().at(1);
  };
  const auto check = [&](Time time, std::initializer_list<const char*> headings) {
    for (const char* heading : headings) {
      CAPTURE(heading);
      CHECK(second_time(heading) == time);
    }
  };
  check(7ms, {"time [msec]", "Time (MS)", "t [Milliseconds]", "time [in ms]", "time ms", "time/ms",
              "Time, ms", "time in ms", "ms", "MS", "[ms]", "milliseconds", "time_ms", "timeMs",
              "elapsed (rel) ms", "\"Time, msec\"", "time [mS]"});
  check(7us, {"time [usec]", "t (\xC2\xB5s)", "t (\xB5s)", "t \xCE\xBCs", "time microseconds"});
  check(Time(7), {"time [nsec]", "time [ns]", "Time, nanoseconds"});
  check(7s, {"time [sec]", "time [sec.]", "time (Seconds)", "time s", "time_s", "secs", "time", "t",
             "Time", "timestamp", "seconds", "x"});
  check(7min, {"time [minutes]", "time [min]", "Time (mins)", "time, min"});
  check(7h, {"Time (hrs)", "time [Hours]", "time_h", "hours", "t hr"});
  check(24h * 7, {"time [d]", "Time (days)", "elapsed days"});
  OpenOptions minutes;
  minutes.foreign.time_unit_s = 60.0;
  for (const std::string heading :
       {"time [fs]", "time [V]", "t [fortnight]", "time [Ms]", "time Ms", "time [m]", "time (m/s)",
        "time [1/s]", "time [10 ms]", "time fs", "time, years", "Year", "ticks", "ms since start",
        "time [ms] of X", "time [V] rel", "time of day", "hour of the day", "Time (UTC)"}) {
    CAPTURE(heading);
    const std::string told = TextTable::refused(heading + ";x\n0;1\n7;2\n");
    CHECK(contains(told, "line 1: the unit of times in '" + heading + "' is not understood"));
    CHECK(contains(told, "allowed are s, ms, us, ns, min, h, d and their names"));
    CHECK(contains(told, "give the unit of its times"));
    CHECK(second_time(heading, minutes) == 7min);
  }
}

TEST_CASE("a unit of times is given only where the file does not say it, be it the same") {
  for (const double seconds : {1.0, 60.0, 1e-3}) {
    OpenOptions given;
    given.foreign.time_unit_s = seconds;
    CHECK(TextTable("time,x\n0,1\n7,2\n", given).times().at(1) ==
          Time(std::llround(7e9 * seconds)));
    for (const std::string text : {"time [min],x\n0,1\n1,2\n", "time_s,x\n0,1\n1,2\n"})
      CHECK(contains(TextTable::refused(text, given),
                     "its header says the unit of its times; a unit of times can't be given"));
    CHECK(contains(TextTable::refused("d,x\n2016-03-01,1\n", given), "can't be given"));
    given.foreign.rate = Rate(1, 1);
    CHECK(contains(TextTable::refused("x\n0\n1\n", given), "a unit of times can't be given"));
  }
}

TEST_CASE("dates are times from the first one") {
  const TextTable utc("date,x\n2018-06-21T18:21:56.25Z,1\n2018-06-21T20:21:57+02:00,2\n");
  CHECK(utc.stream().info.origin == Origin{Origin::Kind::utc, "2018-06-21T18:21:56"});
  CHECK(utc.recording().start_time() == "2018-06-21T18:21:56Z");
  CHECK(utc.times() == std::vector<Time>{250ms, 1s});
  const TextTable local("date;x\n2016-02-29 23:59;1\n2016-03-01 00:00:00,5;2\n2016-03-02;3,5\n");
  CHECK(local.stream().info.origin == Origin{Origin::Kind::local, "2016-02-29T23:59:00"});
  CHECK(local.recording().start_time().empty());
  CHECK(local.times() == std::vector<Time>{0s, 60'500ms, 24h + 1min});
  CHECK(local.values(0)[2] == 3.5);
  CHECK(contains(local.remark(), "local time"));
  const TextTable before("d,x\n1969-12-31T23:59:59.75Z,1\n1970-01-01T00:00:00Z,2\n");
  CHECK(before.stream().info.origin.text == "1969-12-31T23:59:59");
  CHECK(before.times() == std::vector<Time>{750ms, 1s});
  CHECK(contains(TextTable::refused("d,x\n2016-03-01T00:00:00Z,1\n2016-03-01T00:00:01,1\n"),
                 "line 3: '2016-03-01T00:00:01' has no zone"));
  CHECK(contains(TextTable::refused("d,x\n2016-03-01,1\n2016-02-30,1\n"), "line 3: '2016-02-30'"));
  CHECK(contains(TextTable::refused("d,x\n01.03.2016,1\n"), "neither a recording nor a table"));
}

TEST_CASE("a rate makes the first column samples, and must not contradict it") {
  const TextTable table("x,y\n3,1\n1,2\n", at_rate(Rate(2, 1)));
  CHECK(table.values(0) == std::vector<double>{3, 1});
  CHECK(table.times() == std::vector<Time>{0s, 500ms});
  CHECK(contains(TextTable::refused("time,y\n3,1\n", at_rate(Rate(2, 1))), "a rate is given"));
  CHECK(
      contains(TextTable::refused("x,y\n2016-03-01,1\n", at_rate(Rate(2, 1))), "a rate is given"));
  CHECK(contains(TextTable::refused("x\n1\n2\n"), "give the rate"));
  // What falls and rises is no time, unless it is called so.
  std::string text;
  for (int i = 0; i < 50; ++i) text += fmt::format("{},1.5\n", i * 7 % 5);
  CHECK(contains(TextTable::refused("x,y\n" + text), "does not rise"));
  CHECK(contains(TextTable::refused(text), "does not rise"));
  CHECK(TextTable("time,y\n" + text).stream().rows == 50);
}

TEST_CASE(
    "blank cells are missing, but text and other numbers of columns are refused with their line") {
  const TextTable table("time,x,y\n0,,1\n1,NaN,nan\n2,3,NA\n3,inf,-Infinity\n");
  CHECK(qualities(table.recording(), 0) ==
        std::vector<Quality>{missing, missing, Quality::good(), Quality::good()});
  CHECK(qualities(table.recording(), 1) ==
        std::vector<Quality>{Quality::good(), missing, missing, Quality::good()});
  CHECK(std::isnan(table.values(0)[0]));
  CHECK(table.values(0)[3] == HUGE_VAL);
  CHECK(table.values(1)[3] == -HUGE_VAL);
  const std::string head = "time,x,y\n0,1,2\n";
  CHECK(contains(TextTable::refused(head + "1,2,abc\n2,3,4\n"),
                 "line 3: 'abc' in column 3 is no number with decimal '.'"));
  CHECK(contains(TextTable::refused(head + "1,2 3,4\n"), "line 3: '2 3' in column 2"));
  CHECK(
      contains(TextTable::refused(head + "1,2\n2,3,4\n"), "line 3: 2 columns; the others have 3"));
  CHECK(contains(TextTable::refused(head + "1,2,3,4\n2,3,4\n"), "line 3: 4 columns"));
  CHECK(contains(TextTable::refused(head + "\n1,2,3\n"), "line 3: is empty"));
  CHECK(contains(TextTable::refused(head + "1,\"2,3\n"), "a quote"));
  CHECK(contains(TextTable::refused(head + "1,\"2\"x,3\n"), "a quote"));
  CHECK(contains(TextTable::refused(head + "1,1e999,3\n"), "'1e999' in column 2"));
  CHECK(contains(TextTable::refused(head + "1,0x1p3,3\n"), "'0x1p3' in column 2"));
  // Far behind the lines by which it was found out what it is.
  std::string text = head;
  for (int i = 1; i < 20'000; ++i) text += fmt::format("{},1,2\n", i);
  CHECK(contains(TextTable::refused(text + "20000,1;5,2\n"), "line 20002: '1;5' in column 2"));
  CHECK(contains(TextTable::refused(text + "20000,1\n"), "line 20002: 2 columns"));
}

TEST_CASE("the last line may have no end, and is left out if it was cut") {
  CHECK(TextTable("time,x\n0,1\n1,2\n2,3").values(0) == std::vector<double>{1, 2, 3});
  for (const char* cut : {"2", "2,1e", "2,\"1"}) {
    const TextTable table(std::string("time,x\n0,1\n1,2\n") + cut);
    CHECK(table.values(0) == std::vector<double>{1, 2});
    REQUIRE(table.recording().remarks().size() == 2);
    CHECK(contains(table.recording().remarks()[1], "line 4"));
  }
}

TEST_CASE("times that do not rise stay as they are, and are uncertain") {
  const TextTable table("time,x,y\n0,1,\n1,2,2\n1,3,3\n0.5,4,\n2,5,5\n");
  CHECK_FALSE(table.stream().info.rate);
  CHECK(table.times() == std::vector<Time>{0s, 1s, 1s, 500ms, 2s});
  const Quality both = merge(late, missing);
  CHECK(qualities(table.recording(), 0) ==
        std::vector<Quality>{Quality::good(), Quality::good(), late, late, Quality::good()});
  CHECK(qualities(table.recording(), 1) ==
        std::vector<Quality>{missing, Quality::good(), late, both, Quality::good()});
  REQUIRE(table.stream().segments.size() == 3);
  CHECK(table.stream().segments[1].first_sample == 2);
  CHECK(table.stream().segments[2].t0_ns == 500'000'000);
  CHECK(contains(table.remark(), "2 times are not later than the one before, first on line 4"));
}

TEST_CASE("times that are rounded are those of a regular stream, and others are not") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int n = 0; n < 150; ++n) {
    static const std::vector<Rate> rates{Rate(1, 1),       Rate(360, 1),       Rate(44'100, 1),
                                         Rate(24989, 100), Rate(1, 300),       Rate(30'000, 1001),
                                         Rate(100, 1),     Rate(1'000'000, 7), Rate(125, 1)};
    const Rate rate = rates[random() % rates.size()];
    const std::size_t rows = 3 + random() % 3000;
    // So many decimals that no two times are equal.
    int decimals = 0;
    while (std::pow(10.0, -decimals) * rate.hertz().value > 0.9) ++decimals;
    decimals = std::min(9, decimals + static_cast<int>(random() % 3));
    std::int64_t unit = 1;
    for (int i = decimals; i < 9; ++i) unit *= 10;
    const std::int64_t first = static_cast<std::int64_t>(random() % 10'000) * unit;
    const bool truncated = random() % 2 == 0;
    const std::size_t disturbed = random() % 3 == 0 ? 1 + random() % (rows - 2) : rows;
    std::string text = "time,x\n";
    std::vector<std::int64_t> given;
    for (std::size_t i = 0; i < rows; ++i) {
      std::int64_t ns = first + rate.duration(i).count();
      ns = (ns + (truncated ? 0 : unit / 2)) / unit * unit;
      if (i == disturbed) ns += 3 * unit;
      given.push_back(ns);
      std::string digits =
          fmt::format("{:09}", ns % 1'000'000'000).substr(0, std::size_t(decimals));
      // Some leave zeros at the end out.
      while (random() % 2 == 0 && digits.ends_with('0')) digits.pop_back();
      text += fmt::format("{}{}{},1\n", ns / 1'000'000'000, digits.empty() ? "" : ".", digits);
    }
    CAPTURE(n, rate.hertz().value, rows, decimals, truncated, disturbed);
    const TextTable table(text);
    if (disturbed < rows) {
      CHECK_FALSE(table.stream().info.rate);
      CHECK(table.times()[disturbed].count() == given[disturbed]);
      continue;
    }
    REQUIRE(table.stream().info.rate);
    // A nanosecond for the rounding of what was written.
    std::int64_t most = 0;
    const std::vector<Time> times = table.times();
    for (std::size_t i = 0; i < rows; ++i)
      most = std::max(most, std::abs(times[i].count() - given[i]));
    CHECK(most <= unit + 1);
    if (rows > 2000 && decimals >= 3)
      CHECK(table.stream().info.rate->hertz().value ==
            Approx(rate.hertz().value)
                .epsilon(2.0 * std::pow(10.0, -decimals) * rate.hertz().value /
                         static_cast<double>(rows)));
  }
  // The plainest rate of those that fit.
  std::string text = "time,x\n";
  for (int i = 0; i < 30; ++i) text += fmt::format("{:.3f},1\n", i / 300.0);
  CHECK(TextTable(text).stream().info.rate == Rate(300, 1));
  // As oscilloscopes write it.
  text = "t,x\n";
  for (int i = 0; i < 1000; ++i) text += fmt::format("{:.5E},1\n", -1e-6 + i * 2e-10);
  CHECK(TextTable(text).stream().info.rate->hertz().value == Approx(5e9).epsilon(1e-4));
}

TEST_CASE("a table of which a row is missing is not regular, however few digits its times have") {
  const auto irregular = [](const std::string& text) {
    CAPTURE(text.substr(0, 200));
    const TextTable table(text);
    CHECK_FALSE(table.stream().info.rate);
    CHECK(contains(table.remark(), "not equally spaced: steps of "));
    return table.times();
  };
  std::string ms = "time [ms],x\n", hundredths = "time,x\n", seconds = "date,x\n",
              minutes = "date,x\n";
  for (int i = 0; i < 1000; ++i) {
    if (i == 500) continue;
    ms += fmt::format("{},{}\n", i, i);
    hundredths += fmt::format("{:.2f},{}\n", i / 100.0, i);
    seconds += fmt::format("2026-05-04T10:{:02}:{:02}Z,1\n", i / 60, i % 60);
    minutes += fmt::format("2026-05-04T{:02}:{:02},1\n", i / 60, i % 60);
  }
  CHECK(irregular(ms).at(500) == 501ms);
  CHECK(irregular(hundredths).at(500) == 5010ms);
  CHECK(irregular(seconds).at(500) == 501s);
  CHECK(irregular(minutes).at(500) == 501min);
  CHECK(irregular("time,x\n0,1\n1,2\n3,3\n") == std::vector<Time>{0s, 1s, 3s});
  irregular("time [ms],x\n0,1\n6,2\n10,3\n");  // 3, 3, 4
  // Rows that are lost again and again are missing too.
  std::string text = "time,x\n";
  for (int i = 0; i < 1000; ++i)
    if (i % 60 != 59) text += fmt::format("{},1\n", i);
  irregular(text);

  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int n = 0; n < 400; ++n) {
    // A period of whole units of the last digit, or of 2 at least, in thousandths of it.
    const bool whole = random() % 3 == 0;
    const std::uint64_t period =
        whole ? 1000 * (1 + random() % 12) : 2000 + random() % (random() % 2 == 0 ? 4000 : 40'000);
    const int digits = static_cast<int>(random() % 7);
    const std::uint64_t start = random() % 1'000'000;
    const std::size_t rows = 14 + random() % (random() % 2 == 0 ? 10 : 2000);
    std::vector<bool> gone(rows);
    const std::uint64_t times = random() % 4;
    for (std::uint64_t i = 0; i < times; ++i) gone[1 + random() % (rows - 2)] = true;
    std::string table = "time,x\n";
    for (std::size_t i = 0; i < rows; ++i) {
      if (gone[i]) continue;
      const std::uint64_t units = (start + i * period) / 1000;
      std::uint64_t one = 1;
      for (int d = 0; d < digits; ++d) one *= 10;
      table += fmt::format("{}", units / one);
      if (digits > 0) table += fmt::format(".{:0{}}", units % one, digits);
      table += ",1\n";
    }
    CAPTURE(n, period, digits, start, rows, times);
    CHECK(TextTable(table).stream().info.rate.has_value() == (times == 0));
  }
}

TEST_CASE("times that a halfway case was rounded up in here and down there are regular") {
  // As printf writes them.
  for (const auto& [rate, digits] : {std::pair{400, 3}, {8, 2}, {200, 3}, {40, 3}, {80, 3}}) {
    CAPTURE(rate, digits);
    std::string text = "time,x\n";
    for (int i = 0; i < 500; ++i)
      text += fmt::format("{:.{}f},1\n", static_cast<double>(i) / rate, digits);
    CHECK(TextTable(text).stream().info.rate == Rate(rate, 1));
  }
  // 10 ms from half a millisecond on: any step of 9, 10 or 11 ms.
  std::string text = "time,x\n";
  for (int i = 0; i < 500; ++i) text += fmt::format("{:.3f},1\n", 0.0005 + i / 100.0);
  CHECK(TextTable(text).stream().info.rate == Rate(100, 1));
}

TEST_CASE("the first row of a table without names is not taken for names for a cell that is none") {
  CHECK(TextTable::refused("0,ERR\n1,2\n2,3\n3,4\n") ==
        "line 1: 'ERR' in column 2 is no number with decimal '.'");
  CHECK(contains(TextTable::refused("\n# made by hand\n0,1,ERR\n1,2,3\n"),
                 "line 3: 'ERR' in column 3 is no number"));
  CHECK(contains(TextTable::refused("2026-01-01T00:00:00Z,bad\n2026-01-01T00:00:01Z,1\n"),
                 "line 1: 'bad' in column 2 is no number"));
  CHECK(contains(TextTable::refused("0;1.5\n1;1\n2;2\n", with(0, ',')),
                 "line 1: '1.5' in column 2 is no number with decimal ','"));
  CHECK(contains(TextTable::refused("0,ERR\n1,2\n", at_rate(Rate(1, 1))), "line 1: 'ERR'"));
  CHECK(contains(TextTable::refused("0,ERR\n1,ERR\n2,ERR\n"), "neither a recording nor a table"));
  CHECK(contains(TextTable::refused("0,ERR\n1,2\n2,ERR\n"), "line 1: 'ERR'"));
  CHECK(contains(TextTable::refused("0,1e999\n1,2\n"), "line 1: '1e999' in column 2 is too large"));
  // Names that are numbers, but of times, and those that pandas writes above an index.
  CHECK(TextTable("time,1,2\n0,1,2\n1,2,3\n").names() == "1[1] 2[1] ");
  CHECK(TextTable(",x\n0,1\n1,2\n").names() == "x[1] ");
  CHECK(TextTable("Na,K\n3,1\n1,2\n", at_rate(Rate(1, 1))).names() == "Na[1] K[1] ");
  CHECK(TextTable("0,1,2\n1,2,3\n2,3,4\n").stream().rows == 3);
}

TEST_CASE("a table far larger than what is kept of it is read in any order") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::vector<double> x;
  std::string text = "time;x;y\r\n";
  for (int i = 0; i < 60'000; ++i) {
    x.push_back(std::ldexp(static_cast<double>(static_cast<std::int64_t>(random())),
                           static_cast<int>(random() % 100) - 100));
    std::array<char, 40> spelled;
    const auto end = std::to_chars(spelled.data(), spelled.data() + spelled.size(), x.back());
    std::string cell(spelled.data(), end.ptr);
    if (const auto point = cell.find('.'); point != cell.npos) cell[point] = ',';
    text += fmt::format("{};{};{}\r\n", i, cell, i);
  }
  const TextTable table(text);
  REQUIRE(table.stream().rows == x.size());
  for (int n = 0; n < 100; ++n) {
    const std::size_t from = random() % x.size();
    std::vector<double> some(1 + random() % std::min<std::size_t>(20'000, x.size() - from));
    table.recording().read_raw<double>(0, 0, from, some);
    REQUIRE(std::equal(some.begin(), some.end(), x.begin() + static_cast<std::ptrdiff_t>(from)));
    table.recording().read_raw<double>(0, 1, from, some);
    REQUIRE(some.front() == static_cast<double>(from));
    REQUIRE(some.back() == static_cast<double>(from + some.size() - 1));
  }
}

TEST_CASE("what is no table is said to be none") {
  for (const char* text : {"hello", "a,b\n", "<html>\n<body>\n", "1,2\n3,4,5\n6\n"})
    CHECK_FALSE(TextTable::refused(text, at_rate(Rate(1, 1))).empty());
  CHECK(contains(TextTable::refused("hello\nworld\n"), "neither a recording nor a table: line 2"));
  CHECK(contains(TextTable::refused(std::string("1,2\n\0", 5)), "neither"));
  CHECK(contains(TextTable::refused(""), "neither"));
  CHECK(contains(TextTable::refused("1," + std::string(17 << 20, '1')), "a line of more than"));
}

TEST_CASE("what pandas and numpy write as text is read") {
  if (!has_numpy()) return;
  const TemporaryDirectory directory;
  REQUIRE(run_python(directory, R"(
import numpy as np
t = np.arange(500) / 250
x = np.sin(t)
np.savetxt("savetxt.csv", np.column_stack([t, x]), delimiter=",", header="time,x")
try:
    import pandas as pd
    pd.DataFrame({"time": pd.date_range("2020-01-01", periods=500, freq="4ms", tz="UTC"), "x": x}).to_csv("pandas.csv", index=False)
except ImportError:
    pass
np.save("x.npy", x)
)"));
  const auto x = raw_values<double>(Recording::open(directory / "x.npy", at_rate(Rate(1, 1))), 0);
  const Recording saved = Recording::open(directory / "savetxt.csv");
  CHECK(saved.streams()[0].info.rate == Rate(250, 1));
  CHECK(raw_values<double>(saved, 0) == x);
  if (!exists(directory / "pandas.csv")) return;
  const Recording pandas = Recording::open(directory / "pandas.csv");
  CHECK(pandas.streams()[0].info.rate == Rate(250, 1));
  CHECK(pandas.streams()[0].info.origin == Origin{Origin::Kind::utc, "2020-01-01T00:00:00"});
  CHECK(raw_values<double>(pandas, 0) == x);
}
