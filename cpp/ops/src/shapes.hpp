// What operators say of their outputs' shapes before they run.
#pragma once

#include "kernel.hpp"

namespace edgekit::ops {

/// Attributes of the node whose shapes are inferred.
std::int64_t integer_of(const OrtApi& api, OrtShapeInferContext* context, const char* name);
float number_of(const OrtApi& api, OrtShapeInferContext* context, const char* name);

/// The shape of an input; -1: not known.
std::vector<std::int64_t> shape_of(const OrtApi& api, OrtShapeInferContext* context, std::size_t input);

/// Says the shape of the output, batch, height and width of which may be unknown: -1. ``names`` are the axes. Its type
/// is that of the first input, or float.
void set_shape(const OrtApi& api, OrtShapeInferContext* context, const std::vector<std::int64_t>& shape,
               const std::vector<const char*>& names, bool is_float = false);

}  // namespace edgekit::ops
