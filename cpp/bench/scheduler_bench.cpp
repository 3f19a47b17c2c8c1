// Four cameras on the scheduler beside four bare threads that sleep and spin the same load, in one process and at the
// same time, each thread half a period behind its camera; and cameras at twice of what the pool can do.
//
//   bench_scheduler [--seconds 60] [--threads 2] [--cameras 4] [--rate 30] [--spin-ms 5] [--overload 0]
//
// Prints JSON. With --overload 2 the engine takes as long as makes the load that many times what the threads can do,
// and there are no bare threads.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edgekit/scheduler.hpp"

namespace {

using namespace edgekit;
using std::chrono::nanoseconds;
using Moment = std::chrono::steady_clock::time_point;

struct Settings {
  double seconds = 60.0;
  std::int32_t threads = 2;
  std::int32_t cameras = 4;
  double rate_hz = 30.0;
  double spin_ms = 5.0;
  double overload = 0.0;
};

void spin(nanoseconds time) {
  const Moment end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

class Spinning final : public Processor {
 public:
  explicit Spinning(nanoseconds time) : time_(time) {}
  Status process(const Frame&, Result&) noexcept override {
    spin(time_);
    return {};
  }
  Timing timing() const noexcept override { return {.preprocess = {}, .engine = time_, .postprocess = {}}; }

 private:
  nanoseconds time_;
};

double ms(nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

double at_share(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(share * static_cast<double>(values.size())))];
}

/// Sleeps from one release to the next, and calls with the moment of each; one that is over already is not waited for.
template <class Function>
void every(nanoseconds period, Moment first, Moment end, Function function) {
  for (Moment release = first; release < end; release += period) {
    std::this_thread::sleep_until(release);
    function(release);
  }
}

/// What a bare thread or a camera of the scheduler has done.
struct Side {
  std::uint64_t frames = 0;
  std::uint64_t missed = 0;        ///< no result by the end of the period that began with the frame's release
  std::vector<double> done_ms{};   ///< from release to result
  std::vector<double> start_ms{};  ///< from submission to start
};

/// Touches the memory of the numbers, so that it does not look as if something grew.
void make_room(Side& side, std::size_t frames) {
  for (std::vector<double>* numbers : {&side.done_ms, &side.start_ms}) {
    numbers->assign(frames, 0.0);
    numbers->clear();
  }
}

/// One camera on the scheduler. Its numbers are the pool's until the scheduler is stopped.
struct Camera {
  Side side;
  std::uint64_t in_time = 0;
};

std::int64_t ns_of(Moment moment) { return nanoseconds(moment.time_since_epoch()).count(); }

/// Memory that is no file (code comes in as it is first run). From smaps_rollup: statm lags by up to 64 pages a thread.
std::uint64_t anonymous_bytes() {
  std::FILE* file = std::fopen("/proc/self/smaps_rollup", "r");
  if (file == nullptr) return 0;
  char line[256];
  unsigned long kib = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "Anonymous: %lu kB", &kib) == 1) break;
  }
  std::fclose(file);
  return std::uint64_t{kib} * 1024;
}

void print(const char* name, const std::vector<Side>& sides) {
  Side all;
  std::printf("  \"%s\": {\"by_camera\": [", name);
  for (std::size_t index = 0; index < sides.size(); ++index) {
    const Side& one = sides[index];
    all.frames += one.frames;
    all.missed += one.missed;
    all.done_ms.insert(all.done_ms.end(), one.done_ms.begin(), one.done_ms.end());
    all.start_ms.insert(all.start_ms.end(), one.start_ms.begin(), one.start_ms.end());
    std::printf("%s{\"frames\": %lu, \"missed\": %lu, \"results\": %zu, \"share\": %.4f}", index == 0 ? "" : ", ",
                one.frames, one.missed, one.done_ms.size(),
                static_cast<double>(one.done_ms.size()) / static_cast<double>(std::max<std::uint64_t>(one.frames, 1)));
  }
  std::printf(
      "], \"frames\": %lu, \"missed\": %lu, \"done_ms_p50\": %.3f, \"done_ms_p99\": %.3f, \"done_ms_most\": %.3f, ",
      all.frames, all.missed, at_share(all.done_ms, 0.5), at_share(all.done_ms, 0.99), at_share(all.done_ms, 1));
  std::printf("\"age_at_start_ms_p99\": %.3f, \"age_at_start_ms_most\": %.3f}", at_share(all.start_ms, 0.99),
              at_share(all.start_ms, 1));
}

int run(const Settings& settings) {
  const nanoseconds period(static_cast<std::int64_t>(1e9 / settings.rate_hz));
  const auto many = static_cast<std::size_t>(settings.cameras);
  nanoseconds time(static_cast<std::int64_t>(settings.spin_ms * 1e6));
  if (settings.overload > 0.0) {
    time = nanoseconds(static_cast<std::int64_t>(settings.overload * static_cast<double>(period.count()) *
                                                 settings.threads / settings.cameras));
  }
  auto scheduler = Scheduler::create({.threads = settings.threads});
  if (!scheduler) return std::fprintf(stderr, "%s\n", scheduler.error().message.c_str()), 1;
  const auto frames = static_cast<std::size_t>(settings.seconds * settings.rate_hz) + 16;
  std::vector<std::unique_ptr<Camera>> cameras;
  const std::vector<std::uint8_t> pixels(640 * 480 * 3, 127);
  const Frame frame{.data = pixels.data(), .bytes = pixels.size(), .height = 480, .width = 640};
  for (std::size_t index = 0; index < many; ++index) {
    cameras.push_back(std::make_unique<Camera>());
    Camera& camera = *cameras.back();
    make_room(camera.side, frames);
    const auto id =
        scheduler->add({.name = "camera" + std::to_string(index), .period = period, .frame_bytes = pixels.size()},
                       std::make_shared<Spinning>(time), [&camera, period](const Completion& one) {
                         const std::int64_t took_ns = one.finished.count() - one.stamp_ns;
                         camera.side.done_ms.push_back(ms(nanoseconds(took_ns)));
                         camera.side.start_ms.push_back(ms(one.started - one.submitted));
                         if (took_ns <= period.count()) ++camera.in_time;
                       });
    if (!id) return std::fprintf(stderr, "%s\n", id.error().message.c_str()), 1;
  }
  if (const Status started = scheduler->start(); !started) {
    return std::fprintf(stderr, "%s\n", started.error().message.c_str()), 1;
  }

  const bool paired = settings.overload == 0.0;
  std::vector<Side> bare(paired ? many : 0);
  const Moment begin = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  const Moment end = begin + nanoseconds(static_cast<std::int64_t>(settings.seconds * 1e9));
  std::vector<std::thread> threads;
  for (std::size_t index = 0; index < many; ++index) {
    const nanoseconds phase = period * static_cast<std::int64_t>(index) / static_cast<std::int64_t>(2 * many);
    threads.emplace_back([&, index, phase] {
      Side& side = cameras[index]->side;
      every(period, begin + phase, end, [&](Moment release) {
        Frame stamped = frame;
        stamped.stamp_ns = ns_of(release);
        ++side.frames;
        (void)scheduler->submit(static_cast<CameraId>(index), stamped);
      });
    });
    if (!paired) continue;
    make_room(bare[index], frames);
    threads.emplace_back([&, index, phase] {
      Side& side = bare[index];
      every(period, begin + phase + period / 2, end, [&](Moment release) {
        const Moment started = std::chrono::steady_clock::now();
        ++side.frames;
        if (started - release > period) {  // as the scheduler drops what expired: a late one makes no other late
          ++side.missed;
          return;
        }
        spin(time);
        const nanoseconds took = std::chrono::steady_clock::now() - release;
        side.done_ms.push_back(ms(took));
        side.start_ms.push_back(ms(started - release));
        if (took > period) ++side.missed;
      });
    });
  }
  // Memory once all is warm, and at the end, before the threads go.
  std::this_thread::sleep_until(begin + (end - begin) / 5);
  const std::uint64_t warm = anonymous_bytes();
  std::this_thread::sleep_until(end - (end - begin) / 50);
  const std::uint64_t last = anonymous_bytes();
  for (std::thread& thread : threads) thread.join();
  const Status drained = scheduler->drain(std::chrono::seconds(10));
  const Status stopped = scheduler->stop(std::chrono::seconds(10));
  if (!drained || !stopped) return std::fprintf(stderr, "the scheduler did not end\n"), 1;

  std::vector<Side> scheduled;
  std::uint64_t replaced = 0;
  std::uint64_t expired = 0;
  for (std::size_t index = 0; index < many; ++index) {
    Side side = std::move(cameras[index]->side);
    side.missed = side.frames - cameras[index]->in_time;
    scheduled.push_back(std::move(side));
    const auto seen = scheduler->statistics(static_cast<CameraId>(index));
    if (!seen) return 1;
    replaced += seen->of(Drop::replaced);
    expired += seen->of(Drop::expired);
  }
  std::printf(
      "{\n  \"seconds\": %g, \"threads\": %d, \"cameras\": %d, \"rate_hz\": %g, \"spin_ms\": %.3f, \"overload\": %g,\n",
      settings.seconds, settings.threads, settings.cameras, settings.rate_hz, ms(time), settings.overload);
  print("scheduler", scheduled);
  std::printf(",\n");
  if (paired) {
    print("bare", bare);
    std::printf(",\n");
  }
  std::printf("  \"replaced\": %lu, \"expired\": %lu, \"anonymous_mib_warm\": %.3f, \"anonymous_mib_end\": %.3f\n}\n",
              replaced, expired, static_cast<double>(warm) / 1048576.0, static_cast<double>(last) / 1048576.0);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  for (int at = 1; at + 1 < count; at += 2) {
    const std::string name = arguments[at];
    const double value = std::atof(arguments[at + 1]);
    if (name == "--seconds")
      settings.seconds = value;
    else if (name == "--threads")
      settings.threads = static_cast<std::int32_t>(value);
    else if (name == "--cameras")
      settings.cameras = static_cast<std::int32_t>(value);
    else if (name == "--rate")
      settings.rate_hz = value;
    else if (name == "--spin-ms")
      settings.spin_ms = value;
    else if (name == "--overload")
      settings.overload = value;
    else
      return std::fprintf(stderr, "%s is not known\n", name.c_str()), 2;
  }
  return run(settings);
}
