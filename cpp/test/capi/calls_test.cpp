#include "capi/calls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

#include "capi/handles.hpp"

namespace edgekit {
namespace {

using ::testing::HasSubstr;

struct LaterFrame {  // as a caller has it whose header is newer than this library
  edgekit_frame frame;
  std::int64_t exposure_ns;
};

TEST(CCalls, TakeAStructThatHasGrownAsLongAsNothingNewIsAsked) {
  LaterFrame later{};
  later.frame.size = sizeof later;
  later.frame.height = 4;
  ASSERT_TRUE(capi::taken(&later.frame, "frame"));
  EXPECT_EQ(capi::taken(&later.frame, "frame")->height, 4);
  later.exposure_ns = 1;
  EXPECT_THAT(capi::taken(&later.frame, "frame").error().message, HasSubstr("fields that this library does not know"));
}

TEST(CCalls, RefuseAStructWithoutItsSize) {
  edgekit_frame frame{};
  EXPECT_THAT(capi::taken(&frame, "frame").error().message, HasSubstr("frame.size is 0; expected"));
  EXPECT_THAT(capi::taken<edgekit_frame>(nullptr, "frame").error().message, HasSubstr("frame is a null pointer"));
}

TEST(CCalls, ClearWhatALargerStructHasMore) {
  struct {
    edgekit_timing timing;
    std::int64_t queue_ns;
  } later{};
  later.timing.size = sizeof later;
  later.queue_ns = 7;
  ASSERT_EQ(capi::give(edgekit_timing{sizeof(edgekit_timing), 1, 2, 3}, &later.timing, "timing"), EDGEKIT_OK);
  EXPECT_EQ(later.timing.size, sizeof later);
  EXPECT_EQ(later.timing.postprocess_ns, 3);
  EXPECT_EQ(later.queue_ns, 0);
}

TEST(CCalls, LetNoExceptionOut) {
  EXPECT_EQ(capi::guarded([]() -> edgekit_status { throw std::bad_alloc(); }), EDGEKIT_OUT_OF_MEMORY);
  EXPECT_EQ(capi::guarded([]() -> edgekit_status { throw std::length_error("too long"); }), EDGEKIT_ENGINE);
  EXPECT_STREQ(edgekit_last_error(), "too long");
}

TEST(CCalls, RememberTheErrorOfTheirThread) {
  capi::fail(Code::frame, "here");
  std::thread other([] {
    EXPECT_STREQ(edgekit_last_error(), "");
    capi::fail(Code::frame, "there");
  });
  other.join();
  EXPECT_STREQ(edgekit_last_error(), "here");
}

TEST(CCalls, CutALongErrorBetweenTwoLetters) {
  std::string message(2046, 'x');
  message += "\u00fc and more";
  capi::fail(Code::frame, message);
  EXPECT_EQ(std::string(edgekit_last_error()), std::string(2046, 'x'));
}

TEST(CFrame, IsTakenAsItIs) {
  const std::uint8_t pixel[6]{};
  edgekit_frame given = EDGEKIT_INIT(edgekit_frame);
  given.data = pixel;
  given.bytes = sizeof pixel;
  given.height = 1;
  given.width = 2;
  given.stride = 6;
  given.encoding = EDGEKIT_RGB8;
  given.stamp_ns = 9;
  const Expected<Frame> frame = capi::frame_of(&given);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->data, pixel);
  EXPECT_EQ(frame->bytes, 6U);
  EXPECT_EQ(frame->height, 1);
  EXPECT_EQ(frame->width, 2);
  EXPECT_EQ(frame->stride, 6);
  EXPECT_EQ(frame->encoding, Encoding::rgb8);
  EXPECT_EQ(frame->stamp_ns, 9);
  given.encoding = 18;
  EXPECT_EQ(capi::frame_of(&given).error().code, Code::frame);
}

TEST(CEncoding, GoesByTheNamesOfRos) {
  for (std::int32_t number = EDGEKIT_RGB8; number <= EDGEKIT_NV21; ++number) {
    std::int32_t found = -1;
    ASSERT_EQ(edgekit_encoding_of(name_of(static_cast<Encoding>(number)), &found), EDGEKIT_OK);
    EXPECT_EQ(found, number);
  }
  EXPECT_STREQ(name_of(static_cast<Encoding>(EDGEKIT_MONO16)), "mono16");
  EXPECT_STREQ(name_of(static_cast<Encoding>(EDGEKIT_BAYER_GRBG8)), "bayer_grbg8");
  EXPECT_STREQ(name_of(static_cast<Encoding>(EDGEKIT_YUYV)), "yuyv");
  std::int32_t found = 0;
  EXPECT_EQ(edgekit_encoding_of("bgr9", &found), EDGEKIT_FRAME);
}

}  // namespace
}  // namespace edgekit
