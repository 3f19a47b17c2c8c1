// Resizes images row by row, with OpenCV's arithmetic or, with antialias, Pillow's.
#pragma once

#include <memory>

#include "preprocess/axis.hpp"
#include "preprocess/rows.hpp"
#include "preprocess/settings.hpp"

namespace edgekit::preprocessing {

/// What has to be made of an image.
struct ResizePlan {
  Axis rows;
  Axis columns;
  std::int32_t channels = 3;  ///< 1 or 3
  Interpolation interpolation = Interpolation::bilinear;
  Antialias antialias = Antialias::off;
};

/// Resizes frames of one size; its tables are made once.
template <class T>
class Resizer {
 public:
  virtual ~Resizer() = default;
  virtual void run(RowSource<T>& source, RowSink<T>& sink) = 0;
};

/// T: uint8, uint16 or float. Throws std::bad_alloc.
template <class T>
std::unique_ptr<Resizer<T>> make_resizer(const ResizePlan& plan);

/// The parts of make_resizer, a file each.
template <class T>
std::unique_ptr<Resizer<T>> make_area(const ResizePlan& plan);
template <class T>
std::unique_ptr<Resizer<T>> make_antialias(const ResizePlan& plan);
std::unique_ptr<Resizer<std::uint8_t>> make_bilinear_of_bytes(const ResizePlan& plan);

}  // namespace edgekit::preprocessing
