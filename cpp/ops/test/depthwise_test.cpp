#include "depthwise.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "each_level.hpp"

namespace edgekit::ops {
namespace {

int between(std::mt19937& source, int low, int high) { return std::uniform_int_distribution<int>(low, high)(source); }

DepthwiseSpec random_spec(std::mt19937& source) {
  DepthwiseSpec made;
  made.channels = between(source, 1, 150);
  const int kernel = between(source, 0, 5);
  made.kernel_h = made.kernel_w = kernel < 3 ? 3 : 5;
  if (kernel == 5) made.kernel_w = 2;  // of another size: the plain loop
  made.stride_h = between(source, 1, 3), made.stride_w = between(source, 1, 3);
  made.top = between(source, 0, 3), made.left = between(source, 0, 3);
  made.bottom = between(source, 0, 3), made.right = between(source, 0, 3);
  made.is_signed = between(source, 0, 1) == 1;
  const int low = made.is_signed ? -128 : 0, largest = between(source, 0, 3) == 0 ? 127 : 10;
  for (std::size_t channel = 0; channel < made.channels; ++channel) {
    made.zero_in.push_back(low + between(source, 0, 255)), made.zero_out.push_back(low + between(source, 0, 255));
    made.bias.push_back(between(source, -20000, 20000));
    made.multipliers.push_back(static_cast<float>(between(source, 1, 2000)) / 100000.0F);
    for (std::size_t tap = 0; tap < made.kernel_h * made.kernel_w; ++tap) {
      made.weights.push_back(static_cast<std::int8_t>(between(source, -largest, largest)));
    }
  }
  const std::size_t tables = std::vector<std::size_t>{0, 1, made.channels}[between(source, 0, 2)];
  for (std::size_t entry = 0; entry < tables * 256; ++entry) made.table.push_back(static_cast<std::uint8_t>(source()));
  return made;
}

/// The convolution by its definition.
std::uint8_t reference(const DepthwiseSpec& spec, const std::vector<std::uint8_t>& image, std::size_t height,
                       std::size_t width, std::size_t y, std::size_t x, std::size_t channel) {
  std::int64_t sum = spec.bias[channel];
  for (std::size_t ky = 0; ky < spec.kernel_h; ++ky) {
    for (std::size_t kx = 0; kx < spec.kernel_w; ++kx) {
      const std::size_t down = y * spec.stride_h + ky - spec.top, along = x * spec.stride_w + kx - spec.left;
      if (down >= height || along >= width) continue;
      const std::uint8_t byte = image[(down * width + along) * spec.channels + channel];
      const int value = spec.is_signed ? static_cast<std::int8_t>(byte) : byte;
      sum += spec.weights[(channel * spec.kernel_h + ky) * spec.kernel_w + kx] * (value - spec.zero_in[channel]);
    }
  }
  const int low = spec.is_signed ? -128 : 0;
  const double scaled = std::nearbyint(double{static_cast<float>(sum) * spec.multipliers[channel]});
  const auto byte = static_cast<std::uint8_t>(
      static_cast<int>(std::clamp(scaled + spec.zero_out[channel], double(low), low + 255.0)));
  if (spec.table.empty()) return byte;
  return spec.table[(spec.table.size() == 256 ? 0 : channel * 256) + byte];
}

TEST_P(EachLevel, DepthwiseConvolutionsOfAnyShape) {
  std::mt19937 source = seeded(4);
  for (int trial = 0; trial < 400; ++trial) {
    const DepthwiseSpec spec = random_spec(source);
    const auto height = static_cast<std::size_t>(between(source, 1, 9));
    const auto width = static_cast<std::size_t>(between(source, 1, 12));
    std::vector<std::uint8_t> image(height * width * spec.channels);
    for (std::uint8_t& byte : image) byte = trial % 5 == 0 ? 255 : static_cast<std::uint8_t>(source());
    const Depthwise convolution(spec, GetParam());
    const std::size_t rows = convolution.height(height), columns = convolution.width(width);
    const std::size_t size = columns * spec.channels;
    for (std::size_t begin = 0, end = 0; columns > 0 && begin < rows; begin = end) {
      end = std::min<std::size_t>(rows, begin + static_cast<std::size_t>(between(source, 1, 5)));
      std::vector<std::uint8_t> made((end - begin) * size);
      convolution.rows(image.data(), height, width, begin, end, made.data());
      for (std::size_t at = 0; at < made.size(); ++at) {
        const std::size_t along = at % size;
        ASSERT_EQ(made[at], reference(spec, image, height, width, begin + at / size, along / spec.channels,
                                      along % spec.channels))
            << trial << " " << at;
      }
    }
  }
}

TEST_P(EachLevel, DepthwiseSumsSaturate) {
  for (const float multiplier : {1000.0F, 1e9F}) {
    DepthwiseSpec spec;
    spec.channels = 2, spec.kernel_h = spec.kernel_w = 3;
    spec.zero_in = {0, 0}, spec.zero_out = {128, 128}, spec.bias = {1 << 30, -(1 << 30)};
    spec.multipliers = {multiplier, multiplier};
    spec.weights.assign(18, 127);
    std::fill(spec.weights.begin() + 9, spec.weights.end(), std::int8_t{-127});
    const std::vector<std::uint8_t> image(18, 255);
    std::uint8_t made[2] = {7, 7};
    Depthwise(spec, GetParam()).rows(image.data(), 3, 3, 0, 1, made);
    EXPECT_EQ(made[0], 255);
    EXPECT_EQ(made[1], 0);
  }
}

}  // namespace
}  // namespace edgekit::ops
