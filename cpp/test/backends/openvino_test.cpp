// The file of an OpenVINO engine, which is read before OpenVINO sees it; no OpenVINO is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "backends/openvino/enginefile.hpp"
#include "bundle/cases.hpp"
#include "bundle/hash.hpp"

namespace edgekit::openvino {
namespace {

using ::testing::HasSubstr;

const std::string first_line = "edgekit engine of OpenVINO, form 1\n";

nlohmann::json facts_of(const std::string& blob) {
  return {{"openvino", "2026.4.1-1"},
          {"hint", "f32"},
          {"inputs", {{"x", {1, nullptr}, "float32"}}},
          {"outputs", {{"y", {3}, "int64"}}},
          {"sha256", *sha256(blob)}};
}

Expected<EngineFile> read(const std::string& content) {
  const test::Scratch folder;
  const auto file = folder.path() / "net.ov";
  std::ofstream(file, std::ios::binary) << content;
  return read_engine(file, "2026.4.1-1");
}

std::string refusal(const std::string& content) {
  const auto made = read(content);
  EXPECT_FALSE(made);
  if (made) return "";
  EXPECT_EQ(made.error().code, Code::bundle);
  EXPECT_THAT(made.error().message, HasSubstr("net.ov: "));
  EXPECT_THAT(made.error().message, HasSubstr("edgekit bundle rebuild BUNDLE"));
  return made.error().message;
}

TEST(OpenvinoEngineFile, HoldsNamesShapesAndTheModel) {
  const std::string blob("a\0b\nc", 5);
  const auto made = read(first_line + facts_of(blob).dump() + "\n" + blob);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->hint, "f32");
  EXPECT_EQ(made->inputs.at(0).text(), "x: float32[1, ?]");
  EXPECT_EQ(made->outputs.at(0).text(), "y: int64[3]");
  EXPECT_EQ(made->blob, blob);
}

TEST(OpenvinoEngineFile, ThatIsNotWholeIsRefused) {
  const std::string whole = first_line + facts_of("blob").dump() + "\nblob";
  EXPECT_THAT(refusal(""), HasSubstr("not an engine of OpenVINO, or only a part of one"));
  EXPECT_THAT(refusal(first_line), HasSubstr("only a part of one"));
  EXPECT_THAT(refusal(first_line + "{}"), HasSubstr("only a part of one"));
  EXPECT_THAT(refusal(whole.substr(0, whole.size() - 1)), HasSubstr("not the one that was written"));
  EXPECT_THAT(refusal(whole + "x"), HasSubstr("not the one that was written"));
}

TEST(OpenvinoEngineFile, OfAnotherVersionIsRefused) {
  nlohmann::json facts = facts_of("blob");
  facts["openvino"] = "2025.1.0-9";
  EXPECT_THAT(refusal(first_line + facts.dump() + "\nblob"),
              HasSubstr("made by OpenVINO 2025.1.0-9, and here is 2026.4.1-1"));
}

TEST(OpenvinoEngineFile, WithOtherFactsIsRefused) {
  for (const char* facts : {"{}", "[]", "7", "no json", R"({"sha256": 1})"}) {
    EXPECT_THAT(refusal(first_line + facts + "\nblob"), HasSubstr("its facts are not those")) << facts;
  }
  for (const auto& [key, value] : std::vector<std::pair<const char*, nlohmann::json>>{
           {"inputs", nlohmann::json::array({"x"})},
           {"inputs", 3},
           {"hint", 3},
           {"outputs", {{"y", {"wide"}, "float32"}}},
       }) {
    nlohmann::json facts = facts_of("blob");
    facts[key] = value;
    EXPECT_THAT(refusal(first_line + facts.dump() + "\nblob"), HasSubstr("its facts are not those")) << key << value;
  }
  nlohmann::json facts = facts_of("blob");
  facts["inputs"] = {{"x", {1}, "complex64"}};
  EXPECT_THAT(refusal(first_line + facts.dump() + "\nblob"), HasSubstr("complex64"));
}

}  // namespace
}  // namespace edgekit::openvino
