// ResizeLinearU8 and ResizeLinearU8ToFloat: a bilinear Resize of a rounded tensor, rounded again or as floats.
//
//   x      uint8 or int8, (N, C, H, W), or (N, H, W, C)
//   grids  float, (4): scale and zero point of x, scale and zero point of y; (2) where y is float
//   y      as x, (N, C, H', W'), or (N, H', W', C) where x has its channels last, too; or float
//   coordinates     0 half_pixel, 1 pytorch_half_pixel, 2 align_corners, 3 asymmetric
//   height, width   of y; 0: that of x times factor_h, factor_w (float), rounded down
//   channels_last, made_last   whether the channels of x and y are their last axis
#include <cmath>
#include <string>

#include "convolutions.hpp"
#include "list.hpp"
#include "operator.hpp"
#include "resize.hpp"
#include "shapes.hpp"

namespace edgekit::ops {
namespace {

constexpr std::size_t together = 16384;  // outputs of a channel that a thread makes in its turn

void require_range(const char* name, std::int64_t value, std::int64_t most) {
  if (value < 0 || value > most) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value));
}

Target target_of(std::int64_t size, float factor) {
  require_range("height or width", size, std::int64_t{1} << 24);
  if (size == 0 && !(factor > 0.0F && factor < 1e6F)) throw std::invalid_argument("neither a size nor a factor");
  return {factor, static_cast<std::size_t>(size)};
}

ResizeSpec spec_of(const Node& node, bool to_bytes) {
  const auto grids = values_of<float>(node.constant(1));
  if (grids.size() != (to_bytes ? 4U : 2U)) throw std::invalid_argument("grids are not scale and zero point of each");
  ResizeSpec made;
  const std::int64_t coordinates = node.integer("coordinates");
  require_range("coordinates", coordinates, 3);
  made.coordinates = static_cast<Coordinates>(coordinates);
  made.targets = {target_of(node.integer("height"), node.number("factor_h")),
                  target_of(node.integer("width"), node.number("factor_w"))};
  made.given = {grids[0], grids[1]};
  if (to_bytes) made.made = {grids[2], grids[3]};
  made.to_bytes = to_bytes;
  made.last = node.integer("channels_last") != 0;
  made.to_last = node.integer("made_last") != 0;
  if (made.to_last && !made.last) throw std::invalid_argument("channels become last");
  return made;
}

std::vector<std::int64_t> shape_for(bool last, std::int64_t count, std::int64_t channels, std::int64_t height,
                                    std::int64_t width) {
  return last ? std::vector{count, height, width, channels} : std::vector{count, channels, height, width};
}

template <bool to_bytes>
class ResizeKernel {
 public:
  static void infer(const OrtApi& api, OrtShapeInferContext* context) {
    const auto given = shape_of(api, context, 0);
    if (given.size() != 4) throw std::invalid_argument("x is not of rank 4");
    const bool last = integer_of(api, context, "channels_last") != 0, to_last = integer_of(api, context, "made_last");
    const auto size = [&](std::int64_t of_x, const char* name, const char* factor) {
      const std::int64_t made = integer_of(api, context, name);
      if (made > 0 || of_x < 0) return made > 0 ? made : -1;
      return static_cast<std::int64_t>(number_of(api, context, factor) * static_cast<float>(of_x));
    };
    const std::int64_t rows = size(given[last ? 1 : 2], "height", "factor_h");
    const std::int64_t columns = size(given[last ? 2 : 3], "width", "factor_w");
    const std::vector<const char*> names{"edgekit_batch", "edgekit_channels", "edgekit_height", "edgekit_width"};
    set_shape(api, context, shape_for(to_last, given[0], given[last ? 3 : 1], rows, columns),
              to_last ? std::vector{names[0], names[2], names[3], names[1]} : names, !to_bytes);
  }

  ResizeKernel(const OrtApi& api, const Node& node)
      : api_(api), of_bytes_(spec_of(node, to_bytes), chosen()), of_signed_(with_sign(of_bytes_.spec()), chosen()) {}

  const OrtApi& api() const { return api_; }

  void compute(OrtKernelContext* context) const {
    View view;
    const std::uint8_t* from = input(api_, context, 0, view);
    const Resize& resize = view.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? of_signed_ : of_bytes_;
    const auto& shape = view.shape;
    if (size_of(view.type) != 1 || shape.size() != 4) throw std::invalid_argument("x is no image of bytes");
    const bool last = resize.spec().last;
    const ImageSize given{static_cast<std::size_t>(shape[last ? 3 : 1]), static_cast<std::size_t>(shape[last ? 1 : 2]),
                          static_cast<std::size_t>(shape[last ? 2 : 3])};
    const auto [height, width] = resize.size(given);
    std::uint8_t* to = output(api_, context, 0,
                              shape_for(resize.spec().to_last, shape[0], static_cast<std::int64_t>(given.channels),
                                        static_cast<std::int64_t>(height), static_cast<std::int64_t>(width)));
    if (shape[0] == 0 || given.channels == 0 || height == 0 || width == 0) return;
    if (view.elements == 0) throw std::invalid_argument("x has no pixel, and y would have some");
    const auto axes = resize.axes(given);
    const std::size_t image = given.channels * given.height * given.width;
    const std::size_t made = given.channels * height * width * (to_bytes ? 1 : sizeof(float));
    const std::size_t many = (together + width - 1) / width, parts = (height + many - 1) / many;
    auto part = [&, height = height](std::size_t index) {
      const std::size_t number = index / parts, begin = index % parts * many;
      resize.rows(from + number * image, given, axes, begin, std::min(begin + many, height), to + number * made);
    };
    parallel(api_, context, static_cast<std::size_t>(shape[0]) * parts, part);
  }

 private:
  static ResizeSpec with_sign(ResizeSpec spec) {
    spec.is_signed = true;
    return spec;
  }

  const OrtApi& api_;
  Resize of_bytes_;
  Resize of_signed_;
};

}  // namespace

const OrtCustomOp* resize_operator(const OrtApi& api) {
  static const Operator<ResizeKernel<true>> made(api, "ResizeLinearU8", {any, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT}, any,
                                                 Output::of_its_own);
  return &made;
}

const OrtCustomOp* resize_to_float_operator(const OrtApi& api) {
  static const Operator<ResizeKernel<false>> made(api, "ResizeLinearU8ToFloat",
                                                  {any, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
                                                  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, Output::of_its_own);
  return &made;
}

}  // namespace edgekit::ops
