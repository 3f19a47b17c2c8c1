#include "preprocess/axis.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "preprocess/fixed_point.hpp"

namespace edgekit::preprocessing {
namespace {

using std::numbers::pi;

// OpenCV steps by the inverse of a rounded quotient, and the last bit of it decides ties.
double step_of(const Axis& axis) { return 1.0 / (static_cast<double>(axis.made) / axis.source); }

struct Place {
  std::int32_t pixel;
  float beyond;  // of the pixel's centre, 0 to 1
};

Place centre_of(const Axis& axis, std::int32_t result) {
  const auto at = static_cast<float>((result + 0.5) * step_of(axis) - 0.5);
  const float pixel = std::floor(at);
  return {static_cast<std::int32_t>(pixel), at - pixel};
}

Place cell_of(const Axis& axis, std::int32_t result) {
  const double scale = static_cast<double>(axis.made) / axis.source;
  const auto pixel = static_cast<std::int32_t>(std::floor(result * step_of(axis)));
  const auto at = static_cast<float>((result + 1) - (pixel + 1) * scale);
  return {pixel, at <= 0 ? 0.0F : at - std::floor(at)};
}

void bicubic(float x, float* out) {
  constexpr float a = -0.75F;
  const float left = x + 1;
  const float right = 1 - x;
  out[0] = ((a * left - 5 * a) * left + 8 * a) * left - 4 * a;
  out[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
  out[2] = ((a + 2) * right - (a + 3)) * right * right + 1;
  out[3] = 1.0F - out[0] - out[1] - out[2];
}

double sinc(double x) { return x == 0 ? 1.0 : std::sin(pi * x) / (pi * x); }

void lanczos4(float x, float* out) {
  double weights[8];
  double sum = 0;
  for (int k = 0; k < 8; ++k) {
    const double distance = static_cast<double>(x) + 3 - k;
    weights[k] = sinc(distance) * sinc(distance / 4);
    sum += weights[k];
  }
  for (int k = 0; k < 8; ++k) out[k] = static_cast<float>(weights[k] / sum);
}

double antialias_filter(double x, Interpolation interpolation) {
  const double t = std::abs(x);
  if (interpolation == Interpolation::bilinear) return std::max(1.0 - t, 0.0);
  if (interpolation == Interpolation::lanczos) return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
  constexpr double a = -0.5;
  if (t < 1.0) return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
  return t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * a : 0.0;
}

double support_of(Interpolation interpolation) {
  if (interpolation == Interpolation::bilinear) return 1.0;
  return interpolation == Interpolation::bicubic ? 2.0 : 3.0;
}

}  // namespace

Taps filter_taps(const Axis& axis, Interpolation interpolation, Along along) {
  Taps made;
  made.taps = interpolation == Interpolation::lanczos ? 8 : interpolation == Interpolation::bicubic ? 4 : 2;
  for (std::int32_t result = axis.first; result < axis.first + axis.count; ++result) {
    Place place = interpolation == Interpolation::area ? cell_of(axis, result) : centre_of(axis, result);
    float weights[8];
    if (made.taps == 2) {
      if (along == Along::row && (place.pixel < 0 || place.pixel >= axis.source - 1)) place.beyond = 0;
      weights[0] = 1.0F - place.beyond;
      weights[1] = place.beyond;
    } else if (made.taps == 4) {
      bicubic(place.beyond, weights);
    } else {
      lanczos4(place.beyond, weights);
    }
    if (made.taps == 2 && along == Along::row) place.pixel = std::max(place.pixel, 0);
    for (std::int32_t k = 0; k < made.taps; ++k) {
      made.index.push_back(std::clamp(place.pixel - made.taps / 2 + 1 + k, 0, axis.source - 1));
      made.weights.push_back(weights[k]);
      made.fixed.push_back(static_cast<std::int16_t>(std::nearbyint(weights[k] * float{weight_one})));
    }
  }
  return made;
}

std::vector<std::int32_t> nearest_pixels(const Axis& axis, Interpolation interpolation) {
  std::vector<std::int32_t> made;
  const double exact_step = static_cast<double>(axis.source) / axis.made;
  double centre = exact_step - exact_step * 0.5;  // stepped as Pillow steps it
  for (std::int32_t result = 0; result < axis.first + axis.count; ++result) {
    const double at = interpolation == Interpolation::nearest ? result * step_of(axis) : centre;
    centre += exact_step;
    if (result < axis.first) continue;
    made.push_back(std::min(static_cast<std::int32_t>(std::floor(at)), axis.source - 1));
  }
  return made;
}

Cells area_cells(const Axis& axis) {
  constexpr double nothing = 1e-3;
  const double scale = step_of(axis);
  Cells made;
  const auto add = [&made](std::int32_t pixel, double weight) {
    made.pixel.push_back(pixel);
    made.weight.push_back(static_cast<float>(weight));
  };
  for (std::int32_t result = axis.first; result < axis.first + axis.count; ++result) {
    made.begin.push_back(static_cast<std::int32_t>(made.pixel.size()));
    const double begin = result * scale;
    const double end = begin + scale;
    const double width = std::min(scale, axis.source - begin);
    const std::int32_t last = std::min(static_cast<std::int32_t>(std::floor(end)), axis.source - 1);
    const std::int32_t first = std::min(static_cast<std::int32_t>(std::ceil(begin)), last);
    if (first - begin > nothing) add(first - 1, (first - begin) / width);
    for (std::int32_t pixel = first; pixel < last; ++pixel) add(pixel, 1.0 / width);
    if (end - last > nothing) add(last, std::min(std::min(end - last, 1.0), width) / width);
  }
  made.begin.push_back(static_cast<std::int32_t>(made.pixel.size()));
  return made;
}

Spans antialias_spans(const Axis& axis, Interpolation interpolation) {
  const double scale = static_cast<double>(axis.source) / axis.made;
  const double stretched = std::max(scale, 1.0);
  const double reach = support_of(interpolation) * stretched;
  Spans made;
  for (std::int32_t result = axis.first; result < axis.first + axis.count; ++result) {
    const double centre = (result + 0.5) * scale;
    const auto low = std::max(static_cast<std::int32_t>(centre - reach + 0.5), 0);
    const auto high = std::min(static_cast<std::int32_t>(centre + reach + 0.5), axis.source);
    made.start.push_back(low);
    made.begin.push_back(static_cast<std::int32_t>(made.weight.size()));
    double sum = 0;
    for (std::int32_t pixel = low; pixel < high; ++pixel) {
      made.weight.push_back(antialias_filter((pixel - centre + 0.5) * (1.0 / stretched), interpolation));
      sum += made.weight.back();
    }
    for (auto at = static_cast<std::size_t>(made.begin.back()); at < made.weight.size(); ++at) {
      made.weight[at] /= sum;
      const double whole = made.weight[at] * 4194304.0;
      made.fixed.push_back(static_cast<std::int32_t>(std::trunc(whole + (whole < 0 ? -0.5 : 0.5))));
    }
  }
  made.begin.push_back(static_cast<std::int32_t>(made.weight.size()));
  return made;
}

}  // namespace edgekit::preprocessing
