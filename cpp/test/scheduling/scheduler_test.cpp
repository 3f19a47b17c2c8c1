#include "edgekit/scheduler.hpp"

#include <cstring>

#include "scheduling/support.hpp"

namespace edgekit {
namespace {

using namespace std::chrono_literals;
using test::becomes;
using test::Borrowed;
using test::FakeClock;
using test::Fault;
using test::forever;
using test::Image;
using test::Rig;
using test::scheduler_of;
using test::SyntheticProcessor;
using ::testing::HasSubstr;

TEST(Scheduler, GivesResultsWithNumberAndStamp) {
  Rig rig;
  rig.add({.name = "front"});
  ASSERT_TRUE(rig.scheduler.start());
  rig.submit(0, 7);
  const auto seen = rig.collected[0]->wait_for(1);
  EXPECT_EQ(seen[0].sequence, 1U);
  EXPECT_EQ(seen[0].code, Code::ok);
  EXPECT_EQ(seen[0].first, 7.0);
  EXPECT_EQ(seen[0].stamp_ns, 1007);
  EXPECT_TRUE(rig.scheduler.drain(forever));
  EXPECT_EQ(rig.of(0).answered, 1U);
  EXPECT_EQ(rig.of(0).last_sequence, 1U);
  EXPECT_EQ(rig.of(0).name, "front");
}

TEST(Scheduler, TheNewestFrameWins) {
  FakeClock clock;
  Rig rig({.clock = &clock});
  SyntheticProcessor& front = rig.add({.name = "front"});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = Fault::hangs;
  rig.submit(0, 1);
  front.gate.wait_for_visitor();
  for (const std::uint8_t first : {2, 3, 4}) rig.submit(0, first);
  EXPECT_EQ(rig.of(0).waiting, 1U);
  EXPECT_EQ(rig.of(0).running, 1U);
  front.gate.open();
  const auto seen = rig.collected[0]->wait_for(2);
  ASSERT_TRUE(rig.scheduler.drain(forever));
  ASSERT_EQ(rig.collected[0]->size(), 2U);
  EXPECT_EQ(seen[0].first, 1.0);
  EXPECT_EQ(seen[1].first, 4.0);
  EXPECT_EQ(seen[1].sequence, 4U);
  EXPECT_EQ(rig.of(0).of(Drop::replaced), 2U);
}

/// Answers with the frame as it got it.
class Copying final : public Processor {
 public:
  Status process(const Frame& frame, Result&) noexcept override {
    got = frame;
    bytes.assign(frame.data, frame.data + frame.bytes);
    return {};
  }
  Timing timing() const noexcept override { return {}; }
  Frame got;
  std::vector<std::uint8_t> bytes;
};

TEST(Scheduler, CopiesRowsWithoutTheirPadding) {
  auto copying = std::make_shared<Copying>();
  Scheduler scheduler = scheduler_of();
  ASSERT_TRUE(scheduler.add({.name = "front"}, copying, nullptr));
  ASSERT_TRUE(scheduler.start());
  std::vector<std::uint8_t> data(3 * 16 - 4);  // the last row comes without its padding
  for (std::size_t at = 0; at < data.size(); ++at) data[at] = static_cast<std::uint8_t>(at);
  const Frame frame{.data = data.data(), .bytes = data.size(), .height = 3, .width = 4, .stride = 16};
  ASSERT_TRUE(scheduler.submit(0, frame));
  ASSERT_TRUE(scheduler.drain(forever));
  EXPECT_TRUE(copying->got.check());
  EXPECT_EQ(copying->got.stride, 0);
  ASSERT_EQ(copying->bytes.size(), 36U);
  for (std::size_t row = 0; row < 3; ++row) EXPECT_EQ(std::memcmp(&copying->bytes[row * 12], &data[row * 16], 12), 0);
}

TEST(Scheduler, CopiesThePlaneOfColour) {
  auto copying = std::make_shared<Copying>();
  Scheduler scheduler = scheduler_of();
  ASSERT_TRUE(scheduler.add({.name = "front"}, copying, nullptr));
  ASSERT_TRUE(scheduler.start());
  std::vector<std::uint8_t> data(6 * 10);
  for (std::size_t at = 0; at < data.size(); ++at) data[at] = static_cast<std::uint8_t>(at);
  const Frame frame{
      .data = data.data(), .bytes = data.size(), .height = 4, .width = 8, .stride = 10, .encoding = Encoding::nv12};
  ASSERT_TRUE(scheduler.submit(0, frame));
  ASSERT_TRUE(scheduler.drain(forever));
  EXPECT_TRUE(copying->got.check());
  ASSERT_EQ(copying->bytes.size(), 48U);
  for (std::size_t row = 0; row < 6; ++row) EXPECT_EQ(std::memcmp(&copying->bytes[row * 8], &data[row * 10], 8), 0);
}

TEST(Scheduler, ABorrowedFrameIsNotCopiedAndComesBackOnce) {
  auto copying = std::make_shared<Copying>();
  Scheduler scheduler = scheduler_of();
  ASSERT_TRUE(scheduler.add({.name = "front"}, copying, nullptr));
  const Image image(1, 3, 4, 16);
  Borrowed early;
  EXPECT_FALSE(scheduler.submit_borrowed(0, image.frame, early.release())) << "not started";
  ASSERT_TRUE(scheduler.start());
  Borrowed borrowed;
  ASSERT_TRUE(scheduler.submit_borrowed(0, image.frame, borrowed.release()));
  ASSERT_TRUE(scheduler.drain(forever));
  EXPECT_EQ(copying->got.data, image.data.data());
  EXPECT_EQ(copying->got.stride, 16);
  EXPECT_EQ(borrowed.back, 1);
  EXPECT_EQ(early.back, 0);
  for (int copy = 0; copy < 4; ++copy) {  // through every slot of the mailbox
    ASSERT_TRUE(scheduler.submit(0, image.frame));
    ASSERT_TRUE(scheduler.drain(forever));
  }
  EXPECT_EQ(borrowed.back, 1);
}

TEST(Scheduler, ABorrowedFrameComesBackHoweverItEnds) {
  FakeClock clock;
  Rig rig({.clock = &clock});
  SyntheticProcessor& front = rig.add({.name = "front"});
  rig.add({.name = "rear"});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = Fault::hangs;
  rig.submit(0, 1);
  front.gate.wait_for_visitor();
  const Image image(1);
  Borrowed replaced, expired, stopped;
  ASSERT_TRUE(rig.scheduler.submit_borrowed(0, image.frame, replaced.release()));
  ASSERT_TRUE(rig.scheduler.submit_borrowed(0, image.frame, stopped.release()));
  EXPECT_EQ(replaced.back, 1);
  ASSERT_TRUE(rig.scheduler.submit_borrowed(1, image.frame, expired.release()));
  clock.advance(1s);
  rig.submit(0, 2);  // takes the place of the one that was to be stopped
  EXPECT_EQ(stopped.back, 1);
  Borrowed last;
  ASSERT_TRUE(rig.scheduler.submit_borrowed(0, image.frame, last.release()));
  front.gate.open();
  ASSERT_TRUE(rig.scheduler.drain(forever));
  EXPECT_EQ(expired.back, 1);
  EXPECT_EQ(last.back, 1);
  EXPECT_EQ(rig.of(1).of(Drop::expired), 1U);
  EXPECT_EQ(rig.of(1).deadline_misses(), 1U);
  EXPECT_EQ(rig.collected[1]->size(), 0U);
}

TEST(Scheduler, StopGivesBackWhatWaits) {
  Rig rig;
  SyntheticProcessor& front = rig.add({.name = "front"});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = Fault::hangs;
  rig.submit(0, 1);
  front.gate.wait_for_visitor();
  const Image image(1);
  Borrowed waits;
  ASSERT_TRUE(rig.scheduler.submit_borrowed(0, image.frame, waits.release()));
  std::thread stopping([&] { EXPECT_TRUE(rig.scheduler.stop(forever)); });
  EXPECT_TRUE(becomes([&] { return waits.back == 1; }));
  front.gate.open();
  stopping.join();
  EXPECT_EQ(waits.back, 1);
  EXPECT_EQ(rig.of(0).of(Drop::stopped), 1U);
  EXPECT_EQ(rig.collected[0]->size(), 1U) << "what ran has ended";
  EXPECT_EQ(rig.scheduler.submit(0, image.frame).error().code, Code::not_ready);
  EXPECT_TRUE(rig.scheduler.stop(forever)) << "a second time";
}

TEST(Scheduler, AnExpiredFrameRunsWhereThatIsAsked) {
  FakeClock clock;
  Rig rig({.clock = &clock});
  SyntheticProcessor& front = rig.add({.name = "front", .drop_expired = false});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = Fault::hangs;
  rig.submit(0, 1);
  front.gate.wait_for_visitor();
  rig.submit(0, 2);
  clock.advance(1s);
  front.gate.open();
  const auto seen = rig.collected[0]->wait_for(2);
  EXPECT_EQ(seen[1].first, 2.0);
  EXPECT_TRUE(seen[1].late);
  EXPECT_EQ(rig.of(0).late, 2U);
  EXPECT_EQ(rig.of(0).of(Drop::expired), 0U);
}

TEST(Scheduler, NoTwoThreadsRunOneCameraOrOneProcessorAtOnce) {
  Rig rig({.threads = 4});
  const auto shared = std::make_shared<SyntheticProcessor>();
  rig.add({.name = "front"}, shared);
  rig.add({.name = "rear"}, shared);
  ASSERT_TRUE(rig.scheduler.start());
  for (int round = 0; round < 500; ++round) {
    rig.submit(0, 1);
    rig.submit(1, 2);
  }
  ASSERT_TRUE(rig.scheduler.drain(forever));
  EXPECT_EQ(shared->most_inside, 1);
  EXPECT_GT(shared->calls, 0U);
}

TEST(Scheduler, DifferentCamerasRunSideBySide) {
  Rig rig({.threads = 2});
  SyntheticProcessor& front = rig.add({.name = "front"});
  SyntheticProcessor& rear = rig.add({.name = "rear"});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = Fault::hangs;
  rear.fault = Fault::hangs;
  rig.submit(0, 1);
  rig.submit(1, 2);
  front.gate.wait_for_visitor();
  rear.gate.wait_for_visitor();
  front.gate.open();
  rear.gate.open();
  EXPECT_TRUE(rig.scheduler.drain(forever));
}

TEST(Scheduler, TheHigherPriorityRunsFirst) {
  Rig rig;
  SyntheticProcessor& busy = rig.add({.name = "busy"});
  std::mutex mutex;
  std::string order;
  for (const auto& [name, priority] : {std::pair{"a", 0}, std::pair{"b", 2}, std::pair{"c", 1}}) {
    ASSERT_TRUE(rig.scheduler.add({.name = name, .priority = priority, .drop_expired = false},
                                  std::make_shared<SyntheticProcessor>(), [&](const Completion& one) {
                                    const std::lock_guard lock(mutex);
                                    order += one.name;
                                  }));
  }
  ASSERT_TRUE(rig.scheduler.start());
  busy.fault = Fault::hangs;
  rig.submit(0, 1);
  busy.gate.wait_for_visitor();
  for (const CameraId camera : {1U, 2U, 3U}) rig.submit(camera, 1);
  busy.gate.open();
  ASSERT_TRUE(rig.scheduler.drain(forever));
  EXPECT_EQ(order, "bca");
}

TEST(Scheduler, NamesWhoIsNotIdleWhenItDrains) {
  Rig rig;
  SyntheticProcessor& front = rig.add({.name = "front"});
  rig.add({.name = "rear", .drop_expired = false});
  EXPECT_EQ(rig.scheduler.drain(0s).error().code, Code::not_ready);
  ASSERT_TRUE(rig.scheduler.start());
  EXPECT_TRUE(rig.scheduler.drain(0s));
  front.fault = Fault::hangs;
  rig.submit(0, 1);
  front.gate.wait_for_visitor();
  rig.submit(1, 1);
  const Status drained = rig.scheduler.drain(1ms);
  EXPECT_EQ(drained.error().code, Code::timeout);
  EXPECT_THAT(drained.error().message, HasSubstr("camera 'front' (in its processor for "));
  EXPECT_THAT(drained.error().message, HasSubstr("camera 'rear' (its frame waits)"));
  front.gate.open();
  EXPECT_TRUE(rig.scheduler.drain(forever));
}

TEST(Scheduler, SaysWhatIsWrongWithASetting) {
  EXPECT_THAT(Scheduler::create({.threads = 0}).error().message, HasSubstr("threads is 0; expected 1 to 256"));
  EXPECT_THAT(Scheduler::create({.realtime_priority = 99}).error().message, HasSubstr("realtime_priority is 99"));
  Rig rig;
  const auto processor = std::make_shared<SyntheticProcessor>();
  const auto refused = [&](CameraOptions options) {
    const auto made = rig.scheduler.add(std::move(options), processor, nullptr);
    EXPECT_FALSE(made);
    return made ? "" : made.error().message;
  };
  EXPECT_THAT(refused({.name = ""}), HasSubstr("name is empty"));
  EXPECT_THAT(refused({.name = "a", .period = 0s}), HasSubstr("period"));
  EXPECT_THAT(refused({.name = "a", .deadline = -1s}), HasSubstr("deadline"));
  EXPECT_THAT(refused({.name = "a", .hang_periods = 0.5}), HasSubstr("hang_periods is 0.5"));
  EXPECT_THAT(refused({.name = "a", .hang_after = -1s}), HasSubstr("hang_after"));
  EXPECT_THAT(rig.scheduler.add({.name = "a"}, nullptr, nullptr).error().message, HasSubstr("null"));
  ASSERT_TRUE(rig.scheduler.add({.name = "a"}, processor, nullptr));
  EXPECT_THAT(refused({.name = "a"}), HasSubstr("'a' is there already"));
  const Image image(1);
  EXPECT_EQ(rig.scheduler.submit(0, image.frame).error().code, Code::not_ready);
  ASSERT_TRUE(rig.scheduler.start());
  EXPECT_EQ(rig.scheduler.start().error().code, Code::not_ready);
  EXPECT_THAT(refused({.name = "b"}), HasSubstr("before start()"));
  EXPECT_THAT(rig.scheduler.submit(1, image.frame).error().message, HasSubstr("no camera 1; there are 1"));
  EXPECT_EQ(rig.scheduler.statistics(1).error().code, Code::invalid_argument);
}

TEST(Scheduler, ACallbackMaySubmitButNotWaitForItself) {
  Scheduler scheduler = scheduler_of();
  const Image image(1);
  std::atomic<int> left{3};
  std::atomic<int> not_ready{0};
  ASSERT_TRUE(scheduler.add({.name = "front", .drop_expired = false}, std::make_shared<SyntheticProcessor>(),
                            [&](const Completion&) {
                              if (--left > 0) (void)scheduler.submit(0, image.frame);
                              const Status stopped = scheduler.stop(forever);
                              const Status drained = scheduler.drain(forever);
                              if (!stopped && stopped.error().code == Code::not_ready) ++not_ready;
                              if (!drained && drained.error().code == Code::not_ready) ++not_ready;
                            }));
  ASSERT_TRUE(scheduler.start());
  ASSERT_TRUE(scheduler.submit(0, image.frame));
  EXPECT_TRUE(scheduler.drain(forever));
  EXPECT_EQ(left, 0);
  EXPECT_EQ(not_ready, 6);
}

TEST(Scheduler, MayEndInsideACallback) {
  auto processor = std::make_shared<SyntheticProcessor>();
  const std::weak_ptr<SyntheticProcessor> watched = processor;
  const Image image(1);
  std::atomic<bool> submitted{false};
  std::atomic<bool> ended{false};
  auto scheduler = std::make_unique<Scheduler>(scheduler_of({.threads = 2}));
  ASSERT_TRUE(scheduler->add({.name = "front"}, std::move(processor), [&](const Completion&) {
    EXPECT_TRUE(becomes([&] { return submitted.load(); })) << "nobody is inside the scheduler when it ends";
    scheduler.reset();
    ended = true;
  }));
  ASSERT_TRUE(scheduler->start());
  ASSERT_TRUE(scheduler->submit(0, image.frame));
  submitted = true;
  EXPECT_TRUE(becomes([&] { return ended.load(); }));
  EXPECT_TRUE(becomes([&] { return watched.expired(); })) << "the last thread takes everything with it";
}

TEST(Scheduler, NotesWhatTheMachineDoesNotAllow) {
  Rig rig({.threads = 2, .realtime_priority = 10, .pin = {0, 100000}, .lock_memory = true});
  rig.add({.name = "front"});
  EXPECT_TRUE(rig.scheduler.notes().empty());
  ASSERT_TRUE(rig.scheduler.start());
  int pinned = 0;
  for (const std::string& note : rig.scheduler.notes()) {
    pinned += note.starts_with("processor 100000 was refused") ? 1 : 0;
    EXPECT_TRUE(note.starts_with("processor ") || note.starts_with("SCHED_FIFO priority 10 was refused") ||
                note.starts_with("mlockall was refused") || note.starts_with("memory that comes later is not locked"))
        << note;
    EXPECT_THAT(note, ::testing::AnyOf(HasSubstr("give the process"), HasSubstr("pin to"), HasSubstr("ulimit")));
  }
  EXPECT_EQ(pinned, 1);
  rig.submit(0, 1);
  rig.collected[0]->wait_for(1);
}

}  // namespace
}  // namespace edgekit
