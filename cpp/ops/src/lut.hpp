// A function of one byte as a table.
#pragma once

#include <cstddef>
#include <cstdint>

#include "level.hpp"

namespace edgekit::ops {

/// to[i] = table[from[i]]; ``from`` and ``to`` are apart or the same.
void lut(const std::uint8_t* from, std::uint8_t* to, std::size_t count, const std::uint8_t* table, Level level);

/// Rows of ``channels`` bytes, each channel with a table of its own: ``tables`` is (channels, 256).  ``from`` and
/// ``to`` are apart or the same.
void lut_rows(const std::uint8_t* from, std::uint8_t* to, std::size_t rows, std::size_t channels,
              const std::uint8_t* tables, Level level);

}  // namespace edgekit::ops
