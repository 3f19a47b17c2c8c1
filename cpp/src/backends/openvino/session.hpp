// A compiled model of OpenVINO as an engine.
#pragma once

#include <openvino/runtime/core.hpp>
#include <optional>
#include <string>
#include <vector>

#include "backends/openvino/enginefile.hpp"
#include "edgekit/engine.hpp"

namespace edgekit::openvino {

/// The one core of this process.
ov::Core& core();

/// Of OpenVINO, with its build: another build may make other kernels.
std::string version();

/// What an error of OpenVINO says, in one line, without the lines that name places in its own source.
std::string said(std::string_view message);

/// One infer request that reads the caller's memory and writes into the engine's own. A query of the same buffers as
/// the last one allocates nothing but what the runtime itself does.
class OvEngine final : public Engine {
 public:
  /// Throws ov::Exception and std::bad_alloc: Backend::open translates them.
  OvEngine(std::string name, EngineFile file, const EngineOptions& options);

  std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }
  std::string describe() const override { return description_; }

 protected:
  Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept override;

 private:
  /// Where an output comes from.
  struct Output {
    std::optional<ov::Output<const ov::Node>> port;  // none: it is an input under the same name
    std::size_t input = 0;                           // that input
    Tensor buffer;                                   // empty where the shape is known only after a query
  };

  void compile(const EngineFile& file, const EngineOptions& options);
  void bind_outputs();
  void bind(std::span<const TensorView> feeds);
  void collect(std::span<const TensorView> feeds);

  std::string name_;  // of the file, for messages
  std::string description_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  ov::CompiledModel model_;
  ov::InferRequest request_;
  std::vector<ov::Output<const ov::Node>> input_ports_;
  std::vector<TensorView> bound_;  // what the request reads
  std::vector<Output> sources_;    // of outputs_
  std::vector<TensorView> views_;
  std::vector<std::int32_t> pin_;
  bool started_ = false;  // the first query starts the runtime's threads
};

}  // namespace edgekit::openvino
