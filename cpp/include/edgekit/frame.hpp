// What a camera gives, and where it lies in the network's input.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// How pixels lie in memory. YUV is BT.601 in video range, as OpenCV and ROS's image_transport take it;
/// a Bayer pattern is named after its two top left rows, as ROS names it.
enum class Encoding : std::uint8_t {
  rgb8,
  bgr8,
  rgba8,
  bgra8,
  mono8,
  rgb16,
  bgr16,
  rgba16,
  bgra16,
  mono16,
  bayer_rggb8,
  bayer_bggr8,
  bayer_gbrg8,
  bayer_grbg8,
  yuyv,
  uyvy,
  nv12,
  nv21,
};

/// ROS's name of an encoding, such as "bgr8".
const char* name_of(Encoding encoding) noexcept;
/// The encoding of ROS's name ("yuv422_yuy2", "yuv422", "8UC1" and "8UC3" included).
Expected<Encoding> encoding_of(std::string_view name);

/// An image in somebody else's memory, which has to stay as it is until the call that takes it returns.
struct Frame {
  const std::uint8_t* data = nullptr;  ///< first row first
  std::size_t bytes = 0;               ///< of the whole buffer; the last row may come without its padding
  std::int32_t height = 0;             ///< pixels; of nv12 without the rows of colour
  std::int32_t width = 0;              ///< pixels
  std::int64_t stride = 0;             ///< bytes from one row to the next; 0: rows follow one another without padding
  Encoding encoding = Encoding::bgr8;  ///< how pixels lie in it
  std::int64_t stamp_ns = 0;  ///< when it was taken, on the caller's clock; copied into the result's statistics

  /// Whether size, stride and buffer fit the encoding; the error names the value and what was expected.
  Status check() const;
  /// Bytes of a row without padding.
  std::int64_t row_bytes() const noexcept;
  /// Bytes from one row to the next, whether stride says it or not.
  std::int64_t stride_or_row() const noexcept { return stride == 0 ? row_bytes() : stride; }
};

/// One named source of a frame: an image, or an array where `array.data` is not null.
struct Source {
  std::string_view name;  ///< of the model's input, or of the part of it
  Frame image;            ///< looked at where array.data is null
  TensorView array;       ///< else this
};

/// How an image went into a tensor: (height, width) of both, and the part (top, left, height, width) of the tensor that
/// the image fills. Of a crop, that part begins outside the tensor.
struct Geometry {
  std::array<std::int32_t, 2> original{};  ///< the frame, pixels
  std::array<std::int32_t, 2> tensor{};    ///< the network's input
  std::array<std::int32_t, 4> content{};   ///< where in it the frame lies
  /// Whether all of them are equal.
  bool operator==(const Geometry&) const = default;
};

}  // namespace edgekit
