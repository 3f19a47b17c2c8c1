#include "convolutions.hpp"

namespace edgekit::ops {
namespace {

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

}  // namespace

void infer_convolution(const OrtApi& api, OrtShapeInferContext* context, std::array<std::size_t, 2> axes) {
  const auto given = shape_of(api, context, 0), weights = shape_of(api, context, 1);
  if (given.size() != 4 || weights.size() != 4) throw std::invalid_argument("x or weights are not of rank 4");
  const auto size = [&](std::size_t place, const char* before, const char* behind, const char* stride) -> std::int64_t {
    const std::size_t axis = axes[place];
    if (given[axis] < 0) return -1;
    const std::int64_t padded = given[axis] + attribute(api, context, before) + attribute(api, context, behind);
    const std::int64_t step = attribute(api, context, stride);
    if (step < 1) throw std::invalid_argument(std::string(stride) + " is " + std::to_string(step));
    return padded < weights[2 + place] ? 0 : (padded - weights[2 + place]) / step + 1;
  };
  const std::array<std::int64_t, 4> made{given[0], size(0, "top", "bottom", "stride_h"),
                                         size(1, "left", "right", "stride_w"), weights[0]};
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

}  // namespace edgekit::ops
