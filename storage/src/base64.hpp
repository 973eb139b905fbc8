// Bytes as text, RFC 4648 with padding. Private.
#pragma once

#include <string>
#include <string_view>

namespace spillway {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// False: `text` is not what to_base64 gives for any bytes.
[[nodiscard]] bool from_base64(std::string_view text, std::string& bytes);

}  // namespace spillway
