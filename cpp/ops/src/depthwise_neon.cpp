#if defined(__aarch64__)
#include <arm_neon.h>

#include "depthwise.hpp"
#include "target.hpp"

TARGET_BEGIN("arch=armv8.2-a+dotprod")
namespace edgekit::ops {
namespace {

#include "depthwise_loop.hpp"

struct NeonDot {
  using Sums = int32x4_t;
  static constexpr std::size_t bytes = 16;

  static int8x16_t load(const std::uint8_t* from) { return vreinterpretq_s8_u8(vld1q_u8(from)); }
  static int8x16_t none() { return vdupq_n_s8(0); }
  template <int half>
  static int8x16_t zip8(int8x16_t a, int8x16_t b) {
    return half == 0 ? vzip1q_s8(a, b) : vzip2q_s8(a, b);
  }
  template <int half>
  static int8x16_t zip16(int8x16_t a, int8x16_t b) {
    const int16x8_t first = vreinterpretq_s16_s8(a), second = vreinterpretq_s16_s8(b);
    return vreinterpretq_s8_s16(half == 0 ? vzip1q_s16(first, second) : vzip2q_s16(first, second));
  }
  static Sums begin(const std::int32_t* bias) { return vld1q_s32(bias); }
  static Sums dot(Sums sums, int8x16_t x, const std::int8_t* weights) { return vdotq_s32(sums, x, vld1q_s8(weights)); }
  static void end(const Sums* sums, const float* multipliers, const std::int32_t* zero, bool is_signed,
                  std::uint8_t* to) {
    int16x4_t made[4];
    for (int part = 0; part < 4; ++part) {
      const float32x4_t value = vmulq_f32(vcvtq_f32_s32(sums[part]), vld1q_f32(multipliers + 4 * part));
      made[part] = vqmovn_s32(vaddq_s32(vcvtnq_s32_f32(value), vld1q_s32(zero + 4 * part)));
    }
    const int16x8_t first = vcombine_s16(made[0], made[1]), second = vcombine_s16(made[2], made[3]);
    const int8x16_t of_signed = vcombine_s8(vqmovn_s16(first), vqmovn_s16(second));
    const uint8x16_t of_bytes = vcombine_u8(vqmovun_s16(first), vqmovun_s16(second));
    vst1q_u8(to, is_signed ? vreinterpretq_u8_s8(of_signed) : of_bytes);
  }
};

}  // namespace

void depthwise_neon_dot(const Repeated& repeated, const DepthwiseRow& row) { depthwise_row<NeonDot>(repeated, row); }

}  // namespace edgekit::ops
TARGET_END
#endif
