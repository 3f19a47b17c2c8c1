#include "preprocess/kernels.hpp"

#include <cstring>

#include "core/vectors.hpp"
#include "preprocess/fixed_point.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "preprocess/kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace edgekit::preprocessing::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// One result of three channels, without a load beyond the row.
inline void one_result(const std::uint8_t* at, std::int32_t weights, std::int16_t* out) {
  const auto left = static_cast<std::int16_t>(weights & 0xFFFF);
  const auto right = static_cast<std::int16_t>(weights >> 16);
  for (int channel = 0; channel < 3; ++channel) {
    out[channel] = static_cast<std::int16_t>(across(at[channel], at[channel + 3], left, right));
  }
  out[3] = 0;
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
// Two results a vector: 0 and 2, then 1 and 3, so that packing the sums brings them in order. Returns how many are
// made.
HWY_ATTR inline std::size_t four_at_a_time(const std::uint8_t* HWY_RESTRICT row,
                                           const std::int32_t* HWY_RESTRICT offsets,
                                           const std::int32_t* HWY_RESTRICT weights, std::size_t count,
                                           std::int16_t* HWY_RESTRICT out) {
  const hn::Full128<std::uint8_t> bytes;
  const hn::Full64<std::uint8_t> half;
  const hn::FixedTag<std::int16_t, 16> words;
  const hn::FixedTag<std::int32_t, 8> sums;
  alignas(16) static constexpr std::uint8_t order[16] = {0, 3, 1, 4, 2, 5, 6, 7, 8, 11, 9, 12, 10, 13, 14, 15};
  alignas(32) static constexpr std::int32_t first[8] = {0, 0, 0, 0, 2, 2, 2, 2};
  alignas(32) static constexpr std::int32_t second[8] = {1, 1, 1, 1, 3, 3, 3, 3};
  const auto beside = hn::Load(bytes, order);
  const auto of_first = hn::SetTableIndices(sums, first);
  const auto of_second = hn::SetTableIndices(sums, second);
  std::size_t x = 0;
  for (; x + 4 <= count; x += 4) {
    const auto four = hn::LoadDup128(sums, weights + x);
    const auto two = [&](std::size_t at, const auto& which) HWY_ATTR {
      const auto pixels =
          hn::Combine(bytes, hn::LoadU(half, row + offsets[at + 2]), hn::LoadU(half, row + offsets[at]));
      const auto pairs = hn::PromoteTo(words, hn::TableLookupBytes(pixels, beside));
      auto other = hn::Zero(sums);
      const auto weighed = hn::BitCast(words, hn::TableLookupLanes(four, which));
      return hn::ShiftRight<4>(hn::ReorderWidenMulAccumulate(sums, pairs, weighed, hn::Zero(sums), other));
    };
    hn::StoreU(hn::ReorderDemote2To(words, two(x, of_first), two(x + 1, of_second)), words, out + 4 * x);
  }
  return x;
}
#endif

HWY_ATTR void interpolate_columns(const std::uint8_t* HWY_RESTRICT row, std::size_t row_bytes,
                                  const std::int32_t* HWY_RESTRICT offsets, const std::int32_t* HWY_RESTRICT weights,
                                  std::size_t count, std::int16_t* HWY_RESTRICT out) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::Full128<std::uint8_t> bytes;
  const hn::Full64<std::uint8_t> half;
  const hn::Full128<std::int16_t> words;
  const hn::Full128<std::int32_t> sums;
  // Left and right of each channel beside each other as 16-bit words: B0 B1 G0 G1 R0 R1 0 0.
  alignas(16) static constexpr std::uint8_t order[16] = {0, 0x80, 3, 0x80, 1,    0x80, 4,    0x80,
                                                         2, 0x80, 5, 0x80, 0x80, 0x80, 0x80, 0x80};
  const auto spread = hn::Load(bytes, order);
  const auto result = [&](std::size_t at) HWY_ATTR {
    const auto eight = hn::ZeroExtendVector(bytes, hn::LoadU(half, row + offsets[at]));
    const auto pairs = hn::BitCast(words, hn::TableLookupBytesOr0(eight, spread));
    const auto weighed = hn::BitCast(words, hn::Set(sums, weights[at]));
    auto other = hn::Zero(sums);
    const auto sum = hn::ReorderWidenMulAccumulate(sums, pairs, weighed, hn::Zero(sums), other);
    return hn::ShiftRight<4>(hn::RearrangeToOddPlusEven(sum, other));
  };
  // Results whose eight bytes lie in the row: all but the last few, as offsets only grow.
  std::size_t inside = count;
  while (inside > 0 && static_cast<std::size_t>(offsets[inside - 1]) + 8 > row_bytes) --inside;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  x = four_at_a_time(row, offsets, weights, inside, out);
#endif
  for (; x + 2 <= inside; x += 2) {
    hn::StoreU(hn::ReorderDemote2To(words, result(x), result(x + 1)), words, out + 4 * x);
  }
#else
  (void)row_bytes;
#endif
  for (; x < count; ++x) one_result(row + offsets[x], weights[x], out + 4 * x);
}

HWY_ATTR void interpolate_columns_of_one(const std::uint8_t* HWY_RESTRICT row, std::size_t row_bytes,
                                         const std::int32_t* HWY_RESTRICT offsets,
                                         const std::int32_t* HWY_RESTRICT weights, std::size_t count,
                                         std::int16_t* HWY_RESTRICT out) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::ScalableTag<std::int32_t> sums;
  const hn::Repartition<std::int16_t, decltype(sums)> words;
  const hn::Rebind<std::int16_t, decltype(sums)> narrow;
  const std::size_t lanes = hn::Lanes(sums);
  const auto low = hn::Set(sums, 0x000000FF);
  const auto high = hn::Set(sums, 0x00FF0000);
  for (; x + lanes <= count && static_cast<std::size_t>(offsets[x + lanes - 1]) + 4 <= row_bytes; x += lanes) {
    const auto four = hn::GatherOffset(sums, reinterpret_cast<const std::int32_t*>(row), hn::LoadU(sums, offsets + x));
    const auto pair = hn::Or(hn::And(four, low), hn::And(hn::ShiftLeft<8>(four), high));
    auto other = hn::Zero(sums);
    const auto sum = hn::ReorderWidenMulAccumulate(
        sums, hn::BitCast(words, pair), hn::BitCast(words, hn::LoadU(sums, weights + x)), hn::Zero(sums), other);
    hn::StoreU(hn::DemoteTo(narrow, hn::ShiftRight<4>(hn::RearrangeToOddPlusEven(sum, other))), narrow, out + x);
  }
#else
  (void)row_bytes;
#endif
  for (; x < count; ++x) {
    const std::uint8_t* at = row + offsets[x];
    out[x] = static_cast<std::int16_t>(across(at[0], at[1], static_cast<std::int16_t>(weights[x] & 0xFFFF),
                                              static_cast<std::int16_t>(weights[x] >> 16)));
  }
}

HWY_ATTR void interpolate_rows(const std::int16_t* HWY_RESTRICT upper, const std::int16_t* HWY_RESTRICT lower,
                               std::int32_t upper_weight, std::int32_t lower_weight, std::size_t count,
                               std::uint8_t* HWY_RESTRICT out) {
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::int16_t> words;
  const hn::Rebind<std::uint8_t, decltype(words)> bytes;
  const auto first = hn::Set(words, static_cast<std::int16_t>(upper_weight));
  const auto second = hn::Set(words, static_cast<std::int16_t>(lower_weight));
  const auto two = hn::Set(words, 2);
  for (std::size_t x = 0; x < count; x += hn::Lanes(words)) {
    const auto high = hn::MulHigh(hn::LoadU(words, upper + x), first);
    const auto low = hn::MulHigh(hn::LoadU(words, lower + x), second);
    const auto sum = hn::ShiftRight<2>(hn::Add(hn::Add(high, low), two));
    hn::StoreU(hn::DemoteTo(bytes, sum), bytes, out + x);
  }
#else
  for (std::size_t x = 0; x < count; ++x) {
    out[x] = static_cast<std::uint8_t>(down(upper[x], lower[x], upper_weight, lower_weight));
  }
#endif
}

HWY_ATTR void write_planes(const std::uint8_t* HWY_RESTRICT groups, std::size_t count, const Planes& planes) {
  const hn::ScalableTag<float> floats;
  const hn::RebindToSigned<decltype(floats)> ints;
  const hn::RebindToUnsigned<decltype(floats)> unsigneds;
  const std::size_t lanes = hn::Lanes(floats);
  const auto mask = hn::Set(unsigneds, 255);
  const auto* fours = reinterpret_cast<const std::uint32_t*>(groups);
  for (std::size_t plane = 0; plane < 3; ++plane) {
    const Affine affine = planes.affine[plane];
    const auto factor = hn::Set(floats, affine.factor);
    const auto offset = hn::Set(floats, affine.offset);
    const int shift = static_cast<int>(planes.byte[plane] * 8);
    float* HWY_RESTRICT out = planes.out[plane];
    std::size_t x = 0;
    for (; x + lanes <= count; x += lanes) {
      const auto value = hn::And(hn::ShiftRightSame(hn::LoadU(unsigneds, fours + x), shift), mask);
      hn::StoreU(hn::MulAdd(hn::ConvertTo(floats, hn::BitCast(ints, value)), factor, offset), floats, out + x);
    }
    for (; x < count; ++x) {
      out[x] = static_cast<float>(groups[4 * x + planes.byte[plane]]) * affine.factor + affine.offset;
    }
  }
}

HWY_ATTR void write_interleaved(const std::uint8_t* HWY_RESTRICT groups, std::size_t count, const Planes& planes) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<float> floats;
  const hn::RebindToSigned<decltype(floats)> ints;
  const hn::RebindToUnsigned<decltype(floats)> unsigneds;
  const auto mask = hn::Set(unsigneds, 255);
  const auto* fours = reinterpret_cast<const std::uint32_t*>(groups);
  for (; x + hn::Lanes(floats) <= count; x += hn::Lanes(floats)) {
    const auto four = hn::LoadU(unsigneds, fours + x);
    const auto channel = [&](std::size_t k) HWY_ATTR {
      const auto value = hn::And(hn::ShiftRightSame(four, static_cast<int>(planes.byte[k] * 8)), mask);
      return hn::MulAdd(hn::ConvertTo(floats, hn::BitCast(ints, value)), hn::Set(floats, planes.affine[k].factor),
                        hn::Set(floats, planes.affine[k].offset));
    };
    hn::StoreInterleaved3(channel(0), channel(1), channel(2), floats, planes.out[0] + 3 * x);
  }
#endif
  for (; x < count; ++x) {
    for (std::size_t k = 0; k < 3; ++k) {
      const Affine& affine = planes.affine[k];
      planes.out[0][3 * x + k] = static_cast<float>(groups[4 * x + planes.byte[k]]) * affine.factor + affine.offset;
    }
  }
}

HWY_ATTR void write_plane(const std::uint8_t* HWY_RESTRICT values, std::size_t count, const Affine& affine,
                          float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> floats;
  const hn::RebindToSigned<decltype(floats)> ints;
  const hn::Rebind<std::uint8_t, decltype(floats)> bytes;
  const auto factor = hn::Set(floats, affine.factor);
  const auto offset = hn::Set(floats, affine.offset);
  std::size_t x = 0;
  for (; x + hn::Lanes(floats) <= count; x += hn::Lanes(floats)) {
    const auto value = hn::ConvertTo(floats, hn::PromoteTo(ints, hn::LoadU(bytes, values + x)));
    hn::StoreU(hn::MulAdd(value, factor, offset), floats, out + x);
  }
  for (; x < count; ++x) out[x] = static_cast<float>(values[x]) * affine.factor + affine.offset;
}

const char* instructions() { return hwy::TargetName(HWY_TARGET); }

}  // namespace edgekit::preprocessing::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgekit::preprocessing {

HWY_EXPORT(interpolate_columns);
HWY_EXPORT(interpolate_rows);
HWY_EXPORT(write_planes);
HWY_EXPORT(instructions);
HWY_EXPORT(interpolate_columns_of_one);
HWY_EXPORT(write_interleaved);
HWY_EXPORT(write_plane);

void interpolate_columns_of_one(const std::uint8_t* row, std::size_t row_bytes, const std::int32_t* offsets,
                                const std::int32_t* weights, std::size_t count, std::int16_t* out) {
  HWY_DYNAMIC_DISPATCH(interpolate_columns_of_one)(row, row_bytes, offsets, weights, count, out);
}

void write_interleaved(const std::uint8_t* groups, std::size_t count, const Planes& planes) {
  HWY_DYNAMIC_DISPATCH(write_interleaved)(groups, count, planes);
}

void write_plane(const std::uint8_t* values, std::size_t count, const Affine& affine, float* out) {
  HWY_DYNAMIC_DISPATCH(write_plane)(values, count, affine, out);
}

void interpolate_columns(const std::uint8_t* row, std::size_t row_bytes, const std::int32_t* offsets,
                         const std::int32_t* weights, std::size_t count, std::int16_t* out) {
  HWY_DYNAMIC_DISPATCH(interpolate_columns)(row, row_bytes, offsets, weights, count, out);
}

void interpolate_rows(const std::int16_t* upper, const std::int16_t* lower, std::int32_t upper_weight,
                      std::int32_t lower_weight, std::size_t count, std::uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(interpolate_rows)(upper, lower, upper_weight, lower_weight, count, out);
}

void write_planes(const std::uint8_t* groups, std::size_t count, const Planes& planes) {
  HWY_DYNAMIC_DISPATCH(write_planes)(groups, count, planes);
}

const char* instructions() noexcept { return HWY_DYNAMIC_DISPATCH(instructions)(); }

}  // namespace edgekit::preprocessing
#endif  // HWY_ONCE
