#include <cmath>

#include "resize.hpp"

namespace edgekit::ops {
namespace {

#include "resize_loop.hpp"

struct Scalar {
  static constexpr std::size_t lanes = 1;

  static float load(const float* from) { return *from; }
  static float all(float value) { return value; }
  static void store(float* to, float x) { *to = x; }
  static float add(float a, float b) { return a + b; }
  static float multiply(float a, float b) { return a * b; }
  static float pick(const float* line, const std::int32_t* index, std::int32_t at) { return line[*index - at]; }
  static void bytes(float x, const Rounding& rounding, std::uint8_t* to) {
    const float steps = x / rounding.scale;
    const float inside = steps < rounding.low ? rounding.low : steps > rounding.high ? rounding.high : steps;
    *to = static_cast<std::uint8_t>(static_cast<std::int32_t>(std::nearbyint(inside)) + rounding.zero);
  }
};

}  // namespace

const ResizeKernels resize_scalar = resize_kernels<Scalar>;

}  // namespace edgekit::ops
