#include "resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace edgekit::ops {
namespace {

const ResizeKernels& kernels_of(Level level) {
  switch (level) {
#if defined(__x86_64__)
    case Level::avx2:
    case Level::avx_vnni:
      return resize_avx2;
    case Level::avx512_vnni:
    case Level::avx512_vbmi:
      return resize_avx512;
#elif defined(__aarch64__)
    case Level::neon:
    case Level::neon_dot:
      return resize_neon;
#endif
    default:
      return resize_scalar;
  }
}

float factor_of(const Target& target, std::size_t given) {
  return target.size > 0 ? static_cast<float>(target.size) / static_cast<float>(given) : target.factor;
}

std::size_t size_of(const Target& target, std::size_t given) {
  return target.size > 0 ? target.size : static_cast<std::size_t>(target.factor * static_cast<float>(given));
}

float coordinate(Coordinates coordinates, float at, float factor, float given, float made) {
  switch (coordinates) {
    case Coordinates::asymmetric:
      return at / factor;
    case Coordinates::align_corners:
      return made == 1.0F ? 0.0F : at * (given - 1.0F) / (made - 1.0F);
    case Coordinates::pytorch_half_pixel:
      if (made <= 1.0F) return 0.0F;
      [[fallthrough]];
    default:
      return (at + 0.5F) / factor - 0.5F;
  }
}

/// As ONNX Runtime computes it, in float: the nearer a neighbour is, the larger its share; of a single one both have
/// half.
Axis axis_of(Coordinates coordinates, const Target& target, std::size_t given) {
  const std::size_t made = size_of(target, given);
  const std::size_t size = made + beyond;
  Axis axis{Line<std::int32_t>(size), Line<std::int32_t>(size), Line<float>(size), Line<float>(size)};
  const float factor = factor_of(target, given), most = static_cast<float>(given) - 1.0F;
  const auto last = static_cast<std::int32_t>(given) - 1;
  for (std::size_t at = 0; at < made; ++at) {
    const float found =
        coordinate(coordinates, static_cast<float>(at), factor, static_cast<float>(given), static_cast<float>(made));
    const float inside = std::max(0.0F, std::min(found, most));
    const std::int32_t first = std::min(static_cast<std::int32_t>(inside), last), second = std::min(first + 1, last);
    axis.first[at] = first, axis.second[at] = second;
    axis.of_first[at] = first == second ? 0.5F : std::fabs(inside - static_cast<float>(second));
    axis.of_second[at] = first == second ? 0.5F : std::fabs(inside - static_cast<float>(first));
  }
  return axis;
}

/// Two rows of the input as floats, each kept until it is no neighbour any more.
struct Kept {
  std::int32_t row[2] = {-1, -1};

  /// The place of ``wanted``, which ``fill(place)`` makes if it is not there; not in the place of ``other``.
  template <typename Fill>
  std::size_t place(std::int32_t wanted, std::int32_t other, Fill&& fill) {
    for (std::size_t at = 0; at < 2; ++at) {
      if (row[at] == wanted) return at;
    }
    const std::size_t at = row[0] == other ? 1 : 0;
    row[at] = wanted;
    fill(at);
    return at;
  }
};

}  // namespace

Resize::Resize(ResizeSpec spec, Level level) : spec_(std::move(spec)), kernels_(kernels_of(level)) {
  const float low = spec_.is_signed ? -128.0F : 0.0F;
  rounding_ = {spec_.made.scale, low - spec_.made.zero, low + 255.0F - spec_.made.zero,
               static_cast<std::int32_t>(spec_.made.zero)};
  for (std::size_t byte = 0; byte < values_.size(); ++byte) {
    const float value = spec_.is_signed ? static_cast<float>(static_cast<std::int8_t>(byte)) : static_cast<float>(byte);
    values_[byte] = (value - spec_.given.zero) * spec_.given.scale;
  }
}

std::array<std::size_t, 2> Resize::size(const ImageSize& given) const {
  return {size_of(spec_.targets[0], given.height), size_of(spec_.targets[1], given.width)};
}

std::array<Axis, 2> Resize::axes(const ImageSize& given) const {
  return {axis_of(spec_.coordinates, spec_.targets[0], given.height),
          axis_of(spec_.coordinates, spec_.targets[1], given.width)};
}

void Resize::rows(const std::uint8_t* image, const ImageSize& given, const std::array<Axis, 2>& axes, std::size_t begin,
                  std::size_t end, std::uint8_t* to) const {
  if (spec_.to_last) return pixels(image, given, axes, begin, end, to);
  const std::size_t size = given.height * given.width;
  if (!spec_.last) return planes({image, size, 0}, given, axes, begin, end, to);
  // The rows that are read, as planes.
  const auto first = static_cast<std::size_t>(axes[0].first[begin]);
  const std::size_t count = (static_cast<std::size_t>(axes[0].second[end - 1]) + 1 - first) * given.width;
  thread_local std::vector<std::uint8_t> turned;
  turned.resize(given.channels * count);
  const std::uint8_t* from = image + first * given.width * given.channels;
  for (std::size_t pixel = 0; pixel < count; ++pixel, from += given.channels) {
    for (std::size_t channel = 0; channel < given.channels; ++channel) turned[channel * count + pixel] = from[channel];
  }
  planes({turned.data(), count, first}, given, axes, begin, end, to);
}

void Resize::planes(const Planes& from, const ImageSize& given, const std::array<Axis, 2>& axes, std::size_t begin,
                    std::size_t end, std::uint8_t* to) const {
  const auto& [down, along] = axes;
  const std::size_t width = along.first.size() - beyond, height = down.first.size() - beyond;
  thread_local Line<float> line, spread;
  const std::size_t padded = (width + beyond - 1) / beyond * beyond;
  line.resize(given.width + beyond);
  spread.resize(4 * padded);
  float* const sides[2][2] = {{spread.data(), spread.data() + padded},
                              {spread.data() + 2 * padded, spread.data() + 3 * padded}};
  for (std::size_t plane = 0; plane < given.channels; ++plane) {
    Kept kept;
    const auto row = [&](std::int32_t wanted, std::int32_t other) {
      return sides[kept.place(wanted, other, [&](std::size_t place) {
        const std::size_t at = static_cast<std::size_t>(wanted) - from.first_row;
        const std::uint8_t* bytes = from.bytes + plane * from.stride + at * given.width;
        for (std::size_t column = 0; column < given.width; ++column) line[column] = values_[bytes[column]];
        kernels_.spread(line.data(), along.first.data(), along.second.data(), width, sides[place][0], sides[place][1]);
      })];
    };
    for (std::size_t y = begin; y < end; ++y) {
      const auto* upper = row(down.first[y], down.second[y]);
      const auto* lower = row(down.second[y], down.first[y]);
      const PlaneRow given_row{
          upper[0],         upper[1],          lower[0], lower[1], along.of_first.data(), along.of_second.data(),
          down.of_first[y], down.of_second[y], width,    rounding_};
      const std::size_t at = (plane * height + y) * width;
      if (spec_.to_bytes) {
        kernels_.plane_to_bytes(given_row, to + at);
      } else {
        kernels_.plane_to_floats(given_row, reinterpret_cast<float*>(to) + at);
      }
    }
  }
}

void Resize::pixels(const std::uint8_t* image, const ImageSize& given, const std::array<Axis, 2>& axes,
                    std::size_t begin, std::size_t end, std::uint8_t* to) const {
  const auto& [down, along] = axes;
  const std::size_t width = along.first.size() - beyond, size = given.width * given.channels;
  thread_local std::vector<float> floats;
  floats.resize(2 * (size + beyond));
  float* const sides[2] = {floats.data(), floats.data() + size + beyond};
  Kept kept;
  const auto row = [&](std::int32_t wanted, std::int32_t other) {
    return sides[kept.place(wanted, other, [&](std::size_t place) {
      const std::uint8_t* bytes = image + static_cast<std::size_t>(wanted) * size;
      for (std::size_t at = 0; at < size; ++at) sides[place][at] = values_[bytes[at]];
    })];
  };
  for (std::size_t y = begin; y < end; ++y) {
    const float* upper = row(down.first[y], down.second[y]);
    const float* lower = row(down.second[y], down.first[y]);
    const PixelRow given_row{upper,
                             lower,
                             along.first.data(),
                             along.second.data(),
                             along.of_first.data(),
                             along.of_second.data(),
                             down.of_first[y],
                             down.of_second[y],
                             width,
                             given.channels,
                             rounding_};
    const std::size_t at = y * width * given.channels;
    if (spec_.to_bytes) {
      kernels_.pixels_to_bytes(given_row, to + at);
    } else {
      kernels_.pixels_to_floats(given_row, reinterpret_cast<float*>(to) + at);
    }
  }
}

}  // namespace edgekit::ops
