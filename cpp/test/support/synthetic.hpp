// A processor and an engine that do as they are told: take their time, fail, hang.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "edgekit/engine.hpp"
#include "edgekit/pipeline.hpp"

namespace edgekit::test {

/// What goes wrong in the next call; then all is well again.
enum class Fault : std::uint8_t {
  none,
  throws,         ///< an exception inside, which a backend has to turn into Code::engine
  out_of_memory,  ///< std::bad_alloc inside: Code::out_of_memory
  not_a_number,   ///< NaN in an output
  wrong_shape,    ///< an output has a row more than it is said to have
  hangs,          ///< until Gate::open()
};

/// Where calls wait that hang.
class Gate {
 public:
  /// Waits until open(); at once if it is open.
  void pass();
  void open();
  void close();
  /// Waits until somebody waits in pass().
  void wait_for_visitor();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int inside_ = 0;
};

/// Uses a processor for so long.
void spin(std::chrono::nanoseconds time) noexcept;

/// An image's first byte as the only value of a Tensors-free result: Values{"first"}.
class SyntheticProcessor final : public Processor {
 public:
  Status process(const Frame& frame, Result& result) noexcept override;
  Timing timing() const noexcept override { return timing_; }

  std::chrono::nanoseconds spins{0};
  std::atomic<Fault> fault{Fault::none};
  Gate gate;
  std::atomic<int> inside{0};       ///< calls that run
  std::atomic<int> most_inside{0};  ///< of which at once
  std::atomic<std::uint64_t> calls{0};

 private:
  void compute(const Frame& frame, Result& result);
  Timing timing_;
};

/// Zeros of the outputs' shapes (1 for a dynamic size), or what the fault says.
class SyntheticEngine final : public Engine {
 public:
  /// Code::out_of_memory.
  static Expected<std::unique_ptr<SyntheticEngine>> make(std::vector<TensorSpec> inputs,
                                                         std::vector<TensorSpec> outputs);

  std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }
  std::string describe() const override { return "synthetic, 1 thread"; }

  std::chrono::nanoseconds spins{0};
  std::atomic<Fault> fault{Fault::none};
  Gate gate;

 protected:
  Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept override;

 private:
  SyntheticEngine(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  Status fill(Fault what);

  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<Tensor> tensors_;
  std::vector<TensorView> views_;
};

}  // namespace edgekit::test
