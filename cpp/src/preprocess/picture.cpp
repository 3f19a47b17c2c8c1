#include "preprocess/picture.hpp"

#include <cstring>

#include "preprocess/colour.hpp"

namespace edgekit::preprocessing {
namespace {

constexpr std::int64_t most_pixels_a_side = std::int64_t{1} << 18;

bool is_16_bit(Encoding encoding) { return encoding >= Encoding::rgb16 && encoding <= Encoding::mono16; }
bool is_mono(Encoding encoding) { return encoding == Encoding::mono8 || encoding == Encoding::mono16; }
bool is_bgr(Encoding encoding) {
  return encoding == Encoding::bgr8 || encoding == Encoding::bgra8 || encoding == Encoding::bgr16 ||
         encoding == Encoding::bgra16;
}
bool has_alpha(Encoding encoding) {
  return encoding == Encoding::rgba8 || encoding == Encoding::bgra8 || encoding == Encoding::rgba16 ||
         encoding == Encoding::bgra16;
}
bool has_pixels_side_by_side(Encoding encoding) {
  return encoding == Encoding::rgb8 || encoding == Encoding::bgr8 || encoding == Encoding::mono8;
}

Error wrong(const Source& source, const std::string& why) {
  return {Code::frame, "the image '" + std::string(source.name) + "': " + why};
}

Error too_large(const Source& source, std::int64_t height, std::int64_t width) {
  return wrong(source, "an image of " + std::to_string(height) + " x " + std::to_string(width) +
                           " pixels; a side may have " + std::to_string(most_pixels_a_side));
}

Expected<Picture> picture_of_array(const Source& source) {
  const TensorView& array = source.array;
  const bool shaped = array.shape.rank() == 3 && array.shape[2] == 3;
  const bool typed = array.dtype == DType::uint8 || array.dtype == DType::uint16 || array.dtype == DType::float32;
  if (!shaped || !typed) {
    return wrong(source, "expected an RGB array (height, width, 3) of uint8, uint16 or float32, found " +
                             std::string(name_of(array.dtype)) + array.shape.text());
  }
  if (array.shape[0] < 1 || array.shape[1] < 1) {
    return wrong(source, "expected pixels, found an empty image of shape " + array.shape.text());
  }
  if (array.shape[0] > most_pixels_a_side || array.shape[1] > most_pixels_a_side) {
    return too_large(source, array.shape[0], array.shape[1]);
  }
  Picture made;
  made.pixels = array.dtype;
  made.frame.data = static_cast<const std::uint8_t*>(array.data);
  made.frame.bytes = array.bytes();
  made.frame.height = static_cast<std::int32_t>(array.shape[0]);
  made.frame.width = static_cast<std::int32_t>(array.shape[1]);
  made.frame.stride = array.shape[1] * 3 * static_cast<std::int64_t>(size_of(array.dtype));
  made.frame.encoding = array.dtype == DType::uint16 ? Encoding::rgb16 : Encoding::rgb8;
  return made;
}

}  // namespace

Expected<Picture> picture_of(const Source& source) {
  if (source.array.data != nullptr) return picture_of_array(source);
  if (Status fits = source.image.check(); !fits) return wrong(source, fits.error().message);
  if (source.image.height > most_pixels_a_side || source.image.width > most_pixels_a_side) {
    return too_large(source, source.image.height, source.image.width);
  }
  const bool wide = is_16_bit(source.image.encoding);
  if (wide && source.image.stride % 2 != 0) {
    return wrong(source, "stride " + std::to_string(source.image.stride) + " does not fit " +
                             std::to_string(source.image.width) + " pixels of " + name_of(source.image.encoding) +
                             ", which are " + std::to_string(source.image.row_bytes()) +
                             " bytes a row; check the camera's driver");
  }
  return Picture{source.image, wide ? DType::uint16 : DType::uint8};
}

template <class T>
PictureRows<T>::PictureRows(const Picture& like, bool grey)
    : frame_(like.frame),
      grey_(grey),
      mono_(is_mono(like.frame.encoding)),
      one_channel_(grey || mono_),
      red_(is_bgr(like.frame.encoding) ? 2 : 0) {
  const bool direct = std::is_same_v<T, std::uint8_t> && has_pixels_side_by_side(frame_.encoding);
  if (!direct) converted_.resize(static_cast<std::size_t>(frame_.width) * 4);
  if (grey) greys_.resize(static_cast<std::size_t>(frame_.width));
}

template <class T>
const T* PictureRows<T>::row(std::int32_t y) {
  const T* made = colour_row(y);
  if (!grey_ || mono_) return made;
  grey_row(made, frame_.width, red_, greys_.data());
  return greys_.data();
}

template <class T>
const T* PictureRows<T>::colour_row(std::int32_t y) {
  const std::uint8_t* row = frame_.data + y * frame_.stride_or_row();
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    if (has_pixels_side_by_side(frame_.encoding)) return row;
    if (has_alpha(frame_.encoding)) {
      drop_fourth(row, frame_.width, converted_.data());
    } else {
      rgb_row(frame_, y, converted_.data());
    }
  } else {
    // Pixels of several bytes may lie anywhere in memory, so they are copied before they are read.
    const std::size_t values = std::is_same_v<T, float> ? 3 : mono_ ? 1 : has_alpha(frame_.encoding) ? 4 : 3;
    std::memcpy(converted_.data(), row, values * static_cast<std::size_t>(frame_.width) * sizeof(T));
    if constexpr (std::is_same_v<T, std::uint16_t>) {
      if (values == 4)
        drop_fourth(converted_.data(), frame_.width, converted_.data());  // what is read is not written yet
    }
  }
  return converted_.data();
}

template class PictureRows<std::uint8_t>;
template class PictureRows<std::uint16_t>;
template class PictureRows<float>;

}  // namespace edgekit::preprocessing
