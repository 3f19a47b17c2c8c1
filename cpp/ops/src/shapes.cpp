#include "shapes.hpp"

namespace edgekit::ops {
namespace {

template <typename Value>
Value attribute(const OrtApi& api, OrtShapeInferContext* context, const char* name, OrtOpAttrType type) {
  const OrtOpAttr* found = nullptr;
  Value value{};
  std::size_t size = 0;
  require(api.ShapeInferContext_GetAttribute(context, name, &found));
  require(api.ReadOpAttr(found, type, &value, sizeof value, &size));
  return value;
}

}  // namespace

std::int64_t integer_of(const OrtApi& api, OrtShapeInferContext* context, const char* name) {
  return attribute<std::int64_t>(api, context, name, ORT_OP_ATTR_INT);
}

float number_of(const OrtApi& api, OrtShapeInferContext* context, const char* name) {
  return attribute<float>(api, context, name, ORT_OP_ATTR_FLOAT);
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

void set_shape(const OrtApi& api, OrtShapeInferContext* context, const std::vector<std::int64_t>& shape,
               const std::vector<const char*>& names, bool is_float) {
  std::vector<const char*> unknown(shape.size(), "");
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] < 0) unknown[axis] = names[axis];
  }
  OrtTensorTypeAndShapeInfo *info = nullptr, *of_input = nullptr;
  require(api.CreateTensorTypeAndShapeInfo(&info));
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  OrtStatus* status = nullptr;
  if (!is_float) status = api.ShapeInferContext_GetInputTypeShape(context, 0, &of_input);
  if (!is_float && status == nullptr) status = api.GetTensorElementType(of_input, &type);
  if (status == nullptr) status = api.SetTensorElementType(info, type);
  if (status == nullptr) status = api.SetDimensions(info, shape.data(), shape.size());
  if (status == nullptr) status = api.SetSymbolicDimensions(info, unknown.data(), unknown.size());
  if (status == nullptr) status = api.ShapeInferContext_SetOutputTypeShape(context, 0, info);
  api.ReleaseTensorTypeAndShapeInfo(info);
  require(status);
}

}  // namespace edgekit::ops
