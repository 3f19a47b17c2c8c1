#include "postprocess/vectors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "postprocess/text.hpp"

namespace edgekit {
namespace {

// What rounding does to values that were probabilities: far outside of these, they never were any.
constexpr double slack = 1e-3;
constexpr double least_sum = 0.5;
constexpr double most_sum = 1.5;

std::int64_t scores_size(std::size_t classes, Activation activation) {
  return activation == Activation::sigmoid ? 1 : static_cast<std::int64_t>(classes);
}

void softmax(std::span<const float> values, std::span<double> made) {
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (std::size_t i = 0; i < made.size(); ++i) sum += made[i] = std::exp(values[i] - most);
  for (double& value : made) value /= sum;
}

Status as_they_are(std::span<const float> values, std::span<double> made, const Slot& slot) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  if (*low < -slack || *high > 1 + slack || total < least_sum || total > most_sum) {
    return Error{Code::tensor, "output '" + slot.name + "' holds no probabilities: values from " + short_number(*low) +
                                   " to " + short_number(*high) + " with sum " + short_number(total) +
                                   "; expected 0..1 with sum 1: give the logits, and set task.activation to softmax"};
  }
  double sum = 0;
  for (std::size_t i = 0; i < made.size(); ++i) sum += made[i] = std::clamp<double>(values[i], 0, 1);
  for (double& value : made) value /= sum;
  return {};
}

}  // namespace

Activation activation_of(Section& section) {
  static constexpr std::array<std::string_view, 3> names{"softmax", "sigmoid", "none"};
  return static_cast<Activation>(section.choice("activation", names, 0));
}

Status check_vector(const TensorSpec& spec, std::int64_t size, const std::string& meaning, const std::string& fix) {
  const std::string expected = "task.output: expected float32[1, " + (size == 0 ? "D" : std::to_string(size)) + "], " +
                               meaning + "; the model gives " + spec.text();
  const std::size_t rank = spec.shape.rank();
  if (rank != 2) {
    return Error{Code::tensor, expected + ", which has " + std::to_string(rank) +
                                   " dimensions instead of 2: flatten it in the model"};
  }
  if (spec.shape[0] >= 0 && spec.shape[0] != 1) {
    return Error{Code::tensor, expected + ", a batch of " + std::to_string(spec.shape[0])};
  }
  const std::int64_t width = spec.shape[1];
  if (width >= 0 && (size == 0 ? width < 2 : width != size)) {
    return Error{Code::tensor, expected + ", with " + std::to_string(width) + " values: " + fix};
  }
  if (spec.dtype != DType::float32) return Error{Code::tensor, expected + ": cast the output to float32"};
  return {};
}

Expected<std::span<const float>> read_vector(std::span<const TensorView> outputs, const Slot& slot, std::int64_t size) {
  const Expected<TensorView> view = read(outputs, slot);
  if (!view) return view.error();
  const Shape& shape = view->shape;
  if (shape.rank() != 2 || shape[0] != 1 || (size == 0 ? shape[1] < 2 : shape[1] != size)) {
    return wrong_shape(slot, shape, "[1, " + (size == 0 ? "D" : std::to_string(size)) + "]");
  }
  return read_finite(outputs, slot);
}

Expected<Scores> Scores::create(const std::string& output, std::size_t classes, Activation activation,
                                std::span<const TensorSpec> outputs) {
  Expected<Slot> slot = slot_of(output, outputs);
  if (!slot) return slot.error();
  const bool one = activation == Activation::sigmoid;
  const Status fits = check_vector(outputs[slot->place], scores_size(classes, activation),
                                   one ? "one logit for the second of two classes" : "a score a class",
                                   one ? "set task.activation to softmax" : "correct task.classes");
  if (!fits) return fits.error();
  Scores made;
  made.slot_ = std::move(*slot);
  made.classes_ = classes;
  made.activation_ = activation;
  return made;
}

Status Scores::probabilities(std::span<const TensorView> outputs, std::span<double> made) const {
  const auto values = read_vector(outputs, slot_, scores_size(classes_, activation_));
  if (!values) return values.error();
  switch (activation_) {
    case Activation::softmax:
      softmax(*values, made);
      return {};
    case Activation::sigmoid:
      made[1] = 0.5 * (1 + std::tanh(static_cast<double>((*values)[0]) / 2));  // does not overflow, as exp would
      made[0] = 1 - made[1];
      return {};
    default:
      return as_they_are(*values, made, slot_);
  }
}

}  // namespace edgekit
