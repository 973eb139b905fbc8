#include "spillway/channels/sample_type.hpp"

#include <set>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;

namespace {
constexpr int types = 10;
}

TEST_CASE("every sample type has its own name, and the name leads back to it") {
  std::set<std::string_view> seen;
  for (int i = 0; i < types; ++i) {
    const auto type = static_cast<SampleType>(i);
    const std::string_view name = sample_type_name(type);
    CHECK(seen.insert(name).second);
    CHECK(sample_type_from_name(name) == type);
  }
  CHECK(sample_type_from_name("float") == SampleType::float32);
  CHECK(sample_type_from_name("double") == SampleType::float64);
}

TEST_CASE("a sample type, its C++ type, its size and its name agree") {
  for (int i = 0; i < types; ++i) {
    const auto type = static_cast<SampleType>(i);
    visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
      CHECK(sample_type_of<T>() == type);
      CHECK(sample_size(type) == sizeof(T));
      std::string name = std::is_floating_point_v<T> ? "float"
                         : std::is_signed_v<T>       ? "int"
                                                     : "uint";
      name += std::to_string(8 * sizeof(T));
      CHECK(sample_type_name(type) == name);
    });
  }
}

TEST_CASE("an unknown sample type is refused with the list of those there are") {
  for (const std::string name : {"", "int", "Int8", "int8 ", "float16", "uint128"}) {
    const std::string message = test::message_of([&] { (void)sample_type_from_name(name); });
    CHECK(test::contains(message, "'" + name + "'"));
    for (int i = 0; i < types; ++i)
      CHECK(test::contains(message, std::string(sample_type_name(static_cast<SampleType>(i)))));
  }
}

// Only the ten types are samples.
static_assert(Sample<std::int8_t> && Sample<double>);
static_assert(!Sample<bool> && !Sample<char> && !Sample<long double> && !Sample<const int>);
