// Frames of 1280x720 to the network's input of examples/camvid, by encoding; and, for benchmarks/cpp_preprocess.py, one
// line of nanoseconds for each line on stdin, so that two programs can be timed in turn.
//
//   bench_preprocess [--benchmark_...]
//   bench_preprocess --in-turn ENCODING FRAME TENSOR    (reads the frame, and writes what it became when stdin ends)
#include <benchmark/benchmark.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "preprocess/kernels.hpp"
#include "preprocess/preprocess.hpp"

namespace {

using namespace edgekit;

constexpr std::int32_t height = 720;
constexpr std::int32_t width = 1280;
constexpr auto section = R"({"image": {"resize": [360, 480], "mode": "stretch", "color": "rgb", "scale": 0.00392156863,
                            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}})";

template <class T>
T must(Expected<T> made) {
  if (made) return std::move(*made);
  std::fprintf(stderr, "%s\n", made.error().message.c_str());
  std::exit(2);
}

/// Noise: the arithmetic takes as long for any picture, and nothing can be guessed.
std::vector<std::uint8_t> noise() {
  std::vector<std::uint8_t> made(static_cast<std::size_t>(height) * width * 4);
  std::uint32_t state = 17;
  for (std::uint8_t& value : made) value = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  return made;
}

struct Run {
  std::vector<std::uint8_t> data = noise();
  Preprocess preprocess;
  Source source{.name = "image", .image = {}, .array = {}};

  explicit Run(Encoding encoding) : preprocess(make()) {
    source.image = {.data = data.data(), .bytes = data.size(), .height = height, .width = width, .encoding = encoding};
  }
  static Preprocess make() {
    const TensorSpec spec{"image", {1, 3, 360, 480}, DType::float32};
    return must(Preprocess::create(nlohmann::json::parse(section), {&spec, 1}));
  }
  const void* once() { return must(preprocess({&source, 1})).front().data; }
};

/// Time that this thread has had of a processor.
std::int64_t processor_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int in_turn(const std::string& encoding, const char* frame, const char* tensor) {
  Run run(must(encoding_of(encoding)));
  std::ifstream(frame, std::ios::binary).read(reinterpret_cast<char*>(run.data.data()), std::ssize(run.data));
  char line[16];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const std::int64_t began = processor_ns();
    benchmark::DoNotOptimize(run.once());
    const std::int64_t spent = processor_ns() - began;
    std::printf("%lld\n", static_cast<long long>(spent));
    std::fflush(stdout);
  }
  std::ofstream(tensor, std::ios::binary).write(static_cast<const char*>(run.once()), 3 * 360 * 480 * sizeof(float));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--in-turn") return in_turn(argv[2], argv[3], argv[4]);
  for (const char* encoding : {"bgr8", "rgb8", "rgba8", "mono8", "nv12", "yuyv", "bayer_rggb8"}) {
    benchmark::RegisterBenchmark(encoding, [encoding](benchmark::State& state) {
      Run run(must(encoding_of(encoding)));
      for (auto _ : state) benchmark::DoNotOptimize(run.once());
      state.SetLabel(preprocessing::instructions());
    });
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
