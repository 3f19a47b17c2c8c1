#include "preprocess/place.hpp"

#include <algorithm>

namespace edgekit::preprocessing {
namespace {

using Wide = std::int64_t;

constexpr Wide most_pixels_a_side = Wide{1} << 18;

struct Sides {
  Wide height;
  Wide width;
};

std::string text(Sides sides) { return std::to_string(sides.height) + "x" + std::to_string(sides.width); }

// Half of `over`; of two equally near pixels the even one, as torchvision's CenterCrop has it.
Wide middle(Wide over) {
  const Wide half = over / 2;
  return half + (over % 2 != 0 ? half % 2 : 0);
}

Sides before_crop(Sides original, const ImageSettings& settings) {
  if (settings.before_crop_size) {
    return {(*settings.before_crop_size)[0], (*settings.before_crop_size)[1]};
  }
  if (!settings.before_crop_side) return original;
  const Wide side = *settings.before_crop_side;
  const Wide longer = side * std::max(original.height, original.width) / std::min(original.height, original.width);
  return original.height <= original.width ? Sides{side, longer} : Sides{longer, side};
}

Geometry made(Sides original, Sides tensor, Wide top, Wide left, Sides filled) {
  const auto narrow = [](Wide value) { return static_cast<std::int32_t>(value); };
  return {{narrow(original.height), narrow(original.width)},
          {narrow(tensor.height), narrow(tensor.width)},
          {narrow(top), narrow(left), narrow(filled.height), narrow(filled.width)}};
}

Expected<Geometry> crop(Sides original, Sides tensor, const ImageSettings& settings) {
  const Sides filled = before_crop(original, settings);
  if (filled.height < tensor.height || filled.width < tensor.width) {
    return Error{Code::frame, "a frame of " + text(original) + " (height x width) is " + text(filled) +
                                  " before the crop, less than the " + text(tensor) +
                                  " that is taken; choose a larger before_crop, or mode: letterbox"};
  }
  if (filled.height > most_pixels_a_side || filled.width > most_pixels_a_side) {
    return Error{Code::frame, "a frame of " + text(original) + " (height x width) is " + text(filled) +
                                  " before the crop; a side may have " + std::to_string(most_pixels_a_side) +
                                  " pixels"};
  }
  return made(original, tensor, -middle(filled.height - tensor.height), -middle(filled.width - tensor.width), filled);
}

}  // namespace

Expected<Geometry> place(std::int32_t height, std::int32_t width, const ImageSettings& settings) {
  const Sides original{height, width};
  const Sides tensor{settings.rows, settings.columns};
  if (settings.mode == Mode::stretch) return made(original, tensor, 0, 0, tensor);
  if (settings.mode == Mode::crop) return crop(original, tensor, settings);
  Sides filled = tensor;
  if (tensor.height * original.width <= tensor.width * original.height) {
    filled.width = std::max<Wide>(1, (2 * original.width * tensor.height + original.height) / (2 * original.height));
  } else {
    filled.height = std::max<Wide>(1, (2 * original.height * tensor.width + original.width) / (2 * original.width));
  }
  if (settings.mode == Mode::letterbox_topleft) return made(original, tensor, 0, 0, filled);
  return made(original, tensor, (tensor.height - filled.height) / 2, (tensor.width - filled.width) / 2, filled);
}

}  // namespace edgekit::preprocessing
