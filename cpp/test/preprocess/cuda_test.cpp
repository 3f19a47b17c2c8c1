// The CUDA kernel's arithmetic, pixel by pixel on the processor, beside the processor's own path.
#include <gtest/gtest.h>

#include <cmath>

#include "preprocess/cuda/fused.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit {
namespace {

using namespace preprocessing;

struct Pair {
  Encoding encoding;
  FusedFrame fused;
};

std::vector<std::uint8_t> frame_of(std::size_t bytes) {
  std::vector<std::uint8_t> made(bytes);
  std::uint32_t state = 5;
  for (std::uint8_t& value : made) value = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  return made;
}

struct Tables {
  std::vector<std::int32_t> pixels;
  std::vector<std::int16_t> weights;
  Tables(std::int32_t source, std::int32_t made, bool row)
      : pixels(static_cast<std::size_t>(made) * 2), weights(pixels.size()) {
    EXPECT_EQ(edgekit_cuda_axis(source, made, row ? 1 : 0, pixels.data(), weights.data()), 0);
  }
};

constexpr float scale = 1.0F / 255;
constexpr float mean[3] = {0.485F, 0.456F, 0.406F};
constexpr float std_of[3] = {0.229F, 0.224F, 0.225F};

// How far the kernel's function is from the processor's path at most, in values of a pixel.
double apart(const Pair& pair, std::int32_t height, std::int32_t width, const char* mode, const char* color) {
  constexpr std::int32_t rows = 23;
  constexpr std::int32_t columns = 31;
  const TensorSpec spec{"image", {1, 3, rows, columns}, DType::float32};
  const nlohmann::json keys = {
      {"resize", {rows, columns}}, {"mode", mode}, {"color", color}, {"scale", scale}, {"mean", mean}, {"std", std_of}};
  auto preprocess = Preprocess::create({{"image", keys}}, {&spec, 1});
  EXPECT_TRUE(preprocess) << preprocess.error().message;
  const std::int64_t stride = std::int64_t{width} * 3 + 5;
  const auto data = frame_of(static_cast<std::size_t>(stride) * static_cast<std::size_t>(height) * 2);
  Source source{.name = "image", .image = {}, .array = {}};
  source.image = {.data = data.data(),
                  .bytes = data.size(),
                  .height = height,
                  .width = width,
                  .stride = stride,
                  .encoding = pair.encoding};
  const auto feeds = (*preprocess)({&source, 1});
  EXPECT_TRUE(feeds) << feeds.error().message;
  const auto wanted = (*feeds)[0].as<float>();

  FusedJob job;
  job.frame = data.data();
  job.stride = stride;
  job.height = height;
  job.width = width;
  job.encoding = pair.fused;
  job.rows = rows;
  job.columns = columns;
  std::copy(preprocess->geometry().content.begin(), preprocess->geometry().content.end(), job.content);
  job.backwards = std::string(color) == "bgr" ? 1 : 0;
  const Tables down(height, job.content[2], false);
  const Tables across(width, job.content[3], true);
  job.down_pixels = down.pixels.data();
  job.down_weights = down.weights.data();
  job.across_pixels = across.pixels.data();
  job.across_weights = across.weights.data();
  job.border = 114;
  double worst = 0;
  for (int plane = 0; plane < 3; ++plane) {
    job.factor[plane] = scale / std_of[plane];
    job.offset[plane] = -mean[plane] / std_of[plane];
  }
  for (std::int32_t y = 0; y < rows; ++y) {
    for (std::int32_t x = 0; x < columns; ++x) {
      float made[3];
      fused_pixel(job, y, x, made);
      for (std::size_t plane = 0; plane < 3; ++plane) {
        const auto at = (plane * rows + static_cast<std::size_t>(y)) * columns + static_cast<std::size_t>(x);
        worst = std::max(worst, std::abs(static_cast<double>(made[plane]) - wanted[at]) * std_of[plane] / scale);
      }
    }
  }
  return worst;
}

TEST(CudaPreprocess, ComputesWhatTheProcessorDoes) {
  constexpr double rounding = 1e-4;  // of float32, in values of a pixel
  for (const Pair& pair : {Pair{Encoding::bgr8, FusedFrame::bgr8}, Pair{Encoding::rgb8, FusedFrame::rgb8},
                           Pair{Encoding::nv12, FusedFrame::nv12}}) {
    for (const auto& [height, width] :
         {std::pair{46, 62}, std::pair{60, 44}, std::pair{12, 90}, std::pair{2, 2}, std::pair{90, 8}}) {
      for (const char* mode : {"stretch", "letterbox", "letterbox-topleft"}) {
        for (const char* color : {"rgb", "bgr"}) {
          EXPECT_LT(apart(pair, height, width, mode, color), rounding)
              << name_of(pair.encoding) << " " << height << "x" << width << " " << mode << " " << color;
        }
      }
    }
  }
}

}  // namespace
}  // namespace edgekit
