// Depthwise convolutions of bytes with channels last; every channel may have a grid of its own, before and behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "level.hpp"

namespace edgekit::ops {

/// What a depthwise convolution is made of. An output is clamp(round(sum * multiplier) + zero), halves to even.
struct DepthwiseSpec {
  std::size_t channels = 0;
  std::size_t kernel_h = 0, kernel_w = 0;
  std::size_t stride_h = 1, stride_w = 1;
  std::size_t top = 0, left = 0, bottom = 0, right = 0;  // padding
  bool is_signed = false;                                // inputs and outputs are int8, else uint8
  std::vector<int> zero_in{}, zero_out{};                // (channels)
  std::vector<std::int8_t> weights{};                    // (channels, kernel_h, kernel_w)
  std::vector<std::int32_t> bias{};                      // (channels), in steps of input times weight
  std::vector<float> multipliers{};                      // (channels)
  Aligned<std::uint8_t> table{};                         // (256), (channels, 256), or empty: nothing
};

/// The numbers of one vector.
struct Numbers {
  const std::int8_t* weights;
  const std::int32_t* bias;
  const float* multipliers;
  const std::int32_t* zero;
};

/// Numbers in the order of a kernel of ``width`` bytes: repeated until channels and vectors end together.
struct Repeated {
  std::size_t chunks = 0, taps = 0;  // vectors until all repeats; fours of kernel rows times kernel columns
  Aligned<std::int8_t> weights{};    // (chunks, taps, width, 4), in the order in which bytes are zipped
  Aligned<std::int32_t> bias{};      // (chunks, width), so zipped; with what zero points add
  Aligned<float> multipliers{};      // of the same order
  Aligned<std::int32_t> zero{};

  Numbers at(std::size_t chunk, std::size_t width) const {
    const std::size_t first = chunk * width;
    return {weights.data() + first * taps * 4, bias.data() + first, multipliers.data() + first, zero.data() + first};
  }
};

/// A row of outputs: the padded rows that it reads (kernel_h), and where in them each column of the kernel begins
/// (kernel_w).
struct DepthwiseRow {
  const std::uint8_t* const* rows;
  const std::size_t* columns;
  std::size_t kernel_h, kernel_w, count;  // count: bytes to make
  bool is_signed;
  std::uint8_t* to;
};

class Depthwise {
 public:
  Depthwise(DepthwiseSpec spec, Level level);

  std::size_t height(std::size_t given) const;
  std::size_t width(std::size_t given) const;
  const DepthwiseSpec& spec() const { return spec_; }

  /// Rows of outputs (width, channels), those from ``begin`` to before ``end``, of an image (height, width, channels).
  void rows(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t begin, std::size_t end,
            std::uint8_t* to) const;

 private:
  void copy(const std::uint8_t* from, std::size_t width, std::size_t size, std::uint8_t* to) const;
  void row(const DepthwiseRow& row) const;
  void scalar(const DepthwiseRow& row) const;

  DepthwiseSpec spec_;
  Level level_, of_tables_;
  Repeated repeated_;
  std::vector<std::uint8_t> zeros_;  // (channels), as the kernel takes bytes
  std::uint8_t flip_ = 0;
};

/// Kernels by level.
void depthwise_avx_vnni(const Repeated& repeated, const DepthwiseRow& row);
void depthwise_avx512_vnni(const Repeated& repeated, const DepthwiseRow& row);
void depthwise_neon_dot(const Repeated& repeated, const DepthwiseRow& row);

}  // namespace edgekit::ops
