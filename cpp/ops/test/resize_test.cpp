#include "resize.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "each_level.hpp"

namespace edgekit::ops {
namespace {

int between(std::mt19937& source, int low, int high) { return std::uniform_int_distribution<int>(low, high)(source); }

struct Case {
  ResizeSpec spec{};
  ImageSize size{};
  std::vector<std::uint8_t> bytes{};
};

/// Whole factors, other factors and sizes, smaller and larger; now and then an image of one pixel, or of many channels.
Target random_target(std::mt19937& source, std::size_t given) {
  const int kind = between(source, 0, 3);
  if (kind == 0) return {.factor = static_cast<float>(1 << between(source, 0, 3)), .size = 0};
  if (kind == 1) return {.factor = static_cast<float>(between(source, 4, 40)) / 8.0F, .size = 0};
  if (kind == 2) return {.factor = 0.0F, .size = given * static_cast<std::size_t>(between(source, 1, 4))};
  return {.factor = 0.0F, .size = static_cast<std::size_t>(between(source, 1, 90))};
}

Case random_case(std::mt19937& source) {
  Case made;
  made.size = {static_cast<std::size_t>(between(source, 1, 40)), static_cast<std::size_t>(between(source, 1, 9)),
               static_cast<std::size_t>(between(source, 1, 24))};
  if (between(source, 0, 9) == 0) made.size.height = made.size.width = 1;
  ResizeSpec& spec = made.spec;
  spec.coordinates = static_cast<Coordinates>(between(source, 0, 3));
  spec.targets = {random_target(source, made.size.height), random_target(source, made.size.width)};
  spec.is_signed = between(source, 0, 1) == 1, spec.to_bytes = between(source, 0, 1) == 1;
  spec.last = between(source, 0, 1) == 1, spec.to_last = spec.last && between(source, 0, 1) == 1;
  const float low = spec.is_signed ? -128.0F : 0.0F;
  spec.given = {static_cast<float>(between(source, 1, 3000)) / 7919.0F,
                low + static_cast<float>(between(source, 0, 255))};
  spec.made = {spec.given.scale * static_cast<float>(between(source, 30, 200)) / 100.0F,  // some saturate
               low + static_cast<float>(between(source, 0, 255))};
  made.bytes.resize(made.size.channels * made.size.height * made.size.width);
  const bool extremes = between(source, 0, 4) == 0;
  for (std::uint8_t& byte : made.bytes) byte = static_cast<std::uint8_t>(extremes ? 255 * (source() & 1U) : source());
  return made;
}

/// Where an output lies and its two neighbours with their shares, in the order of ONNX Runtime's arithmetic.
struct Place {
  std::size_t first, second;
  float of_first, of_second;
};

Place place_of(const Case& one, std::size_t axis, std::size_t at) {
  const std::size_t given = axis == 0 ? one.size.height : one.size.width;
  const auto length = static_cast<float>(given);
  const Target target = one.spec.targets[axis];
  const std::size_t made =
      one.spec.targets[axis].size > 0 ? target.size : static_cast<std::size_t>(target.factor * length);
  const float factor = target.size > 0 ? static_cast<float>(made) / length : target.factor;
  const auto index = static_cast<float>(at);
  float found = index;
  if (factor != 1.0F) {
    const float half = (index + 0.5F) / factor - 0.5F;
    const float corners = made == 1 ? 0.0F : index * static_cast<float>(given - 1) / static_cast<float>(made - 1);
    const float options[] = {half, made > 1 ? half : 0.0F, corners, index / factor};
    found = options[static_cast<int>(one.spec.coordinates)];
  }
  found = std::clamp(found, 0.0F, length - 1.0F);
  const auto first = static_cast<std::size_t>(found), second = std::min(first + 1, given - 1);
  if (first == second) return {first, second, 0.5F, 0.5F};
  return {first, second, static_cast<float>(second) - found, found - static_cast<float>(first)};
}

/// In double, in which each product and sum of floats is rounded to what it is in float.
float product(float a, float b) { return static_cast<float>(double{a} * double{b}); }
float sum(float a, float b) { return static_cast<float>(double{a} + double{b}); }

float value_of(const Case& one, std::size_t channel, std::size_t y, std::size_t x) {
  const auto& [channels, height, width] = one.size;
  const std::uint8_t byte =
      one.bytes[one.spec.last ? (y * width + x) * channels + channel : (channel * height + y) * width + x];
  const int integer = one.spec.is_signed ? static_cast<std::int8_t>(byte) : byte;
  return product(static_cast<float>(integer) - one.spec.given.zero, one.spec.given.scale);
}

float reference(const Case& one, std::size_t channel, const Place& y, const Place& x) {
  const float upper_first = product(product(x.of_first, y.of_first), value_of(one, channel, y.first, x.first));
  const float upper_second = product(product(x.of_second, y.of_first), value_of(one, channel, y.first, x.second));
  const float lower_first = product(product(x.of_first, y.of_second), value_of(one, channel, y.second, x.first));
  const float lower_second = product(product(x.of_second, y.of_second), value_of(one, channel, y.second, x.second));
  return sum(sum(sum(upper_first, upper_second), lower_first), lower_second);
}

std::uint8_t rounded(const ResizeSpec& spec, float value) {
  const float low = spec.is_signed ? -128.0F : 0.0F;
  const float steps = static_cast<float>(double{value} / double{spec.made.scale});
  const double made = std::nearbyint(double{steps}) + double{spec.made.zero};
  return static_cast<std::uint8_t>(static_cast<int>(std::clamp(made, double{low}, double{low} + 255.0)));
}

void expect_equal(const Case& one, Level level) {
  const Resize resize(one.spec, level);
  const auto [height, width] = resize.size(one.size);
  const std::size_t count = one.size.channels * height * width;
  std::vector<float> floats(one.spec.to_bytes ? 0 : count);  // of that size and no more: sanitizers look behind it
  std::vector<std::uint8_t> bytes(one.spec.to_bytes ? count : 0);
  auto* to = one.spec.to_bytes ? bytes.data() : reinterpret_cast<std::uint8_t*>(floats.data());
  const auto axes = resize.axes(one.size);
  for (std::size_t begin = 0; begin < height; begin += 5) {
    resize.rows(one.bytes.data(), one.size, axes, begin, std::min(begin + 5, height), to);
  }
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      for (std::size_t channel = 0; channel < one.size.channels; ++channel) {
        const float wanted = reference(one, channel, place_of(one, 0, y), place_of(one, 1, x));
        const std::size_t at =
            one.spec.to_last ? (y * width + x) * one.size.channels + channel : (channel * height + y) * width + x;
        if (one.spec.to_bytes) {
          ASSERT_EQ(bytes[at], rounded(one.spec, wanted)) << channel << " " << y << " " << x;
        } else {
          ASSERT_EQ(floats[at], wanted) << channel << " " << y << " " << x;
        }
      }
    }
  }
}

TEST_P(EachLevel, ResizesOfAnyShape) {
  std::mt19937 source = seeded(5);
  for (int trial = 0; trial < 250; ++trial) {
    const Case one = random_case(source);
    ASSERT_NO_FATAL_FAILURE(expect_equal(one, GetParam())) << trial;
  }
}

TEST_P(EachLevel, ResizesByWholeFactorsInEveryLayout) {
  std::mt19937 source = seeded(6);
  for (const float factor : {2.0F, 4.0F, 8.0F}) {
    for (int layout = 0; layout < 6; ++layout) {
      Case one = random_case(source);
      one.size = {11, 5, 33};
      one.bytes.resize(11 * 5 * 33);
      one.spec.targets = {Target{factor, 0}, Target{factor, 0}};
      one.spec.to_bytes = layout % 2 == 1, one.spec.last = layout >= 2, one.spec.to_last = layout >= 4;
      ASSERT_NO_FATAL_FAILURE(expect_equal(one, GetParam())) << factor << " " << layout;
    }
  }
}

TEST_P(EachLevel, ResizedHalvesGoToEven) {
  Case one;
  one.size = {1, 1, 2};
  one.bytes = {1, 2};
  one.spec.targets = {Target{1.0F, 0}, Target{0.0F, 3}};
  one.spec.coordinates = Coordinates::align_corners;
  one.spec.to_bytes = true;
  const Resize resize(one.spec, GetParam());
  std::uint8_t made[3] = {};
  resize.rows(one.bytes.data(), one.size, resize.axes(one.size), 0, 1, made);
  EXPECT_EQ(made[1], 2);  // 1.5
  one.bytes = {2, 3};
  resize.rows(one.bytes.data(), one.size, resize.axes(one.size), 0, 1, made);
  EXPECT_EQ(made[1], 2);  // 2.5
}

}  // namespace
}  // namespace edgekit::ops
