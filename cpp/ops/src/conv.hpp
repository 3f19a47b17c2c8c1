// Convolutions of a few planes of bytes, such as a camera's image, to bytes with channels last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned.hpp"
#include "level.hpp"

namespace edgekit::ops {

/// Outputs that a kernel makes at once.
inline constexpr std::size_t lanes = 16;

/// What an integer convolution is made of. An output is clamp(round(sum * multiplier) + zero), halves to even.
struct ConvSpec {
  std::size_t planes = 0, outputs = 0;
  std::size_t kernel_h = 0, kernel_w = 0;
  std::size_t stride_h = 1, stride_w = 1;
  std::size_t top = 0, left = 0, bottom = 0, right = 0;  // padding
  bool is_signed = false;                                // inputs and outputs are int8, else uint8
  int zero_in = 0, zero_out = 0;
  std::vector<std::int8_t> weights{};  // (outputs, planes, kernel_h, kernel_w)
  std::vector<std::int32_t> bias{};    // (outputs), in steps of input times weight
  std::vector<float> multipliers{};    // (outputs)
  Aligned<std::uint8_t> table{};       // what is made of each output, (256); empty: nothing
};

/// Weights in the order of the kernels: by plane, row, four columns, then (16 outputs, 4 columns), zero where there is
/// none.
struct Packed {
  std::size_t rows = 0, groups = 0, blocks = 0;  // planes x kernel rows; fours of columns; sixteens of outputs
  Aligned<std::int8_t> weights{};
  Aligned<std::int32_t> bias{};  // with what the zero point of the input adds
  Aligned<float> multipliers{};
};

/// A row of outputs: ``rows`` are the padded rows that it reads, bytes as the kernel takes them.
struct Row {
  const std::uint8_t* const* rows;
  std::size_t stride, pixels, outputs;
  float low, high;  // of an output without its zero point
  int zero;
  bool is_signed;
  std::uint8_t* to;  // (pixels, outputs)
};

class Conv {
 public:
  Conv(ConvSpec spec, Level level);

  /// Height or width of the output of an input of that size; 0: the kernel is larger.
  std::size_t height(std::size_t given) const;
  std::size_t width(std::size_t given) const;
  const ConvSpec& spec() const { return spec_; }

  /// Rows of outputs (width, outputs), those from ``begin`` to before ``end``, of an image (planes, height, width).
  void rows(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t begin, std::size_t end,
            std::uint8_t* to) const;

 private:
  void copy(const std::uint8_t* from, std::size_t width, std::uint8_t* to) const;
  void row(const Row& row) const;

  ConvSpec spec_;
  Level level_;
  Packed packed_;
  std::uint8_t flip_ = 0;  // what a kernel wants its bytes to be exchanged with
};

/// Kernels by level.
void conv_scalar(const Packed& packed, const Row& row);
void conv_avx_vnni(const Packed& packed, const Row& row);
void conv_avx512_vnni(const Packed& packed, const Row& row);
void conv_neon_dot(const Packed& packed, const Row& row);

}  // namespace edgekit::ops
