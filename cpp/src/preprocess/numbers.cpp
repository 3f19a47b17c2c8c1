#include "preprocess/numbers.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "preprocess/half.hpp"

namespace edgekit::preprocessing {
namespace {

struct Half {
  std::uint16_t bits;
};

// Calls with a value of the C++ type of a dtype.
template <class Do>
auto with_type(DType dtype, Do&& todo) {
  switch (dtype) {
    case DType::float64:
      return todo(double{});
    case DType::float16:
      return todo(Half{});
    case DType::int8:
      return todo(std::int8_t{});
    case DType::uint8:
      return todo(std::uint8_t{});
    case DType::int16:
      return todo(std::int16_t{});
    case DType::uint16:
      return todo(std::uint16_t{});
    case DType::int32:
      return todo(std::int32_t{});
    case DType::uint32:
      return todo(std::uint32_t{});
    case DType::int64:
      return todo(std::int64_t{});
    case DType::uint64:
      return todo(std::uint64_t{});
    case DType::boolean:
      return todo(false);
    default:
      return todo(float{});
  }
}

template <class T>
constexpr bool is_real = std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, Half>;

// The value in a type that has all of its digits.
template <class T>
auto widened(T value) {
  if constexpr (std::is_same_v<T, Half>) {
    return double_of_half(value.bits);
  } else if constexpr (is_real<T>) {
    return static_cast<double>(value);
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return value;
  } else {
    return static_cast<std::int64_t>(value);
  }
}

template <class To, class Wide>
bool holds(Wide value) {
  if constexpr (std::is_same_v<Wide, double>) {
    // The bounds are powers of two, which a double has exactly.
    constexpr double beyond = static_cast<double>(std::numeric_limits<To>::max() / 2 + 1) * 2.0;
    return value >= static_cast<double>(std::numeric_limits<To>::min()) && value < beyond && value == std::floor(value);
  } else if constexpr (std::is_same_v<To, bool>) {
    return value == 0 || value == 1;
  } else {
    return std::in_range<To>(value);
  }
}

template <class To, class From>
Converted one(From given, To& out) {
  const auto value = widened(given);
  if constexpr (std::is_same_v<To, Half>) {
    out = {half_of(static_cast<double>(value))};
    const bool infinite = (out.bits & 0x7FFFU) == 0x7C00U;
    return infinite && !std::isinf(static_cast<double>(value)) ? Converted::too_large : Converted::yes;
  } else if constexpr (is_real<To>) {
    if constexpr (std::is_same_v<decltype(value), const double> && std::is_same_v<To, float>) {
      // The cast of a double beyond the largest float has no meaning in C++; half of its last digit still rounds down.
      constexpr double beyond = 0x1.ffffffp+127;
      if (std::isfinite(value) && std::abs(value) >= beyond) return Converted::too_large;
      if (std::abs(value) > std::numeric_limits<float>::max() && std::isfinite(value)) {
        out = std::copysign(std::numeric_limits<float>::max(), static_cast<float>(value > 0 ? 1 : -1));
        return Converted::yes;
      }
    }
    out = static_cast<To>(value);
    return Converted::yes;
  } else {
    if (!holds<To>(value)) return Converted::not_held;
    out = static_cast<To>(value);
    return Converted::yes;
  }
}

template <class To, class From>
Converted all(const void* values, std::size_t count, void* out) {
  const auto* read = static_cast<const std::uint8_t*>(values);
  auto* written = static_cast<std::uint8_t*>(out);
  for (std::size_t at = 0; at < count; ++at) {
    From given;
    To made;
    if constexpr (std::is_same_v<From, bool>) {
      given = read[at] != 0;  // any other byte would be no bool
    } else {
      std::memcpy(&given, read + at * sizeof(From), sizeof(From));
    }
    if (const Converted went = one(given, made); went != Converted::yes) return went;
    std::memcpy(written + at * sizeof(To), &made, sizeof(To));
  }
  return Converted::yes;
}

}  // namespace

Converted convert(const void* values, DType from, std::size_t count, void* out, DType to) {
  if (from == to && from != DType::boolean) {
    std::memcpy(out, values, count * size_of(from));
    return Converted::yes;
  }
  return with_type(to, [&](auto wanted) {
    return with_type(from, [&](auto given) { return all<decltype(wanted), decltype(given)>(values, count, out); });
  });
}

}  // namespace edgekit::preprocessing
