// Records until it is killed. Tells on its standard output how many flushes have returned, as
// numbers of 4 bytes, one more for close(), and at last the operations it made on files.
//
//   storage_victim <directory> <seed> <format> <durability> <threads> <actions> <kill at> <middle>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "faulty_files.hpp"
#include "random_recording.hpp"

namespace {

void tell(std::uint32_t number) {
  if (::write(STDOUT_FILENO, &number, sizeof number) != sizeof number) std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace spillway;
  using namespace spillway::test;
  if (argc != 9) return 2;
  const std::string directory = argv[1];
  const std::uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  const auto format = static_cast<SinkChoice::Format>(std::atoi(argv[3]));
  SinkChoice choice = SinkChoice::random(format, durability_from(argv[4]), seed);
  choice.threads = std::strtoull(argv[5], nullptr, 10);
  KillingFiles files(std::strtoull(argv[7], nullptr, 10), argv[8][0] == '1');
  try {
    RandomRecording recording(seed, {std::atoi(argv[6]), 300}, format == SinkChoice::Format::csv);
    const auto sink = choice.make(directory + "/run" + choice.suffix(), files);
    std::uint32_t flushes = 0;
    recording.run(sink.get(), [&](const Extent&) { tell(++flushes); });
    sink->close({});
    tell(++flushes);
    tell(static_cast<std::uint32_t>(files.operations()));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "victim: %s\n", error.what());
    return 1;
  }
  return 0;
}
