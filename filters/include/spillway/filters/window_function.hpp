// Windows for the design of FIR filters and for spectra.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spillway {

enum class WindowKind : std::uint8_t {
  rectangular,
  triangular,
  hann,
  hamming,
  blackman,
  blackman_harris,  // 4 terms, -92 dB
  nuttall,          // 4 terms, minimum, -98 dB
  flat_top,
  kaiser,    // needs beta
  gaussian,  // needs a standard deviation, in samples
  tukey,     // needs alpha, the share that is tapered
};

// A window, with the parameter of those that have one: beta 0 to 500, a standard deviation
// above 0, alpha 0 to 1. Of the others it is 0.
struct WindowFunction {
  WindowKind kind = WindowKind::hamming;
  double parameter = 0.0;
  friend bool operator==(const WindowFunction&, const WindowFunction&) = default;
};

// Throws Error if the parameter is not in its range.
void check(const WindowFunction& function);

// The values w[0] to w[length - 1]. With N = length - 1 (symmetric: for filters), or
// N = length (periodic: for spectra), n' the distance to the nearer end, n or N - n, and
// d = n - N / 2:
//   triangular       (n' + 1) / (floor(N / 2) + 1) for even N,
//                    (2 n' + 1) / (N + 1) for odd N; nowhere 0
//   hann ... flat_top  sum (-1)^k a[k] cos(2 pi k n / N)    (F. Harris 1978, A. Nuttall 1981)
//   kaiser           I0(beta sqrt(1 - (2 d / N)^2)) / I0(beta)    (J. Kaiser 1974)
//   gaussian         exp(-(d / sigma)^2 / 2)
//   tukey            (1 - cos(2 pi n' / (alpha N))) / 2 for n' < alpha N / 2, else 1
// The definitions and coefficients are those of scipy.signal.windows. A symmetric window is
// the same bits from both ends. A length of 1 gives 1. Errors are about a unit in the last
// place of 1. Allocates the result.
//
// Throws Error if check() does, or the length is not 1 to 2^28.
[[nodiscard]] std::vector<double> window(const WindowFunction& function, std::size_t length,
                                         bool periodic);

}  // namespace spillway
