#include "preprocess/axis.hpp"

#include <algorithm>
#include <new>

#include "preprocess/cuda/fused.hpp"

extern "C" int edgekit_cuda_axis(std::int32_t source, std::int32_t made, std::int32_t along_row, std::int32_t* pixels,
                                 std::int16_t* weights) try {
  using namespace edgekit::preprocessing;
  const Along along = along_row != 0 ? Along::row : Along::column;
  const Taps taps = filter_taps({source, made, 0, made}, Interpolation::bilinear, along);
  std::copy(taps.index.begin(), taps.index.end(), pixels);
  std::copy(taps.fixed.begin(), taps.fixed.end(), weights);
  return 0;
} catch (const std::bad_alloc&) {
  return 1;
}
