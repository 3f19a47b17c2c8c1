// Embedding: a vector that identifies who or what a frame shows.
#include <algorithm>
#include <cmath>

#include "postprocess/tasks.hpp"
#include "postprocess/vectors.hpp"

namespace edgekit {
namespace {

class EmbeddingDecoder final : public Decoder {
 public:
  EmbeddingDecoder(Slot slot, bool normalise) : slot_(std::move(slot)), normalise_(normalise) {}

  Status decode(std::span<const TensorView> outputs, const Geometry&, Result& result) override {
    const auto values = read_vector(outputs, slot_, 0);
    if (!values) return values.error();
    double squares = 0;  // of float32 in float64: neither overflows nor becomes zero
    for (const float value : *values) squares += static_cast<double>(value) * value;
    if (squares == 0) {
      return Error{Code::tensor,
                   "output '" + slot_.name + "' is all zeros, which has no direction; run: edgekit verify"};
    }
    const double length = normalise_ ? std::sqrt(squares) : 1;
    std::vector<float>& made = result.reuse<Embedding>().vector;
    made.resize(values->size());
    std::transform(values->begin(), values->end(), made.begin(),
                   [length](float value) { return static_cast<float>(value / length); });
    return {};
  }

 private:
  Slot slot_;
  bool normalise_;
};

}  // namespace

Made make_embedding(Section section, std::span<const TensorSpec> outputs) {
  section.ignore({"far", "templates", "enrol"});
  const std::string output = section.text("output");
  const bool normalise = section.boolean("normalise", true);
  if (Status fits = section.finish(); !fits) return fits.error();
  Expected<Slot> slot = slot_of(output, outputs);
  if (!slot) return slot.error();
  const Status fits = check_vector(outputs[slot->place], 0, "one vector a frame", "a direction takes at least 2");
  if (!fits) return fits.error();
  return {std::make_unique<EmbeddingDecoder>(std::move(*slot), normalise)};
}

}  // namespace edgekit
