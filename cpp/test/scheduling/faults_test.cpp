// Each fault is told by its name, and the next good frame works.
#include <array>

#include "scheduling/support.hpp"
#include "support/allocations.hpp"

namespace edgekit {
namespace {

using namespace std::chrono_literals;
using test::allocations_of_process;
using test::becomes;
using test::FailAllocations;
using test::FakeClock;
using test::Fault;
using test::forever;
using test::Image;
using test::Rig;
using test::scheduler_of;
using test::SyntheticProcessor;
using ::testing::HasSubstr;

struct Told {
  Fault fault;
  Code code;
};

class Faults : public ::testing::TestWithParam<Told> {};

TEST_P(Faults, AreToldAndTheNextGoodFrameWorks) {
  Rig rig;
  SyntheticProcessor& front = rig.add({.name = "front"});
  ASSERT_TRUE(rig.scheduler.start());
  front.fault = GetParam().fault;
  rig.submit(0, 1);
  EXPECT_EQ(rig.collected[0]->wait_for(1)[0].code, GetParam().code);
  ASSERT_TRUE(rig.scheduler.drain(forever));
  rig.submit(0, 2);
  const auto seen = rig.collected[0]->wait_for(2);
  EXPECT_EQ(seen[1].code, Code::ok);
  EXPECT_EQ(seen[1].first, 2.0);
  EXPECT_EQ(rig.of(0).of(GetParam().code), 1U);
  EXPECT_EQ(rig.of(0).failed(), 1U);
  EXPECT_EQ(rig.of(0).answered, 1U);
}

INSTANTIATE_TEST_SUITE_P(
    Processor, Faults,
    ::testing::Values(Told{Fault::throws, Code::engine}, Told{Fault::out_of_memory, Code::out_of_memory},
                      Told{Fault::not_a_number, Code::tensor}, Told{Fault::wrong_shape, Code::tensor}),
    [](const auto& info) { return std::string(name_of(info.param.code)) + std::to_string(info.index); });

TEST(FrameFaults, ARefusedFrameIsToldAndTheNextGoodOneWorks) {
  Rig rig;
  rig.add({.name = "front", .frame_bytes = 100});
  ASSERT_TRUE(rig.scheduler.start());
  const Image good(1);
  const auto refused = [&](auto change) {
    Frame frame = good.frame;
    change(frame);
    const auto done = rig.scheduler.submit(0, frame);
    EXPECT_FALSE(done);
    if (done) return std::string();
    EXPECT_EQ(done.error().code, Code::frame);
    EXPECT_THAT(done.error().message, HasSubstr("camera 'front': "));
    return done.error().message;
  };
  EXPECT_THAT(refused([](Frame& one) { one.stride = 5; }), HasSubstr("stride 5"));
  EXPECT_THAT(refused([](Frame& one) { one.height = 5; }), HasSubstr("truncated"));
  EXPECT_THAT(refused([](Frame& one) { one.encoding = static_cast<Encoding>(200); }), HasSubstr("encoding"));
  EXPECT_THAT(refused([](Frame& one) { one.data = nullptr; }), HasSubstr("null"));
  const Image large(1, 10, 10);
  EXPECT_THAT(refused([&](Frame& one) { one = large.frame; }),
              HasSubstr("300 bytes does not fit into frame_bytes 100"));
  rig.submit(0, 3);
  EXPECT_EQ(rig.collected[0]->wait_for(1)[0].first, 3.0);
  EXPECT_EQ(rig.of(0).refused, 5U);
  EXPECT_EQ(rig.of(0).received, 6U);
}

TEST(MemoryFaults, NoMemoryForACopyIsToldAndTheNextFrameWorks) {
  if (!test::complete()) GTEST_SKIP() << "ThreadSanitizer's operator new stays";
  Rig rig;
  rig.add({.name = "front"});
  ASSERT_TRUE(rig.scheduler.start());
  const Image image(4);
  bool happened = true;
  int refused = 0;
  for (std::uint64_t after = 0; happened; ++after) {
    std::optional<Expected<std::uint64_t>> done;
    {
      const FailAllocations failing(after);
      done.emplace(rig.scheduler.submit(0, image.frame));
      happened = failing.happened();
    }
    if (*done) break;
    EXPECT_EQ(done->error().code, Code::out_of_memory);
    ++refused;
  }
  EXPECT_GE(refused, test::malloc_fails() ? 1 : 0);
  ASSERT_TRUE(rig.scheduler.drain(forever));
  rig.submit(0, 5);
  ASSERT_TRUE(rig.scheduler.drain(forever));
  EXPECT_EQ(rig.of(0).answered, 2U);
}

TEST(MemoryFaults, NoMemoryForASchedulerOrACameraIsTold) {
  if (!test::complete()) GTEST_SKIP() << "ThreadSanitizer's operator new stays";
  const auto processor = std::make_shared<SyntheticProcessor>();
  int failures = 0;
  for (std::uint64_t after = 0;; ++after) {
    Scheduler scheduler = scheduler_of();
    CameraOptions options{.name = "a camera whose name needs memory of its own", .frame_bytes = 1000};
    std::optional<Expected<CameraId>> added;
    bool happened = false;
    {
      const FailAllocations failing(after);
      added.emplace(scheduler.add(std::move(options), processor, nullptr));
      happened = failing.happened();
    }
    if (!happened) {
      EXPECT_TRUE(*added);
      break;
    }
    ++failures;
    ASSERT_FALSE(*added);
    EXPECT_EQ(added->error().code, Code::out_of_memory);
    ASSERT_TRUE(scheduler.add({.name = "front"}, processor, nullptr)) << "the scheduler lives";
    ASSERT_TRUE(scheduler.start());
    const Image image(1);
    ASSERT_TRUE(scheduler.submit(0, image.frame));
    ASSERT_TRUE(scheduler.drain(forever));
  }
  EXPECT_GE(failures, 2);
}

TEST(MemoryFaults, TheSteadyStateAllocatesNothing) {
  FakeClock clock;
  std::atomic<std::uint64_t> results{0};
  Scheduler scheduler = scheduler_of({.threads = 2, .clock = &clock});
  for (const char* name : {"front", "rear"}) {
    ASSERT_TRUE(scheduler.add({.name = name, .frame_bytes = 4096}, std::make_shared<SyntheticProcessor>(),
                              [&](const Completion&) { ++results; }));
  }
  ASSERT_TRUE(scheduler.start());
  const Image image(1, 8, 8, 32);
  test::Borrowed borrowed;
  const auto round = [&] {
    EXPECT_TRUE(scheduler.submit(0, image.frame));
    EXPECT_TRUE(scheduler.submit_borrowed(1, image.frame, borrowed.release()));
    EXPECT_TRUE(scheduler.submit(0, image.frame));  // replaces, where the first has not started
    EXPECT_TRUE(scheduler.drain(forever));
    EXPECT_TRUE(scheduler.submit(0, image.frame));
    clock.advance(1s);  // expires, where it has not started
    EXPECT_TRUE(scheduler.drain(forever));
  };
  // Which thread takes which camera first is the system's: warm when nothing was allocated for 300 rounds.
  std::uint64_t allocated = 1;
  for (int window = 0; window < 50 && allocated > 0; ++window) {
    const std::uint64_t before = allocations_of_process();
    for (int frame = 0; frame < 300; ++frame) round();
    allocated = allocations_of_process() - before;
  }
  EXPECT_EQ(allocated, 0U);
  EXPECT_GT(results, 600U);
}

TEST(CallbackFaults, WhatACallbackThrowsEndsThere) {
  Scheduler scheduler = scheduler_of();
  std::atomic<int> calls{0};
  ASSERT_TRUE(scheduler.add({.name = "front"}, std::make_shared<SyntheticProcessor>(), [&](const Completion&) {
    if (++calls == 1) throw std::runtime_error("as it was told");
  }));
  ASSERT_TRUE(scheduler.start());
  const Image image(1);
  for (int frame = 0; frame < 2; ++frame) {
    ASSERT_TRUE(scheduler.submit(0, image.frame));
    ASSERT_TRUE(scheduler.drain(forever));
  }
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(scheduler.statistics(0)->callback_failures, 1U);
  EXPECT_EQ(scheduler.statistics(0)->answered, 2U);
}

/// A rig whose first camera hangs in its first frame.
struct Hanging {
  explicit Hanging(std::int32_t threads, CameraOptions options = {.name = "front"})
      : rig({.threads = threads, .on_hang = [this](const Hang& hang) { told(hang); }, .clock = &clock}),
        front(rig.add(std::move(options))),
        rear(rig.add({.name = "rear"})) {
    EXPECT_TRUE(rig.scheduler.start());
    front.fault = Fault::hangs;
    rig.submit(0, 1);
    front.gate.wait_for_visitor();
  }
  ~Hanging() { front.gate.open(); }

  void told(const Hang& hang) {
    ++hangs;
    name = hang.name;
    running = hang.running;
    limit = hang.limit;
    sequence = hang.sequence;
  }

  FakeClock clock;
  std::atomic<int> hangs{0};
  std::atomic<std::uint64_t> sequence{0};
  std::string name;  // these three are read after `sequence` was seen
  std::chrono::nanoseconds running{};
  std::chrono::nanoseconds limit{};
  Rig rig;
  SyntheticProcessor& front;
  SyntheticProcessor& rear;
};

TEST(Watchdog, FlagsAProcessorThatHangsAndLetsTheOthersRun) {
  Hanging hanging(2);
  Rig& rig = hanging.rig;
  hanging.clock.advance(60ms);  // two periods of 33.3 are not over
  EXPECT_FALSE(rig.of(0).hung);
  hanging.clock.advance(10ms);
  ASSERT_TRUE(becomes([&] { return hanging.sequence.load() == 1; }));
  ASSERT_TRUE(becomes([&] { return rig.of(0).hung; }));
  EXPECT_EQ(hanging.name, "front");
  EXPECT_EQ(hanging.running, 70ms);
  EXPECT_EQ(hanging.limit, 66'666'666ns);
  for (std::uint8_t first = 1; first <= 5; ++first) {
    rig.submit(1, first);
    rig.collected[1]->wait_for(first);
  }
  EXPECT_TRUE(becomes([&] { return rig.of(1).running == 0; }));
  EXPECT_FALSE(rig.of(1).hung);
  hanging.rear.fault = Fault::hangs;
  rig.submit(1, 6);
  hanging.rear.gate.wait_for_visitor();
  hanging.clock.advance(70ms);
  ASSERT_TRUE(becomes([&] { return rig.of(1).hung; }));
  EXPECT_EQ(rig.of(0).hangs, 1U) << "once a hang, however often the watchdog looks";
  hanging.rear.gate.open();
  hanging.front.gate.open();
  EXPECT_EQ(rig.collected[0]->wait_for(1)[0].first, 1.0);
  ASSERT_TRUE(rig.scheduler.drain(forever));
  EXPECT_FALSE(rig.of(0).hung);
  EXPECT_EQ(rig.of(0).hangs, 1U);
  rig.submit(0, 9);
  EXPECT_EQ(rig.collected[0]->wait_for(2)[1].first, 9.0) << "the next good frame works";
}

TEST(Watchdog, TakesTheLimitThatItIsGiven) {
  Hanging hanging(1, {.name = "front", .hang_after = 10s});
  hanging.clock.advance(10s);
  EXPECT_FALSE(hanging.rig.of(0).hung);
  hanging.clock.advance(1ms);
  EXPECT_TRUE(becomes([&] { return hanging.rig.of(0).hung; }));
}

TEST(Watchdog, DoesNotTakeSlowForHung) {
  FakeClock clock;
  std::atomic<int> hangs{0};
  Rig rig({.on_hang = [&](const Hang&) { ++hangs; }, .clock = &clock});
  SyntheticProcessor& front = rig.add({.name = "front", .hang_after = 0s});
  ASSERT_TRUE(rig.scheduler.start());
  const auto run_for = [&](std::chrono::milliseconds time, std::size_t number) {
    front.gate.close();
    front.fault = Fault::hangs;
    rig.submit(0, 1);
    front.gate.wait_for_visitor();
    clock.advance(time);
    if (number == 0) return;
    front.gate.open();
    rig.collected[0]->wait_for(number);
    ASSERT_TRUE(rig.scheduler.drain(forever));
  };
  for (std::size_t number = 1; number <= 3; ++number) run_for(60ms, number);  // below two periods
  run_for(110ms, 0);  // above two periods, and below two medians of 60
  EXPECT_FALSE(rig.of(0).hung);
  clock.advance(11ms);
  EXPECT_TRUE(becomes([&] { return hangs == 1; }));
  front.gate.open();
}

TEST(Watchdog, StopReturnsThoughAProcessorHangsAndSaysWhich) {
  auto processor = std::make_shared<SyntheticProcessor>();
  SyntheticProcessor& front = *processor;
  const std::weak_ptr<SyntheticProcessor> watched = processor;
  std::atomic<int> called_back{0};
  test::Borrowed borrowed;
  const Image image(1);
  {
    Scheduler scheduler = scheduler_of({.threads = 2});
    ASSERT_TRUE(scheduler.add({.name = "front"}, std::move(processor), [&](const Completion&) { ++called_back; }));
    ASSERT_TRUE(scheduler.start());
    front.fault = Fault::hangs;
    ASSERT_TRUE(scheduler.submit_borrowed(0, image.frame, borrowed.release()));
    front.gate.wait_for_visitor();
    const Status stopped = scheduler.stop(1ms);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, Code::timeout);
    EXPECT_THAT(stopped.error().message, HasSubstr("camera 'front' (in its processor for"));
    EXPECT_EQ(scheduler.statistics(0)->running, 1U);
  }
  EXPECT_FALSE(watched.expired()) << "the thread that is left behind still uses it";
  EXPECT_EQ(borrowed.back, 0) << "and its frame";
  front.gate.open();
  EXPECT_TRUE(becomes([&] { return watched.expired(); }));
  EXPECT_EQ(called_back, 0) << "nobody is called after stop() has returned";
  EXPECT_EQ(borrowed.back, 1);
}

}  // namespace
}  // namespace edgekit
