#include "conv.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "each_level.hpp"

namespace edgekit::ops {
namespace {

struct Image {
  std::size_t height, width;
  std::vector<std::uint8_t> bytes;
};

int between(std::mt19937& source, int low, int high) { return std::uniform_int_distribution<int>(low, high)(source); }

ConvSpec random_spec(std::mt19937& source) {
  ConvSpec made;
  made.planes = between(source, 1, 4), made.outputs = between(source, 1, 40);
  made.kernel_h = between(source, 1, 6), made.kernel_w = between(source, 1, 9);
  made.stride_h = between(source, 1, 3), made.stride_w = between(source, 1, 3);
  made.top = between(source, 0, 3), made.left = between(source, 0, 3);
  made.bottom = between(source, 0, 3), made.right = between(source, 0, 3);
  made.is_signed = between(source, 0, 1) == 1;
  made.zero_in = between(source, 0, 255) - (made.is_signed ? 128 : 0);
  made.zero_out = between(source, 0, 255) - (made.is_signed ? 128 : 0);
  made.weights.resize(made.outputs * made.planes * made.kernel_h * made.kernel_w);
  const int largest = between(source, 0, 3) == 0 ? 127 : 10;  // all of them as large as can be, now and then
  for (std::int8_t& weight : made.weights) {
    weight = static_cast<std::int8_t>(largest == 127 ? 127 - 254 * between(source, 0, 1) : between(source, -10, 10));
  }
  for (std::size_t output = 0; output < made.outputs; ++output) {
    made.bias.push_back(between(source, -20000, 20000));
    made.multipliers.push_back(static_cast<float>(between(source, 1, 2000)) / 100000.0F);
  }
  if (between(source, 0, 1) == 1) {
    for (int value = 0; value < 256; ++value) made.table.push_back(static_cast<std::uint8_t>(source()));
  }
  return made;
}

/// The convolution by its definition, in 64 bits.
std::uint8_t reference(const ConvSpec& spec, const Image& image, std::size_t y, std::size_t x, std::size_t output) {
  std::int64_t sum = spec.bias[output];
  for (std::size_t plane = 0; plane < spec.planes; ++plane) {
    for (std::size_t ky = 0; ky < spec.kernel_h; ++ky) {
      for (std::size_t kx = 0; kx < spec.kernel_w; ++kx) {
        const std::size_t down = y * spec.stride_h + ky - spec.top, along = x * spec.stride_w + kx - spec.left;
        if (down >= image.height || along >= image.width) continue;  // outside: its zero point, which adds nothing
        const std::uint8_t byte = image.bytes[(plane * image.height + down) * image.width + along];
        const int value = spec.is_signed ? static_cast<std::int8_t>(byte) : byte;
        const std::size_t at = ((output * spec.planes + plane) * spec.kernel_h + ky) * spec.kernel_w + kx;
        sum += std::int64_t{spec.weights[at]} * (value - spec.zero_in);
      }
    }
  }
  const float scaled = static_cast<float>(sum) * spec.multipliers[output];
  const int low = spec.is_signed ? -128 : 0;
  const double made = std::clamp(std::nearbyint(double{scaled}) + spec.zero_out, double(low), low + 255.0);
  const auto byte = static_cast<std::uint8_t>(static_cast<int>(made));
  return spec.table.empty() ? byte : spec.table[byte];
}

TEST_P(EachLevel, ConvolutionsOfAnyShape) {
  std::mt19937 source = seeded(3);
  for (int trial = 0; trial < 400; ++trial) {
    const ConvSpec spec = random_spec(source);
    Image image{static_cast<std::size_t>(between(source, 1, 20)), static_cast<std::size_t>(between(source, 1, 30)), {}};
    image.bytes.resize(spec.planes * image.height * image.width);
    for (std::uint8_t& byte : image.bytes) byte = trial % 5 == 0 ? 255 : static_cast<std::uint8_t>(source());
    const Conv conv(spec, GetParam());
    const std::size_t rows = conv.height(image.height), columns = conv.width(image.width);
    const std::size_t size = columns * spec.outputs;
    for (std::size_t begin = 0, end = 0; columns > 0 && begin < rows; begin = end) {
      end = std::min<std::size_t>(rows, begin + static_cast<std::size_t>(between(source, 1, 5)));
      std::vector<std::uint8_t> made((end - begin) * size);
      conv.rows(image.bytes.data(), image.height, image.width, begin, end, made.data());
      for (std::size_t at = 0; at < made.size(); ++at) {
        const std::size_t along = at % size;
        ASSERT_EQ(made[at], reference(spec, image, begin + at / size, along / spec.outputs, along % spec.outputs))
            << trial << " " << at;
      }
    }
  }
}

TEST_P(EachLevel, LargeSumsSaturate) {
  ConvSpec spec{.planes = 4, .outputs = 2, .kernel_h = 6, .kernel_w = 6};
  spec.weights.assign(2 * 4 * 36, 127);
  std::fill(spec.weights.begin() + 4 * 36, spec.weights.end(), std::int8_t{-127});
  spec.bias = {1 << 30, -(1 << 30)};
  spec.multipliers = {1000.0F, 1000.0F};
  const Image image{6, 6, std::vector<std::uint8_t>(4 * 36, 255)};
  std::uint8_t made[2] = {7, 7};
  Conv(spec, GetParam()).rows(image.bytes.data(), 6, 6, 0, 1, made);
  EXPECT_EQ(made[0], 255);
  EXPECT_EQ(made[1], 0);
}

TEST_P(EachLevel, HalvesGoToEven) {
  ConvSpec spec{.planes = 1, .outputs = 1, .kernel_h = 1, .kernel_w = 1};
  spec.weights = {1}, spec.bias = {0}, spec.multipliers = {0.5F};
  const std::vector<std::uint8_t> bytes{1, 3, 5, 7, 2, 4};
  std::vector<std::uint8_t> made(6);
  Conv(spec, GetParam()).rows(bytes.data(), 1, 6, 0, 1, made.data());
  EXPECT_EQ(made, (std::vector<std::uint8_t>{0, 2, 2, 4, 1, 2}));
}

}  // namespace
}  // namespace edgekit::ops
