// Where an image goes in the tensor that it becomes: integer arithmetic, the same on every machine.
#pragma once

#include "edgekit/frame.hpp"
#include "preprocess/settings.hpp"

namespace edgekit::preprocessing {

/// Where an image of `height` x `width` pixels goes.
///
/// Letterbox keeps the aspect ratio: one side fits exactly, the other is rounded to the nearest pixel, halves up. A
/// crop resizes to `before_crop` and takes the middle; its content begins outside the tensor where something is cut
/// off.
///
/// Code::frame: the resized image is smaller than the crop, or larger than can be counted.
Expected<Geometry> place(std::int32_t height, std::int32_t width, const ImageSettings& settings);

}  // namespace edgekit::preprocessing
