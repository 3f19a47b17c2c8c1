// A frame on the device to a network's input there, in one pass: bilinear as OpenCV's, normalised, by planes.
//
// fused_pixel() is what the kernel computes; the processor's tests call the same function.
#pragma once

#include <cstdint>

#include "preprocess/fixed_point.hpp"

namespace edgekit::preprocessing {

enum class FusedFrame : std::int32_t { bgr8 = 0, rgb8 = 1, nv12 = 2 };
enum class FusedTensor : std::int32_t { float32 = 0, float16 = 1 };

/// All that one frame needs. Pointers are the device's; tables are of edgekit_cuda_axis().
struct FusedJob {
  const std::uint8_t* frame = nullptr;
  std::int64_t stride = 0;  ///< bytes from one row to the next
  std::int32_t height = 0;
  std::int32_t width = 0;
  FusedFrame encoding = FusedFrame::bgr8;

  void* tensor = nullptr;  ///< 3 planes of rows x columns
  FusedTensor dtype = FusedTensor::float32;
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  std::int32_t content[4] = {};  ///< top, left, height, width of the part that the image fills
  std::int32_t backwards = 0;    ///< 1: planes are B, G, R

  const std::int32_t* down_pixels = nullptr;    ///< two for each of the content's rows
  const std::int16_t* down_weights = nullptr;   ///< two for each of the content's rows
  const std::int32_t* across_pixels = nullptr;  ///< two for each of its columns
  const std::int16_t* across_weights = nullptr;

  float factor[3] = {};  ///< of each plane
  float offset[3] = {};
  float border = 0;  ///< before factor and offset
};

EDGEKIT_BOTH inline Rgb frame_pixel(const FusedJob& job, std::int32_t y, std::int32_t x) {
  const std::uint8_t* row = job.frame + y * job.stride;
  if (job.encoding == FusedFrame::nv12) {
    const std::uint8_t* chroma = job.frame + (job.height + y / 2) * job.stride + x / 2 * 2;
    return rgb_of_yuv(row[x], chroma[0], chroma[1]);
  }
  const std::uint8_t* at = row + std::int64_t{x} * 3;
  return job.encoding == FusedFrame::rgb8 ? Rgb{at[0], at[1], at[2]} : Rgb{at[2], at[1], at[0]};
}

EDGEKIT_BOTH inline float fused_value(const FusedJob& job, int plane, float value) {
  return value * job.factor[plane] + job.offset[plane];
}

/// The three planes' values at row `y`, column `x` of the tensor.
EDGEKIT_BOTH inline void fused_pixel(const FusedJob& job, std::int32_t y, std::int32_t x, float* out) {
  y -= job.content[0];
  x -= job.content[1];
  if (y < 0 || x < 0 || y >= job.content[2] || x >= job.content[3]) {
    for (int plane = 0; plane < 3; ++plane) out[plane] = fused_value(job, plane, job.border);
    return;
  }
  Rgb sums[2];
  for (int line = 0; line < 2; ++line) {
    const std::int32_t row = job.down_pixels[2 * y + line];
    const Rgb left = frame_pixel(job, row, job.across_pixels[2 * x]);
    const Rgb right = frame_pixel(job, row, job.across_pixels[2 * x + 1]);
    const int first = job.across_weights[2 * x];
    const int second = job.across_weights[2 * x + 1];
    sums[line] = {across(left.r, right.r, first, second), across(left.g, right.g, first, second),
                  across(left.b, right.b, first, second)};
  }
  const int upper = job.down_weights[2 * y];
  const int lower = job.down_weights[2 * y + 1];
  const Rgb made{down(sums[0].r, sums[1].r, upper, lower), down(sums[0].g, sums[1].g, upper, lower),
                 down(sums[0].b, sums[1].b, upper, lower)};
  out[0] = fused_value(job, 0, static_cast<float>(job.backwards != 0 ? made.b : made.r));
  out[1] = fused_value(job, 1, static_cast<float>(made.g));
  out[2] = fused_value(job, 2, static_cast<float>(job.backwards != 0 ? made.r : made.b));
}

}  // namespace edgekit::preprocessing

/// Fills the tables of one axis in the host's memory, two entries for each of `made` results. `along_row` is 1 for the
/// columns of a row. Returns 0, or 1 without memory.
extern "C" int edgekit_cuda_axis(std::int32_t source, std::int32_t made, std::int32_t along_row, std::int32_t* pixels,
                                 std::int16_t* weights);

/// Queues one frame on a stream (a cudaStream_t); returns the cudaError_t of the launch.
extern "C" int edgekit_cuda_preprocess(const edgekit::preprocessing::FusedJob* job, void* stream);
