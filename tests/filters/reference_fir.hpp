// The reference cases of filters with a finite impulse response and of rate changes.
#pragma once

#include "support/reference.hpp"

namespace spillway::test {

// Throw std::runtime_error that names the case and the first difference. All run with the stored
// coefficients, and with the own design where the case has a tolerance for it.
void run_fir(const Reference& reference, const ReferenceCase& c);
void run_decimate_fir(const Reference& reference, const ReferenceCase& c);
void run_savitzky_golay(const Reference& reference, const ReferenceCase& c);
void run_resample_polyphase(const Reference& reference, const ReferenceCase& c);

}  // namespace spillway::test
