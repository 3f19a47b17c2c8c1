// What a result holds, in one line for a person and as numbers by name, as edgekit run --json has it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "edgekit/result.hpp"

namespace edgekit::run {

/// `what` the numbers are: boxes, pixels, probabilities, values, length, elements or parts (edgekit.tasks Found).
struct Found {
  std::string what;
  std::string text;
  nlohmann::ordered_json numbers = nlohmann::ordered_json::object();

  nlohmann::ordered_json json() const;
};

/// @param task `task` of bundle.json: kind, classes, confidence.
Found found_of(const nlohmann::json& task, const Result& result);

/// The result itself: boxes, scores and labels, probabilities, vector, values; of masks and tensors their sizes only.
nlohmann::ordered_json json_of(const Result& result);

}  // namespace edgekit::run
