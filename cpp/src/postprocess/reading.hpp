// The outputs that a task reads, found by name once and checked with every frame.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// One output: its name, and its place among the model's.
struct Slot {
  std::string name;
  std::size_t place = 0;
};

/// Code::tensor: the model has no such output.
Expected<Slot> slot_of(const std::string& name, std::span<const TensorSpec> outputs);
Expected<std::vector<Slot>> slots_of(std::span<const std::string> names, std::span<const TensorSpec> outputs);

/// The output of a frame. Code::tensor: the frame has fewer outputs than the model.
Expected<TensorView> read(std::span<const TensorView> outputs, const Slot& slot);

/// As read(), float32. Code::tensor: of another dtype, or NaN or infinity is in it.
Expected<std::span<const float>> read_finite(std::span<const TensorView> outputs, const Slot& slot);

bool has_nan(std::span<const float> values) noexcept;
bool all_finite(std::span<const float> values) noexcept;

/// Code::tensor: `expected`, in Python's words: "output 'logits' is float64; expected float32".
Error wrong_dtype(const Slot& slot, DType found, const char* expected = "float32");
Error wrong_shape(const Slot& slot, const Shape& found, const std::string& expected);

/// Code::invalid_argument: sizes of nothing, which no image has.
Status check(const Geometry& geometry);

}  // namespace edgekit
