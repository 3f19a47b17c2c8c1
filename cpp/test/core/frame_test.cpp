#include "edgekit/frame.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace edgekit {
namespace {

using ::testing::HasSubstr;

Frame frame_of(const std::vector<std::uint8_t>& data, std::int32_t height, std::int32_t width, Encoding encoding,
               std::int64_t stride = 0) {
  return {.data = data.data(),
          .bytes = data.size(),
          .height = height,
          .width = width,
          .stride = stride,
          .encoding = encoding};
}

TEST(Frame, TakesARowPaddingThatTheLastRowLacks) {
  const std::vector<std::uint8_t> data(2 * 32 + 12);
  EXPECT_TRUE(frame_of(data, 3, 4, Encoding::bgr8, 32).check());
  EXPECT_FALSE(frame_of(data, 4, 4, Encoding::bgr8, 32).check());
}

TEST(Frame, NamesWhatDoesNotFit) {
  const std::vector<std::uint8_t> data(100);
  EXPECT_THAT(frame_of(data, 2, 4, Encoding::bgr8, 11).check().error().message, HasSubstr("stride 11"));
  EXPECT_THAT(frame_of(data, 10, 10, Encoding::bgr8).check().error().message, HasSubstr("100 bytes instead of 300"));
  EXPECT_THAT(frame_of(data, 0, 10, Encoding::bgr8).check().error().message, HasSubstr("no content"));
  EXPECT_THAT(frame_of(data, 4, 3, Encoding::yuyv).check().error().message, HasSubstr("even sizes"));
  EXPECT_THAT(frame_of(data, 3, 4, Encoding::nv12).check().error().message, HasSubstr("even sizes"));
  EXPECT_THAT(Frame{}.check().error().message, HasSubstr("null"));
}

TEST(Frame, OfHalfAsMuchColourHasHalfAsManyRowsMore) {
  const std::vector<std::uint8_t> data(6 * 4);
  EXPECT_TRUE(frame_of(data, 4, 4, Encoding::nv12).check());
  EXPECT_FALSE(frame_of(data, 6, 4, Encoding::nv12).check());
}

TEST(Encoding, GoesByTheNamesOfRos) {
  EXPECT_EQ(*encoding_of("bgr8"), Encoding::bgr8);
  EXPECT_EQ(*encoding_of("8UC3"), Encoding::bgr8);
  EXPECT_EQ(*encoding_of("yuv422_yuy2"), Encoding::yuyv);
  EXPECT_THAT(encoding_of("bgr9").error().message, HasSubstr("expected one of rgb8"));
  EXPECT_STREQ(name_of(Encoding::nv21), "nv21");
}

}  // namespace
}  // namespace edgekit
