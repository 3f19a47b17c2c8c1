// ConvU8: an integer convolution of a few planes, rounded, and a function of the result: the first layer of a network.
//
//   x            uint8 or int8, (N, planes, H, W)
//   weights      int8, (outputs, planes, kernel height, kernel width)
//   bias         int32, (outputs), in steps of input times weight
//   multipliers  float, (outputs): scale of input times weight over that of the output
//   table        uint8, (256): the byte of y for every rounded byte; or (1), not read: none
//   y            as x, (N, H', W', outputs): channels last
//   stride_h, stride_w, top, left, bottom, right, zero_in, zero_out
#include <array>
#include <cstring>
#include <string>

#include "conv.hpp"
#include "list.hpp"
#include "operator.hpp"

namespace edgekit::ops {
namespace {

template <typename Element>
std::vector<Element> values_of(const Constant& constant) {
  std::vector<Element> made(constant.bytes.size() / sizeof(Element));
  std::memcpy(made.data(), constant.bytes.data(), made.size() * sizeof(Element));
  return made;
}

std::size_t size_at(const Node& node, const char* name, std::int64_t least) {
  const std::int64_t value = node.integer(name);
  if (value < least) throw std::invalid_argument(std::string("ConvU8: ") + name + " is " + std::to_string(value));
  return static_cast<std::size_t>(value);
}

ConvSpec spec_of(const Node& node) {
  const Constant weights = node.constant(1), bias = node.constant(2), multipliers = node.constant(3);
  const Constant table = node.constant(4);
  if (weights.shape.size() != 4) throw std::invalid_argument("ConvU8: weights are not of rank 4");
  ConvSpec made;
  made.outputs = static_cast<std::size_t>(weights.shape[0]);
  made.planes = static_cast<std::size_t>(weights.shape[1]);
  made.kernel_h = static_cast<std::size_t>(weights.shape[2]);
  made.kernel_w = static_cast<std::size_t>(weights.shape[3]);
  made.stride_h = size_at(node, "stride_h", 1);
  made.stride_w = size_at(node, "stride_w", 1);
  made.top = size_at(node, "top", 0);
  made.left = size_at(node, "left", 0);
  made.bottom = size_at(node, "bottom", 0);
  made.right = size_at(node, "right", 0);
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

/// An integer attribute while shapes are inferred.
std::int64_t attribute(const OrtApi& api, OrtShapeInferContext* context, const char* name) {
  const OrtOpAttr* found = nullptr;
  std::int64_t value = 0;
  std::size_t size = 0;
  require(api.ShapeInferContext_GetAttribute(context, name, &found));
  require(api.ReadOpAttr(found, ORT_OP_ATTR_INT, &value, sizeof value, &size));
  return value;
}

std::vector<std::int64_t> shape_of(const OrtApi& api, OrtShapeInferContext* context, std::size_t input) {
  OrtTensorTypeAndShapeInfo* info = nullptr;  // owned by the context
  require(api.ShapeInferContext_GetInputTypeShape(context, input, &info));
  std::size_t rank = 0;
  require(api.GetDimensionsCount(info, &rank));
  std::vector<std::int64_t> shape(rank);
  require(api.GetDimensions(info, shape.data(), rank));
  return shape;
}

class ConvKernel {
 public:
  /// Batch, height and width that are not known stay so.
  static void infer(const OrtApi& api, OrtShapeInferContext* context) {
    const auto given = shape_of(api, context, 0), weights = shape_of(api, context, 1);
    if (given.size() != 4 || weights.size() != 4) throw std::invalid_argument("ConvU8: x or weights are not of rank 4");
    const auto size = [&](int axis, const char* before, const char* behind, const char* stride) -> std::int64_t {
      if (given[axis] < 0) return -1;
      const std::int64_t padded = given[axis] + attribute(api, context, before) + attribute(api, context, behind);
      const std::int64_t step = attribute(api, context, stride);
      if (step < 1) throw std::invalid_argument(std::string("ConvU8: ") + stride + " is " + std::to_string(step));
      return padded < weights[axis] ? 0 : (padded - weights[axis]) / step + 1;
    };
    const std::array<std::int64_t, 4> made{given[0], size(2, "top", "bottom", "stride_h"),
                                           size(3, "left", "right", "stride_w"), weights[0]};
    std::array<const char*, 4> names{"", "", "", ""};
    static constexpr std::array<const char*, 4> unknown{"edgekit_batch", "edgekit_height", "edgekit_width", ""};
    for (std::size_t axis = 0; axis < 4; ++axis) {
      if (made[axis] < 0) names[axis] = unknown[axis];
    }
    OrtTensorTypeAndShapeInfo* info = nullptr;
    require(api.CreateTensorTypeAndShapeInfo(&info));
    OrtTensorTypeAndShapeInfo* of_input = nullptr;
    ONNXTensorElementDataType type{};
    OrtStatus* status = api.ShapeInferContext_GetInputTypeShape(context, 0, &of_input);
    if (status == nullptr) status = api.GetTensorElementType(of_input, &type);
    if (status == nullptr) status = api.SetTensorElementType(info, type);
    if (status == nullptr) status = api.SetDimensions(info, made.data(), made.size());
    if (status == nullptr) status = api.SetSymbolicDimensions(info, names.data(), names.size());
    if (status == nullptr) status = api.ShapeInferContext_SetOutputTypeShape(context, 0, info);
    api.ReleaseTensorTypeAndShapeInfo(info);
    require(status);
  }

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
    auto part = [&](std::size_t index) {
      const std::uint8_t* image = from + index / rows * planes * height * width;
      conv.row(image, height, width, index % rows, to + index * columns * outputs);
    };
    if (columns > 0 && rows > 0 && count > 0) parallel(api_, context, count * rows, part);
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
