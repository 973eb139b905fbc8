// xxHash as the processor at hand runs it fastest. Private.
#pragma once

// NOLINTBEGIN: the order and the macro are the library's
#define XXH_STATIC_LINKING_ONLY  // the size of the state
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // gives the names of xxhash.h the functions that choose
#endif
// NOLINTEND
