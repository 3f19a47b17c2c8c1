#include "postprocess/detection/codings.hpp"

#include <algorithm>
#include <cmath>

namespace edgekit::detection {
namespace {

/// In float32, as the model computes.
using Corners = std::array<float, 4>;

std::int64_t cells(std::int32_t size, std::int64_t stride) { return (size + stride - 1) / stride; }

Corners corners(float x, float y, float width, float height) {
  const float half_width = width / 2;
  const float half_height = height / 2;
  return {x - half_width, y - half_height, x + half_width, y + half_height};
}

/// Distances from the cell's centre to left, top, right, bottom, in cells.
Corners sides(const std::array<float, 4>& reach, const Point& at) {
  return {at.x - reach[0] * at.stride, at.y - reach[1] * at.stride, at.x + reach[2] * at.stride,
          at.y + reach[3] * at.stride};
}

/// The mean of a distribution over 0, 1, ... cells.
float mean_of(std::span<const float> raw) {
  const float most = *std::max_element(raw.begin(), raw.end());
  float sum = 0;
  float total = 0;
  for (std::size_t bin = 0; bin < raw.size(); ++bin) {
    const float power = std::exp(raw[bin] - most);
    sum += power * static_cast<float>(bin);
    total += power;
  }
  return sum / total;
}

Corners from_distribution(std::span<const float> raw, const Point& at) {
  const std::size_t bins = raw.size() / 4;
  std::array<float, 4> reach{};
  for (std::size_t side = 0; side < 4; ++side) reach[side] = mean_of(raw.subspan(side * bins, bins));
  return sides(reach, at);
}

float squared(float value) { return value * value; }

Corners decoded(std::span<const float> raw, const Point& at, const Family& family) {
  switch (family.box_coding) {
    case BoxCoding::grid_exp:
      return corners(at.x + (raw[0] - 0.5F) * at.stride, at.y + (raw[1] - 0.5F) * at.stride,
                     std::exp(raw[2]) * at.stride, std::exp(raw[3]) * at.stride);
    case BoxCoding::grid_tanh:
      return corners(at.x - 0.5F * at.stride + std::tanh(raw[0]) * at.stride,
                     at.y - 0.5F * at.stride + std::tanh(raw[1]) * at.stride, sigmoid(raw[2]) * at.width,
                     sigmoid(raw[3]) * at.height);
    case BoxCoding::sides:
      return sides({raw[0], raw[1], raw[2], raw[3]}, at);
    case BoxCoding::distribution:
      return from_distribution(raw, at);
    case BoxCoding::anchor_variance: {
      const auto centre = static_cast<float>(family.variances[0]);
      const auto growth = static_cast<float>(family.variances[1]);
      return corners(at.x + raw[0] * centre * at.width, at.y + raw[1] * centre * at.height,
                     std::exp(raw[2] * growth) * at.width, std::exp(raw[3] * growth) * at.height);
    }
    case BoxCoding::anchor_exp:
      return corners(at.x + (sigmoid(raw[0]) - 0.5F) * at.stride, at.y + (sigmoid(raw[1]) - 0.5F) * at.stride,
                     std::exp(raw[2]) * at.width, std::exp(raw[3]) * at.height);
    case BoxCoding::anchor_sigmoid:
      return corners(at.x + (2 * sigmoid(raw[0]) - 1) * at.stride, at.y + (2 * sigmoid(raw[1]) - 1) * at.stride,
                     squared(2 * sigmoid(raw[2])) * at.width, squared(2 * sigmoid(raw[3])) * at.height);
    case BoxCoding::cxcywh:
      return corners(raw[0], raw[1], raw[2], raw[3]);
    case BoxCoding::cxcywh_sigmoid:
      return corners(sigmoid(raw[0]), sigmoid(raw[1]), sigmoid(raw[2]), sigmoid(raw[3]));
    case BoxCoding::yxyx:
      return {raw[1], raw[0], raw[3], raw[2]};
    default:
      return {raw[0], raw[1], raw[2], raw[3]};
  }
}

}  // namespace

float sigmoid(float value) { return 1 / (1 + std::exp(-value)); }

std::int64_t count_points(const std::array<std::int32_t, 2>& size, const Family& family) {
  double made = 0;  // does not overflow, and is exact as far as any memory reaches
  for (std::size_t i = 0; i < family.strides.size(); ++i) {
    const auto shapes = family.anchors.empty() ? 1.0 : static_cast<double>(family.anchors[i].size());
    const auto rows = static_cast<double>(cells(size[0], family.strides[i]));
    made += rows * static_cast<double>(cells(size[1], family.strides[i])) * shapes;
  }
  constexpr double most = 1e15;
  return static_cast<std::int64_t>(std::min(made, most));
}

void make_points(const std::array<std::int32_t, 2>& size, const Family& family, std::vector<Point>& made) {
  made.clear();
  made.reserve(static_cast<std::size_t>(count_points(size, family)));
  const std::vector<Pair> whole{{static_cast<float>(size[1]), static_cast<float>(size[0])}};
  for (std::size_t i = 0; i < family.strides.size(); ++i) {
    const std::vector<Pair>& shapes = family.anchors.empty() ? whole : family.anchors[i];
    const auto stride = static_cast<float>(family.strides[i]);
    const std::int64_t columns = cells(size[1], family.strides[i]);
    const auto count = static_cast<std::size_t>(cells(size[0], family.strides[i]) * columns);
    const auto add = [&](std::size_t cell, const Pair& shape) {
      const std::int64_t row = static_cast<std::int64_t>(cell) / columns;
      const auto x = static_cast<float>(static_cast<std::int64_t>(cell) - row * columns);
      const auto y = static_cast<float>(row);
      made.push_back({(x + 0.5F) * stride, (y + 0.5F) * stride, stride, shape[0], shape[1]});
    };
    if (family.anchor_order == AnchorOrder::anchor_first) {
      for (const Pair& shape : shapes) {
        for (std::size_t cell = 0; cell < count; ++cell) add(cell, shape);
      }
    } else {
      for (std::size_t cell = 0; cell < count; ++cell) {
        for (const Pair& shape : shapes) add(cell, shape);
      }
    }
  }
}

void make_points(const std::array<std::int32_t, 2>& size, std::span<const Prior> priors, std::vector<Point>& made) {
  made.clear();
  made.reserve(priors.size());
  const double height = size[0];
  const double width = size[1];
  for (const Prior& prior : priors) {
    made.push_back({static_cast<float>(prior[0] * width), static_cast<float>(prior[1] * height), 0,
                    static_cast<float>(prior[2] * width), static_cast<float>(prior[3] * height)});
  }
}

Box decode_box(std::span<const float> raw, const Point& point, const Family& family,
               const std::array<std::int32_t, 2>& size) {
  const Corners made = decoded(raw, point, family);
  const double width = family.unit == Unit::normalised ? size[1] : 1;
  const double height = family.unit == Unit::normalised ? size[0] : 1;
  return {made[0] * width, made[1] * height, made[2] * width, made[3] * height};
}

}  // namespace edgekit::detection
