// The arithmetic of one pixel, shared by the processor's path and the CUDA kernel: OpenCV's bilinear interpolation of
// uint8 in 11 fractional bits, and its BT.601.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define EDGEKIT_BOTH __host__ __device__
#else
#define EDGEKIT_BOTH
#endif

namespace edgekit::preprocessing {

inline constexpr int weight_one = 2048;

/// Two neighbours of a row; the four lowest bits are dropped so that the sum fits in 16 bits.
EDGEKIT_BOTH inline int across(int left, int right, int left_weight, int right_weight) {
  return (left * left_weight + right * right_weight) >> 4;
}

/// Two sums of across(), one row above the other.
EDGEKIT_BOTH inline int down(int upper, int lower, int upper_weight, int lower_weight) {
  return (((upper * upper_weight) >> 16) + ((lower * lower_weight) >> 16) + 2) >> 2;
}

struct Rgb {
  int r, g, b;
};

EDGEKIT_BOTH inline int clipped(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

/// BT.601 in video range, in 20 fractional bits.
EDGEKIT_BOTH inline Rgb rgb_of_yuv(int y, int u, int v) {
  const int luma = (y > 16 ? y - 16 : 0) * 1220542 + (1 << 19);
  u -= 128;
  v -= 128;
  return {clipped((luma + 1673527 * v) >> 20), clipped((luma - 852492 * v - 409993 * u) >> 20),
          clipped((luma + 2116026 * u) >> 20)};
}

}  // namespace edgekit::preprocessing
