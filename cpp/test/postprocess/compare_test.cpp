#include "postprocess/compare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace edgekit {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Detections three() { return {{{0, 0, 10, 10}, {20, 0, 30, 10}, {0, 0, 10, 10}}, {0.9F, 0.8F, 0.7F}, {1, 1, 2}}; }

TEST(Compare, CountsEqualPixels) {
  const LabelMap one{1, 4, {0, 1, 2, 3}};
  EXPECT_EQ(equal_share(one, {1, 4, {0, 1, 2, 0}}), 0.75);
  EXPECT_EQ(equal_share(one, {2, 2, {0, 1, 2, 3}}), 0) << "another size is no equal mask";
  EXPECT_FALSE(compare(Result{one}, Result{LabelMap{1, 4, {0, 1, 2, 0}}}).holds);
  EXPECT_TRUE(compare(Result{one}, Result{LabelMap{1, 4, {0, 1, 2, 0}}}, {.equal_pixels = 0.75}).holds);
}

TEST(Compare, FindsPartnersOfOneLabelInAnyOrder) {
  Detections moved = three();
  std::swap(moved.boxes[0], moved.boxes[1]);
  std::swap(moved.scores[0], moved.scores[1]);
  moved.boxes[2][3] = 10.25F;
  const Matched found = matched(three(), moved, 0.5);
  EXPECT_EQ(found.pairs, 3U);
  EXPECT_EQ(found.share, 1);
  EXPECT_EQ(found.furthest_px, 0.25);
  EXPECT_EQ(matched(three(), moved, 0.2).pairs, 2U);
  moved.labels[2] = 1;
  EXPECT_NEAR(matched(three(), moved, 0.5).share, 2.0 / 3, 1e-12);
}

TEST(Compare, ABoxHasOnePartnerOnly) {
  const Detections twice{{{0, 0, 9, 9}, {0, 0, 9, 9}}, {1, 1}, {0, 0}};
  const Detections once{{{0, 0, 9, 9}}, {1}, {0}};
  EXPECT_NEAR(matched(twice, once, 0.5).share, 2.0 / 3, 1e-12);
  EXPECT_FALSE(compare(Result{twice}, Result{once}).holds);
  EXPECT_EQ(matched({}, {}, 0.5).share, 1);
}

TEST(Compare, KnowsTheAngleOfVectors) {
  const std::vector<float> one{1, 0};
  EXPECT_NEAR(cosine(one, std::vector<float>{3, 3}), std::sqrt(0.5), 1e-7);
  EXPECT_EQ(cosine(one, std::vector<float>{0, 0}), 0);
  EXPECT_EQ(cosine(one, std::vector<float>{1, 0, 0}), 0);
  EXPECT_EQ(cosine(one, std::vector<float>{NAN, 0}), 0);
}

TEST(Compare, NaNNeverAgrees) {
  const Result one{ClassScores{{NAN, 1}}};
  EXPECT_FALSE(compare(one, Result{ClassScores{{0, 1}}}).holds);
  EXPECT_FALSE(compare(one, one).holds);
}

Result two_parts(const char* first, Result one, const char* second, Result other) {
  Several made;
  made.parts.push_back({first, std::move(one)});
  made.parts.push_back({second, std::move(other)});
  return {std::move(made)};
}

TEST(Compare, FindsPartsAndValuesByName) {
  const Result one = two_parts("a", {Values{{"x", "y"}, {1, 2}}}, "b", {Embedding{{1, 0}}});
  const Result other = two_parts("b", {Embedding{{2, 0}}}, "a", {Values{{"y", "x"}, {2, 1}}});
  EXPECT_TRUE(compare(one, other).holds) << compare(one, other).text;
  const Result far = two_parts("b", {Embedding{{0, 1}}}, "a", {Values{{"y", "x"}, {2, 1}}});
  EXPECT_FALSE(compare(one, far).holds);
  EXPECT_THAT(compare(one, far).text, HasSubstr("b: embedding: cosine 0.0"));
  EXPECT_FALSE(compare(one, Result{LabelMap{}}).holds);
}

TEST(Compare, ReadsWhatPythonRecorded) {
  const Expected<Result> map = recorded(json::parse(R"({"kind":"label_map","height":2,"width":2,"runs":[3,3,0,1]})"));
  ASSERT_TRUE(map);
  EXPECT_EQ(map->get<LabelMap>()->labels, (std::vector<std::uint8_t>{3, 3, 3, 0}));
  const Expected<Result> parts = recorded(json::parse(
      R"({"kind":"several","parts":{"a":{"kind":"values","values":{"x":1.5}},
          "b":{"kind":"detections","boxes":[[0,1,2,3]],"scores":[0.5],"labels":[7],"size":[4,4]}}})"));
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->get<Several>()->parts[1].result.get<Detections>()->labels[0], 7);
}

TEST(Compare, RefusesWhatIsNoPrediction) {
  for (const char* text : {R"({"kind":"label_map","height":2,"width":2,"runs":[3,3]})",
                           R"({"kind":"label_map","height":1,"width":1,"runs":[256,1]})",
                           R"({"kind":"label_map","height":1,"width":2,"runs":[1,-1,1,3]})",
                           R"({"kind":"label_map","height":1,"width":1,"runs":[1]})",
                           R"({"kind":"label_map","height":-1,"width":-1,"runs":[1,1]})", R"({"height":1})", R"([])",
                           R"({"kind":"detections","boxes":[[0,1,2,3]],"scores":[],"labels":[7]})",
                           R"({"kind":"embedding","vector":["a"]})"}) {
    const Expected<Result> made = recorded(json::parse(text));
    ASSERT_FALSE(made) << text;
    EXPECT_EQ(made.error().code, Code::bundle) << text;
  }
  EXPECT_EQ(recorded(json::parse(R"({"kind":"other","type":"x"})")).error().code, Code::unsupported);
}

}  // namespace
}  // namespace edgekit
