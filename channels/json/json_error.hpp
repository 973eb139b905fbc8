// What is wrong with a JSON text, in words for people. Private.
#pragma once

#include <exception>
#include <string>

namespace spillway {

// Of an exception of nlohmann's: "line 3, column 7: unexpected end of input; expected ']'", "the
// entry 'name' is missing", without the library's names and numbers. Of any other: its what().
[[nodiscard]] std::string json_error_text(const std::exception& error);

}  // namespace spillway
