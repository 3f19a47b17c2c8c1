// Decoding of outputs in the shapes of known models; benchmarks/cpp_postprocess.py runs it beside Python's.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "postprocess/decoder.hpp"

namespace {

using namespace edgekit;
using nlohmann::json;

json names(int count) {
  json made = json::array();
  for (int i = 0; i < count; ++i) made.push_back("c" + std::to_string(i));
  return made;
}

json segmentation(int classes) { return {{"kind", "segmentation"}, {"output", "y"}, {"classes", names(classes)}}; }

json detection(const char* family) {
  return {{"kind", "detection"}, {"output", "y"}, {"classes", names(80)}, {"family", family}};
}

/// From 0 to 1; the same as in benchmarks/cpp_postprocess.py.
std::vector<float> noise(std::size_t count) {
  std::vector<float> made(count);
  std::uint32_t state = 1;
  for (float& value : made) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8U) / 16777216.0F;
  }
  return made;
}

/// Smooth as a network's scores are: waves of another length for each class, the same scene at any size.
std::vector<float> waves(std::int64_t classes, std::int64_t height, std::int64_t width) {
  std::vector<float> made;
  for (std::int64_t id = 0; id < classes; ++id) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const double length = (20 + 3 * static_cast<double>(id)) * static_cast<double>(height) / 180;
        made.push_back(static_cast<float>(4 * std::sin(static_cast<double>(x) / length + static_cast<double>(id)) *
                                          std::cos(static_cast<double>(y) / length)));
      }
    }
  }
  return made;
}

void run(benchmark::State& state, const json& task, const Shape& shape, const std::vector<float>& values,
         const Geometry& geometry) {
  const TensorView view{values.data(), shape, DType::float32};
  const TensorSpec spec{"y", shape, DType::float32};
  auto decoder = Decoder::create(task, {&spec, 1});
  if (!decoder) return state.SkipWithError(decoder.error().message.c_str());
  Result result;
  for (auto step : state) {
    (void)step;
    const Status done = (*decoder)->decode({&view, 1}, geometry, result);
    if (!done) return state.SkipWithError(done.error().message.c_str());
    benchmark::DoNotOptimize(result);
  }
}

void camvid(benchmark::State& state) {
  run(state, segmentation(11), {1, 11, 360, 480}, waves(11, 360, 480), {{720, 1280}, {360, 480}, {0, 0, 360, 480}});
}

/// No two pixels of one class: nothing can be saved.
void camvid_noise(benchmark::State& state) {
  run(state, segmentation(11), {1, 11, 360, 480}, noise(std::size_t{11} * 360 * 480),
      {{720, 1280}, {360, 480}, {0, 0, 360, 480}});
}

void camvid_quarter(benchmark::State& state) {
  run(state, segmentation(11), {1, 11, 90, 120}, waves(11, 90, 120), {{720, 1280}, {360, 480}, {0, 0, 360, 480}});
}

void camvid_as_it_is(benchmark::State& state) {
  run(state, segmentation(11), {1, 11, 360, 480}, waves(11, 360, 480), {{360, 480}, {360, 480}, {0, 0, 360, 480}});
}

/// A head in which one object in `share` is sure enough to be looked at.
std::vector<float> head(std::size_t count, float share) {
  std::vector<float> made = noise(count);
  for (std::size_t i = 4; i < count; i += 85) made[i] = std::pow(made[i], share);
  return made;
}

void yolox(benchmark::State& state) {
  run(state, detection("yolox"), {1, 3549, 85}, head(std::size_t{3549} * 85, 100),
      {{720, 1280}, {416, 416}, {0, 0, 234, 416}});
}

void yolox_all_sure(benchmark::State& state) {
  run(state, detection("yolox"), {1, 3549, 85}, head(std::size_t{3549} * 85, 1),
      {{720, 1280}, {416, 416}, {0, 0, 234, 416}});
}

/// Logits of 80 classes behind the distributions; one row in `period` is 8 higher, and sure.
void run_yolov8(benchmark::State& state, float low, std::size_t period) {
  constexpr std::size_t rows = 8400;
  std::vector<float> values = noise(rows * 144);
  for (std::size_t i = rows * 64; i < values.size(); ++i) {
    values[i] = 16 * values[i] + low + (i % rows % period == 0 ? 8.0F : 0.0F);
  }
  run(state, detection("yolov8"), {1, 144, 8400}, values, {{720, 1280}, {640, 640}, {140, 0, 360, 640}});
}

void yolov8(benchmark::State& state) { run_yolov8(state, -24, 84); }
void yolov8_all_sure(benchmark::State& state) { run_yolov8(state, -26, 1); }

BENCHMARK(camvid)->Unit(benchmark::kMicrosecond);
BENCHMARK(camvid_noise)->Unit(benchmark::kMicrosecond);
BENCHMARK(camvid_quarter)->Unit(benchmark::kMicrosecond);
BENCHMARK(camvid_as_it_is)->Unit(benchmark::kMicrosecond);
BENCHMARK(yolox)->Unit(benchmark::kMicrosecond);
BENCHMARK(yolox_all_sure)->Unit(benchmark::kMicrosecond);
BENCHMARK(yolov8)->Unit(benchmark::kMicrosecond);
BENCHMARK(yolov8_all_sure)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
