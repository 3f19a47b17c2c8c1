// What the operators of convolutions have in common: their attributes, and the shape of what they make.
#pragma once

#include <array>
#include <cstring>
#include <string>

#include "kernel.hpp"

namespace edgekit::ops {

/// Rows of outputs that a thread makes at a time; they share the rows that they read.
inline constexpr std::size_t band = 16;

template <typename Element>
std::vector<Element> values_of(const Constant& constant) {
  std::vector<Element> made(constant.bytes.size() / sizeof(Element));
  std::memcpy(made.data(), constant.bytes.data(), made.size() * sizeof(Element));
  return made;
}

inline std::size_t attribute_of(const Node& node, const char* name, std::int64_t least) {
  const std::int64_t value = node.integer(name);
  if (value < least) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value));
  return static_cast<std::size_t>(value);
}

/// The shape of a convolution's output, channels last; ``axes`` are height and width of x. Its output channels are
/// those of the weights. Batch, height and width that are not known stay so.
void infer_convolution(const OrtApi& api, OrtShapeInferContext* context, std::array<std::size_t, 2> axes);

}  // namespace edgekit::ops
