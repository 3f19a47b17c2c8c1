// The backend over stand-ins for TensorRT and CUDA (fake/): what it asks of them, and what it makes of their refusals.
#include "backends/tensorrt/session.hpp"

#include <gmock/gmock.h>

#include <array>

namespace edgekit::tensorrt {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TensorRtSession : public ::testing::Test {
 protected:
  void SetUp() override {
    fake::model = {};
    fake::cuda = {};
  }
  void TearDown() override {
    engine_.reset();
    EXPECT_EQ(fake::cuda.held, 0) << "memory, streams or graphs were not given back";
    EXPECT_EQ(fake::model.objects, 0) << "TensorRT's objects were not destroyed";
  }

  /// The message of a refusal, or empty when it opened.
  Error open() {
    Expected<std::unique_ptr<Engine>> opened = Session::open("int8.engine", "plan", facts_, here_, cuda_graph_);
    if (!opened) return opened.error();
    engine_ = *std::move(opened);
    return {};
  }

  std::vector<float> infer(std::vector<float> values, Shape shape) {
    const TensorView feed{values.data(), shape, DType::float32};
    const auto outputs = engine_->infer(std::span(&feed, 1));
    if (!outputs) {
      error_ = outputs.error();
      return {};
    }
    EXPECT_EQ((*outputs)[0].shape, shape);
    const auto found = (*outputs)[0].as<float>();
    return {found.begin(), found.end()};
  }

  Facts facts_;
  Machine here_{.tensorrt = "10.3.0", .compute_capability = "8.7", .device = "Orin", .cuda = "12.6"};
  bool cuda_graph_ = true;
  std::unique_ptr<Engine> engine_;
  Error error_;
};

TEST_F(TensorRtSession, ComputesThroughAGraph) {
  ASSERT_EQ(open().message, "");
  EXPECT_EQ(engine_->inputs()[0].text(), "x: float32[1, 4]");
  EXPECT_EQ(engine_->outputs()[0].text(), "y: float32[1, 4]");
  EXPECT_EQ(engine_->describe(), "tensorrt 10.3.0, Orin (8.7), CUDA graph");
  EXPECT_THAT(infer({1, 2, 3, 4}, {1, 4}), ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(infer({5, 6, 7, 8}, {1, 4}), ElementsAre(10, 12, 14, 16));
  EXPECT_EQ(fake::cuda.launches, 2);
}

TEST_F(TensorRtSession, ComputesWithoutAGraph) {
  cuda_graph_ = false;
  ASSERT_EQ(open().message, "");
  EXPECT_THAT(infer({1, 2, 3, 4}, {1, 4}), ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(fake::cuda.launches, 0);
  EXPECT_EQ(engine_->describe(), "tensorrt 10.3.0, Orin (8.7)");
}

TEST_F(TensorRtSession, TakesItsMemoryOnce) {
  fake::model.shape = {-1, 2};
  fake::model.profiles = {{1, 2}, {3, 8}};
  ASSERT_EQ(open().message, "");
  const int taken = fake::cuda.allocations;
  EXPECT_THAT(infer({1, 2}, {1, 2}), ElementsAre(2, 4));
  EXPECT_THAT(infer({1, 2, 3, 4, 5, 6}, {3, 2}), ElementsAre(2, 4, 6, 8, 10, 12));  // the other profile
  EXPECT_THAT(infer({3, 4}, {1, 2}), ElementsAre(6, 8));
  infer(std::vector<float>(16, 1.0F), {8, 2});
  EXPECT_EQ(fake::cuda.allocations, taken);
  EXPECT_EQ(fake::cuda.launches, 0);  // a graph holds fixed shapes only
}

TEST_F(TensorRtSession, ShapeOfNoProfile) {
  fake::model.shape = {-1, 2};
  fake::model.profiles = {{1, 2}};
  ASSERT_EQ(open().message, "");
  EXPECT_THAT(infer({1, 2, 3, 4, 5, 6}, {3, 2}), ElementsAre());
  EXPECT_EQ(error_.code, Code::tensor);
  EXPECT_THAT(error_.message, HasSubstr("no profile was built for x [3, 2]"));
  EXPECT_THAT(infer({1, 2}, {1, 2}), ElementsAre(2, 4));  // the next good frame works
}

TEST_F(TensorRtSession, FailedRunSaysTensorRtsWords) {
  cuda_graph_ = false;
  ASSERT_EQ(open().message, "");
  fake::model.runs = false;
  infer({1, 2, 3, 4}, {1, 4});
  EXPECT_EQ(error_.code, Code::engine);
  EXPECT_EQ(error_.message, "int8.engine: TensorRT cannot run the engine (a kernel failed)");
  fake::model.runs = true;
  EXPECT_THAT(infer({1, 2, 3, 4}, {1, 4}), ElementsAre(2, 4, 6, 8));
}

TEST_F(TensorRtSession, FailedDeviceIsAnError) {
  ASSERT_EQ(open().message, "");
  fake::cuda.fail_wait = true;
  infer({1, 2, 3, 4}, {1, 4});
  EXPECT_EQ(error_.code, Code::engine);
  EXPECT_THAT(error_.message, HasSubstr("CUDA says: unknown error"));
}

TEST_F(TensorRtSession, OptionsOfTheFactsReachTheRuntime) {
  facts_.dla_core = 1;
  facts_.version_compatible = true;
  ASSERT_EQ(open().message, "");
  EXPECT_EQ(fake::model.dla_core, 1);
  EXPECT_TRUE(fake::model.host_code);
}

TEST_F(TensorRtSession, UnreadablePlanIsTheBundles) {
  fake::model.reads = false;
  const Error error = open();
  EXPECT_EQ(error.code, Code::bundle);
  EXPECT_THAT(error.message, HasSubstr("TensorRT cannot read the engine (second; third); make it anew"));
}

TEST_F(TensorRtSession, NoDevice) {
  fake::cuda.device = false;
  const Error error = open();
  EXPECT_EQ(error.code, Code::missing_requirement);
  EXPECT_THAT(error.message, HasSubstr("install NVIDIA's driver"));
}

TEST_F(TensorRtSession, LibraryDoesNotStart) {
  fake::model.starts = false;
  const Error error = open();
  EXPECT_EQ(error.code, Code::missing_requirement);
  EXPECT_THAT(error.message, HasSubstr("(CUDA initialization failure)"));
}

TEST_F(TensorRtSession, NoMemoryForTheContext) {
  fake::model.makes_context = false;
  const Error error = open();
  EXPECT_EQ(error.code, Code::out_of_memory);
  EXPECT_THAT(error.message, HasSubstr("needs 5 MiB of device memory (no scratch memory)"));
}

TEST_F(TensorRtSession, NoMemoryForATensor) {
  for (int number = 0; number < 4; ++number) {
    fake::cuda = {.fail_allocation = number};
    EXPECT_EQ(open().code, Code::out_of_memory) << number;
  }
}

TEST_F(TensorRtSession, WorkThatNoGraphHolds) {
  fake::cuda.fail_capture = true;
  const Error error = open();
  EXPECT_EQ(error.code, Code::unsupported);
  EXPECT_THAT(error.message, HasSubstr("set cuda_graph: false for this target"));
}

TEST_F(TensorRtSession, TensorsThatCannotBeFed) {
  fake::model.type = nvinfer1::DataType::kBF16;
  EXPECT_THAT(open().message, HasSubstr("'x' has a type that edgekit has not"));
  fake::model = {.format = nvinfer1::TensorFormat::kCHW4};
  EXPECT_THAT(open().message, HasSubstr("'x' lies as four channels together"));
  fake::model = {.sizes_as_input = true};
  EXPECT_THAT(open().message, HasSubstr("'x' holds sizes, not data"));
  fake::model = {.data_dependent = true};
  EXPECT_THAT(open().message, HasSubstr("the size of output 'y' depends on the data"));
}

}  // namespace
}  // namespace edgekit::tensorrt
