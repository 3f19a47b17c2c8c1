#include "run/inputs.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "ring_writer.hpp"
#include "support/scratch.hpp"

namespace edgekit::run {
namespace {

using ::testing::HasSubstr;

constexpr RawFormat tiny{2, 2, 0, Encoding::bgr8};

/// A pipe that holds some bytes and ends.
class Piped {
 public:
  explicit Piped(std::string_view bytes) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    EXPECT_EQ(::write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ::close(ends[1]);
    descriptor = ends[0];
  }
  ~Piped() { ::close(descriptor); }
  int descriptor;
};

TEST(RawPipe, GivesFrameAfterFrame) {
  const Piped pipe("abcdefghijklABCDEFGHIJKL");
  Expected<std::unique_ptr<Input>> input = raw_pipe(pipe.descriptor, tiny);
  ASSERT_TRUE(input);
  Taken taken;
  for (const char* first : {"a", "A"}) {
    const Expected<bool> more = (*input)->next(taken);
    ASSERT_TRUE(more && *more);
    EXPECT_TRUE(taken.frame.check());
    EXPECT_EQ(taken.frame.data[0], static_cast<std::uint8_t>(*first));
  }
  EXPECT_EQ(taken.id, "1");
  const Expected<bool> more = (*input)->next(taken);
  ASSERT_TRUE(more);
  EXPECT_FALSE(*more);
}

TEST(RawPipe, SaysThatItEndedInsideAFrame) {
  const Piped pipe("abcdefghijklABC");
  Expected<std::unique_ptr<Input>> input = raw_pipe(pipe.descriptor, tiny);
  Taken taken;
  ASSERT_TRUE((*input)->next(taken));
  const Expected<bool> more = (*input)->next(taken);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::frame);
  EXPECT_THAT(more.error().message, HasSubstr("inside frame 1: 3 of 12 bytes"));
}

TEST(RawPipe, KnowsHowLongAFrameIs) {
  const Piped pipe(std::string(2 * 4 * 3 + 6 * 6, 'x'));  // two frames of nv12, rows of 6 bytes
  Expected<std::unique_ptr<Input>> input = raw_pipe(pipe.descriptor, {4, 4, 6, Encoding::nv12});
  ASSERT_TRUE(input);
  Taken taken;
  ASSERT_TRUE(*(*input)->next(taken));
  EXPECT_EQ(taken.frame.bytes, 36U);
  EXPECT_TRUE(taken.frame.check());
}

TEST(RawPipe, RefusesAFormatThatIsNone) {
  EXPECT_EQ(raw_pipe(0, {3, 3, 0, Encoding::nv12}).error().code, Code::frame);
  EXPECT_EQ(raw_pipe(0, {4, 4, 3, Encoding::bgr8}).error().code, Code::frame);
  EXPECT_THAT(raw_pipe(0, {1 << 20, 1 << 20, 0, Encoding::bgr8}).error().message, HasSubstr("larger than 1 GiB"));
}

TEST(SharedMemory, GivesTheNewestFrameAndCountsTheOthers) {
  RingWriter writer(3, 12);
  Expected<std::unique_ptr<Input>> input = shared_memory(writer.name(), 5);
  ASSERT_TRUE(input) << input.error().message;
  std::string pixels = "abcdefghijkl";
  Frame frame{reinterpret_cast<const std::uint8_t*>(pixels.data()), 12, 2, 2, 0, Encoding::rgb8, 7};
  writer.write(frame);
  Taken taken;
  ASSERT_TRUE(*(*input)->next(taken));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(taken.frame.data), 12), pixels);
  EXPECT_EQ(taken.frame.encoding, Encoding::rgb8);
  EXPECT_EQ(taken.frame.stamp_ns, 7);
  EXPECT_EQ(taken.skipped, 0U);
  for (const char letter : {'1', '2', '3', '4', '5'}) {
    pixels[0] = letter;
    writer.write(frame);
  }
  writer.close();
  ASSERT_TRUE(*(*input)->next(taken)) << "closed, but the newest frame was not seen yet";
  EXPECT_EQ(taken.frame.data[0], '5');
  EXPECT_EQ(taken.id, "6");
  EXPECT_EQ(taken.skipped, 4U);
  EXPECT_FALSE(*(*input)->next(taken));
}

TEST(SharedMemory, WaitsForAFrameOnlySoLong) {
  RingWriter writer(2, 12);
  Expected<std::unique_ptr<Input>> input = shared_memory(writer.name(), 0);
  Taken taken;
  EXPECT_EQ((*input)->next(taken).error().code, Code::timeout);
  writer.ring()->newest = 1;  // says so, but no slot has it
  EXPECT_EQ((*input)->next(taken).error().code, Code::timeout);
}

TEST(SharedMemory, TrustsNoHeader) {
  EXPECT_THAT(shared_memory("/edgekit-no-such-ring", 0).error().message, HasSubstr("cannot be opened"));
  RingWriter writer(2, 12);
  writer.ring()->magic = 1;
  EXPECT_THAT(shared_memory(writer.name(), 0).error().message, HasSubstr("no ring of frames"));
  writer.ring()->magic = EDGEKIT_RING_MAGIC;
  for (const std::uint32_t slots : {0U, 1U, 3U, 1025U, 0xFFFFFFFFU}) {
    writer.ring()->slots = slots;
    EXPECT_THAT(shared_memory(writer.name(), 0).error().message, HasSubstr("do not fit")) << slots;
  }
  writer.ring()->slots = 2;
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{100}, ~std::uint64_t{63}}) {
    writer.ring()->slot_bytes = bytes;
    EXPECT_THAT(shared_memory(writer.name(), 0).error().message, HasSubstr("do not fit")) << bytes;
  }
}

TEST(SharedMemory, TrustsNoSlot) {
  const std::uint8_t pixels[12]{};
  const Frame frame{pixels, 12, 2, 2, 0, Encoding::rgb8, 0};
  Taken taken;
  RingWriter large(2, 12);
  large.write(frame);
  large.slot(1)->bytes = 1 << 20;
  Expected<std::unique_ptr<Input>> input = shared_memory(large.name(), 0);
  EXPECT_THAT((*input)->next(taken).error().message, HasSubstr("frame 1 has 1048576 bytes, its slot 64"));
  RingWriter strange(2, 12);
  strange.write(frame);
  strange.slot(1)->encoding = 99;
  input = shared_memory(strange.name(), 0);
  EXPECT_THAT((*input)->next(taken).error().message, HasSubstr("encoding 99"));
}

class Folder : public test::Scratch {
 public:
  void add(const std::string& name) const { std::ofstream(path() / name) << "no picture"; }
};

TEST(Pictures, NamesWhatIsWrong) {
  const Folder folder;
  EXPECT_THAT(pictures({folder.path()}).error().message, HasSubstr("holds no image"));
  EXPECT_THAT(pictures({folder.path() / "a.png"}).error().message, HasSubstr("no such file"));
  folder.add("a.png");
  folder.add(".hidden.png");
  folder.add("notes.txt");
  Expected<std::unique_ptr<Input>> input = pictures({folder.path()});
  ASSERT_TRUE(input);
  Taken taken;
  const Expected<bool> more = (*input)->next(taken);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("a.png"));
  folder.add("a.JPG");
  EXPECT_THAT(pictures({folder.path()}).error().message, HasSubstr("has the same stem"));
}

}  // namespace
}  // namespace edgekit::run
