// Every key and every named value of the tasks' schemas makes a decoder, or is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "postprocess/decoder.hpp"

namespace edgekit {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

json schema() {
  std::ifstream file(std::filesystem::path(EDGEKIT_CASES) / "decode" / "schema.json");
  return json::parse(file);
}

/// A decoder for outputs of any size that the task of a kind can read.
Expected<std::unique_ptr<Decoder>> made(const json& section) {
  const std::string kind = section.at("kind");
  const TensorSpec map{"y", {1, -1, -1, -1}, DType::float32};
  const TensorSpec rows{"y", {1, -1, -1}, DType::float32};
  const TensorSpec vector{"y", {1, -1}, DType::float32};
  if (kind == "segmentation") return Decoder::create(section, {&map, 1});
  if (kind != "detection") return Decoder::create(section, {&vector, 1});
  auto decoder = Decoder::create(section, {&rows, 1});
  return decoder || decoder.error().code != Code::tensor ? std::move(decoder) : Decoder::create(section, {&map, 1});
}

TEST(Schema, EveryNamedValueIsTakenWhereEdgekitTakesIt) {
  const json document = schema();
  std::set<std::string> kinds;
  std::size_t taken = 0;
  for (const json& one : document["sections"]) {
    SCOPED_TRACE(one.dump());
    kinds.insert(one["section"]["kind"]);
    const auto decoder = made(one["section"]);
    taken += decoder ? 1 : 0;
    if (!decoder) {
      EXPECT_FALSE(one["taken"]) << decoder.error().message;
      EXPECT_EQ(decoder.error().code, Code::unsupported);
    }
  }
  EXPECT_GE(document["sections"].size(), 50U);
  EXPECT_GE(taken, 30U);
  EXPECT_GE(kinds.size(), 5U);
}

TEST(Schema, EveryKeyIsKnownAndEveryValueOfAWrongKindIsNamed) {
  const json document = schema();
  for (const auto& [kind, given] : document["keys"].items()) {
    ASSERT_TRUE(made(given["base"])) << made(given["base"]).error().message;
    for (const std::string key : given["keys"]) {
      SCOPED_TRACE(kind + "." + key);
      json section = given["base"];
      section[key] = json{{"no such value", 1.5}};
      if (key == "kind") {
        EXPECT_THAT(Decoder::create(section, {}).error().message, HasSubstr("no such value"));
        continue;
      }
      const auto decoder = made(section);
      if (decoder) continue;  // a key that only metrics use
      EXPECT_EQ(decoder.error().code, Code::unsupported);
      EXPECT_THAT(decoder.error().message, AnyOf(StartsWith("task." + key), HasSubstr("no such value")));
    }
  }
}

TEST(Schema, AnUnknownKeyIsRefusedWithItsValue) {
  const json document = schema();
  for (const auto& [kind, given] : document["keys"].items()) {
    json section = given["base"];
    section["of_tomorrow"] = "always";
    const auto decoder = made(section);
    ASSERT_FALSE(decoder) << kind;
    EXPECT_EQ(decoder.error().code, Code::unsupported);
    EXPECT_THAT(decoder.error().message, HasSubstr("task.of_tomorrow: \"always\""));
    section["of_tomorrow"] = nullptr;
    EXPECT_FALSE(made(section)) << "a key without a value is unknown as well";
  }
}

TEST(Schema, AnUnknownKindIsRefusedWithTheKnownOnes) {
  const auto decoder = Decoder::create({{"kind", "depth"}, {"output", "y"}}, {});
  ASSERT_FALSE(decoder);
  EXPECT_EQ(decoder.error().code, Code::unsupported);
  EXPECT_THAT(decoder.error().message, HasSubstr("task.kind: found \"depth\"; expected one of antispoofing, "));
  for (const json& none : {json::array(), json(nullptr), json("detection"), json::object()}) {
    EXPECT_EQ(Decoder::create(none, {}).error().code, Code::unsupported) << none;
  }
}

TEST(Schema, AnErrorInsideOfSeveralTasksNamesTheTask) {
  const TensorSpec spec{"y", {1, 2}, DType::float32};
  const json inner{{"kind", "classification"}, {"output", "y"}, {"classes", {"a", "b"}}, {"activation", "relu"}};
  const auto decoder = Decoder::create({{"kind", "multitask"}, {"tasks", {{"one", inner}}}}, {&spec, 1});
  ASSERT_FALSE(decoder);
  EXPECT_THAT(decoder.error().message,
              StartsWith("task.tasks.one.activation: found \"relu\"; expected one of softmax"));
}

}  // namespace
}  // namespace edgekit
