#include "preprocess/normalise.hpp"

#include <algorithm>
#include <type_traits>

#include "preprocess/half.hpp"

namespace edgekit::preprocessing {
namespace {

/// float16, which the language lacks.
struct Half {
  std::uint16_t bits;
};

template <class T>
constexpr std::size_t values_of = std::is_same_v<T, std::uint8_t>    ? 256
                                  : std::is_same_v<T, std::uint16_t> ? 65536
                                                                     : 0;

// Calls with a value of the C++ type of a dtype that an image can have.
template <class Do>
void with_type(DType dtype, Do&& todo) {
  switch (dtype) {
    case DType::float16:
      return todo(Half{});
    case DType::uint8:
      return todo(std::uint8_t{});
    case DType::int32:
      return todo(std::int32_t{});
    case DType::int64:
      return todo(std::int64_t{});
    default:
      return todo(float{});
  }
}

}  // namespace

template <class T>
Normaliser<T>::Normaliser(const ImageSettings& settings, std::size_t part, DType dtype)
    : scale_(settings.scale),
      pad_value_(settings.pad_value),
      dtype_(dtype),
      backwards_(settings.colour == Colour::bgr),
      planes_(settings.layout == Layout::nchw),
      rows_(settings.rows),
      columns_(settings.columns) {
  const std::int32_t own = settings.channels_of_one();
  all_channels_ = own * static_cast<std::int64_t>(settings.sources.size());
  first_channel_ = own * static_cast<std::int64_t>(part);
  mean_.assign(settings.mean.begin() + first_channel_, settings.mean.begin() + first_channel_ + own);
  std_.assign(settings.std.begin() + first_channel_, settings.std.begin() + first_channel_ + own);
  multiplies_ = std::is_same_v<T, std::uint8_t> && dtype == DType::float32 && !planes_ && all_channels_ == 3;
  for (std::size_t k = 0; k < mean_.size(); ++k) {
    fast_.affine[k] = {static_cast<float>(scale_ / std_[k]), static_cast<float>(-mean_[k] / std_[k])};
  }
  with_type(dtype, [this](auto type) { this->template tabulate<decltype(type)>(); });
}

template <class T>
template <class Out>
Out Normaliser<T>::made(double value, std::int32_t channel) const {
  const double normal = (value * scale_ - mean_[channel]) / std_[channel];
  if constexpr (std::is_same_v<Out, Half>) {
    return {half_of(normal)};
  } else {
    return static_cast<Out>(normal);
  }
}

template <class T>
template <class Out>
void Normaliser<T>::tabulate() {
  table_.resize(values_of<T> * mean_.size() * sizeof(Out));
  Out* out = reinterpret_cast<Out*>(table_.data());
  for (std::size_t channel = 0; channel < mean_.size(); ++channel) {
    for (std::size_t value = 0; value < values_of<T>; ++value) {
      *out = made<Out>(static_cast<double>(value), static_cast<std::int32_t>(channel));
      if constexpr (std::is_same_v<Out, float>) {
        if (multiplies_) {
          const volatile float product = static_cast<float>(value) * static_cast<float>(scale_ / std_[channel]);
          *out = product - static_cast<float>(mean_[channel] / std_[channel]);
        }
      }
      ++out;
    }
  }
}

template <class T>
void Normaliser<T>::aim(void* tensor, const Geometry& geometry, std::int32_t columns, std::int32_t channels,
                        std::int32_t red) {
  tensor_ = static_cast<std::uint8_t*>(tensor);
  top_ = std::max(0, geometry.content[0]);
  left_ = std::max(0, geometry.content[1]);
  count_ = columns;
  for (std::int32_t k = 0; k < 3; ++k) {
    const std::int32_t rgb = backwards_ ? 2 - k : k;  // 0 is red
    from_[k] = channels == 1 ? 0 : red == 0 ? rgb : 2 - rgb;
  }
}

template <class T>
void Normaliser<T>::fill_border() {
  with_type(dtype_, [this](auto type) {
    for (std::size_t k = 0; k < mean_.size(); ++k) {
      fill<decltype(type)>(pad_value_, static_cast<std::int32_t>(k));
    }
  });
}

template <class T>
template <class Out>
void Normaliser<T>::fill(double value, std::int32_t channel) {
  const Out border = made<Out>(value, channel);
  const std::int64_t step = planes_ ? 1 : all_channels_;
  Out* out = reinterpret_cast<Out*>(tensor_) + (first_channel_ + channel) * (planes_ ? rows_ * columns_ : 1);
  for (std::int64_t at = 0; at < rows_ * columns_; ++at) out[at * step] = border;
}

template <class T>
void Normaliser<T>::take(std::int32_t y, const T* pixels, std::int32_t stride) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    if (dtype_ == DType::float32 && (stride == 4 || (stride == 1 && planes_)) && (planes_ || all_channels_ == 3)) {
      return write_fast(y, pixels, stride);
    }
  }
  with_type(dtype_, [&](auto type) { write<decltype(type)>(y, pixels, stride); });
}

template <class T>
void Normaliser<T>::write_fast(std::int32_t y, const T* pixels, std::int32_t stride) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    const std::int64_t channels = static_cast<std::int64_t>(mean_.size());
    const auto count = static_cast<std::size_t>(count_);
    float* first = reinterpret_cast<float*>(tensor_) + ((top_ + y) * columns_ + left_) * (planes_ ? 1 : channels);
    for (std::int64_t k = 0; k < channels; ++k) {
      const auto at = static_cast<std::size_t>(k);
      fast_.out[at] = first + (first_channel_ + k) * (planes_ ? rows_ * columns_ : 1);
      fast_.byte[at] = static_cast<std::uint32_t>(from_[k]);
      if (stride == 1) write_plane(pixels, count, fast_.affine[at], fast_.out[at]);
    }
    if (stride == 4) (planes_ ? write_planes : write_interleaved)(pixels, count, fast_);
  }
}

template <class T>
template <class Out>
void Normaliser<T>::write(std::int32_t y, const T* pixels, std::int32_t stride) {
  const std::int64_t step = planes_ ? 1 : all_channels_;
  const std::int64_t plane = planes_ ? rows_ * columns_ : 1;
  Out* row = reinterpret_cast<Out*>(tensor_) + ((top_ + y) * columns_ + left_) * step;
  for (std::size_t k = 0; k < mean_.size(); ++k) {
    Out* out = row + (first_channel_ + static_cast<std::int64_t>(k)) * plane;
    const T* from = pixels + from_[k];
    if constexpr (values_of<T> == 0) {
      for (std::int32_t x = 0; x < count_; ++x, out += step, from += stride) {
        *out = made<Out>(static_cast<double>(*from), static_cast<std::int32_t>(k));
      }
    } else {
      const Out* table = reinterpret_cast<const Out*>(table_.data()) + k * values_of<T>;
      for (std::int32_t x = 0; x < count_; ++x, out += step, from += stride) *out = table[*from];
    }
  }
}

template class Normaliser<std::uint8_t>;
template class Normaliser<std::uint16_t>;
template class Normaliser<float>;

}  // namespace edgekit::preprocessing
