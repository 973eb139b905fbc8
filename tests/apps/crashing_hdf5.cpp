// Loaded in front of the HDF5 library: crashes where that would open a file.
#include <cstdlib>

extern "C" long H5Fopen(const char* /*path*/, unsigned /*flags*/, long /*access*/) { std::abort(); }
