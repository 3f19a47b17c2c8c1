// PNG and JPEG files to pixels, as the Python side reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "edgekit/frame.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// Decoded pixels, grey [height, width] or RGB [height, width, 3], uint8 or uint16.
struct Picture {
  Tensor pixels;

  /// A frame over the pixels: mono8, mono16, rgb8 or rgb16; valid as long as they are.
  Frame frame() const noexcept;
};

/// Pixels of the largest picture that is decoded: a file of a few bytes can claim any size.
inline constexpr std::uint64_t most_pixels = std::uint64_t{1} << 27;

/// Decodes a whole PNG (1 to 16 bits, grey, palette or colour) or JPEG; alpha and orientation flags are dropped, since
/// a camera's pixels are where its calibration says.
///
/// @param place names the picture in errors.
/// @param into gets the pixels; its memory is used again.
/// @return Code::frame: no whole PNG or JPEG, damaged, or more than `most` pixels; Code::out_of_memory. After an error
///         the pixels mean nothing.
Status decode_picture(std::span<const std::uint8_t> content, std::string_view place, Picture& into,
                      std::uint64_t most = most_pixels) noexcept;

/// The picture in a file; errors as of decode_picture, Code::frame also where it cannot be read.
Expected<Picture> read_picture(const std::filesystem::path& file, std::uint64_t most = most_pixels) noexcept;

}  // namespace edgekit
