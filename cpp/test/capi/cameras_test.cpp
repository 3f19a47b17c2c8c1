// The C ABI's scheduler with real pipelines, as a C program uses it: several cameras over the bundles of the cases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "edgekit/edgekit_scheduler.h"

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t patience = 60 * second;
constexpr std::int32_t height = 48;
constexpr std::int32_t width = 64;

/// What a result holds, as bytes.
std::vector<std::uint8_t> bytes_of(const edgekit_result* result) {
  edgekit_label_map map = EDGEKIT_INIT(edgekit_label_map);
  edgekit_detections found = EDGEKIT_INIT(edgekit_detections);
  edgekit_floats floats = EDGEKIT_INIT(edgekit_floats);
  const auto copied = [](const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    return std::vector<std::uint8_t>(first, first + size);
  };
  switch (edgekit_result_kind(result)) {
    case EDGEKIT_LABEL_MAP:
      EXPECT_EQ(edgekit_result_label_map(result, &map), EDGEKIT_OK);
      return copied(map.labels, static_cast<std::size_t>(map.height) * map.width);
    case EDGEKIT_DETECTIONS:
      EXPECT_EQ(edgekit_result_detections(result, &found), EDGEKIT_OK);
      return copied(found.boxes, found.count * 4 * sizeof *found.boxes);
    case EDGEKIT_CLASS_SCORES:
      EXPECT_EQ(edgekit_result_floats(result, &floats), EDGEKIT_OK);
      return copied(floats.values, floats.count * sizeof *floats.values);
    default:
      return {};
  }
}

/// A picture whose colours its number decides.
class Picture {
 public:
  explicit Picture(unsigned number) : pixels_(static_cast<std::size_t>(height) * width * 3) {
    for (std::size_t i = 0; i < pixels_.size(); ++i) {
      pixels_[i] = static_cast<std::uint8_t>((i / (5 + number) * 41 + number * 97) % 253);
    }
  }
  edgekit_frame frame() const {
    edgekit_frame made = EDGEKIT_INIT(edgekit_frame);
    made.data = pixels_.data();
    made.bytes = pixels_.size();
    made.height = height;
    made.width = width;
    made.encoding = EDGEKIT_BGR8;
    return made;
  }

 private:
  std::vector<std::uint8_t> pixels_;
};

edgekit_pipeline* pipeline_of(const std::string& name) {
  edgekit_bundle* bundle = nullptr;
  edgekit_pipeline* pipeline = nullptr;
  const std::string path = EDGEKIT_CASES "/golden/" + name;
  EXPECT_EQ(edgekit_bundle_open(path.c_str(), nullptr, &bundle), EDGEKIT_OK) << edgekit_last_error();
  EXPECT_EQ(edgekit_pipeline_open(bundle, nullptr, &pipeline), EDGEKIT_OK) << edgekit_last_error();
  edgekit_bundle_close(bundle);
  return pipeline;
}

/// What the pipeline alone makes of a picture.
std::vector<std::uint8_t> alone(const std::string& bundle, const Picture& picture) {
  edgekit_pipeline* pipeline = pipeline_of(bundle);
  const edgekit_frame frame = picture.frame();
  EXPECT_EQ(edgekit_pipeline_process(pipeline, &frame), EDGEKIT_OK) << edgekit_last_error();
  std::vector<std::uint8_t> made = bytes_of(edgekit_pipeline_result(pipeline));
  edgekit_pipeline_close(pipeline);
  return made;
}

/// A camera, and what its callback was given. Its first callback may be held until the test lets it go.
struct Camera {
  explicit Camera(std::string of) : bundle(std::move(of)) {}

  void hold() { held = let_go.get_future(); }

  static void answered(void* context, const edgekit_completion* done) {
    Camera& camera = *static_cast<Camera*>(context);
    EXPECT_EQ(done->status, EDGEKIT_OK) << done->error;
    EXPECT_EQ(done->camera, camera.id);
    EXPECT_EQ(done->name, "camera of " + camera.bundle);
    camera.sequences.push_back(done->sequence);
    camera.results.push_back(bytes_of(done->result));
    EXPECT_GT(done->engine_ns, 0);
    if (!camera.held.valid()) return;
    camera.entered.set_value();
    camera.held.wait();
    camera.held = {};
  }

  std::string bundle;
  std::uint32_t id = 99;
  std::vector<std::uint64_t> sequences;
  std::vector<std::vector<std::uint8_t>> results;
  std::promise<void> entered;
  std::promise<void> let_go;
  std::future<void> held;
};

class Cameras : public ::testing::Test {
 protected:
  ~Cameras() override { edgekit_scheduler_close(scheduler_); }

  void start(std::int32_t threads, const std::vector<Camera*>& cameras) {
    edgekit_scheduler_options how = EDGEKIT_INIT(edgekit_scheduler_options);
    how.threads = threads;
    ASSERT_EQ(edgekit_scheduler_create(&how, &scheduler_), EDGEKIT_OK) << edgekit_last_error();
    std::int32_t priority = 0;
    for (Camera* camera : cameras) {
      const std::string name = "camera of " + camera->bundle;
      edgekit_camera_options options = EDGEKIT_INIT(edgekit_camera_options);
      options.name = name.c_str();
      options.priority = ++priority;
      options.period_ns = options.deadline_ns = options.hang_after_ns = patience;
      ASSERT_EQ(edgekit_scheduler_add(scheduler_, &options, pipeline_of(camera->bundle), Camera::answered, camera,
                                      &camera->id),
                EDGEKIT_OK)
          << edgekit_last_error();
    }
    ASSERT_EQ(edgekit_scheduler_start(scheduler_), EDGEKIT_OK) << edgekit_last_error();
  }

  void submit(const Camera& camera, const Picture& picture) {
    const edgekit_frame frame = picture.frame();
    ASSERT_EQ(edgekit_scheduler_submit(scheduler_, camera.id, &frame, nullptr), EDGEKIT_OK) << edgekit_last_error();
  }

  void drain() { ASSERT_EQ(edgekit_scheduler_drain(scheduler_, patience), EDGEKIT_OK) << edgekit_last_error(); }

  edgekit_camera_statistics statistics(const Camera& camera) {
    edgekit_camera_statistics now = EDGEKIT_INIT(edgekit_camera_statistics);
    EXPECT_EQ(edgekit_scheduler_statistics(scheduler_, camera.id, &now), EDGEKIT_OK) << edgekit_last_error();
    return now;
  }

  std::string prometheus() {
    std::size_t needed = 0;
    EXPECT_EQ(edgekit_scheduler_prometheus(scheduler_, nullptr, 0, &needed), EDGEKIT_OK) << edgekit_last_error();
    std::string text(needed, '\0');
    EXPECT_EQ(edgekit_scheduler_prometheus(scheduler_, text.data(), text.size(), nullptr), EDGEKIT_OK);
    text.resize(std::strlen(text.c_str()));
    return text;
  }

  edgekit_scheduler* scheduler_ = nullptr;
};

TEST_F(Cameras, GiveWhatTheirPipelinesGiveAlone) {
  Camera area("segmentation");
  Camera boxes("detection");
  Camera whole("classification");
  const std::vector<Camera*> cameras{&area, &boxes, &whole};
  start(2, cameras);
  for (unsigned round = 0; round < 3; ++round) {
    for (const Camera* camera : cameras) submit(*camera, Picture(round));
    drain();
  }
  const std::string text = prometheus();
  for (const Camera* camera : cameras) {
    SCOPED_TRACE(camera->bundle);
    EXPECT_THAT(camera->sequences, ElementsAre(1, 2, 3));
    ASSERT_EQ(camera->results.size(), 3U);
    for (unsigned round = 0; round < 3; ++round) {
      EXPECT_EQ(camera->results[round], alone(camera->bundle, Picture(round))) << "round " << round;
    }
    const edgekit_camera_statistics now = statistics(*camera);
    EXPECT_EQ(now.received, 3U);
    EXPECT_EQ(now.answered, 3U);
    EXPECT_EQ(now.refused + now.failed + now.late + now.replaced + now.expired + now.hangs, 0U);
    EXPECT_EQ(now.last_sequence, 3U);
    EXPECT_GE(now.last_result_age_ns, 0);
    EXPECT_GT(now.engine.p50_ns, 0);
    EXPECT_GE(now.total.most_ns, now.engine.most_ns);
    EXPECT_THAT(
        text, HasSubstr("edgekit_frames_total{camera=\"camera of " + camera->bundle + "\",outcome=\"answered\"} 3\n"));
  }
  EXPECT_NE(area.results[0], area.results[1]) << "the pictures are too much alike";
}

TEST_F(Cameras, TakeTheNewestFrame) {
  Camera busy("classification");
  Camera waiting("segmentation");
  busy.hold();
  start(1, {&busy, &waiting});
  submit(busy, Picture(0));
  busy.entered.get_future().wait();  // the pool's only thread is in its callback
  for (unsigned number = 1; number < 5; ++number) submit(waiting, Picture(number));
  EXPECT_EQ(statistics(waiting).waiting, 1U);
  EXPECT_EQ(edgekit_scheduler_drain(scheduler_, 1), EDGEKIT_TIMEOUT);
  EXPECT_THAT(edgekit_last_error(), HasSubstr("camera of segmentation"));
  busy.let_go.set_value();
  drain();
  EXPECT_THAT(waiting.sequences, ElementsAre(4));
  EXPECT_THAT(waiting.results, ElementsAre(alone("segmentation", Picture(4))));
  const edgekit_camera_statistics now = statistics(waiting);
  EXPECT_EQ(now.received, 4U);
  EXPECT_EQ(now.replaced, 3U);
  EXPECT_EQ(now.answered, 1U);
  EXPECT_THAT(prometheus(), HasSubstr("edgekit_drops_total{camera=\"camera of segmentation\",cause=\"replaced\"} 3\n"));
}

TEST_F(Cameras, StopWhileOneIsBusyAndAnotherWaits) {
  Camera busy("classification");
  Camera waiting("segmentation");
  busy.hold();
  start(1, {&busy, &waiting});
  submit(busy, Picture(0));
  busy.entered.get_future().wait();
  std::promise<void> given_back;
  const Picture picture(1);
  const edgekit_frame frame = picture.frame();
  const auto release = [](void* context) { static_cast<std::promise<void>*>(context)->set_value(); };
  ASSERT_EQ(edgekit_scheduler_submit_borrowed(scheduler_, waiting.id, &frame, release, &given_back, nullptr),
            EDGEKIT_OK);
  auto stopped = std::async(std::launch::async, [this] { return edgekit_scheduler_stop(scheduler_, patience); });
  given_back.get_future().wait();  // stop() has begun: it drops what waits before it waits itself
  EXPECT_EQ(edgekit_scheduler_submit(scheduler_, waiting.id, &frame, nullptr), EDGEKIT_NOT_READY);
  busy.let_go.set_value();
  EXPECT_EQ(stopped.get(), EDGEKIT_OK);
  EXPECT_THAT(busy.sequences, ElementsAre(1));
  EXPECT_TRUE(waiting.sequences.empty());
  EXPECT_EQ(statistics(busy).answered, 1U);
  EXPECT_EQ(statistics(waiting).stopped, 1U);
  EXPECT_EQ(edgekit_scheduler_drain(scheduler_, 1), EDGEKIT_NOT_READY);
  EXPECT_EQ(edgekit_scheduler_stop(scheduler_, 1), EDGEKIT_OK) << "the second time there is nothing to do";
}

}  // namespace
