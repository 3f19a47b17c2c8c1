#include "backends/onnxruntime/session.hpp"

#include <algorithm>
#include <array>
#include <new>

#include "backends/processor.hpp"
#include "core/denormals.hpp"
#include "core/no_memory.hpp"
#include "operators.hpp"

namespace edgekit {
namespace {

struct Element {
  ONNXTensorElementDataType theirs;
  DType ours;
};

constexpr std::array<Element, 12> elements{{{ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, DType::float32},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, DType::float64},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, DType::float16},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, DType::int8},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, DType::uint8},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, DType::int16},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, DType::uint16},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, DType::int32},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, DType::uint32},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, DType::int64},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, DType::uint64},
                                            {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, DType::boolean}}};

DType ours(ONNXTensorElementDataType type, const std::string& tensor) {
  const auto* found =
      std::find_if(elements.begin(), elements.end(), [type](const Element& one) { return one.theirs == type; });
  if (found == elements.end()) {
    throw Ort::Exception("tensor '" + tensor + "' has an element type that is not supported", ORT_INVALID_GRAPH);
  }
  return found->ours;
}

ONNXTensorElementDataType theirs(DType dtype) {
  return std::find_if(elements.begin(), elements.end(), [dtype](const Element& one) { return one.ours == dtype; })
      ->theirs;
}

TensorSpec spec_of(const std::string& name, const Ort::TypeInfo& type) {
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) throw Ort::Exception("'" + name + "' is no tensor", ORT_INVALID_GRAPH);
  const auto info = type.GetTensorTypeAndShapeInfo();
  const std::vector<std::int64_t> sizes = info.GetShape();
  if (sizes.size() > Shape::most) {
    throw Ort::Exception("tensor '" + name + "' has more than 8 dimensions", ORT_INVALID_GRAPH);
  }
  return {name, Shape(sizes), ours(info.GetElementType(), name)};
}

// As edgekit's Python sets every session: engine and control differ in their file and in nothing else.
Ort::SessionOptions session_options(const EngineOptions& options) {
  Ort::SessionOptions made;
  made.SetIntraOpNumThreads(options.threads);
  made.SetInterOpNumThreads(1);
  made.SetLogSeverityLevel(3);
  made.DisableMemPattern();
  made.SetGraphOptimizationLevel(ORT_DISABLE_ALL);  // the engine file is the optimised graph
  made.AddConfigEntry("session.set_denormal_as_zero", "1");
  if (int8_products()) made.AddConfigEntry("session.x64quantprecision", "1");  // with VNNI it costs half of the speed
  made.AddConfigEntry("session.intra_op.allow_spinning", options.spinning ? "1" : "0");
  std::string affinities;  // the calling thread is the first worker; the runtime counts processors from 1
  for (std::size_t index = 1; index < options.pin.size(); ++index) {
    affinities += (affinities.empty() ? "" : ";") + std::to_string(options.pin[index] + 1);
  }
  if (!affinities.empty()) made.AddConfigEntry("session.intra_op_thread_affinities", affinities.c_str());
  // Engines may use edgekit's operators, which this library has in it.
  Ort::ThrowOnError(RegisterCustomOps(made, OrtGetApiBase()));
  if (options.provider == "cuda") made.AppendExecutionProvider_CUDA(OrtCUDAProviderOptions{});
  return made;
}

Ort::Value value_of(const Ort::MemoryInfo& memory, const void* data, std::size_t bytes, const Shape& shape,
                    DType dtype) {
  // The runtime does not write to inputs; its interface has no pointer to const.
  return Ort::Value::CreateTensor(memory, const_cast<void*>(data), bytes, shape.begin(), shape.rank(), theirs(dtype));
}

}  // namespace

Ort::Env& ort_environment() {
  static Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "edgekit");
  return environment;
}

OrtEngine::OrtEngine(const std::filesystem::path& file, const EngineOptions& options)
    : name_(file.filename().string()), memory_(Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault)) {
  {
    // The first session of a process changes the thread that opens it: this puts that back.
    const FlushedDenormals flushed;
    session_ = Ort::Session(ort_environment(), file.c_str(), session_options(options));
  }
  const Ort::AllocatorWithDefaultOptions allocator;
  for (std::size_t index = 0; index < session_.GetInputCount(); ++index) {
    const std::string name = session_.GetInputNameAllocated(index, allocator).get();
    inputs_.push_back(spec_of(name, session_.GetInputTypeInfo(index)));
  }
  for (std::size_t index = 0; index < session_.GetOutputCount(); ++index) {
    const std::string name = session_.GetOutputNameAllocated(index, allocator).get();
    outputs_.push_back(spec_of(name, session_.GetOutputTypeInfo(index)));
  }
  for (const TensorSpec& spec : inputs_) input_names_.push_back(spec.name.c_str());
  for (const TensorSpec& spec : outputs_) output_names_.push_back(spec.name.c_str());
  bound_.resize(inputs_.size());
  for (std::size_t index = 0; index < inputs_.size(); ++index) input_values_.emplace_back(nullptr);
  bind_outputs();
  description_ = "onnxruntime " + Ort::GetVersionString() + ", " + options.provider + ", " +
                 std::to_string(options.threads) + (options.threads == 1 ? " thread" : " threads");
}

void OrtEngine::bind_outputs() {
  buffers_.resize(outputs_.size());
  views_.resize(outputs_.size());
  for (std::size_t index = 0; index < outputs_.size(); ++index) {
    const TensorSpec& spec = outputs_[index];
    const bool passed =  // ONNX Runtime writes nothing to the bound buffer of an output that is itself an input
        std::any_of(inputs_.begin(), inputs_.end(), [&spec](const TensorSpec& one) { return one.name == spec.name; });
    if (spec.shape.elements() < 0 || passed) {
      output_values_.emplace_back(nullptr);  // the runtime makes it
      dynamic_ = true;
      continue;
    }
    if (!buffers_[index].resize(spec.shape, spec.dtype)) throw std::bad_alloc();
    views_[index] = buffers_[index].view();
    output_values_.push_back(value_of(memory_, views_[index].data, views_[index].bytes(), spec.shape, spec.dtype));
  }
}

void OrtEngine::bind(std::span<const TensorView> feeds) {
  for (std::size_t index = 0; index < feeds.size(); ++index) {
    const TensorView& feed = feeds[index];
    if (input_values_[index] && bound_[index].data == feed.data && bound_[index].shape == feed.shape) continue;
    input_values_[index] = value_of(memory_, feed.data, feed.bytes(), feed.shape, feed.dtype);
    bound_[index] = feed;
  }
}

void OrtEngine::read_dynamic_outputs() {
  for (std::size_t index = 0; index < outputs_.size(); ++index) {
    if (buffers_[index].data() != nullptr) continue;
    const auto info = output_values_[index].GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> sizes = info.GetShape();
    views_[index] = {output_values_[index].GetTensorRawData(), Shape(sizes), outputs_[index].dtype};
  }
}

Expected<std::span<const TensorView>> OrtEngine::infer_checked(std::span<const TensorView> feeds) noexcept {
  try {
    bind(feeds);
    for (std::size_t index = 0; dynamic_ && index < outputs_.size(); ++index) {
      if (buffers_[index].data() == nullptr) output_values_[index] = Ort::Value{nullptr};
    }
    const FlushedDenormals flushed;
    session_.Run(run_, input_names_.data(), input_values_.data(), input_values_.size(), output_names_.data(),
                 output_values_.data(), output_values_.size());
    if (dynamic_) read_dynamic_outputs();
    return std::span<const TensorView>(views_);
  } catch (const std::bad_alloc&) {
    return no_memory("no memory for a query");
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    // The runtime's arena reports what the system refuses as a failure of the node that asked.
    const bool memory = what.find("bad_alloc") != what.npos || what.find("Failed to allocate memory") != what.npos;
    return described(memory ? Code::out_of_memory : Code::engine,
                     [&] { return name_ + ": inference failed: " + error.what(); });
  }
}

}  // namespace edgekit
