// One decoder for each kind of picture; picture.cpp chooses.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "edgekit/status.hpp"
#include "files/picture.hpp"

namespace edgekit {

/// Pixels of the longest side of a picture.
inline constexpr std::int64_t longest_side = std::int64_t{1} << 20;

struct PictureSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool colour = false;  ///< RGB, else grey
  bool wide = false;    ///< 16 bits a value, else 8
};

/// Room for a picture of this size. Code::frame: it is too large; Code::out_of_memory.
Status make_room(Picture& into, const PictureSize& size, std::string_view place, std::uint64_t most);

Status decode_png(std::span<const std::uint8_t> content, std::string_view place, Picture& into, std::uint64_t most);
Status decode_jpeg(std::span<const std::uint8_t> content, std::string_view place, Picture& into, std::uint64_t most);

}  // namespace edgekit
