// Every case that Python decoded, decoded again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "postprocess/cases.hpp"
#include "postprocess/decoder.hpp"

namespace edgekit::testing {
namespace {

class Decode : public ::testing::TestWithParam<const char*> {};

void check(const Document& document, const Case& one, Result& result) {
  Expected<std::unique_ptr<Decoder>> decoder = Decoder::create(one.task, one.specs);
  if (one.refused) {
    ASSERT_FALSE(decoder) << "edgekit refuses it: " << one.task;
    EXPECT_TRUE(decoder.error().code == Code::unsupported || decoder.error().code == Code::tensor);
    return;
  }
  ASSERT_TRUE(decoder) << decoder.error().message;
  const Status status = (*decoder)->decode(one.outputs, one.geometry, result);
  if (one.error.empty()) {
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_EQ(difference(document, one.expected, result), "");
  } else {
    ASSERT_FALSE(status) << "expected: " << one.error;
    EXPECT_EQ(status.error().code, Code::tensor);
    EXPECT_EQ(status.error().message, one.error);
  }
}

TEST_P(Decode, AgreesWithPython) {
  const Document document(GetParam());
  ASSERT_GT(document.cases.size(), 100U);
  Result result;  // one for all: what a frame leaves must not reach the next
  for (const Case& one : document.cases) {
    SCOPED_TRACE(one.name);
    check(document, one, result);
  }
}

INSTANTIATE_TEST_SUITE_P(Tasks, Decode, ::testing::Values("masks", "vectors", "detections"),
                         [](const auto& named) { return std::string(named.param); });

}  // namespace
}  // namespace edgekit::testing
