// Frames to a network's inputs: checked, converted, resized, normalised, laid out.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// The preprocessing of a bundle: one maker for each model input.
class Preprocess {
 public:
  /// From `preprocess` of bundle.json.
  ///
  /// Code::unsupported: it asks for a kind, resize, colour or dtype that this library has not; names key and value.
  static Expected<Preprocess> create(const nlohmann::json& section, std::span<const TensorSpec> inputs);

  Preprocess(Preprocess&&) noexcept;
  Preprocess& operator=(Preprocess&&) noexcept;
  ~Preprocess();

  /// Makes the inputs of one frame; allocates nothing for frames of the size of the last one.
  ///
  /// @param sources the frame's images and arrays; one alone may go by any name.
  /// @return views in the order of the model's inputs, valid until the next call. Code::frame: a source is missing or
  ///         does not fit; the error names it.
  Expected<std::span<const TensorView>> operator()(std::span<const Source> sources);

  /// Where the last frame's image went in the first input that places one.
  const Geometry& geometry() const noexcept;

 private:
  struct State;
  explicit Preprocess(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace edgekit
