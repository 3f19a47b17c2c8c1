// Which kernels the processor has, and which of them are used.
#pragma once

#include <array>
#include <string_view>

namespace edgekit::ops {

/// Groups of instructions, a later one of one family with all of those before it.
enum class Level { scalar, avx2, avx512_vnni, avx512_vbmi, neon };

/// Of every level, in the order of the enumeration.
inline constexpr std::array<std::string_view, 5> level_names{"scalar", "avx2", "avx512-vnni", "avx512-vbmi", "neon"};

/// Whether this processor has the instructions of a level, and this file was compiled with them.
bool has(Level level) noexcept;

/// The highest level that is had, no higher than the environment variable EDGEKIT_OPS_LEVEL names. A kernel asks once,
/// when its session is opened.
Level chosen() noexcept;

}  // namespace edgekit::ops
