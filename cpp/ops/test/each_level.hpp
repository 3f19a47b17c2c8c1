// Tests of kernels with every kind of instruction that the processor has.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "level.hpp"

namespace edgekit::ops {

/// The same numbers in every run, and others with --gtest_shuffle, so that --gtest_repeat tries more.
inline std::mt19937 seeded(unsigned number) {
  return std::mt19937(number + 10 * static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed()));
}

class EachLevel : public testing::TestWithParam<Level> {
 protected:
  void SetUp() override {
    if (!has(GetParam())) GTEST_SKIP() << "this processor has it not";
  }
};

}  // namespace edgekit::ops
