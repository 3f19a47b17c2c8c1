// Out of memory while a bundle is opened: a status says so, nothing is left, and the next one opens.
#include <gtest/gtest.h>

#include "bundle/cases.hpp"
#include "edgekit/bundle.hpp"
#include "support/allocations.hpp"

namespace edgekit {
namespace {

/// Opens with the allocation after `after` failing; true: none did.
bool survived(const std::filesystem::path& path, const BundleOptions& options, std::uint64_t after) {
  bool happened = false;
  Code code = Code::ok;
  {
    const test::FailAllocations failing(after);
    const Expected<Bundle> bundle = Bundle::open(path, options);
    happened = failing.happened();
    if (!bundle) code = bundle.error().code;
  }
  if (happened && code != Code::ok) {
    EXPECT_EQ(code, Code::out_of_memory) << "after " << after << " allocations";
  }
  EXPECT_TRUE(happened || code == Code::ok);
  return !happened;
}

class Memory : public testing::TestWithParam<const char*> {};

TEST_P(Memory, ThatLacksIsAStatus) {
  if (!test::complete()) GTEST_SKIP() << "allocations cannot fail in this build";
  const test::OwnTemporaryFolder scratch;
  const std::filesystem::path path = test::case_folder() / GetParam();
  const BundleOptions options{.trusted_key = test::case_folder() / "keys" / "ours.pem"};
  ASSERT_TRUE(Bundle::open(path, options));  // what is made once is made
  std::uint64_t after = 0;
  while (!survived(path, options, after)) {
    ASSERT_TRUE(scratch.is_empty()) << "after " << after << " allocations";
    after += 1 + after / 64;  // each of the first, some of the many
  }
  EXPECT_GT(after, 100U);
  EXPECT_TRUE(Bundle::open(path, options)) << "the next one that fits opens";
}

INSTANTIATE_TEST_SUITE_P(Bundles, Memory, testing::Values("signed", "signed.edgekit"),
                         [](const auto& given) { return given.index == 0 ? "Folder" : "SingleFile"; });

}  // namespace
}  // namespace edgekit
