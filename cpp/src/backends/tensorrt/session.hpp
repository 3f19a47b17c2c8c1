// A deserialised engine with its context, memory and stream, and a CUDA graph when every shape is fixed.
#pragma once

#include <NvInferRuntime.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/tensorrt/facts.hpp"
#include "backends/tensorrt/places.hpp"
#include "edgekit/engine.hpp"

namespace edgekit::tensorrt {

/// One execution context; for one thread at a time.
class Session final : public Engine {
 public:
  /// `name` is that of the engine file, for messages; `plan` its content, which fits this machine.
  static Expected<std::unique_ptr<Engine>> open(std::string name, std::string_view plan, const Facts& facts,
                                                const Machine& here, bool cuda_graph);

  std::span<const TensorSpec> inputs() const noexcept override { return input_specs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return output_specs_; }
  std::string describe() const override;

 private:
  explicit Session(std::string name) : name_(std::move(name)) {}

  Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept override;

  Status load(std::string_view plan, const Facts& facts);
  Status list_tensors();
  Expected<TensorSpec> spec_of(const char* name) const;
  /// Memory for the largest shapes of every profile, so that none is taken while frames come.
  Status take_memory();
  Expected<int> profile_of(std::span<const TensorView> feeds) const;
  /// Chooses the profile, tells TensorRT the shapes of the inputs and where everything lies.
  Status set_shapes(int profile, std::span<const Shape> shapes);
  /// Records copies and work as one graph, after a run without, which TensorRT asks for.
  Status capture();
  Status queue();
  Status run();
  Error failed(Code code, const std::string& what) const;

  std::string name_;
  std::string about_;
  bool static_ = true;
  // Destroyed from the last to the first: TensorRT's objects before what made them.
  Stream stream_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::vector<Place> input_places_;
  std::vector<Place> output_places_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  Graph graph_;

  std::vector<TensorSpec> input_specs_;
  std::vector<TensorSpec> output_specs_;
  std::vector<Shape> shapes_;  // of the inputs, as TensorRT was told last
  std::vector<TensorView> views_;
};

}  // namespace edgekit::tensorrt
