#include "files/npz.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace edgekit {
namespace {

using testing::HasSubstr;

std::filesystem::path folder() { return std::filesystem::path(EDGEKIT_CASES) / "arrays"; }

std::string refusal(const char* name, std::uint64_t most = 1 << 24) {
  const auto arrays = read_npz(folder() / name, most);
  if (arrays) return "it is read";
  EXPECT_EQ(arrays.error().code, Code::bundle);
  return arrays.error().message;
}

class Npz : public testing::TestWithParam<const char*> {};

TEST_P(Npz, HasTheArraysOfEveryType) {
  const auto arrays = read_npz(folder() / GetParam());
  ASSERT_TRUE(arrays) << arrays.error().message;
  for (const char* name : {"float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32",
                           "int64", "uint64", "bool"}) {
    const Tensor& array = arrays->at(name);
    EXPECT_STREQ(name_of(array.dtype()), name);
    EXPECT_EQ(array.shape(), (Shape{2, 3, 4})) << name;
  }
  const auto floats = arrays->at("float32").view().as<float>();
  const auto numbers = arrays->at("int16").view().as<std::int16_t>();
  for (std::size_t at = 0; at < 24; ++at) {
    EXPECT_EQ(floats[at], static_cast<float>(at));
    EXPECT_EQ(numbers[at], static_cast<std::int16_t>(at));
  }
  EXPECT_EQ(arrays->at("scalar").shape().rank(), 0U);
  EXPECT_EQ(arrays->at("scalar").view().as<double>()[0], 2.5);
  EXPECT_EQ(arrays->at("nothing").shape(), (Shape{0, 3}));
}

TEST_P(Npz, TurnsFortranOrderIntoCOrder) {
  const auto arrays = read_npz(folder() / GetParam());
  ASSERT_TRUE(arrays);
  const Tensor& turned = arrays->at("fortran");
  EXPECT_EQ(turned.shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(std::memcmp(turned.data(), arrays->at("c").data(), turned.bytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(Files, Npz, testing::Values("stored.npz", "deflated.npz"),
                         [](const auto& given) { return given.index == 0 ? "Stored" : "Deflated"; });

TEST(ReadNpz, RefusesWhatItDoesNotRead) {
  EXPECT_THAT(refusal("text.npz"), HasSubstr("text.npz/text.npy: an array of dtype '<U4', which is not read"));
  EXPECT_THAT(refusal("big-endian.npz"), HasSubstr("dtype '>f4'"));
  EXPECT_THAT(refusal("object.npz"), HasSubstr("dtype '|O'"));
  EXPECT_THAT(refusal("deep.npz"), HasSubstr("more than 8 dimensions"));
  EXPECT_THAT(refusal("other.npz"), HasSubstr("array.npy: "));
  EXPECT_THAT(refusal("nothing.npz"), HasSubstr("no archive of arrays"));
}

TEST(ReadNpz, RefusesDamage) {
  EXPECT_THAT(refusal("cut.npz"), HasSubstr("no archive of arrays"));
  EXPECT_THAT(refusal("flipped.npz"), HasSubstr("truncated, or damaged")) << "the checksum is compared";
}

TEST(ReadNpz, TakesNoMoreThanIsAllowed) {
  EXPECT_THAT(refusal("large.npz", 1 << 20), HasSubstr("larger than allowed"));
  EXPECT_EQ(refusal("large.npz"), "it is read");
}

}  // namespace
}  // namespace edgekit
