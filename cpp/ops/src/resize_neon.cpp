#if defined(__aarch64__)
#include <arm_neon.h>

#include "resize.hpp"

namespace edgekit::ops {
namespace {

#include "resize_loop.hpp"

struct Neon {
  static constexpr std::size_t lanes = 4;

  static float32x4_t load(const float* from) { return vld1q_f32(from); }
  static float32x4_t all(float value) { return vdupq_n_f32(value); }
  static void store(float* to, float32x4_t x) { vst1q_f32(to, x); }
  static float32x4_t add(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
  static float32x4_t multiply(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
  static float32x4_t pick(const float* line, const std::int32_t* index, std::int32_t at) {
    const uint32x4_t places = vreinterpretq_u32_s32(vsubq_s32(vld1q_s32(index), vdupq_n_s32(at)));
    // The four bytes of a float, from its place.
    const uint32x4_t bytes = vaddq_u32(vmulq_n_u32(places, 0x04040404U), vdupq_n_u32(0x03020100U));
    return vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(load(line)), vreinterpretq_u8_u32(bytes)));
  }
  static void bytes(float32x4_t x, const Rounding& rounding, std::uint8_t* to) {
    const float32x4_t steps = vdivq_f32(x, all(rounding.scale));
    const float32x4_t inside = vminq_f32(vmaxq_f32(steps, all(rounding.low)), all(rounding.high));
    const int32x4_t made = vaddq_s32(vcvtnq_s32_f32(inside), vdupq_n_s32(rounding.zero));
    const int16x4_t words = vmovn_s32(made);
    const uint8x8_t found = vreinterpret_u8_s8(vmovn_s16(vcombine_s16(words, words)));
    const std::uint32_t four = vget_lane_u32(vreinterpret_u32_u8(found), 0);
    __builtin_memcpy(to, &four, 4);
  }
};

}  // namespace

const ResizeKernels resize_neon = resize_kernels<Neon>;

}  // namespace edgekit::ops
#endif
