#include "lut.hpp"

#include <algorithm>
#include <cstring>

#include "aligned.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace edgekit::ops {
namespace {

void scalar(const std::uint8_t* from, std::uint8_t* to, std::size_t count, const std::uint8_t* table) {
  std::size_t at = 0;
  for (; at + 8 <= count; at += 8) {  // one store for eight: stores are what a byte at a time costs most
    std::uint64_t given, made = 0;
    std::memcpy(&given, from + at, 8);
    for (int byte = 0; byte < 64; byte += 8) made |= std::uint64_t{table[(given >> byte) & 0xff]} << byte;
    std::memcpy(to + at, &made, 8);
  }
  for (; at < count; ++at) to[at] = table[from[at]];
}

#if defined(__x86_64__)

/// Sixteen shuffles of sixteen entries. A shuffle gives zero where the index is negative, so each half of the table is
/// read by an index that falls by 16 a step and stays negative: what a step adds to the one before it is in ``parts``.
[[gnu::target("avx2")]] void avx2(const std::uint8_t* from, std::uint8_t* to, std::size_t count,
                                  const std::uint8_t* table) {
  __m256i parts[16];
  for (int part = 0; part < 16; ++part) {
    __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * part));
    if (part % 8 != 0) {
      entries = _mm_xor_si128(entries, _mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * (part - 1))));
    }
    parts[part] = _mm256_broadcastsi128_si256(entries);
  }
  const __m256i sixteen = _mm256_set1_epi8(16), sign = _mm256_set1_epi8(static_cast<char>(0x80));
  std::size_t at = 0;
  for (; at + 32 <= count; at += 32) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at));
    __m256i high = _mm256_xor_si256(low, sign);
    __m256i first = _mm256_shuffle_epi8(parts[0], low), second = _mm256_shuffle_epi8(parts[8], high);
    for (int part = 1; part < 8; ++part) {
      low = _mm256_subs_epi8(low, sixteen), high = _mm256_subs_epi8(high, sixteen);
      first = _mm256_xor_si256(first, _mm256_shuffle_epi8(parts[part], low));
      second = _mm256_xor_si256(second, _mm256_shuffle_epi8(parts[8 + part], high));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + at), _mm256_xor_si256(first, second));
  }
  scalar(from + at, to + at, count - at, table);
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi")]] void avx512_vbmi(const std::uint8_t* from, std::uint8_t* to,
                                                                         std::size_t count, const std::uint8_t* table) {
  const __m512i parts[4] = {_mm512_loadu_si512(table), _mm512_loadu_si512(table + 64), _mm512_loadu_si512(table + 128),
                            _mm512_loadu_si512(table + 192)};
  for (std::size_t at = 0; at < count; at += 64) {
    const std::size_t left = count - at;
    const __mmask64 live = left >= 64 ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    const __m512i index = _mm512_maskz_loadu_epi8(live, from + at);
    const __m512i low = _mm512_permutex2var_epi8(parts[0], index, parts[1]);
    const __m512i high = _mm512_permutex2var_epi8(parts[2], index, parts[3]);
    _mm512_mask_storeu_epi8(to + at, live, _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high));
  }
}

constexpr std::size_t tile_rows = 64, tile_channels = 16;

/// Sixteen registers hold, lane by lane, sixteen rows of sixteen bytes: afterwards the columns of these.
[[gnu::target("avx512f,avx512bw"), gnu::always_inline]] inline void transpose(__m512i (&rows)[16]) {
  __m512i other[16];
  for (int stage = 0; stage < 2; ++stage) {
    // A row and the one eight further meet byte by byte; four such steps put byte i of row j at byte j of row i.
    for (int at = 0; at < 8; ++at) {
      other[2 * at] = _mm512_unpacklo_epi8(rows[at], rows[at + 8]);
      other[2 * at + 1] = _mm512_unpackhi_epi8(rows[at], rows[at + 8]);
    }
    for (int at = 0; at < 8; ++at) {
      rows[2 * at] = _mm512_unpacklo_epi8(other[at], other[at + 8]);
      rows[2 * at + 1] = _mm512_unpackhi_epi8(other[at], other[at + 8]);
    }
  }
}

/// A tile of 64 rows of 16 channels, ``stride`` bytes apart. A register takes one byte of many rows, so that all of its
/// bytes have one table.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi")]] void tile(const std::uint8_t* from, std::uint8_t* to,
                                                                  std::size_t stride, const std::uint8_t* tables) {
  __m512i bytes[tile_channels];
  const auto row = [&](std::size_t at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at * stride));
  };
  for (std::size_t at = 0; at < 16; ++at) {
    bytes[at] = _mm512_castsi128_si512(row(at));
    bytes[at] = _mm512_inserti32x4(bytes[at], row(at + 16), 1);
    bytes[at] = _mm512_inserti32x4(bytes[at], row(at + 32), 2);
    bytes[at] = _mm512_inserti32x4(bytes[at], row(at + 48), 3);
  }
  transpose(bytes);
  for (std::size_t channel = 0; channel < tile_channels; ++channel) {
    const std::uint8_t* table = tables + 256 * channel;
    const __m512i index = bytes[channel];
    const __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), index, _mm512_loadu_si512(table + 192));
    bytes[channel] = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
  }
  transpose(bytes);
  const auto put = [&](std::size_t at, __m128i made) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at * stride), made);
  };
  for (std::size_t at = 0; at < 16; ++at) {
    // With a mask of all: GCC 12 takes the plain ones for reads of what was never written.
    put(at, _mm512_maskz_extracti32x4_epi32(0xf, bytes[at], 0));
    put(at + 16, _mm512_maskz_extracti32x4_epi32(0xf, bytes[at], 1));
    put(at + 32, _mm512_maskz_extracti32x4_epi32(0xf, bytes[at], 2));
    put(at + 48, _mm512_maskz_extracti32x4_epi32(0xf, bytes[at], 3));
  }
}

/// A tile of fewer rows or channels; ``fixed``: its channels, where copies of that size need no call.
template <std::size_t fixed>
void part_of_tile(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t columns, std::size_t stride,
                  const std::uint8_t* tables) {
  alignas(line) std::uint8_t held[tile_rows * tile_channels] = {};
  if (fixed != 0) columns = fixed;
  for (std::size_t row = 0; row < rows; ++row) std::memcpy(held + row * tile_channels, from + row * stride, columns);
  tile(held, held, tile_channels, tables);
  for (std::size_t row = 0; row < rows; ++row) std::memcpy(to + row * stride, held + row * tile_channels, columns);
}

void avx512_vbmi_rows(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t channels,
                      const std::uint8_t* tables) {
  const std::size_t whole = channels / tile_channels * tile_channels, left = channels - whole;
  alignas(line) std::uint8_t last[tile_channels * 256];
  if (left > 0) {
    std::memcpy(last, tables + whole * 256, left * 256);
    std::memset(last + left * 256, 0, (tile_channels - left) * 256);
  }
  for (std::size_t row = 0; row < rows; row += tile_rows) {
    const std::size_t many = std::min(tile_rows, rows - row);
    for (std::size_t channel = 0; channel < whole; channel += tile_channels) {
      const std::size_t at = row * channels + channel;
      if (many == tile_rows) {
        tile(from + at, to + at, channels, tables + channel * 256);
      } else {
        part_of_tile<tile_channels>(from + at, to + at, many, tile_channels, channels, tables + channel * 256);
      }
    }
    const std::size_t at = row * channels + whole;
    if (left == 8) {
      part_of_tile<8>(from + at, to + at, many, left, channels, last);
    } else if (left > 0) {
      part_of_tile<0>(from + at, to + at, many, left, channels, last);
    }
  }
}

#elif defined(__aarch64__)

void neon(const std::uint8_t* from, std::uint8_t* to, std::size_t count, const std::uint8_t* table) {
  const uint8x16x4_t parts[4] = {vld1q_u8_x4(table), vld1q_u8_x4(table + 64), vld1q_u8_x4(table + 128),
                                 vld1q_u8_x4(table + 192)};
  const uint8x16_t step = vdupq_n_u8(64);
  std::size_t at = 0;
  for (; at + 16 <= count; at += 16) {
    uint8x16_t index = vld1q_u8(from + at);
    uint8x16_t made = vqtbl4q_u8(parts[0], index);  // zero, or what it was, where the index is past the 64 entries
    for (int part = 1; part < 4; ++part) {
      index = vsubq_u8(index, step);
      made = vqtbx4q_u8(made, parts[part], index);
    }
    vst1q_u8(to + at, made);
  }
  scalar(from + at, to + at, count - at, table);
}

#endif

}  // namespace

void lut(const std::uint8_t* from, std::uint8_t* to, std::size_t count, const std::uint8_t* table, Level level) {
  switch (level) {
#if defined(__x86_64__)
    case Level::avx2:
    case Level::avx_vnni:
    case Level::avx512_vnni:
      return avx2(from, to, count, table);
    case Level::avx512_vbmi:
      return avx512_vbmi(from, to, count, table);
#elif defined(__aarch64__)
    case Level::neon:
    case Level::neon_dot:
      return neon(from, to, count, table);
#endif
    default:
      return scalar(from, to, count, table);
  }
}

void lut_rows(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t channels,
              const std::uint8_t* tables, [[maybe_unused]] Level level) {
#if defined(__x86_64__)
  if (level == Level::avx512_vbmi) return avx512_vbmi_rows(from, to, rows, channels, tables);
#endif
  for (std::size_t row = 0; row < rows; ++row, from += channels, to += channels) {
    for (std::size_t channel = 0; channel < channels; ++channel) to[channel] = tables[channel * 256 + from[channel]];
  }
}

}  // namespace edgekit::ops
