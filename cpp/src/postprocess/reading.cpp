#include "postprocess/reading.hpp"

#include <bit>

namespace edgekit {

Expected<Slot> slot_of(const std::string& name, std::span<const TensorSpec> outputs) {
  std::string known;
  for (std::size_t place = 0; place < outputs.size(); ++place) {
    if (outputs[place].name == name) return Slot{name, place};
    known += (known.empty() ? "" : ", ") + outputs[place].name;
  }
  return Error{Code::tensor, "task.output: the model has no output '" + name + "'; allowed: " + known};
}

Expected<std::vector<Slot>> slots_of(std::span<const std::string> names, std::span<const TensorSpec> outputs) {
  std::vector<Slot> made;
  for (const std::string& name : names) {
    Expected<Slot> slot = slot_of(name, outputs);
    if (!slot) return slot.error();
    made.push_back(std::move(*slot));
  }
  return made;
}

Expected<TensorView> read(std::span<const TensorView> outputs, const Slot& slot) {
  if (slot.place >= outputs.size()) return Error{Code::tensor, "no output '" + slot.name + "'"};
  const TensorView& view = outputs[slot.place];
  if (view.shape.elements() < 0 || (view.data == nullptr && view.shape.elements() > 0)) {
    return Error{Code::tensor, "output '" + slot.name + "' has shape " + view.shape.text() + " and no values"};
  }
  return view;
}

Expected<std::span<const float>> read_finite(std::span<const TensorView> outputs, const Slot& slot) {
  const Expected<TensorView> view = read(outputs, slot);
  if (!view) return view.error();
  if (view->dtype != DType::float32) return wrong_dtype(slot, view->dtype);
  if (!all_finite(view->as<float>())) {
    return Error{Code::tensor,
                 "output '" + slot.name + "' holds NaN or infinity; check the model with: edgekit verify"};
  }
  return view->as<float>();
}

// Of the bits, so that compilers use whole vectors: an exponent of ones is infinity, or NaN with something behind it.
bool has_nan(std::span<const float> values) noexcept {
  std::uint32_t found = 0;
  for (const float value : values) found |= (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) > 0x7f800000U;
  return found != 0;
}

bool all_finite(std::span<const float> values) noexcept {
  std::uint32_t found = 0;
  for (const float value : values) found |= (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) >= 0x7f800000U;
  return found == 0;
}

Error wrong_dtype(const Slot& slot, DType found, const char* expected) {
  return {Code::tensor, "output '" + slot.name + "' is " + name_of(found) + "; expected " + expected};
}

Error wrong_shape(const Slot& slot, const Shape& found, const std::string& expected) {
  return {Code::tensor, "output '" + slot.name + "' has shape " + found.text() + "; expected " + expected};
}

Status check(const Geometry& geometry) {
  const auto& [original, tensor, content] = geometry;
  if (original[0] > 0 && original[1] > 0 && tensor[0] > 0 && tensor[1] > 0 && content[2] > 0 && content[3] > 0) {
    return {};
  }
  return Error{Code::invalid_argument, "the geometry of the frame has a size of zero: the original is " +
                                           std::to_string(original[0]) + "x" + std::to_string(original[1]) +
                                           ", the tensor " + std::to_string(tensor[0]) + "x" +
                                           std::to_string(tensor[1]) + " (height, width)"};
}

}  // namespace edgekit
