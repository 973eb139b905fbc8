#include "script.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

namespace spillway::bench {

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::optional<StorageTaken> run_script(const char* library, const std::string& script,
                                       const std::string& arguments) {
  const std::string command = fmt::format(
      "for python in python3 /usr/bin/python3; do "
      "if $python -c 'import {}' 2>/dev/null; then exec $python {} {} 2>/dev/null; fi; done",
      library, quoted(script), arguments);
  const auto close = [](std::FILE* pipe) { (void)::pclose(pipe); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(::popen(command.c_str(), "r"), close);
  StorageTaken taken;
  if (!pipe) return {};
  const int read =
      std::fscanf(pipe.get(), "%lf %lf %lf", &taken.seconds, &taken.cpu_seconds, &taken.memory_mb);
  if (read < 2) return {};
  return taken;
}

}  // namespace spillway::bench
