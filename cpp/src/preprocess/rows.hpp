// Images row by row: who gives pixels, and who takes them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgekit::preprocessing {

/// Gives the rows of an image as interleaved channels of T.
template <class T>
class RowSource {
 public:
  virtual ~RowSource() = default;
  /// Row `y`; valid until the next call. No byte beyond its pixels may be read.
  virtual const T* row(std::int32_t y) = 0;
};

/// Takes the finished rows of a resized image, each once.
template <class T>
class RowSink {
 public:
  virtual ~RowSink() = default;
  /// `pixels` holds the wanted part of row `y` of the wanted rows, `stride` values from one pixel to the next.
  virtual void take(std::int32_t y, const T* pixels, std::int32_t stride) = 0;
};

}  // namespace edgekit::preprocessing
