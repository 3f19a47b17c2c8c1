// A network's outputs to a result, one file per task.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "edgekit/frame.hpp"
#include "edgekit/result.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// Decodes the outputs of one task.
class Decoder {
 public:
  virtual ~Decoder() = default;

  /// From `task` of bundle.json.
  ///
  /// Code::unsupported: a task, or an option of it, that this library has not; names key and value.
  static Expected<std::unique_ptr<Decoder>> create(const nlohmann::json& task, std::span<const TensorSpec> outputs);

  /// Fills `result`, in coordinates of the original image; allocates nothing once it has seen a frame of this size.
  ///
  /// Code::tensor: an output has another shape or dtype than the task reads, or holds NaN where that has no meaning.
  virtual Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) = 0;
};

}  // namespace edgekit
