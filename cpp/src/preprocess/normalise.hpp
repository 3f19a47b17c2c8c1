// Finished rows into the tensor: normalised, in the order of the model's channels.
#pragma once

#include <cstdint>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/tensor.hpp"
#include "preprocess/kernels.hpp"
#include "preprocess/rows.hpp"
#include "preprocess/settings.hpp"

namespace edgekit::preprocessing {

/// (value * scale - mean) / std of each channel of one image, rounded once to the type of the model input.
///
/// Pixels of 8 and 16 bits have few values, so it is computed once for each value and channel. Where vectors multiply
/// faster than a table is read (float32 from bilinear bytes), the result is within 2^-22 of its range.
template <class T>
class Normaliser final : public RowSink<T> {
 public:
  /// Of the image `part` of the settings; throws std::bad_alloc.
  Normaliser(const ImageSettings& settings, std::size_t part, DType dtype);

  /// What the next rows are: where they go in the tensor, and which of their channels is red (of three).
  void aim(void* tensor, const Geometry& geometry, std::int32_t columns, std::int32_t channels, std::int32_t red);
  /// Writes the border's value into all of the image's channels.
  void fill_border();
  void take(std::int32_t y, const T* pixels, std::int32_t stride) override;

 private:
  void write_fast(std::int32_t y, const T* pixels, std::int32_t stride);
  template <class Out>
  void write(std::int32_t y, const T* pixels, std::int32_t stride);
  template <class Out>
  void fill(double value, std::int32_t channel);
  template <class Out>
  Out made(double value, std::int32_t channel) const;
  template <class Out>
  void tabulate();

  double scale_;
  std::vector<double> mean_;
  std::vector<double> std_;
  double pad_value_;
  DType dtype_;
  bool backwards_;   // the model takes B, G, R
  bool planes_;      // layout nchw
  bool multiplies_;  // three interleaved channels of float32 from uint8, which Python multiplies in float32
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t all_channels_;
  std::int64_t first_channel_;
  std::vector<std::uint8_t> table_;
  Planes fast_{};

  std::uint8_t* tensor_ = nullptr;
  std::int64_t top_ = 0;
  std::int64_t left_ = 0;
  std::int32_t count_ = 0;
  std::int32_t from_[3] = {0, 0, 0};  // which channel of the rows becomes that of the model
};

}  // namespace edgekit::preprocessing
