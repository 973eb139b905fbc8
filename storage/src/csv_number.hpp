// Numbers as CSV recordings spell them: each value in exactly one way. Private.
//
// Integers in decimal. Floats as the shortest decimal that reads back as the same bits, the
// nearest of those if there are several, in the shorter of the notations 0.0001 and 1e-04: what
// std::to_chars gives. Not-a-number is NaN, infinity INF and -INF.
#pragma once

#include <cstddef>
#include <string_view>

#include "spillway/channels/sample_type.hpp"

namespace spillway::csv {

constexpr std::size_t longest_number = 24;  // "-2.2250738585072014e-308"

// put_number writes up to so many bytes, of which it returns the end of those that count.
constexpr std::size_t number_room = 64;

template <Sample T>
char* put_number(char* out, T value) noexcept;

// False: `text` is not how put_number spells any value.
template <Sample T>
[[nodiscard]] bool parse_number(std::string_view text, T& value) noexcept;

}  // namespace spillway::csv
