#include "backends/tensorrt/cuda.hpp"

#include <algorithm>
#include <cstring>

namespace edgekit::tensorrt {
namespace {

std::string mib(std::size_t bytes) { return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB"; }

}  // namespace

Status checked(cudaError_t code, const std::string& what) {
  if (code == cudaSuccess) return {};
  cudaGetLastError();  // else the next call that succeeds reports this failure again
  const std::string message = what + ": CUDA says: " + cudaGetErrorString(code);
  if (code == cudaErrorMemoryAllocation) return Error{Code::out_of_memory, message};
  if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver) {
    return Error{Code::missing_requirement,
                 message + "; install NVIDIA's driver (on Jetson: JetPack; elsewhere https://www.nvidia.com/drivers)"};
  }
  return Error{Code::engine, message};
}

Expected<DeviceMemory> device_memory(std::size_t bytes) {
  void* taken = nullptr;
  const cudaError_t code = cudaMalloc(&taken, std::max<std::size_t>(bytes, 1));
  if (Status status = checked(code, "cannot take " + mib(bytes) + " of device memory"); !status) return status.error();
  return DeviceMemory(taken);
}

Expected<PinnedMemory> pinned_memory(std::size_t bytes) {
  void* taken = nullptr;
  const cudaError_t code = cudaHostAlloc(&taken, std::max<std::size_t>(bytes, 1), cudaHostAllocDefault);
  if (Status status = checked(code, "cannot take " + mib(bytes) + " of page-locked memory"); !status) {
    return status.error();
  }
  PinnedMemory memory(taken);
  std::memset(taken, 0, std::max<std::size_t>(bytes, 1));
  return memory;
}

Expected<Stream> open_stream() {
  cudaStream_t opened = nullptr;
  const cudaError_t code = cudaStreamCreateWithFlags(&opened, cudaStreamNonBlocking);
  if (Status status = checked(code, "cannot open a stream"); !status) return status.error();
  return Stream(opened);
}

Device first_device() {
  cudaDeviceProp found{};
  if (cudaGetDeviceProperties(&found, 0) != cudaSuccess) {
    cudaGetLastError();
    return {};
  }
  int version = 0;
  cudaDriverGetVersion(&version);
  return {.name = found.name,
          .compute_capability = std::to_string(found.major) + "." + std::to_string(found.minor),
          .cuda = std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10)};
}

}  // namespace edgekit::tensorrt
