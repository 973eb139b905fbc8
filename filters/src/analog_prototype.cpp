#include "analog_prototype.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <numbers>

namespace spillway {

namespace {

constexpr Real pi = std::numbers::pi_v<Real>;
constexpr Real epsilon = std::numeric_limits<Real>::epsilon();

// 10^(db / 10) - 1.
Real power_above_one(Real db) { return std::expm1(db * std::numbers::ln10_v<Real> / 10); }

// Angle of pole pair `k` of `n` poles from the imaginary axis; k = 0 is the least damped.
Real angle(int k, int n) { return pi * static_cast<Real>(2 * k + 1) / static_cast<Real>(2 * n); }

AnalogPrototype prototype(const Butterworth& family) {
  AnalogPrototype made;
  const int n = family.order;
  if (n % 2 == 1) made.real_pole = 1.0L;
  for (int k = n / 2; k-- > 0;)
    made.pairs.push_back({std::sin(angle(k, n)), std::cos(angle(k, n))});
  return made;
}

// Poles of the Chebyshev filter 1 / (1 + epsilon^2 T_n^2(w)): on an ellipse.
AnalogPrototype chebyshev(int n, Real epsilon_squared) {
  AnalogPrototype made;
  const Real v = std::asinh(1 / std::sqrt(epsilon_squared)) / static_cast<Real>(n);
  if (n % 2 == 1) made.real_pole = std::sinh(v);
  for (int k = n / 2; k-- > 0;)
    made.pairs.push_back(
        {std::sinh(v) * std::sin(angle(k, n)), std::cosh(v) * std::cos(angle(k, n))});
  return made;
}

// 10^(-db / 20): the gain at 0 of an even order that ripples down to -db.
Real gain_at_zero(int order, double ripple_db) {
  return order % 2 == 0 ? std::exp(-Real{ripple_db} * std::numbers::ln10_v<Real> / 20) : 1.0L;
}

AnalogPrototype prototype(const Chebyshev1& family) {
  AnalogPrototype made = chebyshev(family.order, power_above_one(family.ripple_db));
  made.gain = gain_at_zero(family.order, family.ripple_db);
  return made;
}

// The poles of type I inverted, and zeros where T_n(1 / w) = 0.
AnalogPrototype prototype(const Chebyshev2& family) {
  const int n = family.order;
  AnalogPrototype made = chebyshev(n, 1 / power_above_one(family.attenuation_db));
  if (made.real_pole) made.real_pole = 1 / *made.real_pole;
  int k = n / 2;
  for (AnalogPair& pair : made.pairs) {
    const Real squared = pair.a * pair.a + pair.b * pair.b;
    pair = {pair.a / squared, pair.b / squared, 1 / std::cos(angle(--k, n))};
  }
  return made;
}

// Elliptic functions by the products of the theta functions (NIST Handbook of Mathematical
// Functions, 20.5 and 22.2), whose factors are all positive. The nome, below 0.97 here, makes
// them converge.
struct Jacobi {
  Real sn = 0.0L;
  Real cn = 1.0L;
  Real dn = 1.0L;
};

// sn, cn and dn at `x` times the quarter period, 0 <= x < 1, and the modulus.
struct EllipticFunctions {
  explicit EllipticFunctions(Real nome) : q(nome) {
    Real ratio = 1.0L;  // theta_2 / (2 q^(1/4) theta_3), and theta_4 / theta_3
    Real even = 1.0L;
    for (Real odd_power = q, even_power = q * q; odd_power > epsilon / 16;
         odd_power *= q * q, even_power *= q * q) {
      ratio *= (1 + even_power) / (1 + odd_power);
      even *= (1 - odd_power) / (1 + odd_power);
    }
    root_modulus = 2 * std::sqrt(std::sqrt(q)) * ratio * ratio;
    modulus = root_modulus * root_modulus;
    root_complement = even * even;
  }

  [[nodiscard]] Jacobi at(Real x) const {
    const Real s = std::sin(pi / 2 * x);
    const Real c = std::cos(pi / 2 * x);
    Real first = 1.0L, second = 1.0L, third = 1.0L, fourth = 1.0L;
    for (Real odd_power = q, even_power = q * q; odd_power > epsilon / 16;
         odd_power *= q * q, even_power *= q * q) {
      const Real e = (1 - even_power) * (1 - even_power);
      const Real o = (1 - odd_power) * (1 - odd_power);
      first *= e + 4 * even_power * s * s;
      second *= e + 4 * even_power * c * c;
      third *= o + 4 * odd_power * c * c;
      fourth *= o + 4 * odd_power * s * s;
    }
    const Real quarter_root = 2 * std::sqrt(std::sqrt(q));
    return {quarter_root * s * first / (root_modulus * fourth),
            quarter_root * c * second * root_complement / (root_modulus * fourth),
            root_complement * third / fourth};
  }

  Real q = 0.0L;
  Real root_modulus = 0.0L;     // sqrt(k) = theta_2 / theta_3
  Real root_complement = 0.0L;  // sqrt(k') = theta_4 / theta_3
  Real modulus = 0.0L;
};

Real arithmetic_geometric_mean(Real a, Real b) {
  while (std::abs(a - b) > 4 * epsilon * a) {
    const Real mean = (a + b) / 2;
    b = std::sqrt(a * b);
    a = mean;
  }
  return a;
}

// R_F(x, y, z), by duplication (Carlson, Numerical Algorithms 10 (1995), pp. 13-26).
Real carlson_rf(Real x, Real y, Real z) {
  const Real start = (x + y + z) / 3;
  const Real from_start = std::max({std::abs(start - x), std::abs(start - y), std::abs(start - z)});
  Real mean = start;
  Real shrink = 1.0L;
  const Real x0 = start - x;
  const Real y0 = start - y;
  const Real threshold = std::pow(epsilon, 1.0L / 6) / 4;
  while (shrink * from_start > threshold * mean) {
    const Real lambda = std::sqrt(x * y) + std::sqrt(y * z) + std::sqrt(z * x);
    x = (x + lambda) / 4;
    y = (y + lambda) / 4;
    z = (z + lambda) / 4;
    mean = (mean + lambda) / 4;
    shrink /= 4;
  }
  const Real u = shrink * x0 / mean;
  const Real v = shrink * y0 / mean;
  const Real w = -u - v;
  const Real e2 = u * v - w * w;
  const Real e3 = u * v * w;
  return (1 - e2 / 10 + e3 / 14 + e2 * e2 / 24 - 3 * e2 * e3 / 44) / std::sqrt(mean);
}

// Zeros and poles as in Orfanidis, Lecture Notes on Elliptic Filter Design (2006), equations for
// the zeros j / (k cd) and the poles j cd(u - j v), their real and imaginary parts apart by
// the addition theorem. The degree equation is solved by the nomes: that of the filter's
// modulus is the n-th root of that of k1.
AnalogPrototype prototype(const Elliptic& family) {
  const int n = family.order;
  const Real pass = power_above_one(family.ripple_db);
  const Real stop = power_above_one(family.attenuation_db);
  const Real k1 = std::sqrt(pass / stop);
  const Real stop_less_pass =
      (1 + pass) * power_above_one(Real{family.attenuation_db} - Real{family.ripple_db});
  const Real k1_complement = std::sqrt(stop_less_pass / stop);
  const Real log_nome = -pi * arithmetic_geometric_mean(1, k1_complement) /
                        arithmetic_geometric_mean(1, k1) / static_cast<Real>(n);
  const EllipticFunctions along(std::exp(log_nome));             // of modulus k
  const EllipticFunctions across(std::exp(pi * pi / log_nome));  // of the complementary modulus

  // v, in quarter periods: sc(v, k1') = 1 / sqrt(pass).
  const Real v =
      carlson_rf(pass, pass + pass / stop, 1 + pass) * arithmetic_geometric_mean(1, k1) * 2 / pi;
  const Jacobi i = across.at(v);

  AnalogPrototype made;
  made.gain = gain_at_zero(n, family.ripple_db);
  if (n % 2 == 1) made.real_pole = i.sn / i.cn;
  for (int j = n % 2 == 1 ? 2 : 1; j < n; j += 2) {
    const Jacobi r = along.at(static_cast<Real>(j) / static_cast<Real>(n));
    const Real zero = 1 / (along.modulus * r.sn);
    const Real k_sn_sn = i.sn / zero;
    const Real denominator = i.cn * i.cn + k_sn_sn * k_sn_sn;  // 1 - dn^2 sn'^2
    made.pairs.push_back(
        {r.cn * r.dn * i.sn * i.cn / denominator, r.sn * i.dn / denominator, zero});
  }
  return made;
}

// theta_n(s) = sum_k (2n - k)! / (2^(n-k) k! (n-k)!) s^k, the reverse Bessel polynomial, by
// ascending powers. Integers below 2^52.
std::vector<Real> reverse_bessel(int n) {
  std::vector<Real> coefficients(static_cast<std::size_t>(n) + 1);
  Real c = 1.0L;
  for (int k = n; k >= 0; --k) {
    coefficients[static_cast<std::size_t>(k)] = c;
    c = c * static_cast<Real>(k) * static_cast<Real>(2 * n - k + 1) /
        static_cast<Real>(2 * (n - k + 1));
  }
  return coefficients;
}

using Complex = std::complex<Real>;

// A number as the sum of two, for twice the digits (Dekker, Numerische Mathematik 18 (1971),
// pp. 224-242).
struct Twice {
  Real high = 0.0L;
  Real low = 0.0L;
};

Twice add(Twice a, Twice b) {
  const Real sum = a.high + b.high;
  const Real part = sum - a.high;
  const Real lost = (a.high - (sum - part)) + (b.high - part);
  const Real low = lost + (a.low + b.low);
  return {sum + low, low - ((sum + low) - sum)};
}

Twice multiply(Twice a, Real b) {
  constexpr int half_digits = (std::numeric_limits<Real>::digits + 1) / 2;
  const auto upper = [](Real x) {
    const Real scaled = x * ((1ULL << half_digits) + 1);
    return scaled - (scaled - x);
  };
  const Real a1 = upper(a.high);
  const Real a2 = a.high - a1;
  const Real b1 = upper(b);
  const Real b2 = b - b1;
  const Real product = a.high * b;
  const Real lost = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
  return add({product, 0.0L}, {lost + a.low * b, 0.0L});
}

// The value where it is small because terms cancel, as it does near a root.
Complex value_at(const std::vector<Real>& coefficients, Complex s) {
  Twice real;
  Twice imaginary;
  for (std::size_t k = coefficients.size(); k-- > 0;) {
    const Twice next = add(multiply(real, s.real()), multiply(imaginary, -s.imag()));
    imaginary = add(multiply(real, s.imag()), multiply(imaginary, s.real()));
    real = add(next, {coefficients[k], 0.0L});
  }
  return {real.high, imaginary.high};
}

Complex slope_at(const std::vector<Real>& coefficients, Complex s) {
  Complex slope = 0.0L;
  for (std::size_t k = coefficients.size(); k-- > 1;)
    slope = slope * s + static_cast<Real>(k) * coefficients[k];
  return slope;
}

// All roots at once, by the method of Aberth (Mathematics of Computation 27 (1973), pp. 339-344),
// from points on a half circle in the left half plane.
std::vector<Complex> roots_of(const std::vector<Real>& coefficients) {
  constexpr int enough = 20;  // 10 do for all orders up to 12
  const std::size_t n = coefficients.size() - 1;
  const Real radius = std::pow(coefficients.front(), 1 / static_cast<Real>(n));
  std::vector<Complex> roots(n);
  for (std::size_t i = 0; i < n; ++i)
    roots[i] =
        -std::polar(radius, pi * (static_cast<Real>(i) + 0.5L) / static_cast<Real>(n) - pi / 2);
  for (int round = 0; round < enough; ++round)
    for (std::size_t i = 0; i < n; ++i) {
      Complex others = 0.0L;
      for (std::size_t j = 0; j < n; ++j)
        if (j != i) others += 1.0L / (roots[i] - roots[j]);
      const Complex step = value_at(coefficients, roots[i]) / slope_at(coefficients, roots[i]);
      roots[i] -= step / (1.0L - step * others);
    }
  return roots;
}

// Where |H|^2 = 1/2, H being 1 at 0.
Real half_power(const AnalogPrototype& p) {
  const auto loss = [&](Real w) {
    Real product = p.real_pole ? 1 + w * w / (*p.real_pole * *p.real_pole) : 1.0L;
    for (const AnalogPair& pair : p.pairs) {
      const Real squared = pair.a * pair.a + pair.b * pair.b;
      const Real real = 1 - w * w / squared;
      const Real imaginary = 2 * pair.a * w / squared;
      product *= real * real + imaginary * imaginary;
    }
    return product;
  };
  Real low = 0.0L;
  Real high = 100.0L;
  for (Real middle = 50.0L; middle > low && middle < high; middle = (low + high) / 2)
    (loss(middle) < 2 ? low : high) = middle;
  return high;
}

// H = theta_n(0) / theta_n(s), which has the group delay 1 at 0.
AnalogPrototype prototype(const Bessel& family) {
  const int n = family.order;
  const std::vector<Real> coefficients = reverse_bessel(n);
  AnalogPrototype made;
  for (const Complex root : roots_of(coefficients)) {
    if (std::abs(root.imag()) < epsilon * 1e6L)
      made.real_pole = -root.real();
    else if (root.imag() > 0)
      made.pairs.push_back({-root.real(), root.imag()});
  }
  std::ranges::sort(made.pairs, {}, &AnalogPair::b);

  Real unit = 1.0L;
  if (family.norm == BesselNorm::phase)
    unit = std::pow(coefficients.front(), 1 / static_cast<Real>(n));
  else if (family.norm == BesselNorm::magnitude)
    unit = half_power(made);
  if (made.real_pole) *made.real_pole /= unit;
  for (AnalogPair& pair : made.pairs) pair = {pair.a / unit, pair.b / unit};
  return made;
}

}  // namespace

AnalogPrototype analog_prototype(const IirFamily& family) {
  return std::visit([](const auto& f) { return prototype(f); }, family);
}

}  // namespace spillway
