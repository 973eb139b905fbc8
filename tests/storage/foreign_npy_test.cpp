// NumPy files as recordings.
#include <cmath>
#include <limits>
#include <random>

#include "foreign_support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

const Rate khz(1000, 1);

template <Sample T>
std::string descr_of(bool big) {
  const std::string name(sample_type_name(sample_type_of<T>()));
  return (sizeof(T) == 1 ? "|" : big ? ">" : "<") + name.substr(0, 1) + std::to_string(sizeof(T));
}

template <Sample T>
void check_every_layout(const TemporaryDirectory& directory) {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, sample_type_name(sample_type_of<T>()));
  std::mt19937_64 random(seed);
  const std::string path = directory / "a.npy";
  for (const int major : {1, 2, 3})
    for (const bool big : {false, true})
      for (const bool fortran : {false, true})
        for (const std::size_t channels : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
          const std::size_t rows = random() % 3 == 0 ? random() % 20'000 : random() % 40;
          const std::size_t columns = std::max<std::size_t>(channels, 1);
          std::vector<T> values(rows * columns);  // row by row
          for (T& v : values) v = static_cast<T>(static_cast<std::int64_t>(random()) >> 3);
          std::string data;
          for (std::size_t i = 0; i < values.size(); ++i)
            data += bytes_of(fortran ? values[i % rows * columns + i / rows] : values[i], big);
          const std::string shape = channels == 0
                                        ? std::to_string(rows) + ","
                                        : std::to_string(rows) + ", " + std::to_string(channels);
          write_text(path, npy_bytes(major, npy_header(descr_of<T>(big), fortran, shape), data));
          const Recording r = Recording::open(path, at_rate(khz));
          REQUIRE(r.streams().size() == 1);
          REQUIRE(r.streams()[0].rows == rows);
          REQUIRE(r.streams()[0].info.channels.size() == columns);
          CHECK(r.streams()[0].counts == RecordedCounts{rows, rows, 0, 0});
          CHECK(r.remarks().empty());
          for (std::size_t c = 0; c < columns; ++c) {
            std::vector<T> expected;
            for (std::size_t i = 0; i < rows; ++i) expected.push_back(values[i * columns + c]);
            REQUIRE(raw_values<T>(r, c) == expected);
          }
          // Not only from the beginning to the end.
          for (int n = 0; n < 5 && rows > 0; ++n) {
            const std::size_t c = random() % columns;
            const std::size_t from = random() % rows;
            std::vector<T> some(1 + random() % (rows - from));
            r.read_raw<T>(0, c, from, some);
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < some.size(); ++i)
              wrong += some[i] != values[(from + i) * columns + c];
            REQUIRE(wrong == 0);
          }
        }
}

}  // namespace

TEST_CASE("a .npy file of any type, order, byte order and format is read as numpy wrote it") {
  const TemporaryDirectory directory;
  check_every_layout<std::int8_t>(directory);
  check_every_layout<std::int16_t>(directory);
  check_every_layout<std::int32_t>(directory);
  check_every_layout<std::int64_t>(directory);
  check_every_layout<std::uint8_t>(directory);
  check_every_layout<std::uint16_t>(directory);
  check_every_layout<std::uint32_t>(directory);
  check_every_layout<std::uint64_t>(directory);
  check_every_layout<float>(directory);
  check_every_layout<double>(directory);
}

TEST_CASE("a .npy file has the rate, names and unit that are given") {
  const TemporaryDirectory directory;
  const std::string path = directory / "pump.npy";
  write_text(path,
             npy_bytes(1, npy_header("<i2", false, "2, 2"), std::string("\1\0\2\0\3\0\4\0", 8)));
  OpenOptions options = at_rate(Rate(24989, 100));
  options.foreign.names = {"in", "out"};
  options.foreign.unit = "mbar";
  const Recording r = Recording::open(path, options);
  CHECK(r.status() == "complete");
  const RecordedStream& s = r.streams().at(0);
  CHECK(s.info.name == "pump");
  CHECK(s.info.rate == Rate(24989, 100));
  CHECK(s.info.channels[1].name == "out");
  CHECK(s.info.channels[1].unit == "mbar");
  CHECK(times_of(r) == std::vector<Time>{Time(0), s.info.rate->duration(1)});
  options.foreign.names = {"in"};
  CHECK(contains(message_of([&] { (void)Recording::open(path, options); }),
                 "has 2 channels, but 1 names"));
  CHECK(
      contains(message_of([&] { (void)Recording::open(path); }), "does not tell its sample rate"));
}

TEST_CASE("a NaN in a .npy file is missing") {
  const TemporaryDirectory directory;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  write_text(directory / "a.npy",
             npy_bytes(1, npy_header(">f8", false, "3,"),
                       bytes_of(1.5, true) + bytes_of(nan, true) + bytes_of(HUGE_VAL, true)));
  const Recording r = Recording::open(directory / "a.npy", at_rate(khz));
  const Quality missing(Verdict::bad, Quality::missing);
  CHECK(qualities(r, 0) == std::vector<Quality>{Quality::good(), missing, Quality::good()});
  CHECK(std::isnan(raw_values<double>(r, 0)[1]));
}

TEST_CASE("an empty .npy array is a stream without samples, and one without columns is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.npy";
  for (const char* shape : {"0,", "0, 3"}) {
    write_text(path, npy_bytes(1, npy_header("<f8", false, shape), ""));
    const Recording r = Recording::open(path, at_rate(khz));
    CHECK(r.streams().at(0).rows == 0);
    CHECK(r.streams()[0].segments.empty());
  }
  const auto refused = [&](const std::string& shape) {
    return refusal(path, npy_bytes(1, npy_header("<f8", false, shape), "8 bytes."), at_rate(khz));
  };
  CHECK(contains(refused("3, 0"), "no channels"));
  CHECK(contains(refused("0, 1000000"), "transposed"));
  CHECK(contains(refused(""), "allowed are 1 (samples) and 2"));
  CHECK(contains(refused("0, 2, 2"), "allowed are 1 (samples) and 2"));
}

TEST_CASE("a .npy file whose elements are no samples is refused, with what is allowed") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.npy";
  const auto refused = [&](const std::string& descr) {
    const std::string message = refusal(
        path, npy_bytes(1, npy_header(descr, false, "1,"), std::string(64, '\0')), at_rate(khz));
    CHECK(contains(message, path));
    CHECK(contains(message, "allowed are int8 to int64, uint8 to uint64, float32 and float64"));
    CHECK_FALSE(contains(message, "\n"));
    return message;
  };
  CHECK(contains(refused("|b1"), "bool"));
  CHECK(contains(refused("<f2"), "floats of another size"));
  CHECK(contains(refused("<f16"), "floats of another size"));
  CHECK(contains(refused("<c16"), "complex"));
  CHECK(contains(refused("|O"), "Python objects"));
  CHECK(contains(refused("|S8"), "strings"));
  CHECK(contains(refused("<U8"), "strings"));
  CHECK(contains(refused("<M8[ns]"), "dates"));
  CHECK(contains(refused("|V4"), "structured or raw"));
  CHECK(contains(refused("|i4"), "not known"));
  CHECK(contains(refused(""), "not known"));
  const std::string structured =
      "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }";
  CHECK(contains(refusal(path, npy_bytes(1, structured, std::string(8, '\0')), at_rate(khz)),
                 "structured"));
}

TEST_CASE("a .npy header that is wrong, or tells of more than there is, is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.npy";
  const auto refused = [&](const std::string& header) {
    const std::string message =
        refusal(path, npy_bytes(1, header, std::string(16, '\0')), at_rate(khz));
    CHECK_FALSE(contains(message, "\n"));
    return message;
  };
  CHECK(refused(npy_header("<f8", false, "2,")).empty());
  CHECK(refused("{\"shape\":(2L,),'fortran_order':False,'descr':'<f8'}").empty());
  CHECK(contains(refused(npy_header("<f8", false, "3,")), "there are 16 bytes"));
  CHECK(contains(refused(npy_header("<f8", false, "1152921504606846976,")), "there are 16 bytes"));
  CHECK(contains(refused(npy_header("<f8", false, "4294967296, 4294967296")), "there are 16"));
  CHECK(contains(refused(npy_header("<f8", false, "99999999999999999999,")), "2^64"));
  CHECK(contains(refused(npy_header("<f8", false, "-1,")), "whole number"));
  CHECK(contains(refused(npy_header("<f8", false, "2 3")), "',' or ')'"));
  CHECK(contains(refused("{'descr': '<f8', 'shape': (2,), }"), "are needed"));
  CHECK(contains(refused("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
                 "twice"));
  CHECK(contains(refused("{'descr': '<f8', 'fortran_order': 0, 'shape': (2,)}"), "True or False"));
  CHECK(contains(refused(npy_header("<f8", false, "2,") + "x"), "does not end"));
  CHECK(contains(refused("__import__('os').system('true')"), "'{' is needed"));
  CHECK(contains(refused(""), "'{' is needed"));
  const std::string good = npy_bytes(1, npy_header("<f8", false, "2,"), std::string(16, '\0'));
  for (std::size_t size = 6; size < good.size(); ++size)
    CHECK_FALSE(refusal(path, good.substr(0, size), at_rate(khz)).empty());
  CHECK(
      contains(refusal(path, npy_bytes(4, "{}", ""), at_rate(khz)), "known are 1.0, 2.0 and 3.0"));
  // More than the array is told.
  write_text(path, good + "xyz");
  const Recording r = Recording::open(path, at_rate(khz));
  REQUIRE(r.remarks().size() == 1);
  CHECK(contains(r.remarks()[0], "3 bytes behind its array"));
}

TEST_CASE("what numpy saves is read") {
  if (!has_numpy()) return;
  const TemporaryDirectory directory;
  REQUIRE(run_python(directory, R"(
import numpy as np
a = np.arange(3000, dtype=np.int32).reshape(1000, 3) * 7 - 5000
np.save("c.npy", a)
np.save("fortran.npy", np.asfortranarray(a))
np.save("big.npy", a.astype(">i4"))
np.save("strided.npy", a[::2, 1])
np.lib.format.write_array(open("two.npy", "wb"), a, version=(2, 0))
np.lib.format.write_array(open("three.npy", "wb"), a, version=(3, 0))
np.save("half.npy", a.astype(np.float16))
np.save("object.npy", np.array([{}]), allow_pickle=True)
)"));
  for (const char* name : {"c", "fortran", "big", "two", "three"}) {
    CAPTURE(name);
    const Recording r = Recording::open(directory / (std::string(name) + ".npy"), at_rate(khz));
    REQUIRE(r.streams().at(0).rows == 1000);
    for (std::size_t c = 0; c < 3; ++c) {
      const auto values = raw_values<std::int32_t>(r, c);
      for (std::size_t i = 0; i < 1000; ++i)
        REQUIRE(values[i] == static_cast<std::int32_t>(3 * i + c) * 7 - 5000);
    }
  }
  const Recording strided = Recording::open(directory / "strided.npy", at_rate(khz));
  CHECK(raw_values<std::int32_t>(strided, 0)[499] == (3 * 998 + 1) * 7 - 5000);
  for (const char* name : {"half.npy", "object.npy"})
    CHECK(contains(message_of([&] { (void)Recording::open(directory / name, at_rate(khz)); }),
                   "allowed are"));
}
