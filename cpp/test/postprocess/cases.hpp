// Cases that Python wrote: cases/decode.py says what stands in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/result.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit::testing {

/// Float32 from `low` to `low + width`, the same on every machine.
std::vector<float> noise(std::size_t count, std::uint64_t seed, double low, double width);

/// What a model promises and gives, and where the image lies.
struct Case {
  std::string name;
  nlohmann::json task;
  nlohmann::json expected;  ///< null where there is none
  std::string error;
  bool refused = false;
  Geometry geometry;
  std::vector<TensorSpec> specs;
  std::vector<TensorView> outputs;
  std::vector<std::vector<float>> made;  ///< the noise among the outputs
};

/// The cases of a document, and the arrays that they point into.
class Document {
 public:
  explicit Document(const std::string& name);

  std::vector<Case> cases;
  /// An array of a case.
  TensorView view(const nlohmann::json& array) const;

 private:
  Case read(const nlohmann::json& given) const;

  std::map<std::string, Tensor> arrays_;
};

/// What is different between a result and what Python expects; empty: they agree.
std::string difference(const Document& document, const nlohmann::json& expected, const Result& result);

}  // namespace edgekit::testing
