#define PLAIN_LOOPS x86_64_v3
#include "plain_loops.inl"
