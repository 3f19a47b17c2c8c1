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
  made.groups = (spec.kernel_h + 3) / 4;
  made.chunks = std::lcm(spec.channels, width) / width;
  const std::size_t size = made.chunks * width;
  made.weights.assign(size * made.groups * spec.kernel_w * 4, 0);
  made.bias.resize(size), made.multipliers.resize(size), made.zero.resize(size);
  for (std::size_t element = 0; element < size; ++element) {
    const std::size_t chunk = element / width, at = element % width;
    const std::size_t channel = (chunk * width + zipped(at, width)) % spec.channels;
    const int zero = spec.zero_in[channel] + (spec.is_signed == signed_bytes ? 0 : signed_bytes ? -128 : 128);
    std::int32_t sum = 0;
    for (std::size_t row = 0; row < spec.kernel_h; ++row) {
      for (std::size_t column = 0; column < spec.kernel_w; ++column) {
        const std::int8_t weight = spec.weights[(channel * spec.kernel_h + row) * spec.kernel_w + column];
        const std::size_t place = ((chunk * made.groups + row / 4) * spec.kernel_w + column) * width + at;
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

/// Copies of a few bytes that need no call.
void copied(std::uint8_t* to, const std::uint8_t* from, std::size_t count) {
  std::size_t at = 0;
  for (; at + 16 <= count; at += 16) std::memcpy(to + at, from + at, 16);
  for (; at < count; ++at) to[at] = from[at];
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

/// A padded row, its pixels sorted by their place within a stride, so that each tap reads neighbours; null: all
/// padding.
void Depthwise::copy(const std::uint8_t* from, std::size_t width, std::size_t phases, std::size_t size,
                     std::uint8_t* to) const {
  const std::size_t channels = spec_.channels, padded = width + spec_.left + spec_.right;
  if (from != nullptr && phases == 1 && flip_ == 0) {
    std::memcpy(to + spec_.left * channels, from, width * channels);
  }
  for (std::size_t pixel = 0, phase = 0, place = 0; pixel < padded; ++pixel) {
    std::uint8_t* made = to + phase * size + place * channels;
    if (++phase == phases) phase = 0, ++place;
    const bool inside = from != nullptr && pixel >= spec_.left && pixel - spec_.left < width;
    if (!inside) {
      copied(made, zeros_.data(), channels);
    } else if (phases > 1 || flip_ != 0) {
      const std::uint8_t* given = from + (pixel - spec_.left) * channels;
      copied(made, given, channels);
      for (std::size_t channel = 0; flip_ != 0 && channel < channels; ++channel) made[channel] ^= flip_;
    } else if (pixel == spec_.left) {
      pixel += width - 1, place += width - 1;  // was copied in one piece
    }
  }
}

void Depthwise::scalar(const std::uint8_t* const* taps, std::size_t count, std::uint8_t* to) const {
  const std::size_t columns = spec_.kernel_w;
  for (std::size_t at = 0; at < count; ++at) {
    const std::size_t channel = at % spec_.channels;
    const std::int8_t* weights = spec_.weights.data() + channel * spec_.kernel_h * columns;
    std::int32_t sum = spec_.bias[channel];
    for (std::size_t tap = 0; tap < spec_.kernel_h * columns; ++tap) {
      const std::uint8_t byte = taps[tap][at];
      const int value = spec_.is_signed ? static_cast<std::int8_t>(byte) : byte;
      sum += weights[tap] * (value - spec_.zero_in[channel]);
    }
    const float low = static_cast<float>((spec_.is_signed ? -128 : 0) - spec_.zero_out[channel]);
    const float value = static_cast<float>(sum) * spec_.multipliers[channel];
    const float inside = value < low ? low : value > low + 255.0F ? low + 255.0F : value;
    to[at] = static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(inside)) + spec_.zero_out[channel]);
  }
}

void Depthwise::row(const std::uint8_t* image, std::size_t height, std::size_t width, std::size_t at,
                    std::uint8_t* to) const {
  const std::size_t channels = spec_.channels, phases = spec_.stride_w, columns = spec_.kernel_w;
  const std::size_t padded = width + spec_.left + spec_.right;
  const std::size_t size = (padded + phases - 1) / phases * channels + slack;
  thread_local std::vector<std::uint8_t> bytes;
  thread_local std::vector<const std::uint8_t*> taps;
  bytes.resize(spec_.kernel_h * phases * size);
  taps.resize((spec_.kernel_h + 3) / 4 * 4 * columns);
  for (std::size_t index = 0; index < spec_.kernel_h; ++index) {
    std::uint8_t* made = bytes.data() + index * phases * size;
    const std::size_t down = at * spec_.stride_h + index;
    const bool inside = down >= spec_.top && down - spec_.top < height;
    copy(inside ? image + (down - spec_.top) * width * channels : nullptr, width, phases, size, made);
    for (std::size_t column = 0; column < columns; ++column) {
      taps[index * columns + column] = made + column % phases * size + column / phases * channels;
    }
  }
  for (std::size_t tap = spec_.kernel_h * columns; tap < taps.size(); ++tap)
    taps[tap] = bytes.data();  // weights are zero
  const std::size_t count = this->width(width) * channels;
  const DepthwiseRow row{taps.data(), columns, count, spec_.is_signed, to};
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
      scalar(taps.data(), count, to);
  }
  if (spec_.table.size() == 256) lut(to, to, count, spec_.table.data(), of_tables_);
  if (spec_.table.size() > 256) lut_rows(to, to, count / channels, channels, spec_.table.data(), of_tables_);
}

}  // namespace edgekit::ops
