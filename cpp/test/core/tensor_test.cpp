#include "edgekit/tensor.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace edgekit {
namespace {

TEST(Shape, KnowsHowManyElementsItHas) {
  EXPECT_EQ(Shape({1, 3, 4, 5}).elements(), 60);
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ(Shape({2, -1}).elements(), -1);
  EXPECT_EQ(Shape({std::int64_t{1} << 40, std::int64_t{1} << 40}).elements(), -1) << "an overflow is no size";
}

TEST(Shape, IsWrittenAsPeopleWriteIt) { EXPECT_EQ(Shape({1, -1, 4}).text(), "[1, ?, 4]"); }

TEST(TensorSpec, FitsWhereTheDynamicSizesDiffer) {
  const TensorSpec spec{"boxes", {1, -1, 4}, DType::float32};
  EXPECT_TRUE(spec.fits({1, 7, 4}, DType::float32));
  EXPECT_FALSE(spec.fits({1, 7, 5}, DType::float32));
  EXPECT_FALSE(spec.fits({1, 7, 4}, DType::float64));
  EXPECT_FALSE(spec.fits({1, 7}, DType::float32));
}

TEST(Tensor, KeepsItsMemoryWhenItShrinks) {
  Tensor tensor;
  ASSERT_TRUE(tensor.resize({8, 8}, DType::float32));
  const void* before = tensor.data();
  ASSERT_TRUE(tensor.resize({2, 2}, DType::float32));
  EXPECT_EQ(tensor.data(), before);
  EXPECT_EQ(tensor.bytes(), 16U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(before) % 64, 0U);
}

TEST(Tensor, SaysThatThereIsNoMemory) {
  Tensor tensor;
  const Status status = tensor.resize({std::int64_t{1} << 60}, DType::uint8);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::out_of_memory);
  ASSERT_TRUE(tensor.resize({4}, DType::uint8)) << "the next one that fits is made";
}

TEST(DType, IsFoundByItsName) {
  ASSERT_TRUE(dtype_of("uint16"));
  EXPECT_EQ(*dtype_of("uint16"), DType::uint16);
  EXPECT_EQ(size_of(DType::uint16), 2U);
  EXPECT_EQ(dtype_of("int5").error().code, Code::unsupported);
}

}  // namespace
}  // namespace edgekit
