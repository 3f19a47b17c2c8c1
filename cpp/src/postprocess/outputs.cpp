// Outputs of unknown meaning, as the model gives them.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "postprocess/reading.hpp"
#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

/// Whether all numbers are finite; of integers they are.
bool finite(const TensorView& view) {
  switch (view.dtype) {
    case DType::float32:
      return all_finite(view.as<float>());
    case DType::float64: {
      const auto values = view.as<double>();
      return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
    }
    case DType::float16: {
      const auto bits = view.as<std::uint16_t>();
      return std::all_of(bits.begin(), bits.end(), [](std::uint16_t value) { return (value & 0x7c00U) != 0x7c00U; });
    }
    default:
      return true;
  }
}

class Outputs final : public Decoder {
 public:
  explicit Outputs(std::vector<Slot> slots) : slots_(std::move(slots)) {}

  Status decode(std::span<const TensorView> outputs, const Geometry&, Result& result) override {
    Tensors& made = result.reuse<Tensors>();
    made.names.resize(slots_.size());
    made.tensors.resize(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const Expected<TensorView> view = read(outputs, slots_[i]);
      if (!view) return view.error();
      if (!finite(*view)) {
        return Error{Code::tensor,
                     "output '" + slots_[i].name + "' holds NaN or infinity; check the model with: edgekit verify"};
      }
      if (Status room = made.tensors[i].resize(view->shape, view->dtype); !room) return room;
      if (view->bytes() > 0) std::memcpy(made.tensors[i].data(), view->data, view->bytes());
      if (made.names[i] != slots_[i].name) made.names[i] = slots_[i].name;
    }
    return {};
  }

 private:
  std::vector<Slot> slots_;
};

}  // namespace

Made make_outputs(Section section, std::span<const TensorSpec> outputs) {
  const std::vector<std::string> names = section.one_or_more("output");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) ==
        names.begin() + static_cast<std::ptrdiff_t>(i)) {
      continue;
    }
    section.refuse("output", "'" + names[i] + "' is there twice; name each output once");
  }
  if (Status fits = section.finish(); !fits) return fits.error();
  Expected<std::vector<Slot>> slots = slots_of(names, outputs);
  if (!slots) return slots.error();
  for (const Slot& slot : *slots) {
    const TensorSpec& spec = outputs[slot.place];
    if (std::find(spec.shape.begin(), spec.shape.end(), 0) == spec.shape.end()) continue;
    return Error{Code::tensor, "task.output: the model gives " + spec.text() + ", which holds nothing to compare"};
  }
  return {std::make_unique<Outputs>(std::move(*slots))};
}

}  // namespace edgekit
