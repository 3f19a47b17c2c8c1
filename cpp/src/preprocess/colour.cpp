#include "preprocess/colour.hpp"

#include <algorithm>
#include <type_traits>

#include "core/vectors.hpp"
#include "preprocess/fixed_point.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "preprocess/colour.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace edgekit::preprocessing::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
using Ints = hn::ScalableTag<std::int32_t>;
using Bytes = hn::Rebind<std::uint8_t, Ints>;  // as many as there are lanes of 32 bits
using Vector = hn::Vec<Ints>;

// As rgb_of_yuv().
HWY_ATTR inline void store_rgb(Vector y, Vector u, Vector v, std::uint8_t* HWY_RESTRICT out) {
  const Ints ints;
  const Bytes bytes;
  const auto times = [&](Vector value, std::int32_t factor) HWY_ATTR { return hn::Mul(value, hn::Set(ints, factor)); };
  const auto above = hn::Max(hn::Sub(y, hn::Set(ints, 16)), hn::Zero(ints));
  const auto luma = hn::Add(times(above, luma_factor), hn::Set(ints, 1 << 19));
  const auto blue_part = hn::Sub(u, hn::Set(ints, 128));
  const auto red_part = hn::Sub(v, hn::Set(ints, 128));
  const auto shown = [&](Vector sum) HWY_ATTR { return hn::DemoteTo(bytes, hn::ShiftRight<20>(sum)); };
  const auto r = shown(hn::Add(luma, times(red_part, red_of_v)));
  const auto g = shown(hn::Add(luma, hn::Add(times(red_part, green_of_v), times(blue_part, green_of_u))));
  const auto b = shown(hn::Add(luma, times(blue_part, blue_of_u)));
  hn::StoreInterleaved3(r, g, b, bytes, out);
}
#endif

HWY_ATTR void packed_yuv_row(const std::uint8_t* HWY_RESTRICT row, std::size_t width, bool luma_first,
                             std::uint8_t* HWY_RESTRICT out) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR
  const Ints ints;
  const hn::Rebind<std::uint16_t, Ints> pairs;
  const auto mask = hn::Set(ints, 255);
  const auto* words = reinterpret_cast<const std::uint16_t*>(row);
  for (; x + hn::Lanes(ints) <= width; x += hn::Lanes(ints)) {
    const auto both = hn::PromoteTo(ints, hn::LoadU(pairs, words + x));
    const auto low = hn::And(both, mask);
    const auto high = hn::ShiftRight<8>(both);
    const auto chroma = luma_first ? high : low;
    store_rgb(luma_first ? low : high, hn::DupEven(chroma), hn::DupOdd(chroma), out + 3 * x);
  }
#endif
  const std::size_t luma = luma_first ? 0 : 1;
  const std::size_t chroma = 1 - luma;
  for (; x < width; ++x) {
    const std::uint8_t* four = row + x / 2 * 4;
    put(rgb_of_yuv(four[luma + x % 2 * 2], four[chroma], four[chroma + 2]), out + 3 * x);
  }
}

HWY_ATTR void planar_yuv_row(const std::uint8_t* HWY_RESTRICT luma, const std::uint8_t* HWY_RESTRICT chroma,
                             std::size_t width, bool u_first, std::uint8_t* HWY_RESTRICT out) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR
  const Ints ints;
  const Bytes bytes;
  for (; x + hn::Lanes(ints) <= width; x += hn::Lanes(ints)) {
    const auto y = hn::PromoteTo(ints, hn::LoadU(bytes, luma + x));
    const auto colour = hn::PromoteTo(ints, hn::LoadU(bytes, chroma + x));
    const auto even = hn::DupEven(colour);
    const auto odd = hn::DupOdd(colour);
    store_rgb(y, u_first ? even : odd, u_first ? odd : even, out + 3 * x);
  }
#endif
  for (; x < width; ++x) {
    const std::uint8_t* two = chroma + x / 2 * 2;
    put(rgb_of_yuv(luma[x], two[u_first ? 0 : 1], two[u_first ? 1 : 0]), out + 3 * x);
  }
}

// What a pixel of the pattern lacks is the mean of its nearest neighbours that have it. Columns 1 to width - 2.
HWY_ATTR void bayer_row(const std::uint8_t* HWY_RESTRICT above, const std::uint8_t* HWY_RESTRICT own,
                        const std::uint8_t* HWY_RESTRICT below, std::size_t width, bool red_row, bool red_column,
                        std::uint8_t* HWY_RESTRICT out) {
  std::size_t x = 1;
  // Whether the first column, and so each even lane, has the colour of this row, which is red or blue.
  const bool even_is_coloured = (red_column == red_row);
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::int16_t> words;
  const hn::Rebind<std::uint8_t, decltype(words)> bytes;
  const auto two = hn::Set(words, 2);
  const auto at = [&](const std::uint8_t* row, std::ptrdiff_t beside) HWY_ATTR {
    return hn::PromoteTo(words, hn::LoadU(bytes, row + static_cast<std::ptrdiff_t>(x) + beside));
  };
  const auto choose = [&](auto coloured, auto green) HWY_ATTR {
    return hn::DemoteTo(bytes, even_is_coloured ? hn::OddEven(green, coloured) : hn::OddEven(coloured, green));
  };
  for (; x + hn::Lanes(words) < width; x += hn::Lanes(words)) {
    const auto middle = at(own, 0);
    const auto sides = hn::Add(at(own, -1), at(own, 1));
    const auto ends = hn::Add(at(above, 0), at(below, 0));
    const auto diagonals = hn::Add(hn::Add(at(above, -1), at(above, 1)), hn::Add(at(below, -1), at(below, 1)));
    const auto beside = hn::ShiftRight<1>(hn::Add(sides, hn::Set(words, 1)));
    const auto over = hn::ShiftRight<1>(hn::Add(ends, hn::Set(words, 1)));
    const auto around = hn::ShiftRight<2>(hn::Add(hn::Add(sides, ends), two));
    const auto corners = hn::ShiftRight<2>(hn::Add(diagonals, two));
    const auto of_row = choose(middle, beside);
    const auto green = choose(around, middle);
    const auto other = choose(corners, over);
    hn::StoreInterleaved3(red_row ? of_row : other, green, red_row ? other : of_row, bytes, out + 3 * x);
  }
#endif
  for (; x + 1 < width; ++x) {
    const int beside = (own[x - 1] + own[x + 1] + 1) >> 1;
    const int over = (above[x] + below[x] + 1) >> 1;
    const int around = (own[x - 1] + own[x + 1] + above[x] + below[x] + 2) >> 2;
    const int corners = (above[x - 1] + above[x + 1] + below[x - 1] + below[x + 1] + 2) >> 2;
    const bool coloured = (x % 2 == 1) == even_is_coloured;
    const int of_row = coloured ? own[x] : beside;
    const int other = coloured ? corners : over;
    put({red_row ? of_row : other, coloured ? around : own[x], red_row ? other : of_row}, out + 3 * x);
  }
}

HWY_ATTR void grey_of_three(const std::uint8_t* HWY_RESTRICT row, std::size_t width, std::size_t red,
                            std::uint8_t* HWY_RESTRICT out) {
  std::size_t x = 0;
  const std::size_t blue = 2 - red;
#if HWY_TARGET != HWY_SCALAR
  const Ints ints;
  const Bytes bytes;
  const auto first_factor = hn::Set(ints, red == 0 ? grey_of_red : grey_of_blue);
  const auto last_factor = hn::Set(ints, red == 0 ? grey_of_blue : grey_of_red);
  for (; x + hn::Lanes(ints) <= width; x += hn::Lanes(ints)) {
    hn::Vec<Bytes> first;
    hn::Vec<Bytes> green;
    hn::Vec<Bytes> last;
    hn::LoadInterleaved3(bytes, row + 3 * x, first, green, last);
    const auto sum = hn::Add(hn::Add(hn::Mul(hn::PromoteTo(ints, first), first_factor),
                                     hn::Mul(hn::PromoteTo(ints, green), hn::Set(ints, grey_of_green))),
                             hn::Add(hn::Mul(hn::PromoteTo(ints, last), last_factor), hn::Set(ints, 1 << 14)));
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<15>(sum)), bytes, out + x);
  }
#endif
  for (; x < width; ++x) {
    const std::uint8_t* at = row + 3 * x;
    out[x] = static_cast<std::uint8_t>(
        (at[red] * grey_of_red + at[1] * grey_of_green + at[blue] * grey_of_blue + (1 << 14)) >> 15);
  }
}

HWY_ATTR void three_of_four(const std::uint8_t* HWY_RESTRICT row, std::size_t width, std::uint8_t* HWY_RESTRICT out) {
  std::size_t x = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<std::uint8_t> bytes;
  for (; x + hn::Lanes(bytes) <= width; x += hn::Lanes(bytes)) {
    hn::Vec<decltype(bytes)> first;
    hn::Vec<decltype(bytes)> second;
    hn::Vec<decltype(bytes)> third;
    hn::Vec<decltype(bytes)> fourth;
    hn::LoadInterleaved4(bytes, row + 4 * x, first, second, third, fourth);
    hn::StoreInterleaved3(first, second, third, bytes, out + 3 * x);
  }
#endif
  for (; x < width; ++x) std::copy(row + 4 * x, row + 4 * x + 3, out + 3 * x);
}

}  // namespace edgekit::preprocessing::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace edgekit::preprocessing {

HWY_EXPORT(packed_yuv_row);
HWY_EXPORT(planar_yuv_row);
HWY_EXPORT(bayer_row);
HWY_EXPORT(grey_of_three);
HWY_EXPORT(three_of_four);

namespace {

const std::uint8_t* row_of(const Frame& frame, std::int64_t y) { return frame.data + y * frame.stride_or_row(); }

struct Pattern {
  int red_row;
  int red_column;
};

Pattern pattern_of(Encoding encoding) {
  switch (encoding) {
    case Encoding::bayer_rggb8:
      return {0, 0};
    case Encoding::bayer_bggr8:
      return {1, 1};
    case Encoding::bayer_gbrg8:
      return {1, 0};
    default:
      return {0, 1};
  }
}

// The outermost rows and columns repeat their neighbours; without an inside there is nothing, as in OpenCV.
void bayer(const Frame& frame, std::int32_t y, std::uint8_t* out) {
  const auto width = static_cast<std::size_t>(frame.width);
  if (frame.height < 3 || frame.width < 3) {
    std::fill(out, out + width * 3, std::uint8_t{0});
    return;
  }
  const Pattern pattern = pattern_of(frame.encoding);
  const std::int32_t inside = std::clamp(y, 1, frame.height - 2);
  HWY_DYNAMIC_DISPATCH(bayer_row)
  (row_of(frame, inside - 1), row_of(frame, inside), row_of(frame, inside + 1), width, inside % 2 == pattern.red_row,
   pattern.red_column == 1, out);
  std::copy(out + 3, out + 6, out);
  std::uint8_t* last = out + (width - 1) * 3;
  std::copy(last - 3, last, last);
}

}  // namespace

void rgb_row(const Frame& frame, std::int32_t y, std::uint8_t* out) {
  const auto width = static_cast<std::size_t>(frame.width);
  switch (frame.encoding) {
    case Encoding::yuyv:
    case Encoding::uyvy:
      return HWY_DYNAMIC_DISPATCH(packed_yuv_row)(row_of(frame, y), width, frame.encoding == Encoding::yuyv, out);
    case Encoding::nv12:
    case Encoding::nv21:
      return HWY_DYNAMIC_DISPATCH(planar_yuv_row)(row_of(frame, y), row_of(frame, frame.height + std::int64_t{y} / 2),
                                                  width, frame.encoding == Encoding::nv12, out);
    default:
      return bayer(frame, y, out);
  }
}

template <class T>
void drop_fourth(const T* row, std::int32_t width, T* out) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return HWY_DYNAMIC_DISPATCH(three_of_four)(row, static_cast<std::size_t>(width), out);
  }
  for (std::int32_t x = 0; x < width; ++x, row += 4, out += 3) {
    out[0] = row[0];
    out[1] = row[1];
    out[2] = row[2];
  }
}

template <class T>
void grey_row(const T* row, std::int32_t width, std::int32_t red, T* out) {
  const std::int32_t blue = 2 - red;
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return HWY_DYNAMIC_DISPATCH(grey_of_three)(row, static_cast<std::size_t>(width), static_cast<std::size_t>(red),
                                               out);
  }
  for (std::int32_t x = 0; x < width; ++x, row += 3) {
    if constexpr (std::is_same_v<T, float>) {
      out[x] = row[red] * 0.299F + row[1] * 0.587F + row[blue] * 0.114F;
    } else {
      const std::uint32_t sum = row[red] * std::uint32_t{grey_of_red} + row[1] * std::uint32_t{grey_of_green} +
                                row[blue] * std::uint32_t{grey_of_blue};
      out[x] = static_cast<T>((sum + (1U << 14)) >> 15);
    }
  }
}

template void drop_fourth(const std::uint8_t*, std::int32_t, std::uint8_t*);
template void drop_fourth(const std::uint16_t*, std::int32_t, std::uint16_t*);
template void grey_row(const std::uint8_t*, std::int32_t, std::int32_t, std::uint8_t*);
template void grey_row(const std::uint16_t*, std::int32_t, std::int32_t, std::uint16_t*);
template void grey_row(const float*, std::int32_t, std::int32_t, float*);

}  // namespace edgekit::preprocessing
#endif  // HWY_ONCE
