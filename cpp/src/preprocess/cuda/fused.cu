// The kernel: a thread for each pixel of the tensor.
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "preprocess/cuda/fused.hpp"

namespace edgekit::preprocessing {
namespace {

constexpr int block_columns = 32;  // a warp writes one stretch of each plane
constexpr int block_rows = 8;

__global__ void fused(const FusedJob job) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x >= job.columns || y >= job.rows) return;
  float made[3];
  fused_pixel(job, y, x, made);
  const std::int64_t plane = static_cast<std::int64_t>(job.rows) * job.columns;
  const std::int64_t at = static_cast<std::int64_t>(y) * job.columns + x;
  for (int k = 0; k < 3; ++k) {
    if (job.dtype == FusedTensor::float16) {
      static_cast<__half*>(job.tensor)[k * plane + at] = __float2half_rn(made[k]);
    } else {
      static_cast<float*>(job.tensor)[k * plane + at] = made[k];
    }
  }
}

}  // namespace
}  // namespace edgekit::preprocessing

extern "C" int edgekit_cuda_preprocess(const edgekit::preprocessing::FusedJob* job, void* stream) {
  using namespace edgekit::preprocessing;
  const dim3 block(block_columns, block_rows);
  const dim3 grid((job->columns + block_columns - 1) / block_columns, (job->rows + block_rows - 1) / block_rows);
  fused<<<grid, block, 0, static_cast<cudaStream_t>(stream)>>>(*job);
  return static_cast<int>(cudaGetLastError());
}
