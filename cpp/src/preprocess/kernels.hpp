// The loops over pixels that are worth vectors; each call picks the widest instructions of this processor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace edgekit::preprocessing {

/// Lanes of int16 beyond `count` that interpolate_rows() may read and write.
inline constexpr std::size_t kernel_padding = 128;

/// Result x of a row of three interleaved channels: pixels at byte `offsets[x]` and the one after it, weighed with the
/// two halves of `weights[x]` (left in the low 16 bits). Writes four int16 a result, the fourth without meaning.
void interpolate_columns(const std::uint8_t* row, std::size_t row_bytes, const std::int32_t* offsets,
                         const std::int32_t* weights, std::size_t count, std::int16_t* out);

/// As interpolate_columns() of a row of one channel, whose results follow each other.
void interpolate_columns_of_one(const std::uint8_t* row, std::size_t row_bytes, const std::int32_t* offsets,
                                const std::int32_t* weights, std::size_t count, std::int16_t* out);

/// `count` sums of two rows to uint8.
void interpolate_rows(const std::int16_t* upper, const std::int16_t* lower, std::int32_t upper_weight,
                      std::int32_t lower_weight, std::size_t count, std::uint8_t* out);

/// value * factor + offset
struct Affine {
  float factor;
  float offset;
};

/// Byte `byte[k]` of each group of four becomes a float of plane k.
struct Planes {
  std::array<float*, 3> out;
  std::array<std::uint32_t, 3> byte;
  std::array<Affine, 3> affine;
};
void write_planes(const std::uint8_t* groups, std::size_t count, const Planes& planes);
/// The same with the channels side by side: out[0] stands for the first of each three floats.
void write_interleaved(const std::uint8_t* groups, std::size_t count, const Planes& planes);
/// Bytes that follow each other to floats that do.
void write_plane(const std::uint8_t* values, std::size_t count, const Affine& affine, float* out);

/// The name of the instructions in use, such as "AVX2".
const char* instructions() noexcept;

}  // namespace edgekit::preprocessing
