// Which kernels the processor has, and which of them are used.
#pragma once

#include <array>
#include <string_view>

namespace edgekit::ops {

/// Groups of instructions; of those of one family a later one is faster, where the processor has it.
enum class Level { scalar, avx2, avx_vnni, avx512_vnni, avx512_vbmi, neon, neon_dot };

/// Of every level, in the order of the enumeration.
inline constexpr std::array<std::string_view, 7> level_names{"scalar",      "avx2", "avx-vnni", "avx512-vnni",
                                                             "avx512-vbmi", "neon", "neon-dot"};

/// Whether this processor has the instructions of a level, and this file was compiled with them.
bool has(Level level) noexcept;

/// The highest level that is had, no higher than the environment variable EDGEKIT_OPS_LEVEL names. A kernel asks once,
/// when its session is opened.
Level chosen() noexcept;

}  // namespace edgekit::ops
