// float16 (IEEE 754 binary16) from and to wider floats, rounded once to the nearest, ties to even, as NumPy does.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace edgekit::preprocessing {

inline constexpr double half_largest = 65504.0;
/// The smallest magnitude that is rounded to infinity.
inline constexpr double half_overflow = 65520.0;

inline std::uint16_t half_of(double value) noexcept {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000U : 0U);
  const double magnitude = std::abs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (magnitude >= half_overflow) return static_cast<std::uint16_t>(sign | 0x7C00U);
  constexpr double smallest_normal = 0x1p-14;
  if (magnitude < smallest_normal) {
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24)));
  }
  const int exponent = std::ilogb(magnitude);
  // 11 significant bits; a carry into the exponent is what the addition below makes of it.
  const auto digits = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<std::uint16_t>(sign | ((static_cast<std::uint32_t>(exponent + 15) << 10) + (digits - 1024U)));
}

inline double double_of_half(std::uint16_t half) noexcept {
  const int exponent = (half >> 10) & 31;
  const double digits = half & 1023;
  const double magnitude = exponent == 31  ? (digits == 0 ? HUGE_VAL : std::nan(""))
                           : exponent == 0 ? digits * 0x1p-24
                                           : std::ldexp(1024.0 + digits, exponent - 25);
  return (half & 0x8000U) != 0 ? -magnitude : magnitude;
}

}  // namespace edgekit::preprocessing
