#include "lut.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "each_level.hpp"

namespace edgekit::ops {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes noise(std::mt19937& source, std::size_t count) {
  Bytes made(count);
  std::generate(made.begin(), made.end(), [&] { return static_cast<std::uint8_t>(source()); });
  return made;
}

Bytes expected(const Bytes& given, const Bytes& table) {
  Bytes made(given.size());
  std::transform(given.begin(), given.end(), made.begin(), [&](std::uint8_t value) { return table[value]; });
  return made;
}

std::string name_of(const testing::TestParamInfo<Level>& info) {
  std::string name(level_names[static_cast<std::size_t>(info.param)]);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Kernels, EachLevel,
                         testing::Values(Level::scalar, Level::avx2, Level::avx_vnni, Level::avx512_vnni,
                                         Level::avx512_vbmi, Level::neon, Level::neon_dot),
                         name_of);

TEST_P(EachLevel, EveryLengthAndValue) {
  std::mt19937 source = seeded(1);
  for (std::size_t count = 0; count <= 700; ++count) {
    const Bytes table = noise(source, 256), given = noise(source, count);
    Bytes made(count);  // of that size and no more: a sanitizer sees what is written behind it
    lut(given.data(), made.data(), count, table.data(), GetParam());
    ASSERT_EQ(made, expected(given, table)) << count;
  }
  Bytes all(256), table = noise(source, 256);
  for (std::size_t value = 0; value < 256; ++value) all[value] = static_cast<std::uint8_t>(value);
  lut(all.data(), all.data(), all.size(), table.data(), GetParam());  // in place
  EXPECT_EQ(all, table);
}

TEST_P(EachLevel, EachChannelHasItsTable) {
  std::mt19937 source = seeded(2);
  for (const std::size_t channels : {1, 2, 7, 15, 16, 17, 32, 33, 48, 96}) {
    const Bytes tables = noise(source, channels * 256);
    for (const std::size_t rows : {0, 1, 5, 63, 64, 65, 128, 191}) {
      const Bytes given = noise(source, rows * channels);
      Bytes made(given.size()), wanted(given.size()), same = given;
      for (std::size_t at = 0; at < given.size(); ++at) wanted[at] = tables[at % channels * 256 + given[at]];
      lut_rows(given.data(), made.data(), rows, channels, tables.data(), GetParam());
      ASSERT_EQ(made, wanted) << rows << " rows of " << channels;
      lut_rows(same.data(), same.data(), rows, channels, tables.data(), GetParam());
      ASSERT_EQ(same, wanted) << rows << " rows of " << channels << " in place";
    }
  }
}

TEST(Chosen, NoHigherThanTheVariableSays) {
  setenv("EDGEKIT_OPS_LEVEL", "scalar", 1);
  EXPECT_EQ(chosen(), Level::scalar);
  setenv("EDGEKIT_OPS_LEVEL", "avx2", 1);
  EXPECT_LE(chosen(), Level::avx2);
  setenv("EDGEKIT_OPS_LEVEL", "", 1);
  EXPECT_TRUE(has(chosen()));
  unsetenv("EDGEKIT_OPS_LEVEL");
}

}  // namespace
}  // namespace edgekit::ops
