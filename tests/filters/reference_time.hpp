// The reference vectors of the filters that know of time, and of spectra. Each function throws
// std::runtime_error, naming the case, where a result differs.
#pragma once

#include "support/reference.hpp"

namespace spillway::test {

void run_exponential_average(const Reference& reference, const ReferenceCase& c);
void run_derivative(const Reference& reference, const ReferenceCase& c);
void run_integral(const Reference& reference, const ReferenceCase& c);
void run_interpolate(const Reference& reference, const ReferenceCase& c);
void run_welch(const Reference& reference, const ReferenceCase& c);
void run_hilbert_envelope(const Reference& reference, const ReferenceCase& c);

}  // namespace spillway::test
