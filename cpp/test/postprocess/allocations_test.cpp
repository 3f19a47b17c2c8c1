// After the first frame nothing is allocated, whatever the next frames show; without memory there is a status.
#include "support/allocations.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "postprocess/cases.hpp"
#include "postprocess/decoder.hpp"

namespace edgekit::testing {
namespace {

/// A case of those that decode, of every task and family: each n-th.
template <class Visit>
void each(const char* name, std::size_t step, Visit&& visit) {
  const Document document(name);
  for (std::size_t i = 0; i < document.cases.size(); i += step) {
    const Case& one = document.cases[i];
    if (one.expected.is_null()) continue;
    SCOPED_TRACE(one.name);
    visit(one);
  }
}

TEST(Allocations, NoneAfterTheFirstFrame) {
  if (!test::complete()) GTEST_SKIP() << "this build does not count all of them";
  for (const char* name : {"masks", "vectors", "detections"}) {
    each(name, 3, [](const Case& one) {
      auto decoder = Decoder::create(one.task, one.specs);
      ASSERT_TRUE(decoder);
      // The first frame is black: it must make room for all that a later one can hold.
      std::vector<std::vector<std::uint64_t>> zeros;
      std::vector<TensorView> black;
      for (const TensorView& view : one.outputs) {
        zeros.emplace_back(view.bytes() / sizeof(std::uint64_t) + 1);
        black.push_back({zeros.back().data(), view.shape, view.dtype});
      }
      Result result;
      const Status first = (*decoder)->decode(black, one.geometry, result);
      // Zeros are no vector and no probabilities: then the second frame is the first that is decoded.
      if (!first) {
        ASSERT_TRUE((*decoder)->decode(one.outputs, one.geometry, result));
      }
      const std::uint64_t before = test::allocations();
      for (int frame = 0; frame < 2; ++frame) {
        const Status done = (*decoder)->decode(one.outputs, one.geometry, result);
        ASSERT_TRUE(done);
      }
      EXPECT_EQ(test::allocations() - before, 0U);
    });
  }
}

TEST(Allocations, ThatFailAreAStatusAndTheNextFrameWorks) {
  if (!test::complete()) GTEST_SKIP() << "this build cannot let them fail";
  for (const char* name : {"masks", "vectors", "detections"}) {
    each(name, 101, [](const Case& one) {
      for (std::uint64_t after = 0;; ++after) {
        bool failed = false;
        {
          std::unique_ptr<Decoder> decoder;
          Result result;
          const test::FailAllocations none(after);
          auto made = Decoder::create(one.task, one.specs);
          if (made) decoder = std::move(*made);
          const Status done = made ? decoder->decode(one.outputs, one.geometry, result) : Status(made.error());
          failed = none.happened();
          if (failed) {
            ASSERT_FALSE(done);
            ASSERT_EQ(done.error().code, Code::out_of_memory);
          }
        }
        if (!failed) break;
      }
    });
  }
}

}  // namespace
}  // namespace edgekit::testing
