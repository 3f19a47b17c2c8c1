#include "edgekit/statistics.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "scheduling/recorder.hpp"
#include "scheduling/support.hpp"
#include "support/allocations.hpp"

namespace edgekit {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using test::forever;
using test::Image;
using test::Rig;
using ::testing::HasSubstr;

Run run_of(std::uint64_t sequence, nanoseconds submitted, nanoseconds wait, nanoseconds engine) {
  return {.sequence = sequence,
          .code = Code::ok,
          .late = false,
          .timing = {.preprocess = 1ms, .engine = engine, .postprocess = 2ms},
          .submitted = submitted,
          .started = submitted + wait,
          .finished = submitted + wait + 3ms + engine};
}

TEST(Statistics, PercentilesAreOfTheWindowsResults) {
  Recorder recorder("front");
  EXPECT_EQ(recorder.snapshot(1s).of(Stage::engine).p50, 0ns);
  EXPECT_EQ(recorder.snapshot(1s).last_result_age, -1ns);
  for (int number = 1; number <= 1000; ++number) {
    recorder.finished(run_of(static_cast<std::uint64_t>(number), 0ns, 5ms, std::chrono::microseconds(number)));
  }
  const CameraStatistics seen = recorder.snapshot(1s);
  EXPECT_EQ(seen.of(Stage::engine).p50, 500us);
  EXPECT_EQ(seen.of(Stage::engine).p90, 900us);
  EXPECT_EQ(seen.of(Stage::engine).p99, 990us);
  EXPECT_EQ(seen.of(Stage::engine).p999, 999us);
  EXPECT_EQ(seen.of(Stage::engine).most, 1000us);
  EXPECT_EQ(seen.of(Stage::wait).p99, 5ms);
  EXPECT_EQ(seen.of(Stage::preprocess).p50, 1ms);
  EXPECT_EQ(seen.of(Stage::postprocess).p50, 2ms);
  EXPECT_EQ(seen.of(Stage::total).most, 9ms);
  EXPECT_EQ(seen.answered, 1000U);
  EXPECT_EQ(seen.last_sequence, 1000U);
  EXPECT_EQ(seen.last_result_age, 1s - 9ms);
  for (int number = 0; number < 5000; ++number) recorder.finished(run_of(1, 0ns, 5ms, 7ms));
  EXPECT_EQ(recorder.snapshot(1s).of(Stage::engine).p50, 7ms) << "old results leave the window";
  EXPECT_EQ(recorder.snapshot(1s).answered, 6000U);
}

TEST(Statistics, TheRateIsThatOfTheLastFiveSeconds) {
  Recorder recorder("front");
  nanoseconds now = 100s;
  for (int number = 0; number < 300; ++number, now += 20ms) recorder.finished(run_of(1, now, 0ns, 1ms));
  EXPECT_NEAR(recorder.snapshot(now).rate_hz, 50.0, 0.5);
  EXPECT_NEAR(recorder.snapshot(now + 2500ms).rate_hz, 25.0, 0.5);
  EXPECT_EQ(recorder.snapshot(now + 6s).rate_hz, 0.0);
  Recorder fast("rear");
  for (int number = 0; number < 5000; ++number, now += 1ms) fast.finished(run_of(1, now, 0ns, 1ms));
  EXPECT_NEAR(fast.snapshot(now).rate_hz, 1000.0, 5.0) << "more results than the window has";
}

TEST(Statistics, HistogramsHaveTheBucketsOfAllResults) {
  Recorder recorder("front");
  for (const nanoseconds engine : std::initializer_list<nanoseconds>{1ms, 1ms + 1ns, 33ms, 2s})
    recorder.finished(run_of(1, 0ns, 0ns, engine));
  const Histogram seen = recorder.snapshot(9s).histograms[static_cast<std::size_t>(Stage::engine)];
  EXPECT_EQ(seen.count, 4U);
  EXPECT_EQ(seen.counts[0], 1U) << "an end belongs to its bucket";
  EXPECT_EQ(seen.counts[1], 1U);
  EXPECT_EQ(seen.counts[5], 1U);
  EXPECT_EQ(seen.counts.back(), 1U);
  EXPECT_EQ(seen.sum, 2s + 35ms + 1ns);
}

TEST(Statistics, AreOfOneMomentWhileFramesComeAndGo) {
  Rig rig({.threads = 2, .clock = &Clock::steady()});
  rig.add({.name = "front", .period = 1ms, .deadline = 1h});
  rig.add({.name = "rear", .period = 1ms, .deadline = 1h}).spins = 200us;
  ASSERT_TRUE(rig.scheduler.start());
  std::atomic<bool> end{false};
  const auto submitting = [&] {
    const Image image(1);
    Frame wrong = image.frame;
    wrong.stride = 1;
    while (!end) {
      EXPECT_TRUE(rig.scheduler.submit(0, image.frame));
      EXPECT_TRUE(rig.scheduler.submit(1, image.frame));
      EXPECT_FALSE(rig.scheduler.submit(1, wrong));
      rig.processors[1]->fault = test::Fault::throws;
    }
  };
  std::thread first(submitting);
  std::thread second(submitting);
  std::uint64_t last = 0;
  for (int looks = 0; looks < 300 || last < 100; ++looks) {
    const std::vector<CameraStatistics> all = *rig.scheduler.statistics();
    for (const CameraStatistics& one : all) {
      EXPECT_EQ(one.received, one.refused + one.dropped() + one.answered + one.failed() + one.waiting + one.running)
          << one.name;
    }
    const std::uint64_t answered = rig.of(0).answered;
    EXPECT_GE(answered, last);
    last = answered;
    if (::testing::Test::HasFailure()) break;
  }
  end = true;
  first.join();
  second.join();
  ASSERT_TRUE(rig.scheduler.stop(forever));
  const std::vector<CameraStatistics> all = *rig.scheduler.statistics();
  for (const CameraStatistics& one : all) {
    EXPECT_EQ(one.waiting + one.running, 0U);
    EXPECT_EQ(one.received, one.refused + one.dropped() + one.answered + one.failed());
  }
  EXPECT_GT(rig.of(1).of(Code::engine), 0U);
}

/// A page as Prometheus reads it: names with labels, and their numbers.
std::map<std::string, double> lines_of(const std::string& page) {
  std::map<std::string, double> found;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    const std::size_t space = line.rfind(' ');
    const auto [at, fresh] = found.emplace(line.substr(0, space), std::stod(line.substr(space + 1)));
    EXPECT_TRUE(fresh) << "twice: " << line;
  }
  return found;
}

CameraStatistics some_camera(std::string name) {
  Recorder recorder(std::move(name));
  for (int number = 0; number < 3; ++number) {
    recorder.submitted(number == 1);
    recorder.started();
    recorder.finished(run_of(1, 0ns, 5ms, 40ms));
  }
  recorder.submitted(false);
  recorder.dropped(Drop::expired);
  recorder.refused();
  recorder.submitted(false);
  recorder.started();
  recorder.hung();
  return recorder.snapshot(1s);
}

TEST(Prometheus, WritesWhatTheCamerasHave) {
  const std::vector<CameraStatistics> cameras{some_camera("front"), some_camera("a\\b\"c\nd")};
  const auto lines = lines_of(*prometheus_text(cameras));
  const auto value = [&](const std::string& name) {
    const auto found = lines.find(name);
    EXPECT_NE(found, lines.end()) << name;
    return found == lines.end() ? -1.0 : found->second;
  };
  EXPECT_EQ(value("edgekit_frames_total{camera=\"front\",outcome=\"received\"}"), 6.0);
  EXPECT_EQ(value("edgekit_frames_total{camera=\"front\",outcome=\"answered\"}"), 3.0);
  EXPECT_EQ(value("edgekit_frames_total{camera=\"front\",outcome=\"dropped\"}"), 2.0);
  EXPECT_EQ(value("edgekit_frames_total{camera=\"front\",outcome=\"refused\"}"), 1.0);
  EXPECT_EQ(value("edgekit_drops_total{camera=\"front\",cause=\"expired\"}"), 1.0);
  EXPECT_EQ(value("edgekit_deadline_misses_total{camera=\"front\"}"), 1.0);
  EXPECT_EQ(value("edgekit_hung{camera=\"front\"}"), 1.0);
  EXPECT_EQ(value("edgekit_status_level{status=\"inference\"}"), 2.0);
  EXPECT_EQ(value("edgekit_stage_seconds_bucket{stage=\"inference\",le=\"0.033\"}"), 0.0);
  EXPECT_EQ(value("edgekit_stage_seconds_bucket{stage=\"inference\",le=\"0.05\"}"), 6.0) << "of both cameras";
  EXPECT_EQ(value("edgekit_stage_seconds_bucket{stage=\"inference\",le=\"+Inf\"}"), 6.0);
  EXPECT_NEAR(value("edgekit_stage_seconds_sum{stage=\"inference\"}"), 0.24, 1e-9);
  EXPECT_EQ(value("edgekit_age_seconds_count{camera=\"front\"}"), 3.0);
  EXPECT_NEAR(value("edgekit_recent_stage_seconds{camera=\"front\",stage=\"total\",quantile=\"0.99\"}"), 0.048, 1e-9);
  EXPECT_NEAR(value("edgekit_last_result_age_seconds{camera=\"front\"}"), 0.952, 1e-9);
  EXPECT_EQ(value("edgekit_hung{camera=\"a\\\\b\\\"c\\nd\"}"), 1.0) << "a name is escaped";
}

TEST(Prometheus, WritesNoMoreThanThereIsRoomFor) {
  const std::vector<CameraStatistics> cameras{some_camera("front")};
  const std::string whole = *prometheus_text(cameras);
  std::vector<char> buffer(whole.size() + 1, '?');
  const std::uint64_t before = test::allocations();
  EXPECT_EQ(write_prometheus(cameras, buffer.data(), buffer.size()), whole.size());
  EXPECT_EQ(test::allocations(), before);
  EXPECT_EQ(std::string(buffer.data(), whole.size()), whole);
  EXPECT_EQ(buffer.back(), '?');
  std::fill(buffer.begin(), buffer.end(), '?');
  EXPECT_EQ(write_prometheus(cameras, buffer.data(), 100), whole.size());
  EXPECT_EQ(std::string(buffer.data(), 101), whole.substr(0, 100) + "?");
}

TEST(Prometheus, HasEveryLineOfTheNodesPage) {
  const std::filesystem::path file = std::filesystem::path(EDGEKIT_CASES) / "metrics" / "lines.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there: make cpp-cases";
  const auto cases = nlohmann::json::parse(std::ifstream(file));
  const std::vector<CameraStatistics> cameras{some_camera("front")};
  const std::string page = *prometheus_text(cameras);
  const auto lines = lines_of(page);
  ASSERT_GT(cases.at("samples").size(), 40U);
  for (const auto& sample : cases.at("samples")) EXPECT_TRUE(lines.contains(sample.get<std::string>())) << sample;
  for (const auto& type : cases.at("types")) EXPECT_THAT(page, HasSubstr(type.get<std::string>() + "\n"));
}

}  // namespace
}  // namespace edgekit
