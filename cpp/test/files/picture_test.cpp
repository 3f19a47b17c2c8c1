// Pictures are read as Python reads them, or refused where it refuses.
#include "files/picture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "files/npz.hpp"
#include "support/allocations.hpp"

namespace edgekit {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

fs::path folder() { return fs::path(EDGEKIT_CASES) / "pictures"; }

std::vector<std::uint8_t> content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Bytes of RGB, grey in three equal channels.
std::vector<std::uint8_t> as_rgb(const Tensor& pixels) {
  const auto* from = static_cast<const std::uint8_t*>(pixels.data());
  const std::size_t width = size_of(pixels.dtype());
  const std::size_t times = pixels.shape().rank() == 2 ? 3 : 1;
  std::vector<std::uint8_t> made;
  for (std::size_t at = 0; at < pixels.bytes(); at += width) {
    for (std::size_t time = 0; time < times; ++time) made.insert(made.end(), from + at, from + at + width);
  }
  return made;
}

TEST(Picture, IsWhatPythonReads) {
  const nlohmann::json verdicts = nlohmann::json::parse(std::ifstream(folder() / "pictures.json"));
  const auto expected = read_npz(folder() / "pixels.npz");
  ASSERT_TRUE(expected) << expected.error().message;
  ASSERT_GT(verdicts.size(), 40U);
  for (const auto& [name, verdict] : verdicts.items()) {
    SCOPED_TRACE(name);
    const Expected<Picture> picture = read_picture(folder() / name);
    ASSERT_EQ(picture.has_value(), verdict == "reads") << (picture ? "" : picture.error().message);
    if (!picture) {
      EXPECT_EQ(picture.error().code, Code::frame);
      EXPECT_THAT(picture.error().message, testing::StartsWith((folder() / name).string() + ": "));
      continue;
    }
    const Frame frame = picture->frame();
    ASSERT_TRUE(frame.check()) << frame.check().error().message;
    const Tensor& wanted = expected->at(name);
    ASSERT_EQ(wanted.shape(), (Shape{frame.height, frame.width, 3}));
    ASSERT_EQ(wanted.dtype(), picture->pixels.dtype());
    const std::vector<std::uint8_t> pixels = as_rgb(picture->pixels);
    ASSERT_EQ(pixels.size(), wanted.bytes());
    EXPECT_EQ(std::memcmp(pixels.data(), wanted.data(), pixels.size()), 0);
  }
}

TEST(Picture, SaysHowItsPixelsLie) {
  const std::map<std::string, Encoding> encodings{{"grey.png", Encoding::mono8},    {"grey1.png", Encoding::mono8},
                                                  {"grey16.png", Encoding::mono16}, {"colour.jpg", Encoding::rgb8},
                                                  {"grey.jpg", Encoding::mono8},    {"alpha16.png", Encoding::rgb16}};
  for (const auto& [name, encoding] : encodings) {
    const Expected<Picture> picture = read_picture(folder() / name);
    ASSERT_TRUE(picture) << name;
    EXPECT_EQ(picture->frame().encoding, encoding) << name;
  }
  EXPECT_FALSE(Picture{}.frame().check()) << "nothing is no frame";
}

TEST(Picture, KeepsItsMemory) {
  const std::vector<std::uint8_t> content = content_of(folder() / "colour.png");
  Picture picture;
  ASSERT_TRUE(decode_picture(content, "first", picture));
  const void* before = picture.pixels.data();
  ASSERT_TRUE(decode_picture(content, "second", picture));
  EXPECT_EQ(picture.pixels.data(), before);
}

TEST(Picture, ThatIsTooLargeIsRefusedBeforeMemoryIsTaken) {
  EXPECT_THAT(read_picture(folder() / "large.png").error().message, HasSubstr("cannot hold 60000 x 60000 pixels"));
  for (const char* name : {"colour.png", "colour.jpg"}) {
    EXPECT_THAT(read_picture(folder() / name, 21 * 34 - 1).error().message,
                HasSubstr("a picture of 21 x 34 pixels; at most 713 are read"));
    EXPECT_TRUE(read_picture(folder() / name, 21 * 34));
  }
}

TEST(Picture, ThatIsNoFileIsRefused) {
  EXPECT_THAT(read_picture(folder() / "nothing.png").error().message, HasSubstr("nothing.png cannot be read: No such"));
  EXPECT_FALSE(read_picture(folder()));
}

/// One changed byte is refused or gives another picture, and never more than that.
TEST(Picture, SurvivesAnyChangedByte) {
  for (const char* name : {"grey16.png", "interlaced.png", "palette4.png", "progressive.jpg", "restarts.jpg"}) {
    const std::vector<std::uint8_t> content = content_of(folder() / name);
    Picture picture;
    for (std::size_t at = 0; at < content.size(); at += 3) {
      std::vector<std::uint8_t> changed = content;
      changed[at] ^= 0xFF;
      const Status decoded = decode_picture(changed, name, picture, 100000);
      if (!decoded) {
        EXPECT_THAT(decoded.error().code, testing::AnyOf(Code::frame, Code::out_of_memory));
      }
    }
  }
}

TEST(Picture, WithoutMemoryIsAStatus) {
  if (!test::complete()) GTEST_SKIP() << "allocations cannot fail in this build";
  for (const char* name : {"colour16.png", "progressive.jpg"}) {
    const std::vector<std::uint8_t> content = content_of(folder() / name);
    bool happened = true;
    for (std::uint64_t after = 0; happened; ++after) {
      Picture picture;
      Code code = Code::ok;
      {
        const test::FailAllocations failing(after);
        const Status decoded = decode_picture(content, name, picture);
        happened = failing.happened();
        if (!decoded) code = decoded.error().code;
      }
      if (happened && code != Code::ok) {
        EXPECT_EQ(code, Code::out_of_memory) << name << " after " << after;
      }
      EXPECT_TRUE(happened || code == Code::ok);
    }
    Picture picture;
    EXPECT_TRUE(decode_picture(content, name, picture)) << "the next one that fits is decoded";
  }
}

}  // namespace
}  // namespace edgekit
