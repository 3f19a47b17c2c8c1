// Sums of weighted pixels, and their way back to the type of the pixels, as OpenCV rounds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace edgekit::preprocessing {

/// Nearest whole number, ties to even, within what T holds; of float the value itself.
template <class T, class From>
T saturated(From value) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(value);
  } else if constexpr (std::is_integral_v<From>) {
    return static_cast<T>(std::clamp<std::int64_t>(value, 0, static_cast<T>(-1)));
  } else {
    const From whole = std::nearbyint(value);
    return static_cast<T>(std::clamp<From>(whole, 0, static_cast<T>(-1)));
  }
}

}  // namespace edgekit::preprocessing
