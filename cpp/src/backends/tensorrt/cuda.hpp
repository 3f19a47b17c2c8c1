// The CUDA calls of the TensorRT backend, with owners: device and page-locked memory, a stream, a graph.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include "edgekit/status.hpp"

namespace edgekit::tensorrt {

/// `what` and CUDA's own reason; out of memory keeps its code. All is well: no error.
Status checked(cudaError_t code, const std::string& what);

struct FreeDevice {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
struct FreeStream {
  void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
};
struct FreeGraph {
  void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
};

using DeviceMemory = std::unique_ptr<void, FreeDevice>;
using PinnedMemory = std::unique_ptr<void, FreePinned>;
using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, FreeStream>;
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, FreeGraph>;

/// Memory of the first device.
Expected<DeviceMemory> device_memory(std::size_t bytes);
/// Page-locked memory of the host, zero.
Expected<PinnedMemory> pinned_memory(std::size_t bytes);
/// A stream that does not wait for the default stream.
Expected<Stream> open_stream();

/// The first GPU and its driver; empty texts where there is none.
struct Device {
  std::string name;
  std::string compute_capability;
  std::string cuda;
};
Device first_device();

}  // namespace edgekit::tensorrt
