// The reference cases of several filters in a row, as a graph from YAML.
#pragma once

#include "support/reference.hpp"

namespace spillway::test {

// Throws std::runtime_error that names the case and the first difference.
void run_chain(const Reference& reference, const ReferenceCase& c);

}  // namespace spillway::test
