#define PLAIN_LOOPS x86_64
#include "plain_loops.inl"
