// What a NumPy file begins with: type, order and shape of its one array. Private.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "file.hpp"
#include "spillway/channels/sample_type.hpp"

namespace spillway {

struct NpyHeader {
  SampleType type = SampleType::float64;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::uint64_t> shape;
  std::uint64_t data_at = 0;  // first byte behind the header
};

// Formats 1.0, 2.0 and 3.0. The text in it is read as what it is, never evaluated. Throws Error
// that names the path, also where the file is shorter than the array, or its type no sample type.
[[nodiscard]] NpyHeader read_npy_header(const File& file);

// Of format 1.0, a multiple of 64 bytes long; for shapes of one or two numbers always the same.
[[nodiscard]] std::string npy_header_text(SampleType type, const std::vector<std::uint64_t>& shape);

}  // namespace spillway
