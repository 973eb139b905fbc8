// Text files, whole: configurations and what lies beside them. Private to our sources, as
// strict_yaml.hpp.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "spillway/channels/error.hpp"

namespace spillway {

// Throws Error if it can't be read or is no text; `what` it is to be, for messages. Pipes are read
// to their end, but devices may have none.
[[nodiscard]] inline std::string read_text(const std::string& path, const std::string& what) {
  namespace fs = std::filesystem;
  constexpr std::size_t most_bytes = 64 << 20, first_bytes = 4096;
  std::error_code ignored;
  const fs::file_type type = fs::status(path, ignored).type();
  if (type == fs::file_type::directory)
    throw Error(fmt::format("{}: is a directory, not {}", path, what));
  if (type == fs::file_type::character || type == fs::file_type::block)
    throw Error(fmt::format("{}: is a device, not {}", path, what));
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text;
  std::string part(1 << 16, '\0');
  do {
    in.read(part.data(), static_cast<std::streamsize>(part.size()));
    text.append(part, 0, static_cast<std::size_t>(in.gcount()));
    if (text.size() > most_bytes)
      throw Error(
          fmt::format("{}: has more than {} bytes, too many for {}", path, most_bytes, what));
  } while (in);
  if (in.bad()) throw Error(fmt::format("{}: can't be read", path));
  // UTF-16 has zeros, and YAML may be in it.
  const bool is_utf16 = text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
  if (!is_utf16 && std::string_view(text).substr(0, first_bytes).find('\0') != std::string::npos)
    throw Error(fmt::format("{}: is not text, and so not {}", path, what));
  return text;
}

}  // namespace spillway
