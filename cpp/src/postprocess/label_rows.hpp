// The inner loops of segmentation: one row at a time, with the vectors that the processor has.
//
// Bilinear as OpenCV's resize of float32 planes does it on x86 (IPP): along the row first, then across, each step one
// fused a + (b - a) * share; pixels beyond the outermost centres take the outermost value as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgekit {

/// Pixels that lie together in a row of scores: those of one class, then those of the next.
inline constexpr std::size_t block = 16;

/// Where the pixels of one axis come from.
struct Axis {
  std::int32_t in = 0;
  std::int32_t out = 0;
  std::int32_t begin = 0;          ///< pixels before it are the first of the input
  std::int32_t end = 0;            ///< pixels from it on are the last of the input
  std::vector<std::int32_t> from;  ///< out: the left or upper neighbour
  std::vector<float> share;        ///< out: of the other neighbour

  /// Pixel centres aligned.
  void set(std::int32_t inputs, std::int32_t outputs);
};

/// An axis along the row, arranged for vectors.
struct Columns {
  Axis axis;
  bool copied = false;             ///< the row is taken as it is
  std::size_t blocks = 0;          ///< of the output row; the last one may be filled up
  std::vector<std::int32_t> base;  ///< for each vector: where its inputs begin; -1: they are too far apart
  std::vector<std::int32_t> low;   ///< the left neighbour, from the base on, or from the row's first pixel
  std::vector<std::int32_t> high;  ///< the right neighbour
  std::vector<float> share;
  std::vector<std::int32_t> first;  ///< of each block: the first pixel that it comes from
  std::vector<std::int32_t> last;   ///< and the last

  void set(std::int32_t inputs, std::int32_t outputs, bool as_it_is);
};

/// A row along the other axis: `to[b * stride + i]` is pixel i of block b.
///
/// @return whether a value is NaN, infinite, or so large that differences overflow.
bool resize_row(const float* row, const Columns& columns, float* to, std::size_t stride);

/// Two rows to the one between them, of `blocks` blocks.
void between_rows(const float* upper, const float* lower, float share, std::size_t blocks, float* to);

/// Scores of all classes in two rows, block after block and class after class, to the ids between them.
struct Scored {
  const float* upper = nullptr;
  const float* lower = nullptr;  ///< null: the upper row as it is
  float share = 0;
  std::size_t classes = 0;
  float above = 0;            ///< a class has to be above it, strictly, and above all classes before it
  std::int32_t first_id = 0;  ///< of the first class; where none is above, the id is 0
  bool wild = false;          ///< there may be values that resize_row() told of
};

/// @return whether a score is NaN; looked for only in wild rows.
bool label_row(const Scored& scored, std::size_t first_block, std::size_t blocks, std::uint8_t* labels);

/// Two rows of the network's scores, of which one block is to be resized by itself.
struct Unsure {
  const float* upper = nullptr;  ///< of the first class
  const float* lower = nullptr;  ///< null: the upper row as it is
  std::size_t class_step = 0;
  float share = 0;
  std::size_t classes = 0;
  float above = 0;            ///< as Scored
  std::int32_t first_id = 0;  ///< as Scored
};

/// As resize_row() and label_row() of rows that are not wild, of one block: 16 ids.
void label_block(const Unsure& rows, const Columns& columns, std::size_t at, std::uint8_t* labels);

}  // namespace edgekit
