// A model that is ready to run; one backend a folder in src/backends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// How a target wants its engine to run: the keys of `engine` in bundle.json that every backend knows.
struct EngineOptions {
  std::int32_t threads = 1;       ///< of one query
  bool spinning = false;          ///< whether threads wait busily
  std::vector<std::int32_t> pin;  ///< processors of the threads; empty: anywhere
  std::string provider = "cpu";   ///< of ONNX Runtime
  bool cuda_graph = true;         ///< TensorRT: replay the launches as one CUDA graph when all shapes are fixed
};

/// A loaded engine. One thread at a time may call infer(); different engines run side by side.
class Engine {
 public:
  virtual ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// In the model's order.
  virtual std::span<const TensorSpec> inputs() const noexcept = 0;
  /// In the model's order.
  virtual std::span<const TensorSpec> outputs() const noexcept = 0;

  /// Computes one query.
  ///
  /// @param feeds in the order of inputs(), with their shapes and dtypes.
  /// @return views in the order of outputs(); valid until the next call or the engine's end.
  ///         Code::tensor: a feed does not fit; Code::engine: the runtime failed; Code::out_of_memory.
  Expected<std::span<const TensorView>> infer(std::span<const TensorView> feeds);

  /// Backend, runtime version, provider and threads, for reports: "onnxruntime 1.31.1, cpu, 1 thread".
  virtual std::string describe() const = 0;

 protected:
  Engine() = default;
  /// As infer(), with feeds that fit. Must not throw.
  virtual Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept = 0;
};

/// One kind of engine, such as "ort" or "trt"; the name is that of `engine.engine` in bundle.json.
struct Backend {
  std::string_view name;  ///< "ort"
  /// Loads an engine file. Code::bundle: the runtime refuses it; missing_requirement: it cannot run here.
  Expected<std::unique_ptr<Engine>> (*open)(const std::filesystem::path& file, const EngineOptions& options);
  /// What an engine file depends on, as a JSON object: an engine runs here if `device` of its bundle's manifest is
  /// this. Code::missing_requirement: the runtime is not here.
  Expected<std::string> (*fingerprint)(const EngineOptions& options);
  /// Whether an engine whose fingerprint has `built` under `key` may run where it is `here` (both JSON, "null" where
  /// the key is missing); a null pointer: when they are equal.
  bool (*same_fact)(std::string_view key, std::string_view built, std::string_view here) = nullptr;
};

/// The backends of this build, in the order of their names.
std::span<const Backend> backends() noexcept;
/// The backend of that name; Code::unsupported names those of this build.
Expected<const Backend*> backend(std::string_view name);

}  // namespace edgekit
