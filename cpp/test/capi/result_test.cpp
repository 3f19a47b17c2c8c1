#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capi/handles.hpp"

namespace edgekit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CResult, OfNothingIsNothing) {
  EXPECT_EQ(edgekit_result_kind(nullptr), EDGEKIT_NOTHING);
  EXPECT_EQ(edgekit_result_count(nullptr), 0U);
  EXPECT_STREQ(edgekit_result_name(nullptr, 0), "");
  EXPECT_EQ(edgekit_result_part(nullptr, 0), nullptr);
  edgekit_label_map map = EDGEKIT_INIT(edgekit_label_map);
  EXPECT_EQ(edgekit_result_label_map(nullptr, &map), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_THAT(edgekit_last_error(), HasSubstr("a null pointer, not a label map"));
}

TEST(CResult, LendsALabelMap) {
  Result result;
  result.reuse<LabelMap>() = {2, 3, {1, 2, 3, 4, 5, 6}};
  edgekit_label_map map = EDGEKIT_INIT(edgekit_label_map);
  ASSERT_EQ(edgekit_result_kind(capi::lent(result)), EDGEKIT_LABEL_MAP);
  ASSERT_EQ(edgekit_result_label_map(capi::lent(result), &map), EDGEKIT_OK);
  EXPECT_EQ(map.height, 2);
  EXPECT_EQ(map.width, 3);
  EXPECT_EQ(map.labels, result.get<LabelMap>()->labels.data()) << "not a copy";
}

TEST(CResult, LendsDetections) {
  Result result;
  result.reuse<Detections>() = {{{1, 2, 3, 4}, {5, 6, 7, 8}}, {0.9F, 0.5F}, {7, 8}};
  edgekit_detections found = EDGEKIT_INIT(edgekit_detections);
  ASSERT_EQ(edgekit_result_detections(capi::lent(result), &found), EDGEKIT_OK);
  ASSERT_EQ(found.count, 2U);
  EXPECT_THAT(std::span(found.boxes, 8), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(std::span(found.scores, 2), ElementsAre(0.9F, 0.5F));
  EXPECT_THAT(std::span(found.labels, 2), ElementsAre(7, 8));

  result.reuse<Detections>() = {};
  ASSERT_EQ(edgekit_result_detections(capi::lent(result), &found), EDGEKIT_OK);
  EXPECT_EQ(found.count, 0U);
}

TEST(CResult, LendsNumbersOfEachKind) {
  Result result;
  edgekit_floats floats = EDGEKIT_INIT(edgekit_floats);
  result.reuse<ClassScores>() = {{0.25F, 0.75F}};
  ASSERT_EQ(edgekit_result_floats(capi::lent(result), &floats), EDGEKIT_OK);
  EXPECT_THAT(std::span(floats.values, floats.count), ElementsAre(0.25F, 0.75F));
  result.reuse<Embedding>() = {{1, 2, 3}};
  ASSERT_EQ(edgekit_result_floats(capi::lent(result), &floats), EDGEKIT_OK);
  EXPECT_THAT(std::span(floats.values, floats.count), ElementsAre(1, 2, 3));
  result.reuse<Values>() = {{"yaw", "pitch"}, {0.5, -0.5}};
  EXPECT_EQ(edgekit_result_floats(capi::lent(result), &floats), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_THAT(edgekit_last_error(), HasSubstr("the result is values, not class scores or an embedding"));
  edgekit_values values = EDGEKIT_INIT(edgekit_values);
  ASSERT_EQ(edgekit_result_values(capi::lent(result), &values), EDGEKIT_OK);
  EXPECT_THAT(std::span(values.values, values.count), ElementsAre(0.5, -0.5));
  EXPECT_STREQ(edgekit_result_name(capi::lent(result), 1), "pitch");
  EXPECT_STREQ(edgekit_result_name(capi::lent(result), 2), "");
}

TEST(CResult, LendsTensorsAndParts) {
  Part part{"raw", {}};
  Tensors& tensors = part.result.reuse<Tensors>();
  tensors.names = {"logits"};
  ASSERT_TRUE(tensors.tensors.emplace_back().resize({1, 2, 3}, DType::int16));
  Result result;
  result.reuse<Several>().parts.push_back(std::move(part));

  ASSERT_EQ(edgekit_result_count(capi::lent(result)), 1U);
  EXPECT_STREQ(edgekit_result_name(capi::lent(result), 0), "raw");
  EXPECT_EQ(edgekit_result_part(capi::lent(result), 1), nullptr);
  const edgekit_result* raw = edgekit_result_part(capi::lent(result), 0);
  ASSERT_EQ(edgekit_result_kind(raw), EDGEKIT_TENSORS);
  edgekit_tensor tensor = EDGEKIT_INIT(edgekit_tensor);
  ASSERT_EQ(edgekit_result_tensor(raw, 0, &tensor), EDGEKIT_OK);
  EXPECT_STREQ(tensor.name, "logits");
  EXPECT_EQ(tensor.dtype, EDGEKIT_INT16);
  EXPECT_EQ(tensor.rank, 3);
  EXPECT_EQ(tensor.shape[2], 3);
  EXPECT_EQ(tensor.bytes, 12U);
  EXPECT_EQ(edgekit_result_tensor(raw, 1, &tensor), EDGEKIT_INVALID_ARGUMENT);
  EXPECT_THAT(edgekit_last_error(), HasSubstr("tensor 1 does not exist; there are 1"));
}

}  // namespace
}  // namespace edgekit
