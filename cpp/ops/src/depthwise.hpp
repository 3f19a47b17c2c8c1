// Depthwise convolutions of bytes with channels last; every channel may have a grid of its own, before and behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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
  std::vector<std::uint8_t> table{};                     // (256), (channels, 256), or empty: nothing
};

/// Numbers in the order of a kernel of ``width`` bytes: repeated until channels and vectors end together.
struct Repeated {
  std::size_t chunks = 0, groups = 0;  // vectors until all repeats; fours of kernel rows
  std::vector<std::int8_t> weights{};  // (chunks, groups, kernel_w, width, 4), in the order in which bytes are zipped
  std::vector<std::int32_t> bias{};    // (chunks, width), so zipped; with what zero points add
  std::vector<float> multipliers{};    // of the same order
  std::vector<std::int32_t> zero{};
};

/// A row of outputs: ``taps`` (groups x 4, kernel_w) are where each element of the kernel begins to read.
struct DepthwiseRow {
  const std::uint8_t* const* taps;
  std::size_t kernel_w, count;  // count: bytes to make
  bool is_signed;
  std::uint8_t* to;
};

class Depthwise {
 public:
  Depthwise(DepthwiseSpec spec, Level level);

  std::size_t height(std::size_t given) const;
  std::size_t width(std::size_t given) const;
  const DepthwiseSpec& spec() const { return spec_; }

  /// One row of outputs (width, channels) of an image (height, width, channels).
  void row(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t at, std::uint8_t* to) const;

 private:
  void copy(const std::uint8_t* from, std::size_t width, std::size_t phases, std::size_t size, std::uint8_t* to) const;
  void scalar(const std::uint8_t* const* taps, std::size_t count, std::uint8_t* to) const;

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
