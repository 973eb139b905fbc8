// The reference vectors of what works frame by frame: detectors, thermocouples, compensation,
// tables. Each function throws std::runtime_error, naming the case, where a result differs.
#pragma once

#include "support/reference.hpp"

namespace spillway::test {

void run_quality_flag(const Reference& reference, const ReferenceCase& c);
void run_table(const Reference& reference, const ReferenceCase& c);
void run_calibrate_compensated(const Reference& reference, const ReferenceCase& c);  // needs data
void run_thermocouple_emf(const Reference& reference, const ReferenceCase& c);
void run_thermocouple_temperature(const Reference& reference, const ReferenceCase& c);

}  // namespace spillway::test
