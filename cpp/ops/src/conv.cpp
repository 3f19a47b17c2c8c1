#include "conv.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lut.hpp"

namespace edgekit::ops {
namespace {

constexpr std::size_t slack = 4;  // a group of four may read past the last column

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

/// A padded row of a plane; null: all padding.
void Conv::copy(const std::uint8_t* from, std::size_t width, std::uint8_t* to) const {
  const std::uint8_t zero = static_cast<std::uint8_t>(spec_.zero_in) ^ flip_;
  std::memset(to, zero, spec_.left);
  to += spec_.left;
  if (from == nullptr) {
    std::memset(to, zero, width);
  } else if (flip_ == 0) {
    std::memcpy(to, from, width);
  } else {
    for (std::size_t column = 0; column < width; ++column) to[column] = from[column] ^ flip_;
  }
  std::memset(to + width, zero, spec_.right + slack);
}

void Conv::row(const Row& row) const {
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
  if (!spec_.table.empty()) lut(row.to, row.to, row.pixels * row.outputs, spec_.table.data(), level_);
}

void Conv::rows(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t begin, std::size_t end,
                std::uint8_t* to) const {
  const std::size_t padded = width + spec_.left + spec_.right + slack, kept = spec_.kernel_h;
  const std::size_t columns = this->width(width);
  thread_local std::vector<std::uint8_t> bytes;
  thread_local std::vector<const std::uint8_t*> from;
  bytes.resize(packed_.rows * padded);
  from.resize(packed_.rows);
  const float low = (spec_.is_signed ? -128.0F : 0.0F) - static_cast<float>(spec_.zero_out);
  std::size_t copied = 0;  // padded rows before this one are copied, each over the one that is read no longer
  for (std::size_t at = begin; at < end; ++at, to += columns * spec_.outputs) {
    const std::size_t first = at * spec_.stride_h;
    for (std::size_t index = 0; index < packed_.rows; ++index) {
      const std::size_t plane = index / kept, down = first + index % kept;
      std::uint8_t* made = bytes.data() + (plane * kept + down % kept) * padded;
      from[index] = made;
      if (down < copied) continue;
      const bool inside = down >= spec_.top && down - spec_.top < height;
      copy(inside ? image + (plane * height + down - spec_.top) * width : nullptr, width, made);
    }
    copied = first + kept;
    row({from.data(), spec_.stride_w, columns, spec_.outputs, low, low + 255.0F, spec_.zero_out, spec_.is_signed, to});
  }
}

}  // namespace edgekit::ops
