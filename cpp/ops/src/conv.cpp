#include "conv.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lut.hpp"

namespace edgekit::ops {
namespace {

/// ``signed_bytes``: the kernel takes signed bytes, an unsigned one less 128; else unsigned ones, a signed one plus
/// 128.
Packed packed(const ConvSpec& spec, bool signed_bytes) {
  Packed made;
  made.rows = spec.planes * spec.kernel_h;
  made.groups = (spec.kernel_w + 3) / 4;
  made.blocks = (spec.outputs + lanes - 1) / lanes;
  const std::size_t block = made.rows * made.groups * lanes * 4;
  made.weights.assign(made.blocks * block, 0);
  made.bias.assign(made.blocks * lanes, 0);
  made.multipliers.assign(made.blocks * lanes, 0.0F);
  const int zero = spec.zero_in + (spec.is_signed == signed_bytes ? 0 : signed_bytes ? -128 : 128);
  for (std::size_t output = 0; output < spec.outputs; ++output) {
    std::int32_t sum = 0;
    for (std::size_t row = 0; row < made.rows; ++row) {
      for (std::size_t column = 0; column < spec.kernel_w; ++column) {
        const std::int8_t weight = spec.weights[(output * made.rows + row) * spec.kernel_w + column];
        const std::size_t group = (output / lanes * made.rows + row) * made.groups + column / 4;
        made.weights[(group * lanes + output % lanes) * 4 + column % 4] = weight;
        sum += weight;
      }
    }
    made.bias[output] = spec.bias[output] - zero * sum;
    made.multipliers[output] = spec.multipliers[output];
  }
  return made;
}

}  // namespace

Conv::Conv(ConvSpec spec, Level level) : spec_(std::move(spec)), level_(level) {
  // NEON's sums of four are of signed bytes, all others of unsigned ones times signed weights.
  const bool signed_bytes = level == Level::neon_dot;
  flip_ = signed_bytes == spec_.is_signed ? 0 : 0x80;
  packed_ = packed(spec_, signed_bytes);
}

std::size_t Conv::height(std::size_t given) const {
  const std::size_t padded = given + spec_.top + spec_.bottom;
  return padded < spec_.kernel_h ? 0 : (padded - spec_.kernel_h) / spec_.stride_h + 1;
}

std::size_t Conv::width(std::size_t given) const {
  const std::size_t padded = given + spec_.left + spec_.right;
  return padded < spec_.kernel_w ? 0 : (padded - spec_.kernel_w) / spec_.stride_w + 1;
}

void Conv::row(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t at,
               std::uint8_t* to) const {
  const std::size_t padded = width + spec_.left + spec_.right + 4;  // a group of four may read past the last column
  thread_local std::vector<std::uint8_t> bytes;
  thread_local std::vector<const std::uint8_t*> rows;
  bytes.resize(packed_.rows * padded);
  rows.resize(packed_.rows);
  const auto zero = static_cast<std::uint8_t>(spec_.zero_in);
  for (std::size_t index = 0; index < packed_.rows; ++index) {
    std::uint8_t* made = bytes.data() + index * padded;
    rows[index] = made;
    const std::size_t down = at * spec_.stride_h + index % spec_.kernel_h;
    if (down < spec_.top || down - spec_.top >= height) {
      std::memset(made, zero ^ flip_, padded);
      continue;
    }
    const std::uint8_t* from = image + (index / spec_.kernel_h * height + down - spec_.top) * width;
    std::memset(made, zero ^ flip_, spec_.left);
    if (flip_ == 0) {
      std::memcpy(made + spec_.left, from, width);
    } else {
      for (std::size_t column = 0; column < width; ++column) made[spec_.left + column] = from[column] ^ flip_;
    }
    std::memset(made + spec_.left + width, zero ^ flip_, spec_.right + 4);
  }
  const float least = spec_.is_signed ? -128.0F : 0.0F;
  const auto shift = static_cast<float>(spec_.zero_out);
  const Row row{rows.data(),    spec_.stride_w,  this->width(width),
                spec_.outputs,  least - shift,   least + 255.0F - shift,
                spec_.zero_out, spec_.is_signed, to};
  switch (level_) {
#if defined(__x86_64__)
    case Level::avx_vnni:
      conv_avx_vnni(packed_, row);
      break;
    case Level::avx512_vnni:
    case Level::avx512_vbmi:
      conv_avx512_vnni(packed_, row);
      break;
#elif defined(__aarch64__)
    case Level::neon_dot:
      conv_neon_dot(packed_, row);
      break;
#endif
    default:
      conv_scalar(packed_, row);
  }
  if (!spec_.table.empty()) lut(to, to, row.pixels * row.outputs, spec_.table.data(), level_);
}

}  // namespace edgekit::ops
