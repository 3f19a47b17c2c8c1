// One row of each encoding to R, G, B. The arithmetic is OpenCV's, in integers.
#pragma once

#include <cstdint>

#include "edgekit/frame.hpp"

namespace edgekit::preprocessing {

/// Three of four interleaved channels, in their order.
template <class T>
void drop_fourth(const T* row, std::int32_t width, T* out);

/// Grey of three interleaved channels (ITU-R BT.601, 15 fractional bits); `red` is 0 or 2.
template <class T>
void grey_row(const T* row, std::int32_t width, std::int32_t red, T* out);

/// Row `y` of an 8-bit frame in yuyv, uyvy, nv12, nv21 or a Bayer pattern, which passed Frame::check().
void rgb_row(const Frame& frame, std::int32_t y, std::uint8_t* out);

}  // namespace edgekit::preprocessing
