#if defined(__x86_64__)
#include <immintrin.h>

#include "conv.hpp"
#include "target.hpp"

TARGET_BEGIN("avx2,avxvnni")
namespace edgekit::ops {
namespace {

#include "conv_loop.hpp"

/// Sixteen bytes of two times eight sums.
inline void rounded(__m256i low, __m256i high, const float* multipliers, const Row& row, std::uint8_t* to) {
  const auto made = [&](__m256i sums, const float* by) {
    const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(by));
    const __m256 inside = _mm256_min_ps(_mm256_max_ps(value, _mm256_set1_ps(row.low)), _mm256_set1_ps(row.high));
    return _mm256_add_epi32(_mm256_cvtps_epi32(inside), _mm256_set1_epi32(row.zero));
  };
  const __m256i mixed = _mm256_packs_epi32(made(low, multipliers), made(high, multipliers + 8));
  const __m256i words = _mm256_permute4x64_epi64(mixed, 0xd8);
  const __m128i first = _mm256_castsi256_si128(words), second = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   row.is_signed ? _mm_packs_epi16(first, second) : _mm_packus_epi16(first, second));
}

struct AvxVnni {
  struct Sums {
    __m256i low, high;
  };
  static constexpr std::size_t together = 4;

  static Sums begin(const std::int32_t* bias) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + 8))};
  }

  static void add(Sums& sums, const std::uint8_t* x, const std::int8_t* weights) {
    int four;
    __builtin_memcpy(&four, x, 4);
    const __m256i bytes = _mm256_set1_epi32(four);
    sums.low = _mm256_dpbusd_avx_epi32(sums.low, bytes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)));
    sums.high =
        _mm256_dpbusd_avx_epi32(sums.high, bytes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 32)));
  }

  static void end(const Sums& sums, const float* multipliers, const Row& row, std::uint8_t* to) {
    rounded(sums.low, sums.high, multipliers, row, to);
  }
};

}  // namespace

void conv_avx_vnni(const Packed& packed, const Row& row) { conv_row<AvxVnni>(packed, row); }

}  // namespace edgekit::ops
TARGET_END
#endif
