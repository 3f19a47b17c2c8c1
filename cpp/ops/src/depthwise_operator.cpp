// DepthwiseU8: a depthwise convolution of bytes, rounded, and a function of the result.
//
//   x            uint8 or int8, (N, H, W, channels)
//   weights      int8, (channels, 1, kernel height, kernel width)
//   bias         int32, (channels), in steps of input times weight
//   multipliers  float, (channels): scale of input times weight over that of the output
//   zero_in, zero_out   int32, (channels): zero points
//   table        uint8, (256) or (channels, 256): the byte of y for every rounded byte; or (1), not read: none
//   y            as x, (N, H', W', channels)
//   stride_h, stride_w, top, left, bottom, right
#include <algorithm>

#include "convolutions.hpp"
#include "depthwise.hpp"
#include "list.hpp"
#include "operator.hpp"

namespace edgekit::ops {
namespace {

DepthwiseSpec spec_of(const Node& node) {
  const Constant weights = node.constant(1), table = node.constant(6);
  if (weights.shape.size() != 4 || weights.shape[1] != 1) {
    throw std::invalid_argument("DepthwiseU8: weights are not (channels, 1, height, width)");
  }
  DepthwiseSpec made;
  made.channels = static_cast<std::size_t>(weights.shape[0]);
  made.kernel_h = static_cast<std::size_t>(weights.shape[2]);
  made.kernel_w = static_cast<std::size_t>(weights.shape[3]);
  made.stride_h = attribute_of(node, "stride_h", 1);
  made.stride_w = attribute_of(node, "stride_w", 1);
  made.top = attribute_of(node, "top", 0);
  made.left = attribute_of(node, "left", 0);
  made.bottom = attribute_of(node, "bottom", 0);
  made.right = attribute_of(node, "right", 0);
  made.weights = values_of<std::int8_t>(weights);
  made.bias = values_of<std::int32_t>(node.constant(2));
  made.multipliers = values_of<float>(node.constant(3));
  made.zero_in = values_of<int>(node.constant(4));
  made.zero_out = values_of<int>(node.constant(5));
  if (table.bytes.size() > 1) made.table = table.bytes;
  for (const std::size_t size :
       {made.bias.size(), made.multipliers.size(), made.zero_in.size(), made.zero_out.size()}) {
    if (size != made.channels) throw std::invalid_argument("DepthwiseU8: not one number for each channel");
  }
  if (made.table.size() % 256 != 0 || made.table.size() > 256 * std::max<std::size_t>(1, made.channels)) {
    throw std::invalid_argument("DepthwiseU8: the table is not (256) or (channels, 256) bytes");
  }
  return made;
}

class DepthwiseKernel {
 public:
  static void infer(const OrtApi& api, OrtShapeInferContext* context) { infer_convolution(api, context, {1, 2}); }

  DepthwiseKernel(const OrtApi& api, const Node& node)
      : api_(api), of_bytes_(spec_of(node), chosen()), of_signed_(with_sign(of_bytes_.spec()), chosen()) {}

  const OrtApi& api() const { return api_; }

  void compute(OrtKernelContext* context) const {
    View view;
    const std::uint8_t* from = input(api_, context, 0, view);
    const Depthwise& made = view.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? of_signed_ : of_bytes_;
    const std::size_t channels = made.spec().channels;
    const auto& shape = view.shape;
    if (size_of(view.type) != 1 || shape.size() != 4 || static_cast<std::size_t>(shape[3]) != channels) {
      throw std::invalid_argument("DepthwiseU8: x has not the " + std::to_string(channels) +
                                  " channels of its weights");
    }
    const auto height = static_cast<std::size_t>(shape[1]), width = static_cast<std::size_t>(shape[2]);
    const std::size_t rows = made.height(height), columns = made.width(width);
    std::uint8_t* to = output(
        api_, context, 0, {shape[0], static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), shape[3]});
    const auto count = static_cast<std::size_t>(shape[0]);
    const std::size_t bands = (rows + band - 1) / band;
    auto part = [&](std::size_t index) {
      const std::size_t image = index / bands, begin = index % bands * band;
      made.rows(from + image * height * width * channels, height, width, begin, std::min(rows, begin + band),
                to + (image * rows + begin) * columns * channels);
    };
    if (count > 0 && rows > 0 && columns > 0) parallel(api_, context, count * bands, part);
  }

 private:
  static DepthwiseSpec with_sign(DepthwiseSpec spec) {
    spec.is_signed = true;
    return spec;
  }

  const OrtApi& api_;
  Depthwise of_bytes_;
  Depthwise of_signed_;
};

}  // namespace

const OrtCustomOp* depthwise_operator(const OrtApi& api) {
  static const Operator<DepthwiseKernel> made(
      api, "DepthwiseU8",
      {any, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
       ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
       ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
      any, Output::of_its_own);
  return &made;
}

}  // namespace edgekit::ops
