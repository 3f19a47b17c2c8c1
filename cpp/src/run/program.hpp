// edgekit-run after its command line was read.
#pragma once

#include <cstdio>

#include "edgekit/status.hpp"
#include "run/options.hpp"

namespace edgekit::run {

/// The exit code that a kind of error ends with.
int exit_code(Code code) noexcept;

/// Runs the frames of the input; results go to `out`.
Status run(const Options& options, std::FILE* out);

}  // namespace edgekit::run
