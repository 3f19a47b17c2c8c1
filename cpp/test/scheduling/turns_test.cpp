// Decisions over time that stands still: no threads, no clock.
#include "scheduling/turns.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>

namespace edgekit {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

Claim camera(milliseconds period, milliseconds deadline, std::int32_t priority, std::size_t group) {
  return {.priority = priority, .period = period, .deadline = deadline, .group = group};
}

TEST(Turns, NobodyRunsWithoutAFrame) {
  Turns turns;
  turns.add(camera(33ms, 33ms, 0, 0));
  EXPECT_FALSE(turns.next(0ms));
  turns.arrived(0, 0ms);
  EXPECT_EQ(turns.next(0ms), 0U);
  turns.dropped(0);
  EXPECT_FALSE(turns.next(0ms));
  EXPECT_TRUE(turns.idle());
}

TEST(Turns, TheEarliestDeadlineGoesFirst) {
  Turns turns;
  turns.add(camera(100ms, 100ms, 0, 0));
  turns.add(camera(33ms, 20ms, 0, 1));
  turns.arrived(0, 0ms);
  turns.arrived(1, 5ms);
  EXPECT_EQ(turns.next(5ms), 1U) << "it is due at 25, the other at 100";
  turns.started(1);
  turns.finished(1);
  turns.arrived(1, 85ms);
  EXPECT_EQ(turns.next(85ms), 0U) << "it is due at 100, the other at 105";
}

TEST(Turns, PriorityGoesBeforeEveryDeadline) {
  Turns turns;
  turns.add(camera(33ms, 33ms, 0, 0));
  turns.add(camera(1000ms, 1000ms, 1, 1));
  turns.arrived(0, 0ms);
  turns.arrived(1, 30ms);
  EXPECT_EQ(turns.next(30ms), 1U);
  EXPECT_EQ(turns.next(500ms), 1U) << "even when the other one is overdue";
}

TEST(Turns, AFrameExpiresAfterItsDeadline) {
  Turns turns;
  turns.add(camera(33ms, 20ms, 0, 0));
  EXPECT_FALSE(turns.expired(0, 100ms)) << "there is none";
  turns.arrived(0, 0ms);
  EXPECT_FALSE(turns.expired(0, 20ms));
  EXPECT_TRUE(turns.expired(0, 21ms));
  turns.arrived(0, 33ms);
  EXPECT_FALSE(turns.expired(0, 34ms));
}

TEST(Turns, WhoLosesFramesGoesFirst) {
  Turns turns;
  turns.add(camera(33ms, 10ms, 0, 0));
  turns.add(camera(33ms, 33ms, 0, 1));
  turns.arrived(0, 0ms);
  turns.arrived(1, 0ms);
  turns.arrived(1, 0ms);
  EXPECT_EQ(turns.next(1ms), 0U) << "one lost frame is no overload";
  turns.arrived(1, 0ms);
  EXPECT_EQ(turns.next(1ms), 1U);
  for (int round = 0; round < 3; ++round) {  // expired ones are lost, too
    turns.arrived(0, 0ms);
    turns.dropped(0);
  }
  turns.arrived(0, 0ms);
  EXPECT_EQ(turns.next(1ms), 0U) << "it has lost more";
}

TEST(Turns, ALossIsForgottenOnceTheCameraIsServed) {
  Turns turns;
  turns.add(camera(33ms, 10ms, 0, 0));
  turns.add(camera(33ms, 33ms, 0, 1));
  for (int round = 0; round < 1000; ++round) turns.arrived(1, 0ms);
  for (int round = 0; round < 100; ++round) {
    turns.arrived(1, 0ms);
    turns.started(1);
    turns.finished(1);
  }
  turns.arrived(0, 0ms);
  turns.arrived(1, 0ms);
  EXPECT_EQ(turns.next(1ms), 0U);
}

TEST(Turns, EqualClaimsGoInTurn) {
  Turns turns;
  for (std::size_t index = 0; index < 3; ++index) turns.add(camera(33ms, 33ms, 0, index));
  std::string order;
  for (int round = 0; round < 6; ++round) {
    for (std::size_t index = 0; index < 3; ++index) turns.arrived(index, 0ms);
    const std::size_t next = turns.next(1ms).value();
    order += static_cast<char>('0' + next);
    turns.started(next);
    turns.finished(next);
  }
  EXPECT_EQ(order, "012012");
}

TEST(Turns, AGroupRunsOneAtATime) {
  Turns turns;
  turns.add(camera(33ms, 33ms, 0, 0));
  turns.add(camera(33ms, 33ms, 0, 0));
  turns.add(camera(33ms, 33ms, 0, 2));
  for (std::size_t index = 0; index < 3; ++index) turns.arrived(index, 0ms);
  turns.started(0);
  EXPECT_EQ(turns.next(1ms), 2U);
  turns.started(2);
  EXPECT_FALSE(turns.next(1ms));
  turns.finished(0);
  EXPECT_EQ(turns.next(1ms), 1U);
}

/// Cameras that submit frame after frame, threads that take `cost` for each, until `end`.
class Simulation {
 public:
  struct Source {
    nanoseconds period;
    nanoseconds phase;
    nanoseconds cost;
    nanoseconds deadline{0};
    std::uint64_t submitted = 0;
    std::uint64_t started = 0;
    nanoseconds newest{};
    nanoseconds oldest_start{};  ///< the greatest age of a frame at its start
    nanoseconds worst{};         ///< from submission to end
    nanoseconds ends{-1};        ///< of the one that runs
  };

  Simulation(std::vector<Source> sources, std::size_t threads) : sources_(std::move(sources)), free_(threads) {
    for (std::size_t index = 0; index < sources_.size(); ++index) {
      Source& one = sources_[index];
      if (one.deadline.count() == 0) one.deadline = one.period;
      turns_.add({.priority = 0, .period = one.period, .deadline = one.deadline, .group = index});
    }
  }

  void run(nanoseconds end) {
    for (nanoseconds now{0}; now < end; now += 100us) {
      for (std::size_t index = 0; index < sources_.size(); ++index) step(index, now);
      while (free_ > 0) {
        const auto next = turns_.next(now);
        if (!next) break;
        start(*next, now);
      }
    }
  }

  /// The least and the greatest share of its frames that a camera had.
  std::pair<double, double> shares() const {
    double least = 1.0;
    double most = 0.0;
    for (const Source& one : sources_) {
      const double share = static_cast<double>(one.started) / static_cast<double>(one.submitted);
      least = std::min(least, share);
      most = std::max(most, share);
    }
    return {least, most};
  }
  const std::vector<Source>& sources() const { return sources_; }

 private:
  void step(std::size_t index, nanoseconds now) {
    Source& one = sources_[index];
    if (one.ends.count() >= 0 && now >= one.ends) {
      one.ends = nanoseconds(-1);
      turns_.finished(index);
      ++free_;
    }
    if (now < one.phase + static_cast<std::int64_t>(one.submitted) * one.period) return;
    ++one.submitted;
    one.newest = now;
    turns_.arrived(index, now);
  }

  void start(std::size_t index, nanoseconds now) {
    Source& one = sources_[index];
    ++one.started;
    one.oldest_start = std::max(one.oldest_start, now - one.newest);
    one.worst = std::max(one.worst, now - one.newest + one.cost);
    one.ends = now + one.cost;
    turns_.started(index);
    --free_;
  }

  std::vector<Source> sources_;
  Turns turns_;
  std::size_t free_;
};

constexpr std::array loads{1.2, 2.0, 3.5};

TEST(Turns, UnderOverloadEqualCamerasLoseTheSameShareWhateverTheirPhases) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 30; ++trial) {
    const std::size_t cameras = 3 + random() % 4;
    const std::size_t threads = 1 + random() % 2;
    const double load = loads[trial % loads.size()];
    const double cost_ns = load * 33e6 * static_cast<double>(threads) / static_cast<double>(cameras);
    std::vector<Simulation::Source> sources;
    for (std::size_t index = 0; index < cameras; ++index) {
      sources.push_back({.period = 33ms,
                         .phase = nanoseconds(random() % 33'000'000),
                         .cost = nanoseconds(static_cast<std::int64_t>(cost_ns))});
    }
    Simulation simulation(sources, threads);
    simulation.run(20s);
    const auto [least, most] = simulation.shares();
    EXPECT_GT(least * load, 0.93) << "trial " << trial << ", load " << load;
    EXPECT_LT(most / least, 1.06) << "trial " << trial << ", load " << load;
    for (const auto& one : simulation.sources()) EXPECT_LE(one.oldest_start, one.period) << "trial " << trial;
  }
}

TEST(Turns, UnderOverloadUnequalCamerasLoseTheSameShareOfTheirFrames) {
  constexpr std::array periods{16ms, 33ms, 50ms, 100ms};
  std::mt19937 random(11);
  for (int trial = 0; trial < 15; ++trial) {
    std::vector<Simulation::Source> sources;
    double frames_ms = 0.0;
    for (std::size_t index = 0; index < 6; ++index) {
      const milliseconds period = periods[random() % periods.size()];
      sources.push_back({.period = period, .phase = nanoseconds(random() % 50'000'000), .cost = {}});
      frames_ms += 1.0 / static_cast<double>(period.count());
    }
    const double load = loads[trial % loads.size()];
    for (auto& one : sources) one.cost = nanoseconds(static_cast<std::int64_t>(1e6 * load / frames_ms));
    Simulation simulation(sources, 1);
    simulation.run(60s);
    const auto [least, most] = simulation.shares();
    EXPECT_GT(least * load, 0.93) << "trial " << trial << ", load " << load;
    EXPECT_LT(most / least, 1.08) << "trial " << trial << ", shares " << least << " to " << most;
  }
}

TEST(Turns, BelowFullLoadNothingIsLost) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<Simulation::Source> sources;
    for (std::size_t index = 0; index < 4; ++index) {
      sources.push_back({.period = 33ms, .phase = nanoseconds(random() % 33'000'000), .cost = 5ms});
    }
    Simulation simulation(sources, 2);
    simulation.run(10s);
    for (const auto& one : simulation.sources()) {
      EXPECT_LE(one.worst, one.period);
      EXPECT_GE(one.started + 1, one.submitted);
    }
  }
}

}  // namespace
}  // namespace edgekit
