#if defined(__x86_64__)
#include <immintrin.h>

#include "conv.hpp"
#include "target.hpp"

#if !defined(__clang__)
// GCC 12 takes what its own header leaves undefined for a mistake of ours: https://gcc.gnu.org/PR105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

TARGET_BEGIN("avx2,avx512f,avx512bw,avx512vl,avx512vnni")
namespace edgekit::ops {
namespace {

#include "conv_loop.hpp"

struct Avx512 {
  using Sums = __m512i;
  static constexpr std::size_t together = 8;

  static Sums begin(const std::int32_t* bias) { return _mm512_loadu_si512(bias); }

  static void add(Sums& sums, const std::uint8_t* x, const std::int8_t* weights) {
    int four;
    __builtin_memcpy(&four, x, 4);
    sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(four), _mm512_loadu_si512(weights));
  }

  static void end(Sums sums, const float* multipliers, const Row& row, std::uint8_t* to) {
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(multipliers));
    const __m512 inside = _mm512_min_ps(_mm512_max_ps(value, _mm512_set1_ps(row.low)), _mm512_set1_ps(row.high));
    const __m512i made = _mm512_add_epi32(_mm512_cvtps_epi32(inside), _mm512_set1_epi32(row.zero));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(made));
  }
};

}  // namespace

void conv_avx512_vnni(const Packed& packed, const Row& row) { conv_row<Avx512>(packed, row); }

}  // namespace edgekit::ops
TARGET_END
#endif
