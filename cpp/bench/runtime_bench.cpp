// A bundle's pipeline beside its engine alone, in turn: what preprocess and postprocess add to the runtime's own call.
//
//   bench_runtime BUNDLE [--benchmark_...]
#include <benchmark/benchmark.h>

#include <cstdio>
#include <vector>

#include "bundle/golden.hpp"
#include "edgekit/pipeline.hpp"

namespace {

using namespace edgekit;

constexpr std::int32_t height = 720;
constexpr std::int32_t width = 1280;

/// A frame with edges and gradients: as a camera's, and neither constant nor noise.
std::vector<std::uint8_t> picture() {
  std::vector<std::uint8_t> made(static_cast<std::size_t>(height) * width * 3);
  for (std::int32_t y = 0; y < height; ++y) {
    for (std::int32_t x = 0; x < width; ++x) {
      std::uint8_t* pixel = &made[(static_cast<std::size_t>(y) * width + x) * 3];
      pixel[0] = static_cast<std::uint8_t>(x * 255 / width);
      pixel[1] = static_cast<std::uint8_t>(y * 255 / height);
      pixel[2] = static_cast<std::uint8_t>((x / 40 + y / 40) % 2 == 0 ? 40 : 200);
    }
  }
  return made;
}

template <class T>
T must(Expected<T> made) {
  if (made) return std::move(*made);
  std::fprintf(stderr, "%s\n", made.error().message.c_str());
  std::exit(2);
}

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_runtime BUNDLE [--benchmark_...]\n");
    return 2;
  }
  const Bundle bundle = must(Bundle::open(argv[1]));
  Pipeline pipeline = must(Pipeline::of(bundle));
  const auto engine = must(bundle.engine());
  const Golden golden = must(Golden::of(bundle));
  const std::vector<TensorView> feeds = must(golden.feeds(0, engine->inputs()));
  const std::vector<std::uint8_t> data = picture();
  const Frame frame{.data = data.data(), .bytes = data.size(), .height = height, .width = width};
  Result result;
  benchmark::RegisterBenchmark("engine", [&](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(must(engine->infer(feeds)).data());
  });
  benchmark::RegisterBenchmark("pipeline", [&](benchmark::State& state) {
    Timing spent;
    for (auto _ : state) {
      must(pipeline.process(frame, result));
      spent.preprocess += pipeline.timing().preprocess;
      spent.engine += pipeline.timing().engine;
      spent.postprocess += pipeline.timing().postprocess;
    }
    const auto per_frame_us = [&state](std::chrono::nanoseconds all) {
      return static_cast<double>(all.count()) / 1e3 / static_cast<double>(state.iterations());
    };
    state.counters["preprocess_us"] = per_frame_us(spent.preprocess);
    state.counters["engine_us"] = per_frame_us(spent.engine);
    state.counters["postprocess_us"] = per_frame_us(spent.postprocess);
  });
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
