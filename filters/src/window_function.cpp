#include "spillway/filters/window_function.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// In long double, so that rounding to double is nearly all that is lost.
using Long = long double;
constexpr Long pi = std::numbers::pi_v<Long>;
constexpr std::size_t max_length = std::size_t{1} << 28;
constexpr double max_beta = 500.0;

constexpr Long hann_terms[] = {0.5L, 0.5L};
constexpr Long hamming_terms[] = {0.54L, 0.46L};
constexpr Long blackman_terms[] = {0.42L, 0.50L, 0.08L};
constexpr Long blackman_harris_terms[] = {0.35875L, 0.48829L, 0.14128L, 0.01168L};
constexpr Long nuttall_terms[] = {0.3635819L, 0.4891775L, 0.1365995L, 0.0106411L};
constexpr Long flat_top_terms[] = {0.21557895L, 0.41663158L, 0.277263158L, 0.083578947L,
                                   0.006947368L};

Long cosine_sum(std::span<const Long> terms, Long n, Long last) {
  Long sum = 0.0L;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const Long term = terms[k] * std::cos(2.0L * pi * static_cast<Long>(k) * n / last);
    sum += k % 2 == 0 ? term : -term;
  }
  return sum;
}

// The modified Bessel function of order 0: a sum of positive terms, so nothing cancels.
Long bessel_i0(Long x) {
  const Long quarter = x * x / 4.0L;
  Long sum = 1.0L;
  Long term = 1.0L;
  for (Long k = 1.0L; term > sum * 1e-22L; ++k) {
    term *= quarter / (k * k);
    sum += term;
  }
  return sum;
}

// At n <= last / 2, last > 0.
Long value_at(const WindowFunction& function, Long n, Long last) {
  const Long parameter = function.parameter;
  switch (function.kind) {
    case WindowKind::rectangular: return 1.0L;
    case WindowKind::triangular:
      return std::fmod(last, 2.0L) == 0.0L ? (n + 1.0L) / (last / 2.0L + 1.0L)
                                           : (2.0L * n + 1.0L) / (last + 1.0L);
    case WindowKind::hann: return cosine_sum(hann_terms, n, last);
    case WindowKind::hamming: return cosine_sum(hamming_terms, n, last);
    case WindowKind::blackman: return cosine_sum(blackman_terms, n, last);
    case WindowKind::blackman_harris: return cosine_sum(blackman_harris_terms, n, last);
    case WindowKind::nuttall: return cosine_sum(nuttall_terms, n, last);
    case WindowKind::flat_top: return cosine_sum(flat_top_terms, n, last);
    case WindowKind::kaiser:
      // 1 - (1 - 2 n / last)^2, without the cancellation at the end.
      return bessel_i0(parameter * 2.0L * std::sqrt(n * (last - n)) / last) / bessel_i0(parameter);
    case WindowKind::gaussian: {
      const Long distance = (n - last / 2.0L) / parameter;
      return std::exp(-distance * distance / 2.0L);
    }
    case WindowKind::tukey: {
      const Long taper = parameter * last;
      return n < taper / 2.0L ? cosine_sum(hann_terms, n, taper) : 1.0L;
    }
  }
  throw Error(fmt::format("window: kind {} is none", static_cast<int>(function.kind)));
}

}  // namespace

void check(const WindowFunction& function) {
  const double p = function.parameter;
  switch (function.kind) {
    case WindowKind::kaiser:
      if (!(p >= 0.0 && p <= max_beta))
        throw Error(fmt::format("window: a Kaiser beta of {}; it must be 0 to {}", p, max_beta));
      return;
    case WindowKind::gaussian:
      if (!(p > 0.0 && std::isfinite(p)))
        throw Error(
            fmt::format("window: a standard deviation of {} samples; it must be above 0", p));
      return;
    case WindowKind::tukey:
      if (!(p >= 0.0 && p <= 1.0))
        throw Error(fmt::format("window: a tapered share of {}; it must be 0 to 1", p));
      return;
    case WindowKind::rectangular:
    case WindowKind::triangular:
    case WindowKind::hann:
    case WindowKind::hamming:
    case WindowKind::blackman:
    case WindowKind::blackman_harris:
    case WindowKind::nuttall:
    case WindowKind::flat_top:
      if (p != 0.0)
        throw Error(fmt::format("window: a parameter of {} for a kind that has none", p));
      return;
  }
  throw Error(fmt::format("window: kind {} is none", static_cast<int>(function.kind)));
}

std::vector<double> window(const WindowFunction& function, std::size_t length, bool periodic) {
  check(function);
  if (length == 0 || length > max_length)
    throw Error(fmt::format("window: a length of {}; allowed are 1 to {}", length, max_length));
  if (length == 1) return {1.0};
  const std::size_t last = periodic ? length : length - 1;
  std::vector<double> values(length);
  for (std::size_t n = 0; n <= last / 2; ++n) {
    const Long value = value_at(function, static_cast<Long>(n), static_cast<Long>(last));
    values[n] = static_cast<double>(value);
    if (last - n < length) values[last - n] = values[n];
  }
  return values;
}

}  // namespace spillway
