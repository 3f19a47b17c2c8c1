// An ONNX Runtime session as an engine.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>
#include <string>
#include <vector>

#include "edgekit/engine.hpp"

namespace edgekit {

/// Bound once: a query of the same buffers as the last one allocates nothing but what the runtime itself does.
class OrtEngine final : public Engine {
 public:
  /// Throws Ort::Exception and std::bad_alloc: Backend::open translates them.
  OrtEngine(const std::filesystem::path& file, const EngineOptions& options);

  std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }
  std::string describe() const override { return description_; }

 protected:
  Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept override;

 private:
  void bind_outputs();
  void bind(std::span<const TensorView> feeds);
  void read_dynamic_outputs();

  std::string name_;  // of the file, for messages
  std::string description_;
  Ort::Session session_{nullptr};
  Ort::MemoryInfo memory_{nullptr};
  Ort::RunOptions run_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<const char*> input_names_;  // of inputs_ and outputs_, as the runtime takes them
  std::vector<const char*> output_names_;
  std::vector<TensorView> bound_;  // what input_values_ were made of
  std::vector<Ort::Value> input_values_;
  std::vector<Tensor> buffers_;  // of outputs whose shape is known; empty else
  std::vector<Ort::Value> output_values_;
  std::vector<TensorView> views_;
  bool dynamic_ = false;
};

/// The one environment of this process.
Ort::Env& ort_environment();

}  // namespace edgekit
