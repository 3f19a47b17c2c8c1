// What stands behind the handles of the C ABI.
#pragma once

#include <string>
#include <utility>

#include "edgekit/bundle.hpp"
#include "edgekit/edgekit.h"
#include "edgekit/pipeline.hpp"
#include "edgekit/result.hpp"
#include "edgekit/scheduler.hpp"

struct edgekit_bundle {
  edgekit::Bundle bundle;
};

struct edgekit_pipeline {
  explicit edgekit_pipeline(edgekit::Pipeline made) : pipeline(std::move(made)), described(pipeline.describe()) {}

  edgekit::Pipeline pipeline;
  std::string described;
  edgekit::Result result;
  bool done = false;  ///< whether `result` is of the last frame
};

struct edgekit_scheduler {
  edgekit::Scheduler scheduler;
};

namespace edgekit::capi {

/// A result as C sees it: the type is never defined, the pointer is that of the C++ object.
inline const edgekit_result* lent(const Result& result) noexcept {
  return reinterpret_cast<const edgekit_result*>(&result);
}
inline const Result* meant(const edgekit_result* result) noexcept { return reinterpret_cast<const Result*>(result); }

/// The frame that a caller's struct describes, its pixels unchecked.
Expected<Frame> frame_of(const edgekit_frame* given);

/// What a callback of C is given; valid as long as the completion.
edgekit_completion completion_of(const Completion& done) noexcept;

}  // namespace edgekit::capi
