#if defined(__x86_64__)
#include <immintrin.h>

#include "resize.hpp"
#include "target.hpp"

#if !defined(__clang__)
// GCC 12 takes what its own header leaves undefined for a mistake of ours: https://gcc.gnu.org/PR105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

TARGET_BEGIN("avx2")
namespace edgekit::ops {
namespace narrow {
namespace {

#include "resize_loop.hpp"

struct Avx2 {
  static constexpr std::size_t lanes = 8;

  static __m256 load(const float* from) { return _mm256_loadu_ps(from); }
  static __m256 all(float value) { return _mm256_set1_ps(value); }
  static void store(float* to, __m256 x) { _mm256_storeu_ps(to, x); }
  static __m256 add(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
  static __m256 multiply(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
  static __m256 pick(const float* line, const std::int32_t* index, std::int32_t at) {
    const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index));
    return _mm256_permutevar8x32_ps(load(line), _mm256_sub_epi32(places, _mm256_set1_epi32(at)));
  }
  static void bytes(__m256 x, const Rounding& rounding, std::uint8_t* to) {
    const __m256 steps = _mm256_div_ps(x, all(rounding.scale));
    const __m256 inside = _mm256_min_ps(_mm256_max_ps(steps, all(rounding.low)), all(rounding.high));
    const __m256i made = _mm256_add_epi32(_mm256_cvtps_epi32(inside), _mm256_set1_epi32(rounding.zero));
    const __m256i lowest = _mm256_and_si256(made, _mm256_set1_epi32(0xff));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(lowest), _mm256_extracti128_si256(lowest, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
  }
};

}  // namespace
}  // namespace narrow
const ResizeKernels resize_avx2 = narrow::resize_kernels<narrow::Avx2>;
}  // namespace edgekit::ops
TARGET_END

TARGET_BEGIN("avx2,avx512f,avx512bw,avx512vl")
namespace edgekit::ops {
namespace wide {
namespace {

#include "resize_loop.hpp"

struct Avx512 {
  static constexpr std::size_t lanes = 16;

  static __m512 load(const float* from) { return _mm512_loadu_ps(from); }
  static __m512 all(float value) { return _mm512_set1_ps(value); }
  static void store(float* to, __m512 x) { _mm512_storeu_ps(to, x); }
  static __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
  static __m512 multiply(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
  static __m512 pick(const float* line, const std::int32_t* index, std::int32_t at) {
    const __m512i places = _mm512_sub_epi32(_mm512_loadu_si512(index), _mm512_set1_epi32(at));
    return _mm512_permutexvar_ps(places, load(line));
  }
  static void bytes(__m512 x, const Rounding& rounding, std::uint8_t* to) {
    const __m512 steps = _mm512_div_ps(x, all(rounding.scale));
    const __m512 inside = _mm512_min_ps(_mm512_max_ps(steps, all(rounding.low)), all(rounding.high));
    const __m512i made = _mm512_add_epi32(_mm512_cvtps_epi32(inside), _mm512_set1_epi32(rounding.zero));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(made));
  }
};

}  // namespace
}  // namespace wide
const ResizeKernels resize_avx512 = wide::resize_kernels<wide::Avx512>;
}  // namespace edgekit::ops
TARGET_END
#endif
