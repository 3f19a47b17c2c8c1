#pragma once

#include <memory>
#include <mutex>

#include "arrays.hpp"
#include "edgekit/engine.hpp"

namespace edgekit::python {

/// An engine whose queries wait for one another, and whose outputs Python owns.
class NativeEngine {
 public:
  explicit NativeEngine(std::unique_ptr<Engine> engine);
  nb::dict infer(const nb::dict& feeds);
  const Engine& engine() const noexcept { return *engine_; }

 private:
  std::mutex mutex_;
  std::unique_ptr<Engine> engine_;
  Pool<Copies> pool_;
};

}  // namespace edgekit::python
