#include "in_child.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::apps;

namespace {

std::string crash_of(const std::function<ChildResult()>& f) {
  try {
    (void)in_child("a/run.h5", f);
  } catch (const ChildCrashed& crash) {
    return crash.what();
  }
  return {};
}

}  // namespace

TEST_CASE("what a child returns, or throws, arrives") {
  const std::string text(1 << 20, 'x');
  const ChildResult result = in_child("p", [&]() -> ChildResult { return {text, 3}; });
  CHECK(result.text == text);
  CHECK(result.status == 3);
  CHECK(in_child("p", []() -> ChildResult { return {}; }).text.empty());
  std::string message;
  try {
    (void)in_child("p", []() -> ChildResult { throw Error("p: is wrong"); });
  } catch (const ChildCrashed&) {
    FAIL("it did not crash");
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message == "p: is wrong");
}

TEST_CASE("a child that crashes is an error in one line, and nobody else crashes") {
  for (const int signal : {SIGSEGV, SIGABRT, SIGKILL}) {
    CAPTURE(signal);
    const std::string what = crash_of([&]() -> ChildResult {
      std::signal(signal, SIG_DFL);
      std::raise(signal);
      return {};
    });
    CHECK(what.starts_with("a/run.h5: reading it ended by signal " + std::to_string(signal)));
    CHECK(what.find('\n') == std::string::npos);
  }
  CHECK(crash_of([]() -> ChildResult { std::_Exit(0); }).find("status 0") != std::string::npos);
}

TEST_CASE("what is printed to a text is all of it") {
  CHECK(printed([](std::FILE* to) { std::fputs("a\nb", to); }) == "a\nb");
  CHECK(printed([](std::FILE*) {}).empty());
  CHECK_THROWS_AS(printed([](std::FILE*) { throw Error("no"); }), Error);
}
