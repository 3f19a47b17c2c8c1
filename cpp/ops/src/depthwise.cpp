#include "depthwise.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "lut.hpp"

namespace edgekit::ops {
namespace {

constexpr std::size_t slack = 64;  // a vector may read past the last byte

std::size_t bytes_of(Level level) {
  switch (level) {
    case Level::avx_vnni:
      return 32;
    case Level::avx512_vnni:
    case Level::avx512_vbmi:
      return 64;
    case Level::neon_dot:
      return 16;
    default:
      return 0;
  }
}

/// Which channel of a vector an element of the zipped order is of.
std::size_t zipped(std::size_t element, std::size_t width) {
  const std::size_t part = element / (width / 4), inside = element % (width / 4);
  return inside / 4 * 16 + part * 4 + inside % 4;
}

Repeated repeated(const DepthwiseSpec& spec, bool signed_bytes, std::size_t width) {
  Repeated made;
  const std::size_t groups = (spec.kernel_h + 3) / 4;
  made.taps = groups * spec.kernel_w;
  made.chunks = std::lcm(spec.channels, width) / width;
  const std::size_t size = made.chunks * width;
  made.weights.assign(size * made.taps * 4, 0);
  made.bias.resize(size), made.multipliers.resize(size), made.zero.resize(size);
  for (std::size_t element = 0; element < size; ++element) {
    const std::size_t chunk = element / width, at = element % width;
    const std::size_t channel = (chunk * width + zipped(at, width)) % spec.channels;
    const int zero = spec.zero_in[channel] + (spec.is_signed == signed_bytes ? 0 : signed_bytes ? -128 : 128);
    std::int32_t sum = 0;
    for (std::size_t row = 0; row < spec.kernel_h; ++row) {
      for (std::size_t column = 0; column < spec.kernel_w; ++column) {
        const std::int8_t weight = spec.weights[(channel * spec.kernel_h + row) * spec.kernel_w + column];
        const std::size_t place = (chunk * made.taps + row / 4 * spec.kernel_w + column) * width + at;
        made.weights[place * 4 + row % 4] = weight;
        sum += weight;
      }
    }
    made.bias[element] = spec.bias[channel] - zero * sum;
    made.multipliers[element] = spec.multipliers[channel];
    made.zero[element] = spec.zero_out[channel];
  }
  return made;
}

/// Whether no result, before it saturates, leaves 31 bits: vectors saturate it only then as it should be.
bool fits(const DepthwiseSpec& spec) {
  const auto taps = static_cast<double>(spec.kernel_h * spec.kernel_w);
  for (std::size_t channel = 0; channel < spec.channels; ++channel) {
    const double most = std::abs(static_cast<double>(spec.bias[channel])) + taps * 255 * 128;
    if (!(most * std::abs(double{spec.multipliers[channel]}) < 1e9)) return false;
  }
  return true;
}

/// Pixels of ``size`` bytes that lie ``step`` bytes apart, one after the other.
template <std::size_t fixed>
void picked(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::size_t step, std::size_t size) {
  if (fixed != 0) size = fixed;
  for (std::size_t at = 0; at < count; ++at, to += size, from += step) std::memcpy(to, from, size);
}

/// With copies that need no call for the channels of the first layers, which have the most pixels.
void pick(std::uint8_t* to, const std::uint8_t* from, std::size_t count, std::size_t step, std::size_t size) {
  switch (size) {
    case 16:
      return picked<16>(to, from, count, step, size);
    case 24:
      return picked<24>(to, from, count, step, size);
    case 32:
      return picked<32>(to, from, count, step, size);
    case 48:
      return picked<48>(to, from, count, step, size);
    case 64:
      return picked<64>(to, from, count, step, size);
    default:
      return picked<0>(to, from, count, step, size);
  }
}

}  // namespace

Depthwise::Depthwise(DepthwiseSpec spec, Level level) : spec_(std::move(spec)), level_(level), of_tables_(level) {
  const bool known = (spec_.kernel_h == 3 && spec_.kernel_w == 3) || (spec_.kernel_h == 5 && spec_.kernel_w == 5);
  if (!known || bytes_of(level) == 0 || !fits(spec_)) level_ = Level::scalar;
  const bool signed_bytes = level_ == Level::neon_dot;
  if (level_ != Level::scalar) {
    flip_ = signed_bytes == spec_.is_signed ? 0 : 0x80;
    repeated_ = repeated(spec_, signed_bytes, bytes_of(level_));
  }
  for (const int zero : spec_.zero_in) zeros_.push_back(static_cast<std::uint8_t>(zero) ^ flip_);
}

std::size_t Depthwise::height(std::size_t given) const {
  const std::size_t padded = given + spec_.top + spec_.bottom;
  return padded < spec_.kernel_h ? 0 : (padded - spec_.kernel_h) / spec_.stride_h + 1;
}

std::size_t Depthwise::width(std::size_t given) const {
  const std::size_t padded = given + spec_.left + spec_.right;
  return padded < spec_.kernel_w ? 0 : (padded - spec_.kernel_w) / spec_.stride_w + 1;
}

/// A padded row, its pixels sorted by their place within a stride, each sort from ``size`` bytes behind the other, so
/// that every column of the kernel reads neighbours; null: all padding.
void Depthwise::copy(const std::uint8_t* from, std::size_t width, std::size_t size, std::uint8_t* to) const {
  const std::size_t channels = spec_.channels, phases = spec_.stride_w, left = spec_.left;
  const std::size_t padded = width + left + spec_.right;
  const auto place = [&](std::size_t pixel) { return to + pixel % phases * size + pixel / phases * channels; };
  for (std::size_t pixel = 0; pixel < padded; ++pixel) {
    if (from != nullptr && pixel == left) pixel += width;
    if (pixel < padded) std::memcpy(place(pixel), zeros_.data(), channels);
  }
  for (std::size_t first = 0; from != nullptr && first < std::min(phases, width); ++first) {
    const std::size_t count = (width - first + phases - 1) / phases;
    std::uint8_t* made = place(left + first);
    if (phases == 1) {
      std::memcpy(made, from, width * channels);
    } else {
      pick(made, from + first * channels, count, phases * channels, channels);
    }
    for (std::size_t at = 0; flip_ != 0 && at < count * channels; ++at) made[at] ^= flip_;
  }
}

void Depthwise::scalar(const DepthwiseRow& row) const {
  for (std::size_t at = 0; at < row.count; ++at) {
    const std::size_t channel = at % spec_.channels;
    const std::int8_t* weights = spec_.weights.data() + channel * spec_.kernel_h * spec_.kernel_w;
    std::int32_t sum = spec_.bias[channel];
    for (std::size_t index = 0; index < spec_.kernel_h; ++index) {
      for (std::size_t column = 0; column < spec_.kernel_w; ++column) {
        const std::uint8_t byte = row.rows[index][row.columns[column] + at];
        const int value = spec_.is_signed ? static_cast<std::int8_t>(byte) : byte;
        sum += *weights++ * (value - spec_.zero_in[channel]);
      }
    }
    const float low = static_cast<float>((spec_.is_signed ? -128 : 0) - spec_.zero_out[channel]);
    const float value = static_cast<float>(sum) * spec_.multipliers[channel];
    const float inside = value < low ? low : value > low + 255.0F ? low + 255.0F : value;
    row.to[at] = static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(inside)) + spec_.zero_out[channel]);
  }
}

void Depthwise::row(const DepthwiseRow& row) const {
  switch (level_) {
#if defined(__x86_64__)
    case Level::avx_vnni:
      depthwise_avx_vnni(repeated_, row);
      break;
    case Level::avx512_vnni:
    case Level::avx512_vbmi:
      depthwise_avx512_vnni(repeated_, row);
      break;
#elif defined(__aarch64__)
    case Level::neon_dot:
      depthwise_neon_dot(repeated_, row);
      break;
#endif
    default:
      scalar(row);
  }
  const std::size_t channels = spec_.channels;
  if (spec_.table.size() == 256) lut(row.to, row.to, row.count, spec_.table.data(), of_tables_);
  if (spec_.table.size() > 256)
    lut_rows(row.to, row.to, row.count / channels, channels, spec_.table.data(), of_tables_);
}

void Depthwise::rows(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t begin,
                     std::size_t end, std::uint8_t* to) const {
  const std::size_t channels = spec_.channels, phases = spec_.stride_w, kept = spec_.kernel_h;
  const std::size_t padded = width + spec_.left + spec_.right, count = this->width(width) * channels;
  const std::size_t size = ((padded + phases - 1) / phases * channels + slack + line - 1) / line * line;
  thread_local Aligned<std::uint8_t> bytes;
  thread_local std::vector<const std::uint8_t*> from;
  thread_local std::vector<std::size_t> columns;
  bytes.resize(kept * phases * size);
  from.resize(kept);
  columns.resize(spec_.kernel_w);
  for (std::size_t column = 0; column < columns.size(); ++column) {
    columns[column] = column % phases * size + column / phases * channels;
  }
  std::size_t copied = 0;  // padded rows before this one are copied, each over the one that is read no longer
  for (std::size_t at = begin; at < end; ++at, to += count) {
    for (std::size_t index = 0; index < kept; ++index) {
      const std::size_t down = at * spec_.stride_h + index;
      std::uint8_t* made = bytes.data() + down % kept * phases * size;
      from[index] = made;
      if (down < copied) continue;
      const bool inside = down >= spec_.top && down - spec_.top < height;
      copy(inside ? image + (down - spec_.top) * width * channels : nullptr, width, size, made);
      copied = down + 1;
    }
    row({from.data(), columns.data(), kept, spec_.kernel_w, count, spec_.is_signed, to});
  }
}

}  // namespace edgekit::ops
