// Frames that do not fit, memory from frame to frame, and sources.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "preprocess/preprocess.hpp"
#include "support/allocations.hpp"

namespace edgekit {
namespace {

using ::testing::HasSubstr;

struct Camera {
  std::vector<std::uint8_t> data;
  Source source;

  Camera(std::int32_t height, std::int32_t width, Encoding encoding)
      : data(static_cast<std::size_t>(height) * width * 8) {
    for (std::size_t at = 0; at < data.size(); ++at) data[at] = static_cast<std::uint8_t>(at * 7 + at / 255);
    source.name = "image";
    source.image = {.data = data.data(), .bytes = data.size(), .height = height, .width = width, .encoding = encoding};
  }
};

Preprocess made(const nlohmann::json& keys, const TensorSpec& spec) {
  auto preprocess = Preprocess::create({{spec.name, keys}}, {&spec, 1});
  if (!preprocess) throw std::runtime_error(preprocess.error().message);
  return std::move(*preprocess);
}

const TensorSpec spec{"image", {1, 3, 20, 30}, DType::float32};

TEST(Preprocess, AllocatesNothingForAFrameOfTheLastOnesSize) {
  if (!test::complete()) GTEST_SKIP();
  for (const char* interpolation : {"bilinear", "nearest", "nearest-exact", "area", "bicubic", "lanczos"}) {
    for (const bool antialias : {false, true}) {
      const bool can = std::string_view("bilinear bicubic lanczos").find(interpolation) != std::string_view::npos;
      if (antialias && !can) continue;
      Preprocess preprocess = made(
          {{"resize", {20, 30}}, {"mode", "letterbox"}, {"interpolation", interpolation}, {"antialias", antialias}},
          spec);
      for (const Encoding encoding :
           {Encoding::bgr8, Encoding::rgba8, Encoding::mono8, Encoding::bayer_grbg8, Encoding::uyvy, Encoding::nv12}) {
        const Camera camera(48, 64, encoding);
        ASSERT_TRUE(preprocess({&camera.source, 1}));
        const std::uint64_t before = test::allocations();
        for (int frame = 0; frame < 3; ++frame) ASSERT_TRUE(preprocess({&camera.source, 1}));
        EXPECT_EQ(test::allocations(), before) << interpolation << " " << name_of(encoding);
      }
    }
  }
}

TEST(Preprocess, LivesOnAfterItRanOutOfMemory) {
  if (!test::complete()) GTEST_SKIP();
  Preprocess preprocess = made({{"resize", {20, 30}}, {"interpolation", "lanczos"}}, spec);
  const Camera camera(48, 64, Encoding::nv12);
  std::uint64_t after = 0;
  for (bool failed = true; failed; ++after) {
    ASSERT_LT(after, 1000U);
    const Camera other(40, 60, Encoding::nv12);
    ASSERT_TRUE(preprocess({&other.source, 1}));
    {
      const test::FailAllocations fail(after);
      const auto feeds = preprocess({&camera.source, 1});
      failed = fail.happened();
      if (!feeds) {
        EXPECT_EQ(feeds.error().code, Code::out_of_memory);
      }
      EXPECT_EQ(failed, !feeds);
    }
    ASSERT_TRUE(preprocess({&camera.source, 1})) << "the next frame works";
  }
  EXPECT_GT(after, 5U);
}

TEST(Preprocess, KeepsTheBorderOfEverySize) {
  Preprocess preprocess = made({{"resize", {20, 30}}, {"mode", "letterbox"}, {"pad_value", 7}}, spec);
  const auto corner = [&](std::int32_t height, std::int32_t width, std::size_t at) {
    const Camera camera(height, width, Encoding::rgb8);
    return (*preprocess({&camera.source, 1}))[0].as<float>()[at];
  };
  EXPECT_EQ(corner(40, 20, 0), 7.0F) << "a tall frame has its border at the left";
  EXPECT_EQ(corner(20, 60, 15), 7.0F) << "a wide one above";
  EXPECT_EQ(corner(40, 20, 20 * 30 - 1), 7.0F) << "and what the wide one wrote is border again";
}

TEST(Preprocess, NamesWhatDoesNotFit) {
  Preprocess preprocess = made({{"resize", {20, 30}}}, spec);
  const auto message = [&](const Frame& frame) {
    const Source source{.name = "image", .image = frame, .array = {}};
    const auto feeds = preprocess({&source, 1});
    if (feeds) return std::string("taken");
    EXPECT_EQ(feeds.error().code, Code::frame);
    return feeds.error().message;
  };
  const Camera camera(48, 64, Encoding::bgr8);
  const auto with = [&](auto change) {
    Frame frame = camera.source.image;
    change(frame);
    return message(frame);
  };
  EXPECT_EQ(with([](Frame&) {}), "taken");
  EXPECT_THAT(with([](Frame& frame) { frame.stride = 191; }), HasSubstr("the image 'image': stride 191"));
  EXPECT_THAT(with([](Frame& frame) { frame.bytes = 48 * 64 * 3 - 1; }), HasSubstr("truncated"));
  EXPECT_THAT(with([](Frame& frame) { frame.data = nullptr; }), HasSubstr("null"));
  EXPECT_THAT(with([](Frame& frame) { frame.height = 0; }), HasSubstr("no content"));
  EXPECT_THAT(with([](Frame& frame) { frame.encoding = Encoding::mono16; }), HasSubstr("has uint16 pixels"));
  EXPECT_THAT(with([](Frame& frame) { frame.encoding = static_cast<Encoding>(77); }), HasSubstr("77"));
  EXPECT_EQ(with([](Frame&) {}), "taken") << "the next good frame works";

  Preprocess wide = made({{"resize", {20, 30}}, {"pixels", "uint16"}}, spec);
  Frame odd = camera.source.image;
  odd.encoding = Encoding::mono16;
  odd.stride = 129;
  const Source source{.name = "image", .image = odd, .array = {}};
  EXPECT_THAT(wide({&source, 1}).error().message, HasSubstr("stride 129 does not fit"));
}

TEST(Preprocess, TakesPixelsAtAnyAddress) {
  Preprocess preprocess = made({{"resize", {20, 30}}, {"pixels", "uint16"}}, spec);
  const Camera camera(40, 60, Encoding::rgb16);
  std::vector<std::uint8_t> moved(camera.data.size() + 1);
  std::memcpy(moved.data() + 1, camera.data.data(), camera.data.size());
  Source other = camera.source;
  other.image.data = moved.data() + 1;
  const auto first = (*preprocess({&camera.source, 1}))[0].as<float>();
  const std::vector<float> kept(first.begin(), first.end());
  const auto second = (*preprocess({&other, 1}))[0].as<float>();
  EXPECT_THAT(second, ::testing::ElementsAreArray(kept));
}

TEST(Preprocess, TakesOneSourceUnderAnyName) {
  Preprocess preprocess = made({{"resize", {20, 30}}}, spec);
  Camera camera(40, 60, Encoding::rgb8);
  camera.source.name = "front_left";
  EXPECT_TRUE(preprocess({&camera.source, 1}));
  const Source two[] = {camera.source, camera.source};
  EXPECT_THAT(preprocess(two).error().message, HasSubstr("has no image 'image', it has 'front_left', 'front_left'"));
  EXPECT_THAT(preprocess({}).error().message, HasSubstr("it has no image"));
}

}  // namespace
}  // namespace edgekit
