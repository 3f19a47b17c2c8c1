// Memory of an engine's inputs and outputs, page-locked on the host and on the device, taken once.
#pragma once

#include <span>
#include <vector>

#include "backends/tensorrt/cuda.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit::tensorrt {

/// Where one tensor lies.
class Place {
 public:
  /// `on_host`: TensorRT reads or writes it in host memory.
  Place(TensorSpec spec, bool on_host) : spec_(std::move(spec)), on_host_(on_host) {}

  /// Room for `shape`; takes memory only when it has less than that.
  Status take(const Shape& shape);
  /// Copies a feed of the shape that was taken last into page-locked memory.
  void fill(const TensorView& feed) noexcept;
  Status copy_in(cudaStream_t stream) const;
  Status copy_out(cudaStream_t stream) const;

  const TensorSpec& spec() const noexcept { return spec_; }
  /// The page-locked content.
  TensorView view() const noexcept { return {host_.get(), shape_, spec_.dtype}; }
  /// What TensorRT is given.
  void* address() const noexcept { return on_host_ ? host_.get() : device_.get(); }

 private:
  TensorSpec spec_;
  bool on_host_;
  Shape shape_{0};
  std::size_t room_ = 0;
  PinnedMemory host_;
  DeviceMemory device_;
};

}  // namespace edgekit::tensorrt
