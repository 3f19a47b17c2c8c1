// The kernels with every kind of instruction that this processor has, held to the arithmetic of one pixel.
#include "preprocess/kernels.hpp"

#include <gtest/gtest.h>

#include <random>

#include "core/vectors.hpp"
#include "preprocess/fixed_point.hpp"

namespace edgekit::preprocessing {
namespace {

void choose(std::int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

class Kernels : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override {
    choose(GetParam());
    ASSERT_STREQ(instructions(), hwy::TargetName(GetParam()));
  }
  void TearDown() override { choose(0); }

  // Values of a range, half of them among its highest 32.
  template <typename T>
  std::vector<T> values(std::size_t count, int highest) {
    std::vector<T> made(count);
    for (T& value : made) {
      const int drawn = static_cast<int>(random_() >> 8);
      value = static_cast<T>(random_() % 2 == 0 ? highest - drawn % 32 : drawn % (highest + 1));
    }
    return made;
  }

  std::vector<std::int32_t> weights(std::size_t count) {
    std::vector<std::int32_t> made(count);
    for (std::int32_t& pair : made) {
      const auto left = static_cast<std::int32_t>(random_() % (weight_one + 1));
      pair = left | (weight_one - left) << 16;
    }
    return made;
  }

  static std::vector<std::int32_t> offsets(std::size_t count, std::int32_t step) {
    std::vector<std::int32_t> made(count);
    for (std::size_t x = 0; x < count; ++x) made[x] = static_cast<std::int32_t>(x) * step;
    return made;
  }

  static int wanted(const std::vector<std::uint8_t>& row, std::int32_t left, std::int32_t right, std::int32_t pair) {
    return across(row[static_cast<std::size_t>(left)], row[static_cast<std::size_t>(right)], pair & 0xFFFF, pair >> 16);
  }

  static constexpr std::size_t count_ = 331;  // of no vector a multiple

 private:
  std::mt19937 random_{17};
};

TEST_P(Kernels, InterpolateAlongARow) {
  const auto row = values<std::uint8_t>(3 * count_ + 3, 255);
  const auto at = offsets(count_, 3);
  const auto pairs = weights(count_);
  std::vector<std::int16_t> made(4 * count_ + kernel_padding);
  interpolate_columns(row.data(), row.size(), at.data(), pairs.data(), count_, made.data());
  for (std::size_t x = 0; x < count_; ++x) {
    for (int channel = 0; channel < 3; ++channel) {
      ASSERT_EQ(made[4 * x + static_cast<std::size_t>(channel)],
                wanted(row, at[x] + channel, at[x] + channel + 3, pairs[x]))
          << "result " << x << ", channel " << channel;
    }
  }
}

TEST_P(Kernels, InterpolateAlongARowOfOneChannel) {
  const auto row = values<std::uint8_t>(2 * count_ + 2, 255);
  const auto at = offsets(count_, 2);
  const auto pairs = weights(count_);
  std::vector<std::int16_t> made(count_ + kernel_padding);
  interpolate_columns_of_one(row.data(), row.size(), at.data(), pairs.data(), count_, made.data());
  for (std::size_t x = 0; x < count_; ++x) ASSERT_EQ(made[x], wanted(row, at[x], at[x] + 1, pairs[x])) << x;
}

TEST_P(Kernels, InterpolateAcrossRows) {
  constexpr int highest = 255 * weight_one >> 4;
  const auto upper = values<std::int16_t>(count_ + kernel_padding, highest);
  const auto lower = values<std::int16_t>(count_ + kernel_padding, highest);
  std::vector<std::uint8_t> made(count_ + kernel_padding);
  for (const int weight : {0, 1, 700, 1024, weight_one}) {
    interpolate_rows(upper.data(), lower.data(), weight, weight_one - weight, count_, made.data());
    for (std::size_t x = 0; x < count_; ++x) {
      ASSERT_EQ(made[x], down(upper[x], lower[x], weight, weight_one - weight)) << x << ", weight " << weight;
    }
  }
}

TEST_P(Kernels, WriteFloats) {
  const auto bytes = values<std::uint8_t>(4 * count_, 255);
  std::vector<float> made(3 * count_);
  float* const to = made.data();
  // Factors and offsets with which a fused multiply-add rounds as one that is not.
  Planes planes{{to, to + count_, to + 2 * count_}, {2, 1, 0}, {{{0.5F, 1}, {0.25F, -3}, {2, 0}}}};
  const auto value = [&](std::size_t x, std::size_t k) {
    return static_cast<float>(bytes[4 * x + planes.byte[k]]) * planes.affine[k].factor + planes.affine[k].offset;
  };
  write_planes(bytes.data(), count_, planes);
  for (std::size_t x = 0; x < 3 * count_; ++x) ASSERT_EQ(made[x], value(x % count_, x / count_)) << x;
  write_interleaved(bytes.data(), count_, planes);
  for (std::size_t x = 0; x < 3 * count_; ++x) ASSERT_EQ(made[x], value(x / 3, x % 3)) << x;
  write_plane(bytes.data(), 3 * count_, {0.5F, 1}, to);
  for (std::size_t x = 0; x < 3 * count_; ++x) ASSERT_EQ(made[x], static_cast<float>(bytes[x]) * 0.5F + 1) << x;
}

INSTANTIATE_TEST_SUITE_P(With, Kernels, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& one) { return std::string(hwy::TargetName(one.param)); });

}  // namespace
}  // namespace edgekit::preprocessing
