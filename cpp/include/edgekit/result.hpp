// What a task makes of a network's outputs, one type per task, in coordinates of the original image.
//
// A Result keeps its memory: given to the next frame, it is filled again without an allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "edgekit/tensor.hpp"

namespace edgekit {

/// Segmentation: a class id for each pixel, row by row from the top left.
struct LabelMap {
  std::int32_t height = 0;           ///< pixels
  std::int32_t width = 0;            ///< pixels
  std::vector<std::uint8_t> labels;  ///< height * width
};

/// Detection: objects, surest first. Boxes are left, top, right, bottom in pixels; pixel i reaches from i to i + 1.
struct Detections {
  std::vector<std::array<float, 4>> boxes;  ///< as many as scores and labels
  std::vector<float> scores;                ///< 0..1
  std::vector<std::int64_t> labels;         ///< class ids
};

/// Classification and anti-spoofing: the probability of each class.
struct ClassScores {
  std::vector<float> probabilities;  ///< by class id
};

/// What identifies a subject, compared by cosine.
struct Embedding {
  std::vector<float> vector;  ///< as the task normalises it
};

/// Regression: numbers in the unit of the labels, in the order of the bundle's names.
struct Values {
  std::vector<std::string> names;  ///< one each
  std::vector<double> values;      ///< as many as names
};

/// Outputs as the model gives them.
struct Tensors {
  std::vector<std::string> names;  ///< one each
  std::vector<Tensor> tensors;     ///< as many as names
};

struct Part;

/// Several tasks on one network, in the order of their names.
struct Several {
  std::vector<Part> parts;  ///< one a task
};

/// What one frame's outputs mean. One thread at a time.
struct Result {
  /// Nothing before the first frame.
  std::variant<std::monostate, LabelMap, Detections, ClassScores, Embedding, Values, Tensors, Several> value;

  /// The result as T, whose memory is that of the last frame if it was a T too.
  template <class T>
  T& reuse() {
    if (!std::holds_alternative<T>(value)) value.template emplace<T>();
    return *std::get_if<T>(&value);
  }
  /// The result as T; null if it is another.
  template <class T>
  const T* get() const noexcept {
    return std::get_if<T>(&value);
  }
};

/// The result of one of several tasks.
struct Part {
  std::string name;  ///< of the task
  Result result;     ///< what it made of the frame
};

}  // namespace edgekit
