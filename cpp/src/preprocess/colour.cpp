#include "preprocess/colour.hpp"

#include <algorithm>

#include "preprocess/fixed_point.hpp"

namespace edgekit::preprocessing {
namespace {

const std::uint8_t* row_of(const Frame& frame, std::int64_t y) { return frame.data + y * frame.stride_or_row(); }

void put(const Rgb& pixel, std::uint8_t* out) {
  out[0] = static_cast<std::uint8_t>(pixel.r);
  out[1] = static_cast<std::uint8_t>(pixel.g);
  out[2] = static_cast<std::uint8_t>(pixel.b);
}

// Four bytes hold two pixels that share their colour; `luma` is where the first one's brightness stands.
void packed_yuv(const std::uint8_t* row, std::int32_t width, int luma, std::uint8_t* out) {
  const int chroma = 1 - luma;
  for (std::int32_t x = 0; x < width; x += 2, row += 4, out += 6) {
    put(rgb_of_yuv(row[luma], row[chroma], row[chroma + 2]), out);
    put(rgb_of_yuv(row[luma + 2], row[chroma], row[chroma + 2]), out + 3);
  }
}

// A plane of brightness, and one of half as many rows where U and V alternate; `u` is where U stands.
void planar_yuv(const Frame& frame, std::int32_t y, int u, std::uint8_t* out) {
  const std::uint8_t* luma = row_of(frame, y);
  const std::uint8_t* chroma = row_of(frame, frame.height + std::int64_t{y} / 2);
  for (std::int32_t x = 0; x < frame.width; x += 2, out += 6) {
    put(rgb_of_yuv(luma[x], chroma[x + u], chroma[x + 1 - u]), out);
    put(rgb_of_yuv(luma[x + 1], chroma[x + u], chroma[x + 1 - u]), out + 3);
  }
}

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

// What a pixel of the pattern lacks is the mean of its nearest neighbours that have it.
void bayer_pixel(const std::uint8_t* above, const std::uint8_t* own, const std::uint8_t* below, bool red_row,
                 bool red_column, std::uint8_t* out) {
  const int beside = (own[-1] + own[1] + 1) >> 1;
  const int over = (above[0] + below[0] + 1) >> 1;
  const int around = (own[-1] + own[1] + above[0] + below[0] + 2) >> 2;
  const int corners = (above[-1] + above[1] + below[-1] + below[1] + 2) >> 2;
  if (red_row == red_column) {
    put(red_row ? Rgb{own[0], around, corners} : Rgb{corners, around, own[0]}, out);
  } else {
    put(red_row ? Rgb{beside, own[0], over} : Rgb{over, own[0], beside}, out);
  }
}

// The outermost rows and columns repeat their neighbours; without an inside there is nothing, as in OpenCV.
void bayer(const Frame& frame, std::int32_t y, std::uint8_t* out) {
  if (frame.height < 3 || frame.width < 3) {
    std::fill(out, out + std::ptrdiff_t{frame.width} * 3, std::uint8_t{0});
    return;
  }
  const Pattern pattern = pattern_of(frame.encoding);
  const std::int32_t inside = std::clamp(y, 1, frame.height - 2);
  const std::uint8_t* above = row_of(frame, inside - 1);
  const std::uint8_t* own = row_of(frame, inside);
  const std::uint8_t* below = row_of(frame, inside + 1);
  for (std::int32_t x = 1; x < frame.width - 1; ++x) {
    bayer_pixel(above + x, own + x, below + x, inside % 2 == pattern.red_row, x % 2 == pattern.red_column,
                out + std::ptrdiff_t{x} * 3);
  }
  std::copy(out + 3, out + 6, out);
  std::uint8_t* last = out + std::ptrdiff_t{frame.width - 1} * 3;
  std::copy(last - 3, last, last);
}

}  // namespace

template <class T>
void drop_fourth(const T* row, std::int32_t width, T* out) {
  for (std::int32_t x = 0; x < width; ++x, row += 4, out += 3) {
    out[0] = row[0];
    out[1] = row[1];
    out[2] = row[2];
  }
}

template <class T>
void grey_row(const T* row, std::int32_t width, std::int32_t red, T* out) {
  const std::int32_t blue = 2 - red;
  for (std::int32_t x = 0; x < width; ++x, row += 3) {
    if constexpr (std::is_same_v<T, float>) {
      out[x] = row[red] * 0.299F + row[1] * 0.587F + row[blue] * 0.114F;
    } else {
      const std::uint32_t sum = row[red] * 9798U + row[1] * 19235U + row[blue] * 3735U;
      out[x] = static_cast<T>((sum + (1U << 14)) >> 15);
    }
  }
}

void rgb_row(const Frame& frame, std::int32_t y, std::uint8_t* out) {
  switch (frame.encoding) {
    case Encoding::yuyv:
      return packed_yuv(row_of(frame, y), frame.width, 0, out);
    case Encoding::uyvy:
      return packed_yuv(row_of(frame, y), frame.width, 1, out);
    case Encoding::nv12:
      return planar_yuv(frame, y, 0, out);
    case Encoding::nv21:
      return planar_yuv(frame, y, 1, out);
    default:
      return bayer(frame, y, out);
  }
}

template void drop_fourth(const std::uint8_t*, std::int32_t, std::uint8_t*);
template void drop_fourth(const std::uint16_t*, std::int32_t, std::uint16_t*);
template void grey_row(const std::uint8_t*, std::int32_t, std::int32_t, std::uint8_t*);
template void grey_row(const std::uint16_t*, std::int32_t, std::int32_t, std::uint16_t*);
template void grey_row(const float*, std::int32_t, std::int32_t, float*);

}  // namespace edgekit::preprocessing
