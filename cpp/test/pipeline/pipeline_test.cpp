#include "edgekit/pipeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <variant>

#include "support/allocations.hpp"

namespace edgekit {
namespace {

using ::testing::HasSubstr;

const char* const bundle_folder = EDGEKIT_CASES "/golden/segmentation";

Bundle opened() {
  auto bundle = Bundle::open(bundle_folder);
  EXPECT_TRUE(bundle) << bundle.error().message;
  return std::move(*bundle);
}

std::vector<std::uint8_t> pixels(std::int32_t height, std::int32_t width) {
  std::vector<std::uint8_t> made(static_cast<std::size_t>(height) * width * 3);
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::uint8_t>(i * 37 % 251);
  return made;
}

Frame frame_of(const std::vector<std::uint8_t>& data, std::int32_t height, std::int32_t width) {
  return {.data = data.data(), .bytes = data.size(), .height = height, .width = width};
}

/// The bundle's engine behind faults that it can be told to have, counting what it allocates itself.
class Faulty final : public Engine {
 public:
  enum class Fault { none, fails, nan, shape, repeats };
  explicit Faulty(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  std::span<const TensorSpec> inputs() const noexcept override { return engine_->inputs(); }
  std::span<const TensorSpec> outputs() const noexcept override { return engine_->outputs(); }
  std::string describe() const override { return "faulty"; }

  Fault fault = Fault::none;
  std::uint64_t allocations = 0;

 protected:
  Expected<std::span<const TensorView>> infer_checked(std::span<const TensorView> feeds) noexcept override {
    if (fault == Fault::fails) return Error{Code::engine, "planted"};
    if (fault == Fault::repeats) return std::span<const TensorView>(views_);  // the last answer, without the runtime
    const std::uint64_t before = test::allocations();
    const auto outputs = engine_->infer(feeds);
    allocations += test::allocations() - before;
    if (!outputs) return outputs.error();
    views_.assign(outputs->begin(), outputs->end());
    if (fault == Fault::shape) views_[0].shape = {1, 1, 1, views_[0].shape.elements()};
    if (fault == Fault::nan) {
      const auto values = views_[0].as<float>();
      broken_.assign(values.size(), std::numeric_limits<float>::quiet_NaN());
      views_[0].data = broken_.data();
    }
    return std::span<const TensorView>(views_);
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::vector<TensorView> views_;
  std::vector<float> broken_;
};

struct Planted {
  Faulty* engine;
  Pipeline pipeline;
};

Planted planted() {
  const Bundle bundle = opened();
  auto faulty = std::make_unique<Faulty>(std::move(*bundle.engine()));
  Faulty* engine = faulty.get();
  return {engine, std::move(*Pipeline::with(bundle, std::move(faulty)))};
}

TEST(Pipeline, OutlivesItsBundleAndSaysHowLongEachStageTook) {
  auto pipeline = Pipeline::open(bundle_folder);
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  const auto data = pixels(90, 120);
  Result result;
  ASSERT_TRUE(pipeline->process(frame_of(data, 90, 120), result));
  const auto* map = result.get<LabelMap>();
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(map->height, 90);
  EXPECT_EQ(map->width, 120);
  EXPECT_GT(pipeline->timing().engine.count(), 0);
  EXPECT_EQ(pipeline->timing().total(),
            pipeline->timing().preprocess + pipeline->timing().engine + pipeline->timing().postprocess);
  EXPECT_THAT(pipeline->describe(), HasSubstr("onnxruntime"));
}

TEST(Pipeline, AllocatesNothingAFrameButWhatTheRuntimeDoes) {
  Planted made = planted();
  if (!test::complete()) GTEST_SKIP() << "this build does not count all allocations";
  const auto data = pixels(90, 120);
  const Frame frame = frame_of(data, 90, 120);
  Result result;
  for (int warm = 0; warm < 3; ++warm) ASSERT_TRUE(made.pipeline.process(frame, result));
  made.engine->allocations = 0;
  const std::uint64_t before = test::allocations();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(made.pipeline.process(frame, result));
  const std::uint64_t all = test::allocations() - before;
  EXPECT_EQ(all - made.engine->allocations, 0U);
  RecordProperty("runtime_allocations_per_frame", static_cast<int>(made.engine->allocations / 10));
}

TEST(Pipeline, WorksAgainAfterEachFault) {
  Planted made = planted();
  const auto data = pixels(90, 120);
  const Frame frame = frame_of(data, 90, 120);
  Result result;
  ASSERT_TRUE(made.pipeline.process(frame, result));
  const LabelMap right = *result.get<LabelMap>();
  for (const auto& [fault, code] : {std::pair{Faulty::Fault::fails, Code::engine},
                                    {Faulty::Fault::nan, Code::tensor},
                                    {Faulty::Fault::shape, Code::tensor}}) {
    made.engine->fault = fault;
    const Status status = made.pipeline.process(frame, result);
    ASSERT_FALSE(status) << static_cast<int>(fault);
    EXPECT_EQ(status.error().code, code) << status.error().message;
    made.engine->fault = Faulty::Fault::none;
    ASSERT_TRUE(made.pipeline.process(frame, result));
    EXPECT_EQ(result.get<LabelMap>()->labels, right.labels);
  }
}

TEST(Pipeline, RefusesFramesThatDoNotFitAndTakesTheNext) {
  auto pipeline = Pipeline::open(bundle_folder);
  ASSERT_TRUE(pipeline);
  const auto data = pixels(90, 120);
  Result result;
  Frame frame = frame_of(data, 90, 120);
  frame.stride = 10;
  Status status = pipeline->process(frame, result);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::frame);
  EXPECT_THAT(status.error().message, HasSubstr("stride 10"));
  frame = frame_of(data, 91, 120);
  EXPECT_THAT(pipeline->process(frame, result).error().message, HasSubstr("truncated"));
  frame = frame_of(data, 90, 120);
  frame.encoding = static_cast<Encoding>(200);
  EXPECT_EQ(pipeline->process(frame, result).error().code, Code::frame);
  EXPECT_TRUE(pipeline->process(frame_of(data, 90, 120), result));
}

// ONNX Runtime ends the process when it has no memory for a small object of its own (a bad_alloc out of a noexcept
// function), so that the engine answers without it here.
TEST(Pipeline, SaysThatThereIsNoMemoryAndWorksAgain) {
  Planted made = planted();
  if (!test::complete()) GTEST_SKIP() << "this build cannot let all allocations fail";
  const auto data = pixels(90, 120);
  const auto larger = pixels(180, 240);
  Result result;
  ASSERT_TRUE(made.pipeline.process(frame_of(data, 90, 120), result));
  made.engine->fault = Faulty::Fault::repeats;
  int failed = 0;
  for (std::uint64_t after = 0; after < 40; ++after) {
    Result fresh;
    Status status;
    bool happened = false;
    {
      const test::FailAllocations fail(after);
      status = made.pipeline.process(frame_of(larger, 180, 240), fresh);
      happened = fail.happened();
    }
    if (!status) {
      ++failed;
      EXPECT_EQ(status.error().code, Code::out_of_memory) << status.error().message;
      EXPECT_THAT(status.error().message, HasSubstr("no memory"));
    }
    ASSERT_TRUE(made.pipeline.process(frame_of(data, 90, 120), result)) << "the next good frame works, after " << after;
    if (!happened) break;
  }
  EXPECT_GT(failed, 0);
}

TEST(Pipeline, HasTheControlToo) {
  const auto bundle = Bundle::open(EDGEKIT_CASES "/golden/int8");
  ASSERT_TRUE(bundle) << bundle.error().message;
  EXPECT_EQ(bundle->precision(), "int8");
  ASSERT_TRUE(Pipeline::of(*bundle, "control"));
  const auto other = Pipeline::of(*bundle, "referee");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("referee"));
}

}  // namespace
}  // namespace edgekit
