// Which pixels of one axis a result reads, and with what weights.
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess/kinds.hpp"

namespace edgekit::preprocessing {

/// The part of an axis that is made: `made` results stand for `source` pixels, of which [first, first + count) is
/// wanted.
struct Axis {
  std::int32_t source = 0;
  std::int32_t made = 0;
  std::int32_t first = 0;
  std::int32_t count = 0;
};

/// A filter of a fixed number of pixels: result i reads `index[i * taps + k]` with the weight of the same place.
struct Taps {
  std::int32_t taps = 0;
  std::vector<std::int32_t> index;  ///< inside the axis: pixels beyond its ends are those at the ends
  std::vector<float> weights;
  std::vector<std::int16_t> fixed;  ///< the weights in 11 fractional bits, for uint8
};

enum class Along : std::uint8_t { row, column };

/// OpenCV's bilinear, bicubic (a = -0.75) or lanczos (eight pixels); `area` where an axis grows, which is bilinear with
/// other weights. `along` a row OpenCV drops the weight of what lies beyond its ends, along a column it does not.
Taps filter_taps(const Axis& axis, Interpolation interpolation, Along along);

/// The one pixel that each result takes: interpolation nearest or nearest_exact.
std::vector<std::int32_t> nearest_pixels(const Axis& axis, Interpolation interpolation);

/// Pixels that a result averages: [begin[i], begin[i + 1]) of `pixel` and `weight`.
struct Cells {
  std::vector<std::int32_t> begin;
  std::vector<std::int32_t> pixel;
  std::vector<float> weight;
};

/// OpenCV's area of an axis that shrinks.
Cells area_cells(const Axis& axis);

/// Pillow's filter, which grows with the reduction. Weights of one result are `begin[i + 1] - begin[i]` many and belong
/// to the pixels from `start[i]` on.
struct Spans {
  std::vector<std::int32_t> start;
  std::vector<std::int32_t> begin;
  std::vector<double> weight;
  std::vector<std::int32_t> fixed;  ///< in 22 fractional bits, for uint8
};

Spans antialias_spans(const Axis& axis, Interpolation interpolation);

}  // namespace edgekit::preprocessing
