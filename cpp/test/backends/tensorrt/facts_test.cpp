#include "backends/tensorrt/facts.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/scratch.hpp"

namespace edgekit::tensorrt {
namespace {

using ::testing::HasSubstr;

// SHA-256 of "plan".
constexpr const char* plan_sha256 = "64879f7d6b960a01909762d911a32d4582c20010c5641ee90278b644a9e3b525";

nlohmann::json document() {
  return {{"engine_sha256", plan_sha256},
          {"onnx_sha256", "00"},
          {"flavour", "tensorrt"},
          {"tensorrt", "10.3.0.30"},
          {"compute_capability", "8.7"},
          {"cuda", "12.6"},
          {"device", "Orin"},
          {"driver", nullptr},
          {"timing_cache_sha256", nullptr},
          {"schema_version", 1},
          {"options", {{"version_compatible", false}, {"hardware_compatible", false}, {"weight_stripped", false}}}};
}

class TensorRtFacts : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(engine_.string() + ".json") << text; }

  test::Scratch folder_;
  std::filesystem::path engine_ = folder_.path() / "int8.engine";
  Facts facts_{.engine_sha256 = plan_sha256,
               .flavour = "tensorrt",
               .tensorrt = "10.3.0.30",
               .compute_capability = "8.7",
               .device = "Orin",
               .cuda = "12.6"};
  Machine here_{.tensorrt = "10.3.0", .compute_capability = "8.7", .device = "Orin", .cuda = "12.6"};

  std::string refusal() {
    const Status status = check_facts(engine_, "plan", facts_, here_);
    return status ? "" : status.error().message;
  }
};

TEST_F(TensorRtFacts, AreRead) {
  nlohmann::json all = document();
  all["options"]["dla_core"] = 1;
  all["options"]["hardware_compatible"] = true;
  write(all.dump());
  const Expected<Facts> found = read_facts(engine_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->tensorrt, "10.3.0.30");
  EXPECT_EQ(found->device, "Orin");
  EXPECT_EQ(found->dla_core, 1);
  EXPECT_TRUE(found->hardware_compatible);
  EXPECT_FALSE(found->version_compatible);
}

TEST_F(TensorRtFacts, EngineWithoutThemIsForeign) {
  const Expected<Facts> found = read_facts(engine_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::bundle);
  EXPECT_THAT(found.error().message, HasSubstr("int8.engine: a foreign engine: int8.engine.json"));
}

TEST_F(TensorRtFacts, BrokenOnesAreRefused) {
  nlohmann::json newer = document();
  newer["schema_version"] = 2;
  nlohmann::json lacking = document();
  lacking.erase("cuda");
  nlohmann::json typed = document();
  typed["tensorrt"] = 10;
  for (const std::string& text : {std::string("{"), std::string("[]"), newer.dump(), lacking.dump(), typed.dump()}) {
    write(text);
    const Expected<Facts> found = read_facts(engine_);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, Code::bundle);
    EXPECT_THAT(found.error().message, HasSubstr("edgekit bundle rebuild")) << text;
  }
}

TEST_F(TensorRtFacts, FitTheMachineThatBuiltIt) { EXPECT_EQ(refusal(), ""); }

TEST_F(TensorRtFacts, ChangedBytesAreRefused) {
  const Status status = check_facts(engine_, "plan.", facts_, here_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::bundle);
  EXPECT_THAT(status.error().message, HasSubstr("its bytes are not those that int8.engine.json names"));
}

TEST_F(TensorRtFacts, AnotherMachineIsNamedOnBothSides) {
  here_ = {.tensorrt = "10.16.1", .compute_capability = "8.9", .device = "L4", .cuda = "12.4"};
  const std::string message = refusal();
  EXPECT_THAT(message, HasSubstr("made for another machine: TensorRT: the engine has 10.3.0.30, this machine 10.16.1"));
  EXPECT_THAT(message, HasSubstr("compute capability: the engine has 8.7, this machine 8.9"));
  EXPECT_THAT(message, HasSubstr("CUDA of the driver: the engine has 12.6 or later, this machine 12.4"));
}

TEST_F(TensorRtFacts, AnotherGpuOfTheSameCapability) {
  here_.device = "Orin Nano";
  EXPECT_THAT(refusal(), HasSubstr("device: the engine has Orin, this machine Orin Nano"));
  facts_.hardware_compatible = true;
  EXPECT_EQ(refusal(), "");
}

TEST_F(TensorRtFacts, BuiltWithoutAGpuFitsEveryDeviceOfItsCapability) {
  facts_.device.reset();
  facts_.cuda.reset();
  here_.device = "Orin Nano";
  EXPECT_EQ(refusal(), "");
}

TEST_F(TensorRtFacts, HardwareCompatibleBeginsAtEightZero) {
  facts_.hardware_compatible = true;
  here_ = {.tensorrt = "10.3.0", .compute_capability = "7.5", .device = "T4", .cuda = "13.0"};
  EXPECT_THAT(refusal(), HasSubstr("compute capability"));
  here_.compute_capability = "12.0";
  EXPECT_EQ(refusal(), "");
}

TEST_F(TensorRtFacts, TensorRtForRtxIsAnotherLibrary) {
  facts_.flavour = "tensorrt-rtx";
  EXPECT_THAT(refusal(), HasSubstr("library: the engine has tensorrt-rtx 10.3.0.30, this machine tensorrt 10.3.0"));
}

TEST_F(TensorRtFacts, WithoutWeightsIsUnsupported) {
  facts_.weight_stripped = true;
  const Status status = check_facts(engine_, "plan", facts_, here_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::unsupported);
  EXPECT_THAT(status.error().message, HasSubstr("weight_stripped"));
}

TEST(TensorRtVersions, AsManyPartsAsBothHave) {
  EXPECT_TRUE(same_version("10.16.2.10", "10.16.2", false));
  EXPECT_FALSE(same_version("10.16.2", "10.16.3", false));
  EXPECT_FALSE(same_version("10.16.2", "10.16", false));
  EXPECT_FALSE(same_version("10.16.2.10", "10.16.2.11", false));
  EXPECT_TRUE(same_version("10.3.0", "10.16.2", true));
  EXPECT_FALSE(same_version("10.16.2", "10.3.0", true));
  EXPECT_FALSE(same_version("10.3.0", "11.1.0", true));
  EXPECT_FALSE(same_version("", "", true));
}

}  // namespace
}  // namespace edgekit::tensorrt
