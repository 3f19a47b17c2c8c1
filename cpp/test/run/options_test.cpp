#include "run/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "run/program.hpp"

namespace edgekit::run {
namespace {

using ::testing::HasSubstr;

Parsed parsed(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "edgekit-run");
  return parse(static_cast<int>(arguments.size()), arguments.data());
}

/// What a wrong command line says on stderr.
std::string refused(const std::vector<const char*>& arguments) {
  ::testing::internal::CaptureStderr();
  const Parsed made = parsed(arguments);
  EXPECT_EQ(made.exit, 2);
  std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << "one line: " << said;
  return said;
}

TEST(Options, ArePicturesByDefault) {
  const Parsed made = parsed({"bundle", "a.png", "folder", "--json", "--frames", "--role", "control"});
  ASSERT_FALSE(made.exit);
  EXPECT_EQ(made.options.inputs.size(), 2U);
  EXPECT_TRUE(made.options.json && made.options.frames);
  EXPECT_EQ(made.options.role, "control");
  EXPECT_EQ(made.options.warmup, 20U);
}

TEST(Options, OfAPipeSayItsFormat) {
  const Parsed made = parsed({"bundle", "-", "--width", "4", "--height", "2", "--encoding", "nv12"});
  ASSERT_FALSE(made.exit);
  EXPECT_EQ(made.options.raw.width, 4);
  EXPECT_EQ(made.options.raw.encoding, Encoding::nv12);
}

TEST(Options, AreRefusedInOneLine) {
  EXPECT_THAT(refused({"bundle"}), HasSubstr("inputs is required"));
  EXPECT_THAT(refused({"bundle", "-"}), HasSubstr("- needs --width and --height"));
  EXPECT_THAT(refused({"bundle", "a.png", "--width", "4"}), HasSubstr("belong to -"));
  EXPECT_THAT(refused({"bundle", "a.png", "shm:/x"}), HasSubstr("cannot be mixed"));
  EXPECT_THAT(refused({"bundle", "shm:/x", "--repeat", "2"}), HasSubstr("comes once"));
  EXPECT_THAT(refused({"bundle", "a.png", "--encoding", "bgr9"}), HasSubstr("'bgr9' cannot be read"));
  EXPECT_THAT(refused({"bundle", "a.png", "--role", "other"}), HasSubstr("--role"));
  EXPECT_THAT(refused({"bundle", "a.png", "--no-such"}), HasSubstr("--no-such"));
}

TEST(ExitCode, IsThatOfTheHouse) {
  EXPECT_EQ(exit_code(Code::ok), 0);
  EXPECT_EQ(exit_code(Code::bundle), 2);
  EXPECT_EQ(exit_code(Code::frame), 2);
  EXPECT_EQ(exit_code(Code::missing_requirement), 3);
  EXPECT_EQ(exit_code(Code::timeout), 3);
}

}  // namespace
}  // namespace edgekit::run
