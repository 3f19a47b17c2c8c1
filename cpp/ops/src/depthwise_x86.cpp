#if defined(__x86_64__)
#include <immintrin.h>

#include "depthwise.hpp"
#include "target.hpp"

#if !defined(__clang__)
// GCC 12 takes what its own header leaves undefined for a mistake of ours: https://gcc.gnu.org/PR105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

TARGET_BEGIN("avx2,avx512f,avx512bw,avx512vl,avx512vnni")
namespace edgekit::ops {
namespace wide {
namespace {

#include "depthwise_loop.hpp"

struct Avx512 {
  using Sums = __m512i;
  static constexpr std::size_t bytes = 64;

  static __m512i load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
  static __m512i none() { return _mm512_setzero_si512(); }
  template <int half>
  static __m512i zip8(__m512i a, __m512i b) {
    return half == 0 ? _mm512_unpacklo_epi8(a, b) : _mm512_unpackhi_epi8(a, b);
  }
  template <int half>
  static __m512i zip16(__m512i a, __m512i b) {
    return half == 0 ? _mm512_unpacklo_epi16(a, b) : _mm512_unpackhi_epi16(a, b);
  }
  static Sums begin(const std::int32_t* bias) { return _mm512_loadu_si512(bias); }
  static Sums dot(Sums sums, __m512i x, const std::int8_t* weights) {
    return _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(weights));
  }
  static void end(const Sums* sums, const float* multipliers, const std::int32_t* zero, bool is_signed,
                  std::uint8_t* to) {
    __m512i made[4];
    for (int part = 0; part < 4; ++part) {
      const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[part]), _mm512_loadu_ps(multipliers + 16 * part));
      made[part] = _mm512_add_epi32(_mm512_cvtps_epi32(value), _mm512_loadu_si512(zero + 16 * part));
    }
    const __m512i first = _mm512_packs_epi32(made[0], made[1]), second = _mm512_packs_epi32(made[2], made[3]);
    _mm512_storeu_si512(to, is_signed ? _mm512_packs_epi16(first, second) : _mm512_packus_epi16(first, second));
  }
};

}  // namespace
}  // namespace wide

void depthwise_avx512_vnni(const Repeated& repeated, const DepthwiseRow& row) {
  wide::depthwise_row<wide::Avx512>(repeated, row);
}

}  // namespace edgekit::ops
TARGET_END

TARGET_BEGIN("avx2,avxvnni")
namespace edgekit::ops {
namespace narrow {
namespace {

#include "depthwise_loop.hpp"

__m256i at(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

struct AvxVnni {
  using Sums = __m256i;
  static constexpr std::size_t bytes = 32;

  static __m256i load(const std::uint8_t* from) { return at(from); }
  static __m256i none() { return _mm256_setzero_si256(); }
  template <int half>
  static __m256i zip8(__m256i a, __m256i b) {
    return half == 0 ? _mm256_unpacklo_epi8(a, b) : _mm256_unpackhi_epi8(a, b);
  }
  template <int half>
  static __m256i zip16(__m256i a, __m256i b) {
    return half == 0 ? _mm256_unpacklo_epi16(a, b) : _mm256_unpackhi_epi16(a, b);
  }
  static Sums begin(const std::int32_t* bias) { return at(bias); }
  static Sums dot(Sums sums, __m256i x, const std::int8_t* weights) {
    return _mm256_dpbusd_avx_epi32(sums, x, at(weights));
  }
  static void end(const Sums* sums, const float* multipliers, const std::int32_t* zero, bool is_signed,
                  std::uint8_t* to) {
    __m256i made[4];
    for (int part = 0; part < 4; ++part) {
      const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[part]), _mm256_loadu_ps(multipliers + 8 * part));
      made[part] = _mm256_add_epi32(_mm256_cvtps_epi32(value), at(zero + 8 * part));
    }
    const __m256i first = _mm256_packs_epi32(made[0], made[1]), second = _mm256_packs_epi32(made[2], made[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        is_signed ? _mm256_packs_epi16(first, second) : _mm256_packus_epi16(first, second));
  }
};

}  // namespace
}  // namespace narrow

void depthwise_avx_vnni(const Repeated& repeated, const DepthwiseRow& row) {
  narrow::depthwise_row<narrow::AvxVnni>(repeated, row);
}

}  // namespace edgekit::ops
TARGET_END
#endif
