// Outputs that are one vector a frame: class scores and embeddings.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"
#include "postprocess/reading.hpp"
#include "postprocess/section.hpp"

namespace edgekit {

/// What turns an output into probabilities: it holds a logit per class; one logit, of the second of two classes; or
/// probabilities already.
enum class Activation : std::uint8_t { softmax, sigmoid, none };

Activation activation_of(Section& section);

/// Code::tensor: the output's description is not float32 (1, size); a size of 0 is any from 2 on.
Status check_vector(const TensorSpec& spec, std::int64_t size, const std::string& meaning, const std::string& fix);

/// float32 (1, size) of a frame, finite; a size of 0 is any from 2 on.
Expected<std::span<const float>> read_vector(std::span<const TensorView> outputs, const Slot& slot, std::int64_t size);

/// The scores of one output for a number of classes.
class Scores {
 public:
  /// Code::tensor: the model has no such output, or one of another shape or dtype.
  static Expected<Scores> create(const std::string& output, std::size_t classes, Activation activation,
                                 std::span<const TensorSpec> outputs);

  /// The probability of each class with sum one, float64, in `made` (classes). Without an activation, values that
  /// quantization rounded are brought back to 0..1 and to a sum of one; Code::tensor: they are no probabilities.
  Status probabilities(std::span<const TensorView> outputs, std::span<double> made) const;

 private:
  Slot slot_;
  std::size_t classes_ = 0;
  Activation activation_ = Activation::softmax;
};

}  // namespace edgekit
