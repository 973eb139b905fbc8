// Picks the inner loops of filters with a finite impulse response. Private.
#pragma once

#include "fir_kernels.hpp"
#include "pick.hpp"

SPILLWAY_SIMD_TABLE(FirTable, fir_table, pick_fir_table)
