// What the scheduler's tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "edgekit/scheduler.hpp"
#include "support/synthetic.hpp"

namespace edgekit::test {

/// So long a wait takes only where something is broken.
inline constexpr std::chrono::minutes forever{1};

/// Looks again until it holds.
inline bool becomes(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + forever;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

/// Stands still until it is told.
class FakeClock final : public Clock {
 public:
  std::chrono::nanoseconds now() const noexcept override { return std::chrono::nanoseconds(now_ns_); }
  void advance(std::chrono::nanoseconds by) { now_ns_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_ns_{1'000'000'000};
};

/// A scheduler whose time stands still unless its options have a clock: nothing expires because a machine is busy.
inline Scheduler scheduler_of(SchedulerOptions options = {}) {
  static const FakeClock still;
  if (options.clock == nullptr) options.clock = &still;
  auto made = Scheduler::create(std::move(options));
  EXPECT_TRUE(made);
  return std::move(*made);
}

/// What a callback was given, kept.
struct Seen {
  std::uint64_t sequence;
  Code code;
  double first;  ///< byte of the frame
  bool late;
  std::int64_t stamp_ns;
};

/// Collects completions; waits for them.
class Collected {
 public:
  OnResult callback() {
    return [this](const Completion& one) {
      const auto* values = one.result.get<Values>();
      const double first = one.status && values != nullptr ? values->values.at(0) : -1.0;
      const std::lock_guard lock(mutex_);
      seen_.push_back({one.sequence, one.status ? Code::ok : one.status.error().code, first, one.late, one.stamp_ns});
      changed_.notify_all();
    };
  }
  std::vector<Seen> wait_for(std::size_t many) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, forever, [&] { return seen_.size() >= many; })) << "waited for " << many;
    return seen_;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Seen> seen_;
};

/// An image whose bytes all are `first`.
struct Image {
  explicit Image(std::uint8_t first, std::int32_t height = 4, std::int32_t width = 6, std::int64_t stride = 0)
      : data(static_cast<std::size_t>((stride == 0 ? width * 3 : stride) * height), first),
        frame{.data = data.data(),
              .bytes = data.size(),
              .height = height,
              .width = width,
              .stride = stride,
              .encoding = Encoding::bgr8,
              .stamp_ns = 1000 + first} {}
  std::vector<std::uint8_t> data;
  Frame frame;
};

/// Counts how often a borrowed frame came back.
struct Borrowed {
  std::atomic<int> back{0};
  Release release() {
    return {[](void* context) { ++static_cast<Borrowed*>(context)->back; }, this};
  }
};

/// A scheduler with synthetic cameras.
struct Rig {
  explicit Rig(SchedulerOptions options = {}) : scheduler(scheduler_of(std::move(options))) {}

  SyntheticProcessor& add(CameraOptions options, std::shared_ptr<SyntheticProcessor> processor = nullptr) {
    if (!processor) processor = std::make_shared<SyntheticProcessor>();
    processors.push_back(processor);
    collected.push_back(std::make_unique<Collected>());
    const auto id = scheduler.add(std::move(options), processor, collected.back()->callback());
    EXPECT_TRUE(id) << id.error().message;
    return *processor;
  }
  void submit(CameraId camera, std::uint8_t first) {
    const Image image(first);
    const auto sequence = scheduler.submit(camera, image.frame);
    EXPECT_TRUE(sequence) << sequence.error().message;
  }
  CameraStatistics of(CameraId camera) const { return *scheduler.statistics(camera); }

  std::vector<std::shared_ptr<SyntheticProcessor>> processors;
  std::vector<std::unique_ptr<Collected>> collected;
  Scheduler scheduler;  // the first to go
};

}  // namespace edgekit::test
