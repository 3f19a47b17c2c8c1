// What every backend of this build keeps, whatever runtime is behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "edgekit/engine.hpp"

namespace edgekit {
namespace {

using ::testing::HasSubstr;

class BackendContract : public ::testing::TestWithParam<std::string> {
 protected:
  const Backend& under_test() const { return **backend(GetParam()); }
};

TEST_P(BackendContract, IsFoundByItsName) { EXPECT_EQ(under_test().name, GetParam()); }

TEST_P(BackendContract, SaysWhatItsEnginesDependOn) {
  const Expected<std::string> facts = under_test().fingerprint({});
  if (!facts) {
    EXPECT_EQ(facts.error().code, Code::missing_requirement);
    return;
  }
  const auto document = nlohmann::json::parse(*facts);
  EXPECT_EQ(document["engine"], GetParam());
}

TEST_P(BackendContract, RefusesWhatIsNoEngine) {
  for (const char* file : {EDGEKIT_CASES "/engines/broken.onnx", EDGEKIT_CASES "/engines/not-there"}) {
    const auto opened = under_test().open(file, {});
    ASSERT_FALSE(opened) << file;
    EXPECT_THAT(opened.error().message, HasSubstr(file));
    EXPECT_NE(opened.error().code, Code::ok);
  }
}

std::vector<std::string> names() {
  std::vector<std::string> made;
  for (const Backend& one : backends()) made.emplace_back(one.name);
  return made;
}

INSTANTIATE_TEST_SUITE_P(All, BackendContract, ::testing::ValuesIn(names()), [](const auto& one) { return one.param; });

TEST(Backends, NativeIsOnnxRuntime) {
  const auto found = backend("native");
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)->name, "ort");
  EXPECT_TRUE((*found)->same_fact("engine", R"("native")", R"("ort")"));
  EXPECT_FALSE((*found)->same_fact("engine", R"("trt")", R"("ort")"));
  EXPECT_FALSE((*found)->same_fact("onnxruntime", R"("1.30")", R"("1.31")"));
}

TEST(Backends, NameThoseThatThereAre) {
  const auto found = backend("abacus");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::unsupported);
  EXPECT_THAT(found.error().message, HasSubstr("'abacus'"));
  EXPECT_THAT(found.error().message, HasSubstr(std::string(backends()[0].name)));
}

}  // namespace
}  // namespace edgekit
