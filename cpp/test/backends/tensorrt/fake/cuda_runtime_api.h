// A stand-in for CUDA's runtime, so that the TensorRT backend is tested where there is none: the names that the backend
// uses, over memory of the host. Work on a stream is done at once, or recorded while the stream is captured.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

enum cudaError_t {
  cudaSuccess,
  cudaErrorMemoryAllocation,
  cudaErrorNoDevice,
  cudaErrorInsufficientDriver,
  cudaErrorUnknown
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
constexpr unsigned int cudaHostAllocDefault = 0;
constexpr unsigned int cudaStreamNonBlocking = 1;

struct CUstream_st {
  bool capturing = false;
  std::vector<std::function<void()>> recorded;
};
struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
using cudaStream_t = CUstream_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraph_st*;

struct cudaDeviceProp {
  char name[256] = {};
  int major = 0;
  int minor = 0;
};

namespace fake {

/// What the stand-in counts, and what it is told to refuse.
struct Cuda {
  bool device = true;
  int allocations = 0;       // of device and page-locked memory, ever
  int held = 0;              // memory, streams and graphs that nobody has given back
  int launches = 0;          // of graphs
  int fail_allocation = -1;  // the number of the allocation that fails
  bool fail_capture = false;
  bool fail_wait = false;
};
inline Cuda cuda;

inline void work(cudaStream_t stream, std::function<void()> what) {
  if (stream->capturing) {
    stream->recorded.push_back(std::move(what));
  } else {
    what();
  }
}

inline cudaError_t take(void** memory, std::size_t bytes) {
  if (cuda.allocations++ == cuda.fail_allocation) return cudaErrorMemoryAllocation;
  *memory = std::malloc(bytes);
  ++cuda.held;
  return cudaSuccess;
}

inline cudaError_t give_back(void* memory) {
  std::free(memory);
  --cuda.held;
  return cudaSuccess;
}

}  // namespace fake

inline const char* cudaGetErrorString(cudaError_t code) {
  return code == cudaErrorMemoryAllocation ? "out of memory"
         : code == cudaErrorNoDevice       ? "no device"
                                           : "unknown error";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return fake::take(memory, bytes); }
inline cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned int) { return fake::take(memory, bytes); }
inline cudaError_t cudaFree(void* memory) { return fake::give_back(memory); }
inline cudaError_t cudaFreeHost(void* memory) { return fake::give_back(memory); }

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  if (!fake::cuda.device) return cudaErrorNoDevice;
  *stream = new CUstream_st;
  ++fake::cuda.held;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  --fake::cuda.held;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return fake::cuda.fail_wait ? cudaErrorUnknown : cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  fake::work(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = true;
  stream->recorded.clear();
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->capturing = false;
  if (fake::cuda.fail_capture) return cudaErrorUnknown;
  *graph = new CUgraph_st{std::move(stream->recorded)};
  ++fake::cuda.held;
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --fake::cuda.held;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  *made = new CUgraph_st(*graph);
  ++fake::cuda.held;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return cudaGraphDestroy(graph); }
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  ++fake::cuda.launches;
  for (const std::function<void()>& one : graph->work) one();
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int) {
  if (!fake::cuda.device) return cudaErrorNoDevice;
  std::strcpy(found->name, "Orin");
  found->major = 8;
  found->minor = 7;
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = 12060;
  return cudaSuccess;
}
