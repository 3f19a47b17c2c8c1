// ConvU8: an integer convolution of a few planes, rounded, and a function of the result: the first layer of a network.
//
//   x            uint8 or int8, (N, planes, H, W)
//   weights      int8, (outputs, planes, kernel height, kernel width)
//   bias         int32, (outputs), in steps of input times weight
//   multipliers  float, (outputs): scale of input times weight over that of the output
//   table        uint8, (256): the byte of y for every rounded byte; or (1), not read: none
//   y            as x, (N, H', W', outputs): channels last
//   stride_h, stride_w, top, left, bottom, right, zero_in, zero_out
#include <algorithm>
#include <string>

#include "conv.hpp"
#include "convolutions.hpp"
#include "list.hpp"
#include "operator.hpp"

namespace edgekit::ops {
namespace {

ConvSpec spec_of(const Node& node) {
  const Constant weights = node.constant(1), bias = node.constant(2), multipliers = node.constant(3);
  const Constant table = node.constant(4);
  if (weights.shape.size() != 4) throw std::invalid_argument("ConvU8: weights are not of rank 4");
  ConvSpec made;
  made.outputs = static_cast<std::size_t>(weights.shape[0]);
  made.planes = static_cast<std::size_t>(weights.shape[1]);
  made.kernel_h = static_cast<std::size_t>(weights.shape[2]);
  made.kernel_w = static_cast<std::size_t>(weights.shape[3]);
  made.stride_h = attribute_of(node, "stride_h", 1);
  made.stride_w = attribute_of(node, "stride_w", 1);
  made.top = attribute_of(node, "top", 0);
  made.left = attribute_of(node, "left", 0);
  made.bottom = attribute_of(node, "bottom", 0);
  made.right = attribute_of(node, "right", 0);
  made.zero_in = static_cast<int>(node.integer("zero_in"));
  made.zero_out = static_cast<int>(node.integer("zero_out"));
  made.weights = values_of<std::int8_t>(weights);
  made.bias = values_of<std::int32_t>(bias);
  made.multipliers = values_of<float>(multipliers);
  if (table.bytes.size() == 256) made.table = table.bytes;
  if (made.bias.size() != made.outputs || made.multipliers.size() != made.outputs) {
    throw std::invalid_argument("ConvU8: bias and multipliers are not one for each output");
  }
  return made;
}

class ConvKernel {
 public:
  static void infer(const OrtApi& api, OrtShapeInferContext* context) { infer_convolution(api, context, {2, 3}); }

  ConvKernel(const OrtApi& api, const Node& node)
      : api_(api), of_bytes_(spec_of(node), chosen()), of_signed_(with_sign(of_bytes_.spec()), chosen()) {}

  const OrtApi& api() const { return api_; }

  void compute(OrtKernelContext* context) const {
    View view;
    const std::uint8_t* from = input(api_, context, 0, view);
    const Conv& conv = view.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ? of_signed_ : of_bytes_;
    const auto& shape = view.shape;
    if (size_of(view.type) != 1 || shape.size() != 4 || static_cast<std::size_t>(shape[1]) != conv.spec().planes) {
      throw std::invalid_argument("ConvU8: x is no image of " + std::to_string(conv.spec().planes) +
                                  " planes of bytes");
    }
    const auto count = static_cast<std::size_t>(shape[0]), planes = conv.spec().planes;
    const auto height = static_cast<std::size_t>(shape[2]), width = static_cast<std::size_t>(shape[3]);
    const std::size_t rows = conv.height(height), columns = conv.width(width), outputs = conv.spec().outputs;
    std::uint8_t* to = output(api_, context, 0,
                              {shape[0], static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns),
                               static_cast<std::int64_t>(outputs)});
    const std::size_t bands = (rows + band - 1) / band;
    auto part = [&](std::size_t index) {
      const std::size_t picture = index / bands, begin = index % bands * band;
      conv.rows(from + picture * planes * height * width, height, width, begin, std::min(rows, begin + band),
                to + (picture * rows + begin) * columns * outputs);
    };
    if (columns > 0 && rows > 0 && count > 0) parallel(api_, context, count * bands, part);
  }

 private:
  static ConvSpec with_sign(ConvSpec spec) {
    spec.is_signed = true;
    return spec;
  }

  const OrtApi& api_;
  Conv of_bytes_;
  Conv of_signed_;
};

}  // namespace

const OrtCustomOp* conv_operator(const OrtApi& api) {
  static const Operator<ConvKernel> made(api, "ConvU8",
                                         {any, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
                                         any, Output::of_its_own);
  return &made;
}

}  // namespace edgekit::ops
