// Bilinear resizing of rounded images, equal in every bit to what ONNX Runtime's Resize makes of the floats they stand
// for (on x86; on Arm its compiler joins products and sums).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "level.hpp"

namespace edgekit::ops {

/// Where in the input an output lies: Resize's coordinate_transformation_mode.
enum class Coordinates { half_pixel, pytorch_half_pixel, align_corners, asymmetric };

/// A byte q stands for (q - zero) * scale.
struct Grid {
  float scale = 1.0F, zero = 0.0F;
};

/// Of height or width: how far it grows, or how large it becomes; the other is zero.
struct Target {
  float factor = 0.0F;
  std::size_t size = 0;
};

struct ResizeSpec {
  Coordinates coordinates = Coordinates::half_pixel;
  std::array<Target, 2> targets{};  // height, width
  Grid given{}, made{};
  bool is_signed = false;  // bytes are int8, else uint8
  bool to_bytes = false;   // outputs are bytes of the grid ``made``, else floats
  bool last = false,
       to_last = false;  // whether channels are the last axis, of input and output; the former, if the latter
};

/// Memory of whole cache lines: a vector of 64 bytes that begins elsewhere is read from two.
template <typename Element>
struct InLines {
  using value_type = Element;
  static constexpr std::align_val_t line{64};

  InLines() = default;
  template <typename Other>
  explicit InLines(const InLines<Other>&) {}
  Element* allocate(std::size_t count) { return static_cast<Element*>(::operator new(count * sizeof(Element), line)); }
  void deallocate(Element* from, std::size_t) { ::operator delete(from, line); }
  bool operator==(const InLines&) const { return true; }
};

template <typename Element>
using Line = std::vector<Element, InLines<Element>>;

/// Of each output along an axis its two neighbours, in order, and their shares.
struct Axis {
  Line<std::int32_t> first{}, second{};
  Line<float> of_first{}, of_second{};
};

struct ImageSize {
  std::size_t channels, height, width;
};

/// How floats become bytes: clamp(round(value / scale), low, high) + zero, halves to even.
struct Rounding {
  float scale, low, high;
  std::int32_t zero;
};

/// A row of outputs of one plane from two rows of the input, of which each output's neighbours stand side by side.
struct PlaneRow {
  const float *upper_first, *upper_second, *lower_first, *lower_second;
  const float *of_first, *of_second;
  float of_upper, of_lower;
  std::size_t count;
  Rounding rounding;
};

/// A row of outputs with channels last from two rows (width, channels) of the input.
struct PixelRow {
  const float *upper, *lower;
  const std::int32_t *first, *second;
  const float *of_first, *of_second;
  float of_upper, of_lower;
  std::size_t count, channels;
  Rounding rounding;
};

/// Floats that may be read, and are not used, behind each buffer that a kernel reads.
inline constexpr std::size_t beyond = 16;

/// Kernels of a level. ``spread`` puts line[first[i]] and line[second[i]] side by side; buffers have ``beyond`` floats
/// or numbers more.
struct ResizeKernels {
  void (*spread)(const float* line, const std::int32_t* first, const std::int32_t* second, std::size_t count,
                 float* to_first, float* to_second);
  void (*plane_to_floats)(const PlaneRow& row, float* to);
  void (*plane_to_bytes)(const PlaneRow& row, std::uint8_t* to);
  void (*pixels_to_floats)(const PixelRow& row, float* to);
  void (*pixels_to_bytes)(const PixelRow& row, std::uint8_t* to);
};

class Resize {
 public:
  Resize(ResizeSpec spec, Level level);

  const ResizeSpec& spec() const { return spec_; }

  /// Height and width of the output.
  std::array<std::size_t, 2> size(const ImageSize& given) const;

  /// What ``rows`` needs to know of the axes.
  std::array<Axis, 2> axes(const ImageSize& given) const;

  /// Rows of the output from ``begin`` to ``end`` of one image, into the whole output ``to`` of that image: float, or
  /// bytes.
  void rows(const std::uint8_t* image, const ImageSize& given, const std::array<Axis, 2>& axes, std::size_t begin,
            std::size_t end, std::uint8_t* to) const;

 private:
  /// Planes of bytes, ``stride`` apart, that begin with the input's row ``first_row``.
  struct Planes {
    const std::uint8_t* bytes;
    std::size_t stride, first_row;
  };

  void planes(const Planes& from, const ImageSize& given, const std::array<Axis, 2>& axes, std::size_t begin,
              std::size_t end, std::uint8_t* to) const;
  void pixels(const std::uint8_t* image, const ImageSize& given, const std::array<Axis, 2>& axes, std::size_t begin,
              std::size_t end, std::uint8_t* to) const;

  ResizeSpec spec_;
  ResizeKernels kernels_;
  Rounding rounding_{};
  std::array<float, 256> values_{};  // what each byte stands for
};

/// Kernels by level.
extern const ResizeKernels resize_scalar;
extern const ResizeKernels resize_avx2;
extern const ResizeKernels resize_avx512;
extern const ResizeKernels resize_neon;

}  // namespace edgekit::ops
