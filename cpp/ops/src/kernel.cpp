#include "kernel.hpp"

#include <cstring>
#include <functional>
#include <numeric>

namespace edgekit::ops {
namespace {

/// Shape and type of a tensor, into ``view``.
void describe(const OrtApi& api, const OrtValue* value, View& view) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  require(api.GetTensorTypeAndShape(value, &info));
  std::size_t rank = 0;
  OrtStatus* status = api.GetTensorElementType(info, &view.type);
  if (status == nullptr) status = api.GetDimensionsCount(info, &rank);
  if (status == nullptr) {
    view.shape.resize(rank);
    status = api.GetDimensions(info, view.shape.data(), rank);
  }
  api.ReleaseTensorTypeAndShapeInfo(info);
  require(status);
  view.elements = static_cast<std::size_t>(
      std::accumulate(view.shape.begin(), view.shape.end(), std::int64_t{1}, std::multiplies<>()));
}

}  // namespace

std::size_t size_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return 4;
    default:
      return 0;
  }
}

std::int64_t Node::integer(const char* name) const {
  std::int64_t value = 0;
  require(api_.KernelInfoGetAttribute_int64(info_, name, &value));
  return value;
}

float Node::number(const char* name) const {
  float value = 0.0F;
  require(api_.KernelInfoGetAttribute_float(info_, name, &value));
  return value;
}

Constant Node::constant(std::size_t index) const {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  require(api_.KernelInfoGetConstantInput_tensor(info_, index, &is_constant, &value));
  if (is_constant == 0 || value == nullptr) {
    throw std::invalid_argument("input " + std::to_string(index) + " is no constant");
  }
  View view;
  describe(api_, value, view);
  const std::size_t size = size_of(view.type) * view.elements;
  if (size == 0) throw std::invalid_argument("input " + std::to_string(index) + " has a type that is not supported");
  void* data = nullptr;
  require(api_.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  Constant found{view.type, view.shape, Aligned<std::uint8_t>(size)};
  std::memcpy(found.bytes.data(), data, size);
  return found;
}

const std::uint8_t* input(const OrtApi& api, OrtKernelContext* context, std::size_t index, View& view) {
  const OrtValue* value = nullptr;
  require(api.KernelContext_GetInput(context, index, &value));
  describe(api, value, view);
  void* data = nullptr;
  require(api.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  return static_cast<const std::uint8_t*>(data);
}

std::uint8_t* output(const OrtApi& api, OrtKernelContext* context, std::size_t index,
                     const std::vector<std::int64_t>& shape) {
  OrtValue* value = nullptr;
  require(api.KernelContext_GetOutput(context, index, shape.data(), shape.size(), &value));
  void* data = nullptr;
  require(api.GetTensorMutableData(value, &data));
  return static_cast<std::uint8_t*>(data);
}

}  // namespace edgekit::ops
