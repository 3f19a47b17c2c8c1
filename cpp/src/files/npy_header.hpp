// What stands before the values of a NumPy array (numpy.lib.format, versions 1 and 2).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// Bytes of the fixed part that comes first, of both versions.
inline constexpr std::size_t npy_prefix = 12;
/// Bytes of the longest header that is read; NumPy writes some hundred.
inline constexpr std::size_t longest_npy_header = 65536;

/// Where the header's text is; `start` may be 10, so that it begins within the prefix.
struct NpyPlace {
  std::size_t start = 0;
  std::size_t length = 0;
};

struct NpyHeader {
  DType dtype = DType::float32;
  Shape shape;
  bool fortran = false;  ///< the first index runs fastest
};

/// From the first npy_prefix bytes. The message of an error is the reason alone.
Expected<NpyPlace> npy_place(std::string_view prefix);
/// From the header's text.
Expected<NpyHeader> npy_header(std::string_view text);

}  // namespace edgekit
