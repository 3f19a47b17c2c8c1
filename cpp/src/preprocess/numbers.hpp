// Numbers of any dtype, converted only where nothing but the last digits of a float is lost.
#pragma once

#include <cstddef>
#include <cstdint>

#include "edgekit/tensor.hpp"

namespace edgekit::preprocessing {

enum class Converted : std::uint8_t {
  yes,
  not_held,  ///< a value that a whole number or bool cannot be
  too_large  ///< a finite value that became infinite
};

/// Writes `count` numbers of `from` as `to`.
Converted convert(const void* values, DType from, std::size_t count, void* out, DType to);

}  // namespace edgekit::preprocessing
