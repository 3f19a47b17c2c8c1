// A class as an operator of ONNX Runtime.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "kernel.hpp"

namespace edgekit::ops {

/// Of a tensor that may be of several types; all such inputs and outputs of an operator have the same.
inline constexpr ONNXTensorElementDataType any = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;

/// Whether the output has the shape of the first input, whose memory it then takes where nobody else reads that; else
/// ``Kernel::infer(api, context)`` says its shape.
enum class Output { of_its_own, like_the_input };

/// ``Kernel`` has a constructor (api, node), compute(context) const and api(); what they throw becomes a status.
template <typename Kernel>
class Operator : public OrtCustomOp {
 public:
  Operator(const OrtApi& api, const char* name, std::vector<ONNXTensorElementDataType> inputs,
           ONNXTensorElementDataType made, Output output)
      : OrtCustomOp{}, api_(api), name_(name), inputs_(std::move(inputs)), made_(made) {
    version = ORT_API_VERSION;
    GetName = [](const OrtCustomOp* op) { return self(op).name_; };
    GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
    GetInputType = [](const OrtCustomOp* op, std::size_t index) { return self(op).inputs_[index]; };
    GetInputTypeCount = [](const OrtCustomOp* op) { return self(op).inputs_.size(); };
    GetOutputType = [](const OrtCustomOp* op, std::size_t) { return self(op).made_; };
    GetOutputTypeCount = [](const OrtCustomOp*) -> std::size_t { return 1; };
    GetInputCharacteristic = [](const OrtCustomOp*, std::size_t) { return INPUT_OUTPUT_REQUIRED; };
    GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t) { return INPUT_OUTPUT_REQUIRED; };
    GetInputMemoryType = [](const OrtCustomOp*, std::size_t) { return OrtMemTypeDefault; };
    CreateKernelV2 = [](const OrtCustomOp*, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
      return guarded(*api, [&] { *kernel = std::make_unique<Kernel>(*api, Node(*api, info)).release(); });
    };
    KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
      const auto& found = *static_cast<const Kernel*>(kernel);
      return guarded(found.api(), [&] { found.compute(context); });
    };
    KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    if (output == Output::like_the_input) {
      take_the_shape_of_the_input();
    } else if constexpr (requires { &Kernel::infer; }) {
      InferOutputShapeFn = [](const OrtCustomOp* op, OrtShapeInferContext* context) {
        return guarded(self(op).api_, [&] { Kernel::infer(self(op).api_, context); });
      };
    }
  }

 private:
  static const Operator& self(const OrtCustomOp* op) { return *static_cast<const Operator*>(op); }

  void take_the_shape_of_the_input() {
    InferOutputShapeFn = [](const OrtCustomOp* op, OrtShapeInferContext* context) {
      const OrtApi& api = self(op).api_;
      OrtTensorTypeAndShapeInfo* info = nullptr;  // owned by the context
      OrtStatus* status = api.ShapeInferContext_GetInputTypeShape(context, 0, &info);
      return status != nullptr ? status : api.ShapeInferContext_SetOutputTypeShape(context, 0, info);
    };
    GetMayInplace = [](int** inputs, int** outputs) -> std::size_t {
      *inputs = new int[1]{0};
      *outputs = new int[1]{0};
      return 1;
    };
    ReleaseMayInplace = [](int* inputs, int* outputs) {
      delete[] inputs;
      delete[] outputs;
    };
  }

  const OrtApi& api_;
  const char* name_;
  std::vector<ONNXTensorElementDataType> inputs_;
  ONNXTensorElementDataType made_;
};

}  // namespace edgekit::ops
