// Raw columns of a head to boxes in pixels of the input.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "postprocess/detection/family.hpp"

namespace edgekit::detection {

/// Left, top, right, bottom.
using Box = std::array<double, 4>;

/// Where a candidate stands: centre, stride, and size of its anchor, in pixels.
struct Point {
  float x = 0;
  float y = 0;
  float stride = 0;
  float width = 0;
  float height = 0;
};

/// Centre x, y, width, height in shares of the input.
using Prior = std::array<double, 4>;

/// How many reference points strides and anchors make on an input of (height, width).
std::int64_t count_points(const std::array<std::int32_t, 2>& size, const Family& family);
/// The reference point of each candidate: in the order of the strides, then anchors and cells in the family's order.
void make_points(const std::array<std::int32_t, 2>& size, const Family& family, std::vector<Point>& made);
void make_points(const std::array<std::int32_t, 2>& size, std::span<const Prior> priors, std::vector<Point>& made);

/// The box of one candidate in pixels of an input of (height, width); values that overflow become infinite.
///
/// @param raw family.box_columns() numbers. `point` has no meaning where the coding needs nothing.
Box decode_box(std::span<const float> raw, const Point& point, const Family& family,
               const std::array<std::int32_t, 2>& size);

float sigmoid(float value);

}  // namespace edgekit::detection
