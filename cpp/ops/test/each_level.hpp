// Tests of kernels with every kind of instruction that the processor has.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "level.hpp"

namespace edgekit::ops {

class EachLevel : public testing::TestWithParam<Level> {
 protected:
  void SetUp() override {
    if (!has(GetParam())) GTEST_SKIP() << "this processor has it not";
  }
};

}  // namespace edgekit::ops
