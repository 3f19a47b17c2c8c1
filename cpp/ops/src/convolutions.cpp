#include "convolutions.hpp"

#include "shapes.hpp"

namespace edgekit::ops {

void infer_convolution(const OrtApi& api, OrtShapeInferContext* context, std::array<std::size_t, 2> axes) {
  const auto given = shape_of(api, context, 0), weights = shape_of(api, context, 1);
  if (given.size() != 4 || weights.size() != 4) throw std::invalid_argument("x or weights are not of rank 4");
  const auto size = [&](std::size_t place, const char* before, const char* behind, const char* stride) -> std::int64_t {
    const std::size_t axis = axes[place];
    if (given[axis] < 0) return -1;
    const std::int64_t padded = given[axis] + integer_of(api, context, before) + integer_of(api, context, behind);
    const std::int64_t step = integer_of(api, context, stride);
    if (step < 1) throw std::invalid_argument(std::string(stride) + " is " + std::to_string(step));
    return padded < weights[2 + place] ? 0 : (padded - weights[2 + place]) / step + 1;
  };
  const std::int64_t rows = size(0, "top", "bottom", "stride_h"), columns = size(1, "left", "right", "stride_w");
  set_shape(api, context, {given[0], rows, columns, weights[0]},
            {"edgekit_batch", "edgekit_height", "edgekit_width", ""});
}

}  // namespace edgekit::ops
