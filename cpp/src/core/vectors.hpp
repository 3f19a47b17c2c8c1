// Which instructions Highway compiles for; to be included before any other header of it.
#pragma once

// Not for what has no two-byte shuffles, which is too old; what comes after AVX-512 brings nothing here. Nor for SVE:
// there ReorderDemote2To() interleaves its two vectors, where the kernels need them one after the other. Such
// processors take NEON. Less to compile, too.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128)

#include <hwy/targets.h>
