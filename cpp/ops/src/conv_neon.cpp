#if defined(__aarch64__)
#include <arm_neon.h>

#include "conv.hpp"
#include "target.hpp"

TARGET_BEGIN("arch=armv8.2-a+dotprod")
namespace edgekit::ops {
namespace {

#include "conv_loop.hpp"

struct NeonDot {
  struct Sums {
    int32x4_t of[4];
  };
  static constexpr std::size_t together = 4;

  static Sums begin(const std::int32_t* bias) {
    return {{vld1q_s32(bias), vld1q_s32(bias + 4), vld1q_s32(bias + 8), vld1q_s32(bias + 12)}};
  }

  static void add(Sums& sums, const std::uint8_t* x, const std::int8_t* weights) {
    std::int32_t four;
    __builtin_memcpy(&four, x, 4);
    const int8x16_t bytes = vreinterpretq_s8_s32(vdupq_n_s32(four));
    for (int part = 0; part < 4; ++part) {
      sums.of[part] = vdotq_s32(sums.of[part], vld1q_s8(weights + 16 * part), bytes);
    }
  }

  static void end(const Sums& sums, const float* multipliers, const Row& row, std::uint8_t* to) {
    int16x8_t words[2];
    for (int half = 0; half < 2; ++half) {
      int16x4_t parts[2];
      for (int part = 0; part < 2; ++part) {
        const int at = 2 * half + part;
        const float32x4_t value = vmulq_f32(vcvtq_f32_s32(sums.of[at]), vld1q_f32(multipliers + 4 * at));
        const float32x4_t inside = vminq_f32(vmaxq_f32(value, vdupq_n_f32(row.low)), vdupq_n_f32(row.high));
        parts[part] = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(inside), vdupq_n_s32(row.zero)));
      }
      words[half] = vcombine_s16(parts[0], parts[1]);
    }
    vst1q_s8(reinterpret_cast<std::int8_t*>(to), vcombine_s8(vmovn_s16(words[0]), vmovn_s16(words[1])));
  }
};

}  // namespace

void conv_neon_dot(const Packed& packed, const Row& row) { conv_row<NeonDot>(packed, row); }

}  // namespace edgekit::ops
TARGET_END
#endif
