// Frame in, typed result out: preprocess, engine, postprocess.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "edgekit/bundle.hpp"
#include "edgekit/frame.hpp"
#include "edgekit/result.hpp"
#include "edgekit/status.hpp"

namespace edgekit {

/// How long each stage of a frame took.
struct Timing {
  std::chrono::nanoseconds preprocess{};   ///< frame to the network's inputs
  std::chrono::nanoseconds engine{};       ///< inputs to outputs
  std::chrono::nanoseconds postprocess{};  ///< outputs to the result
  /// The three together.
  std::chrono::nanoseconds total() const noexcept { return preprocess + engine + postprocess; }
};

/// What turns a frame into a result. A pipeline of a bundle is one; the scheduler takes any.
class Processor {
 public:
  virtual ~Processor() = default;
  /// One thread at a time. `result` is filled again without an allocation; after an error it means nothing.
  virtual Status process(const Frame& frame, Result& result) noexcept = 0;
  /// Of the last frame.
  virtual Timing timing() const noexcept = 0;
};

/// The pipeline of a bundle, configured once.
class Pipeline final : public Processor {
 public:
  /// Opens the bundle and loads an engine of it.
  static Expected<Pipeline> open(const std::filesystem::path& bundle, const BundleOptions& options = {});
  /// Of a bundle that is open; it may go before the pipeline does. `role`: "candidate" or "control".
  static Expected<Pipeline> of(const Bundle& bundle, std::string_view role = "candidate");
  /// With another engine than the bundle's; its inputs and outputs have to be those of the bundle.
  static Expected<Pipeline> with(const Bundle& bundle, std::unique_ptr<Engine> engine);

  Pipeline(Pipeline&&) noexcept;
  Pipeline& operator=(Pipeline&&) noexcept;
  ~Pipeline() override;

  Status process(const Frame& frame, Result& result) noexcept override;
  /// Of a network that takes several images, or arrays.
  Status process(std::span<const Source> sources, Result& result) noexcept;
  Timing timing() const noexcept override;

  /// The engine's outputs of the last frame; valid until the next.
  std::span<const TensorView> outputs() const noexcept;
  /// Where the last frame's image went in the network's input.
  const Geometry& geometry() const noexcept;
  /// The engine: backend, runtime version, provider, threads.
  std::string describe() const;

 private:
  struct State;
  explicit Pipeline(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace edgekit
