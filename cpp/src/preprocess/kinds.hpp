// The values of a spec's keys that decide how an image is written.
#pragma once

#include <cstdint>

namespace edgekit::preprocessing {

enum class Mode : std::uint8_t { stretch, letterbox, letterbox_topleft, crop };
enum class Interpolation : std::uint8_t { bilinear, nearest, nearest_exact, area, bicubic, lanczos };
enum class Antialias : std::uint8_t { off, on, pillow_13 };
enum class Colour : std::uint8_t { rgb, bgr, grey };
enum class Layout : std::uint8_t { nchw, nhwc };

}  // namespace edgekit::preprocessing
