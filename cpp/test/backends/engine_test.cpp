#include "edgekit/engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/denormals.hpp"

namespace edgekit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A backend that computes here, and what the names of its engines end in.
struct Computing {
  const char* backend;
  const char* suffix;
  const char* described;
};

void PrintTo(const Computing& one, std::ostream* out) { *out << one.backend; }

std::vector<Computing> computing() {
  std::vector<Computing> made;
  for (const Computing& one : {Computing{"ort", ".onnx", "onnxruntime 1."}, Computing{"ov", ".ov", "openvino 20"}}) {
    if (backend(one.backend)) made.push_back(one);
  }
  return made;
}

class EngineContract : public ::testing::TestWithParam<Computing> {
 protected:
  std::unique_ptr<Engine> opened(const std::string& name) const {
    auto engine = (*backend(GetParam().backend))->open(EDGEKIT_CASES "/engines/" + name + GetParam().suffix, {});
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }
};

TensorView view_of(const std::vector<float>& values) {
  return {values.data(), Shape{1, static_cast<std::int64_t>(values.size())}, DType::float32};
}

std::vector<float> floats(const TensorView& view) { return {view.as<float>().begin(), view.as<float>().end()}; }

TEST_P(EngineContract, Computes) {
  const auto engine = opened("scale");
  ASSERT_EQ(engine->inputs().size(), 1U);
  EXPECT_EQ(engine->inputs()[0].text(), "x: float32[1, 4]");
  EXPECT_THAT(engine->describe(), HasSubstr(GetParam().described));
  for (const float start : {1.0F, 5.0F}) {
    const std::vector<float> values{start, 2, 3, 4};
    const TensorView feed = view_of(values);
    const auto outputs = engine->infer({&feed, 1});
    ASSERT_TRUE(outputs);
    EXPECT_THAT(floats((*outputs)[0]), ElementsAre(2 * start, 4, 6, 8));
  }
}

TEST_P(EngineContract, SeesWhatChangedInTheSameMemory) {
  const auto engine = opened("scale");
  std::vector<float> values{1, 2, 3, 4};
  const TensorView feed = view_of(values);
  ASSERT_TRUE(engine->infer({&feed, 1}));
  values[0] = 10;
  EXPECT_EQ(floats((*engine->infer({&feed, 1}))[0])[0], 20);
}

TEST_P(EngineContract, RefusesOtherShapesAndTypes) {
  const auto engine = opened("scale");
  const std::vector<float> values(5);
  TensorView feed = view_of(values);
  EXPECT_THAT(engine->infer({&feed, 1}).error().message, HasSubstr("float32[1, 5]; expected x: float32[1, 4]"));
  feed = {values.data(), {1, 4}, DType::int32};
  EXPECT_EQ(engine->infer({&feed, 1}).error().code, Code::tensor);
  feed = {nullptr, {1, 4}, DType::float32};
  EXPECT_THAT(engine->infer({&feed, 1}).error().message, HasSubstr("null"));
  EXPECT_THAT(engine->infer({}).error().message, HasSubstr("0 inputs"));
}

TEST_P(EngineContract, GivesOutputsOfAnyLength) {
  const auto engine = opened("nonzero");
  for (const std::vector<float>& values : {std::vector<float>{0, 1, 0, 2}, {0, 0, 0, 0}, {1, 1, 1, 1}}) {
    const TensorView feed = view_of(values);
    const auto outputs = engine->infer({&feed, 1});
    ASSERT_TRUE(outputs);
    EXPECT_EQ((*outputs)[0].shape, Shape({2, 4 - std::count(values.begin(), values.end(), 0.0F)}));
  }
}

TEST_P(EngineContract, GivesAnInputThatIsAnOutput) {
  const auto engine = opened("passed");
  const std::vector<float> values{1, 2, 3, 4};
  const TensorView feed = view_of(values);
  const auto outputs = engine->infer({&feed, 1});
  ASSERT_TRUE(outputs);
  EXPECT_THAT(floats((*outputs)[1]), ElementsAre(1, 2, 3, 4));
}

TEST_P(EngineContract, WorksAgainAfterAQueryThatFailed) {
  if (GetParam().backend == std::string_view("ov")) {
    GTEST_SKIP() << "OpenVINO does not notice that four values are no 3x3: it gives nine";
  }
  const auto engine = opened("fails");
  const std::vector<float> wrong(4);
  TensorView feed = view_of(wrong);
  const auto outputs = engine->infer({&feed, 1});
  ASSERT_FALSE(outputs);
  EXPECT_EQ(outputs.error().code, Code::engine);
  EXPECT_THAT(outputs.error().message, HasSubstr("fails" + std::string(GetParam().suffix) + ": inference failed"));
  const std::vector<float> right(9, -1.0F);
  feed = view_of(right);
  EXPECT_EQ(floats((*engine->infer({&feed, 1}))[0])[8], 1);
}

TEST(OnnxRuntime, HasEdgekitsOperators) {
  const auto found = backend("ort");
  if (!found) GTEST_SKIP() << "built without ONNX Runtime";
  const auto engine = (*found)->open(EDGEKIT_CASES "/engines/operators.onnx", {});
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<float> values{0, 1, 100, 255};
  const TensorView feed = view_of(values);
  const auto outputs = (*engine)->infer({&feed, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  EXPECT_THAT(floats((*outputs)[0]), ElementsAre(255, 254, 155, 0));
}

TEST(OnnxRuntime, RunsEnginesWithoutOperatorsAndRefusesThoseOfOtherOnes) {
  const auto found = backend("ort");
  if (!found) GTEST_SKIP() << "built without ONNX Runtime";
  const auto same = (*found)->same_fact;
  EXPECT_TRUE(same("operators", "null", "1"));
  EXPECT_TRUE(same("operators", "1", "1"));
  EXPECT_FALSE(same("operators", "2", "1"));
  EXPECT_FALSE(same("machine", "null", "1"));
  EXPECT_THAT(*(*found)->fingerprint({}), HasSubstr(R"("operators":2)"));
}

float product() {  // 1e-40 is denormal
  volatile float small = 1e-30F;
  return small * 1e-10F;
}

TEST_P(EngineContract, FlushesDenormalsInTheThreadThatComputesAndNowhereElse) {
  const auto engine = opened("denormal");
  const std::vector<float> values(4, 1e-30F);
  const TensorView feed = view_of(values);
  float computed = -1;
  float own = -1;
  std::thread([&] {
    computed = floats((*engine->infer({&feed, 1}))[0])[0];
    own = product();
  }).join();
  EXPECT_EQ(computed, 0);
  EXPECT_GT(own, 0) << "the caller's arithmetic is as it was";
  EXPECT_GT(product(), 0) << "nor did opening the session change it";
  const FlushedDenormals flushed;
  EXPECT_EQ(product(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, EngineContract, ::testing::ValuesIn(computing()),
                         [](const auto& one) { return one.param.backend; });

}  // namespace
}  // namespace edgekit
