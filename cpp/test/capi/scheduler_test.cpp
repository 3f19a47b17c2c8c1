#include "edgekit/scheduler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "capi/handles.hpp"

namespace edgekit {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t second = 1'000'000'000;

/// Counts frames, and fails on those of one row.
class Counting final : public Processor {
 public:
  Status process(const Frame& frame, Result& result) noexcept override {
    if (frame.height == 1) return Error{Code::engine, "one row"};
    result.reuse<LabelMap>().height = frame.height;
    return {};
  }
  Timing timing() const noexcept override {
    return {std::chrono::nanoseconds(1), std::chrono::nanoseconds(2), std::chrono::nanoseconds(3)};
  }
};

class CScheduler : public ::testing::Test {
 protected:
  void SetUp() override {
    edgekit_scheduler_options options = EDGEKIT_INIT(edgekit_scheduler_options);
    options.threads = 1;
    ASSERT_EQ(edgekit_scheduler_create(&options, &scheduler_), EDGEKIT_OK) << edgekit_last_error();
  }
  void TearDown() override { edgekit_scheduler_close(scheduler_); }

  edgekit_frame frame(std::int32_t height) {
    edgekit_frame made = EDGEKIT_INIT(edgekit_frame);
    made.data = pixels_;
    made.bytes = sizeof pixels_;
    made.height = height;
    made.width = 2;
    made.encoding = EDGEKIT_MONO8;
    return made;
  }

  edgekit_scheduler* scheduler_ = nullptr;
  std::uint8_t pixels_[8]{};
};

TEST_F(CScheduler, ProcessesAndCounts) {
  std::vector<edgekit_completion> seen;
  const auto camera =
      scheduler_->scheduler.add({.name = "front"}, std::make_shared<Counting>(), [&](const Completion& done) {
        seen.push_back(capi::completion_of(done));
        EXPECT_STREQ(seen.back().name, "front");
        EXPECT_STREQ(seen.back().error, done.status ? "" : "one row");
      });
  ASSERT_TRUE(camera);
  ASSERT_EQ(edgekit_scheduler_start(scheduler_), EDGEKIT_OK);
  std::uint64_t sequence = 0;
  for (const std::int32_t height : {4, 1}) {
    const edgekit_frame one = frame(height);
    ASSERT_EQ(edgekit_scheduler_submit(scheduler_, *camera, &one, &sequence), EDGEKIT_OK) << edgekit_last_error();
    ASSERT_EQ(edgekit_scheduler_drain(scheduler_, 20 * second), EDGEKIT_OK) << edgekit_last_error();
  }
  EXPECT_EQ(sequence, 2U);

  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].status, EDGEKIT_OK);
  EXPECT_EQ(edgekit_result_kind(seen[0].result), EDGEKIT_LABEL_MAP);
  EXPECT_EQ(seen[0].engine_ns, 2);
  EXPECT_GE(seen[0].finished_ns, seen[0].submitted_ns);
  EXPECT_EQ(seen[1].status, EDGEKIT_ENGINE);
  EXPECT_EQ(seen[1].result, nullptr);

  edgekit_camera_statistics now = EDGEKIT_INIT(edgekit_camera_statistics);
  ASSERT_EQ(edgekit_scheduler_statistics(scheduler_, *camera, &now), EDGEKIT_OK);
  EXPECT_EQ(now.received, 2U);
  EXPECT_EQ(now.answered, 1U);
  EXPECT_EQ(now.failed, 1U);
  EXPECT_EQ(now.engine.p50_ns, 2);
  EXPECT_EQ(edgekit_scheduler_statistics(scheduler_, 7, &now), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_EQ(edgekit_scheduler_stop(scheduler_, 20 * second), EDGEKIT_OK);
  const edgekit_frame late = frame(4);
  EXPECT_EQ(edgekit_scheduler_submit(scheduler_, *camera, &late, nullptr), EDGEKIT_NOT_READY);
}

TEST_F(CScheduler, GivesABorrowedFrameBack) {
  const auto camera =
      scheduler_->scheduler.add({.name = "front"}, std::make_shared<Counting>(), [](const Completion&) {});
  ASSERT_EQ(edgekit_scheduler_start(scheduler_), EDGEKIT_OK);
  std::atomic<int> given_back = 0;
  const auto release = [](void* context) { ++*static_cast<std::atomic<int>*>(context); };
  const edgekit_frame one = frame(4);
  EXPECT_EQ(edgekit_scheduler_submit_borrowed(scheduler_, *camera, &one, nullptr, nullptr, nullptr),
            EDGEKIT_INVALID_ARGUMENT);
  ASSERT_EQ(edgekit_scheduler_submit_borrowed(scheduler_, *camera, &one, release, &given_back, nullptr), EDGEKIT_OK);
  ASSERT_EQ(edgekit_scheduler_drain(scheduler_, 20 * second), EDGEKIT_OK);
  EXPECT_EQ(given_back, 1);
}

TEST_F(CScheduler, WritesPrometheusTextIntoABufferOfAnySize) {
  ASSERT_TRUE(scheduler_->scheduler.add({.name = "front"}, std::make_shared<Counting>(), [](const Completion&) {}));
  std::size_t needed = 0;
  ASSERT_EQ(edgekit_scheduler_prometheus(scheduler_, nullptr, 0, &needed), EDGEKIT_OK);
  std::string text(needed, 'x');
  ASSERT_EQ(edgekit_scheduler_prometheus(scheduler_, text.data(), text.size(), &needed), EDGEKIT_OK);
  EXPECT_EQ(text.size(), needed);
  EXPECT_EQ(text.back(), '\0');
  EXPECT_THAT(text, HasSubstr("front"));
  char little[4] = "abc";
  ASSERT_EQ(edgekit_scheduler_prometheus(scheduler_, little, sizeof little, nullptr), EDGEKIT_OK);
  EXPECT_EQ(std::string(little), text.substr(0, 3));
  EXPECT_EQ(edgekit_scheduler_prometheus(scheduler_, nullptr, 4, nullptr), EDGEKIT_INVALID_ARGUMENT);
  ASSERT_EQ(edgekit_scheduler_notes(scheduler_, little, sizeof little, &needed), EDGEKIT_OK);
}

TEST(CSchedulerOfNothing, IsRefused) {
  edgekit_scheduler* scheduler = nullptr;
  edgekit_scheduler_options options = EDGEKIT_INIT(edgekit_scheduler_options);
  EXPECT_EQ(edgekit_scheduler_create(&options, &scheduler), EDGEKIT_INVALID_ARGUMENT) << "no threads";
  EXPECT_EQ(scheduler, nullptr);
  EXPECT_EQ(edgekit_scheduler_create(&options, nullptr), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_EQ(edgekit_scheduler_start(nullptr), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_THAT(edgekit_last_error(), HasSubstr("scheduler is a null pointer"));
  edgekit_scheduler_close(nullptr);
}

}  // namespace
}  // namespace edgekit
