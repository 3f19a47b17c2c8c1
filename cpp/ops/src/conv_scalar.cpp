#include <cmath>

#include "conv.hpp"

namespace edgekit::ops {
namespace {

#include "conv_loop.hpp"

struct Scalar {
  struct Sums {
    std::int32_t of[lanes];
  };
  static constexpr std::size_t together = 1;

  static Sums begin(const std::int32_t* bias) {
    Sums made;
    __builtin_memcpy(made.of, bias, sizeof made.of);
    return made;
  }

  static void add(Sums& sums, const std::uint8_t* x, const std::int8_t* weights) {
    for (std::size_t output = 0; output < lanes; ++output) {
      const std::int8_t* w = weights + output * 4;
      sums.of[output] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
    }
  }

  static void end(const Sums& sums, const float* multipliers, const Row& row, std::uint8_t* to) {
    for (std::size_t output = 0; output < lanes; ++output) {
      const float value = static_cast<float>(sums.of[output]) * multipliers[output];
      const float inside = value < row.low ? row.low : value > row.high ? row.high : value;
      to[output] = static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(inside)) + row.zero);
    }
  }
};

}  // namespace

void conv_scalar(const Packed& packed, const Row& row) { conv_row<Scalar>(packed, row); }

}  // namespace edgekit::ops
