// The hook itself: a counter that counts nothing would let every test of it pass.
#include "support/allocations.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "edgekit/tensor.hpp"

namespace edgekit {
namespace {

using test::allocations;
using test::FailAllocations;

/// Keeps the compiler from leaving out an allocation that nobody reads.
void* volatile seen = nullptr;

TEST(Allocations, CountsNewMallocAndTheirRelatives) {
  if (!test::complete()) GTEST_SKIP() << "ThreadSanitizer does not tell of aligned memory";
  const std::uint64_t before = allocations();
  const auto one = std::make_unique<int>(1);
  seen = one.get();
  EXPECT_EQ(allocations() - before, 1U);
  void* two = std::malloc(10);
  seen = two;
  EXPECT_EQ(allocations() - before, 2U);
  void* three = std::aligned_alloc(64, 64);
  seen = three;
  EXPECT_EQ(allocations() - before, 3U);
  struct alignas(64) Wide {
    char bytes[64];
  };
  const auto four = std::make_unique<Wide>();
  seen = four.get();
  EXPECT_EQ(allocations() - before, 4U);
  std::free(two);
  std::free(three);
  EXPECT_EQ(allocations() - before, 4U);
}

TEST(Allocations, CountsInsideTheLibrary) {
  if (!test::complete()) GTEST_SKIP() << "ThreadSanitizer does not tell of aligned memory";
  Tensor tensor;
  ASSERT_TRUE(tensor.resize({64}, DType::uint8));
  const std::uint64_t before = allocations();
  ASSERT_TRUE(tensor.resize({4096}, DType::uint8));
  EXPECT_EQ(allocations() - before, 1U);
  ASSERT_TRUE(tensor.resize({64}, DType::uint8));
  EXPECT_EQ(allocations() - before, 1U);
}

TEST(Allocations, AreThoseOfTheThread) {
  std::uint64_t there = 0;
  const std::uint64_t all = test::allocations_of_process();
  std::thread other([&there] {
    const std::uint64_t before = allocations();
    seen = std::make_unique<std::string>(100, 'x').get();
    there = allocations() - before;
  });
  const std::uint64_t before = allocations();
  other.join();
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(there, 2U);
  EXPECT_GE(test::allocations_of_process() - all, 2U);
}

TEST(Allocations, FailAfterAsManyAsAsked) {
  if (!test::complete()) GTEST_SKIP() << "ThreadSanitizer's operator new stays";
  std::unique_ptr<int> first;
  bool thrown = false;
  {
    const FailAllocations failing(1);
    first = std::make_unique<int>(1);
    seen = first.get();
    EXPECT_FALSE(failing.happened());
    try {
      seen = std::make_unique<int>(2).get();
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    EXPECT_TRUE(failing.happened());
  }
  EXPECT_TRUE(thrown);
  seen = std::make_unique<int>(3).get();
}

}  // namespace
}  // namespace edgekit
