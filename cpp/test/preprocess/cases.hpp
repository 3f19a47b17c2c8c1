// What cases/preprocess.py wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgekit/frame.hpp"

namespace edgekit {

/// All cases, with the bytes that they speak of.
struct PreprocessCases {
  nlohmann::json list;
  Tensor bytes;

  const std::uint8_t* at(const nlohmann::json& slice) const;
  std::vector<Source> sources(const nlohmann::json& one) const;
  static std::vector<TensorSpec> inputs(const nlohmann::json& one);
};

/// Throws std::runtime_error when they were not written.
const PreprocessCases& preprocess_cases();

}  // namespace edgekit
