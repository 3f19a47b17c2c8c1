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

// BT.601 in video range, in 20 fractional bits.
inline constexpr int luma_factor = 1220542;
inline constexpr int red_of_v = 1673527;
inline constexpr int green_of_u = -409993;
inline constexpr int green_of_v = -852492;
inline constexpr int blue_of_u = 2116026;

// Grey of BT.601, in 15 fractional bits.
inline constexpr int grey_of_red = 9798;
inline constexpr int grey_of_green = 19235;
inline constexpr int grey_of_blue = 3735;

EDGEKIT_BOTH inline Rgb rgb_of_yuv(int y, int u, int v) {
  const int luma = (y > 16 ? y - 16 : 0) * luma_factor + (1 << 19);
  u -= 128;
  v -= 128;
  return {clipped((luma + red_of_v * v) >> 20), clipped((luma + green_of_v * v + green_of_u * u) >> 20),
          clipped((luma + blue_of_u * u) >> 20)};
}

EDGEKIT_BOTH inline void put(const Rgb& pixel, std::uint8_t* out) {
  out[0] = static_cast<std::uint8_t>(pixel.r);
  out[1] = static_cast<std::uint8_t>(pixel.g);
  out[2] = static_cast<std::uint8_t>(pixel.b);
}

}  // namespace edgekit::preprocessing
