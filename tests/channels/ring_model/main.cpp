// ring_model: the shipped ring, writer and readers, explored by Relacy.
//
//   ring_model           as shipped: no execution of any scenario may fail
//   ring_model mutants   with every change that matters to every atomic operation there
//                        is, one at a time: some execution of some scenario must fail
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "mutation.hpp"
#include "scenario.hpp"

using namespace spillway::model;

namespace {

// How many executions: so many times as many where there is time.
std::uint64_t scale() {
  const char* const value = std::getenv("SPILLWAY_TEST_FULL");
  return value && std::string_view(value) == "1" ? 20 : 1;
}

bool as_shipped(std::uint64_t executions) {
  bool good = true;
  for (const Scenario& scenario : scenarios()) {
    const Reached before = reached();
    const auto failure = explore(executions_of(scenario), {1, executions}, &std::cout);
    std::cout << scenario.name << ": executions 1 to " << executions << ", "
              << to_string(reached() - before) << std::endl;
    if (!failure) continue;
    std::cout << "FAILED, execution " << failure->execution << ": " << failure->what << "\n";
    good = false;
  }
  const Reached& all = reached();
  const bool hard = all.torn > 0 && all.dropped > 0 && all.mixed > 0 && all.anchors_lost > 0;
  if (!hard) std::cout << "the hard cases did not come up: this proves nothing\n";
  return good && hard;
}

// How some scenario finds the mutant out, or nothing.
std::optional<std::string> detected(const Mutant& mutant, std::uint64_t executions) {
  mutate(&mutant);
  // A few executions of every scenario before many of one.
  for (std::uint64_t first = 1, last = 100; first <= executions; first = last + 1, last *= 10)
    for (const Scenario& scenario : scenarios())
      if (const auto failure = explore(executions_of(scenario), {first, last}))
        return "execution " + std::to_string(failure->execution) + " of \"" + scenario.name +
               "\": " + failure->what;
  return std::nullopt;
}

bool mutants(std::uint64_t executions) {
  // First unchanged, to see what there is to change.
  for (const Scenario& scenario : scenarios()) explore(executions_of(scenario), {1, 300});
  const std::vector<Site> all(sites().begin(), sites().end());
  bool good = true;
  if (const std::string text = unreached(CHANNELS, all); !text.empty()) {
    std::cout << "no scenario comes to all of these:\n" << text;
    good = false;
  }
  for (Mutant& mutant : mutants(all)) {
    // At once, so that the last line names the mutant even if that breaks everything.
    std::cout << to_string(mutant.site) << ": " << to_string(mutant.change, mutant.site.operation)
              << std::endl;
    for (const unsigned one_in : {1U, 16U}) {
      mutant.one_in = one_in;
      const auto how = detected(mutant, executions);
      std::cout << (one_in == 1 ? "  always:       " : "  now and then: ")
                << how.value_or("SURVIVED") << std::endl;
      good = good && how;
    }
  }
  return good;
}

}  // namespace

int main(int count, char** arguments) {
  const bool mutating = count > 1 && std::string_view(arguments[1]) == "mutants";
  const bool good = mutating ? mutants(10'000 * scale()) : as_shipped(80'000 * scale());
  std::cout << (good ? "good\n" : "NOT GOOD\n");
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
