#include "spillway/channels/stream_info.hpp"

#include <limits>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::make_info;
using test::message_of;

namespace {

StreamInfo good() { return make_info({SampleType::int16, SampleType::float64}, 1000); }

// The message must say which stream and hold all of `parts`.
template <class Change>
void refused(Change change, std::initializer_list<std::string> parts) {
  StreamInfo info = good();
  change(info);
  const std::string message = message_of([&] { check(info); });
  INFO("message: '" << message << "'");
  CHECK_FALSE(message.empty());
  CHECK_FALSE(contains(message, "\n"));
  for (const std::string& part : parts) CHECK(contains(message, part));
}

}  // namespace

TEST_CASE("a stream without fault passes") {
  CHECK(message_of([] { check(good()); }).empty());
  StreamInfo info = good();
  info.rate.reset();
  CHECK(message_of([&] { check(info); }).empty());
  info = good();
  info.capacity = Time(std::chrono::seconds(2));
  CHECK(message_of([&] { check(info); }).empty());
  CHECK(capacity_in_samples(info) == SampleCount{2000});
  info.channels[0].range = Range{-1.0, -1.0};
  info.channels[0].name = "Höhe \xE2\x82\x82 (links), 2";
  info.channels[1].name = std::string(200, 'x');
  CHECK(message_of([&] { check(info); }).empty());
}

TEST_CASE("names that some format can't store are refused") {
  const auto rule = [](const std::string& name) {
    return message_of([&] { check_name("node", name); });
  };
  CHECK(contains(rule(""), "node"));
  CHECK(contains(rule(""), "empty"));
  for (const std::string& name :
       {std::string("."), std::string(".."), std::string("a/b"), std::string("a\nb"),
        std::string("a\0b", 3), std::string("\x7f"), std::string(201, 'x')}) {
    const std::string message = rule(name);
    CHECK(contains(message, "node"));
    CHECK(contains(message, "1 to 200 bytes"));
    CHECK(contains(message, "'/'"));
    CHECK(contains(message, "control"));
  }
  for (const std::string& name :
       {std::string("..."), std::string("a.b"), std::string("a b"), std::string(200, 'x')})
    CHECK(rule(name).empty());
}

TEST_CASE("a stream's own faults are named") {
  refused([](StreamInfo& i) { i.name.clear(); }, {"stream", "empty"});
  refused([](StreamInfo& i) { i.name = "a/b"; }, {"stream 'a/b'", "'/'"});
  refused([](StreamInfo& i) { i.name = "spillway"; }, {"stream 'spillway'", "reserved"});
  refused([](StreamInfo& i) { i.channels.clear(); }, {"'stream'", "no channels", "at least one"});
}

TEST_CASE("a capacity that can't be is refused with the range of those that can") {
  const std::string most = std::to_string(std::uint64_t{1} << 40);
  refused([](StreamInfo& i) { i.capacity = SampleCount{0}; }, {"'stream'", "capacity of 0", most});
  refused([](StreamInfo& i) { i.capacity = SampleCount{(std::uint64_t{1} << 40) + 1}; },
          {"'stream'", "capacity", most});
  refused([](StreamInfo& i) { i.capacity = Time(0); }, {"'stream'", "capacity", "positive"});
  refused([](StreamInfo& i) { i.capacity = Time(-5); }, {"'stream'", "capacity", "positive"});
  refused([](StreamInfo& i) { i.capacity = Time(1); }, {"'stream'", "capacity of 0", most});
  refused(
      [](StreamInfo& i) {
        i.rate.reset();
        i.capacity = Time(std::chrono::seconds(1));
      },
      {"'stream'", "irregular", "in samples"});
  refused(
      [](StreamInfo& i) {
        // So many samples that their count does not fit into 64 bits.
        i.rate = Rate(1'000'000'000'000, 1);
        i.capacity = Time(18'446'744'073'709'552);
      },
      {"'stream'", "capacity", most});
}

TEST_CASE("a largest block or a number of marks that can't be is refused with the range") {
  refused([](StreamInfo& i) { i.largest_block = SampleCount{0}; },
          {"'stream'", "largest block of 0", "1 to"});
  refused([](StreamInfo& i) { i.largest_block = SampleCount{~std::uint64_t{0}}; },
          {"'stream'", "largest block", "1 to"});
  refused([](StreamInfo& i) { i.mark_capacity = SampleCount{1}; },
          {"'stream'", "mark capacity of 1", "2 to"});
  refused([](StreamInfo& i) { i.mark_capacity = SampleCount{~std::uint64_t{0}}; },
          {"'stream'", "mark capacity", "2 to"});
}

TEST_CASE("a channel's faults name the channel and its stream") {
  const std::string second = "channel 'ch1' of stream 'stream'";
  refused([](StreamInfo& i) { i.channels[1].name.clear(); }, {"channel", "'stream'", "empty"});
  refused([](StreamInfo& i) { i.channels[1].name = "a\tb"; }, {"channel", "'stream'", "control"});
  for (const std::string name : {"time", "time_ns", "sample", "x_quality", "_quality"})
    refused([&](StreamInfo& i) { i.channels[1].name = name; },
            {"channel '" + name + "'", "'stream'", "reserved"});
  refused([](StreamInfo& i) { i.channels[1].name = "ch0"; },
          {"channel 'ch0'", "'stream'", "twice"});
  refused(
      [](StreamInfo& i) {
        i.channels[1].range = Range{2.0, 1.0};
      },
      {second, "range", "2", "1"});
  refused(
      [](StreamInfo& i) {
        i.channels[1].range = Range{std::numeric_limits<double>::quiet_NaN(), 1.0};
      },
      {second, "range"});
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double limit : {infinity, -infinity})
    refused(
        [&](StreamInfo& i) {
          i.channels[1].range = Range{limit, limit};
        },
        {second, "range", "no finite value"});
  refused([](StreamInfo& i) { i.channels[1].calibration = Polynomial{}; }, {second, "calibration"});
  refused([](StreamInfo& i) { i.channels[1].unit = "V\x1b[31m"; }, {second, "unit", "control"});
}

TEST_CASE("a name may repeat in another stream, and the time names are free for streams") {
  StreamInfo info = good();
  info.name = "time";
  CHECK(message_of([&] { check(info); }).empty());
}

TEST_CASE("raw values have the channel's unit only where nothing converts them") {
  ChannelInfo channel;
  channel.unit = "mm";
  CHECK(channel.raw_unit() == "mm");
  channel.calibration = Linear{2.0, 0.0};
  CHECK(channel.raw_unit() == "count");
  channel.calibration.unit_in = "V";
  CHECK(channel.raw_unit() == "V");
}

TEST_CASE("the time between two origins is known if they are the same, or both tell their time") {
  using Kind = Origin::Kind;
  const auto between = [](const Origin& a, const Origin& b) { return time_between(a, b); };
  CHECK(between({}, {}) == Time(0));
  CHECK(between({Kind::unknown, "power on"}, {Kind::unknown, "power on"}) == Time(0));
  CHECK(!between({Kind::unknown, "power on"}, {}));
  CHECK(between({Kind::utc, "2018-06-21T18:21:56"}, {Kind::utc, "2018-06-21T18:22:01.5"}) ==
        std::chrono::milliseconds(5500));
  CHECK(between({Kind::local, "2000-03-01T00:00:00"}, {Kind::local, "2000-02-28T23:59:59"}) ==
        -std::chrono::seconds(86401));
  CHECK(between({Kind::utc, "1970-01-01T00:00:00.000000001"}, {Kind::utc, "1970-01-01T00:00:00"}) ==
        Time(-1));
  CHECK(!between({Kind::utc, "2018-06-21T18:21:56"}, {Kind::local, "2018-06-21T18:21:56"}));
  for (const char* wrong :
       {"", "yesterday", "2018-06-21", "2018-13-21T00:00:00", "2018-02-30T00:00:00",
        "2018-06-21T24:00:00", "2018-06-21T18:21:56Z", "0001-01-01T00:00:00"})
    CHECK(!between({Kind::utc, "2018-06-21T18:21:56"}, {Kind::utc, wrong}));
}
