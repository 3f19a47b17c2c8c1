#include "postprocess/cases.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "files/npz.hpp"
#include "postprocess/compare.hpp"

namespace edgekit::testing {
namespace {

Shape shape_of(const nlohmann::json& sizes) {
  std::vector<std::int64_t> made;
  for (const nlohmann::json& size : sizes) made.push_back(size.is_null() ? -1 : size.get<std::int64_t>());
  return Shape(made);
}

std::string at_place(const char* what, std::size_t place, double found, double wanted) {
  std::ostringstream text;
  text.precision(9);
  text << what << " " << place << " is " << found << ", not " << wanted;
  return text.str();
}

/// The first value that is further away than `absolute + relative * |wanted|`.
template <class T>
std::string furthest(const char* what, std::span<const T> found, std::span<const T> wanted, double absolute,
                     double relative) {
  if (found.size() != wanted.size()) {
    return std::string(what) + ": " + std::to_string(found.size()) + " instead of " + std::to_string(wanted.size());
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double a = static_cast<double>(found[i]);
    const double b = static_cast<double>(wanted[i]);
    if (!(std::abs(a - b) <= absolute + relative * std::abs(b))) return at_place(what, i, a, b);
  }
  return "";
}

std::string masks(const LabelMap& found, const TensorView& wanted) {
  if (found.height != wanted.shape[0] || found.width != wanted.shape[1]) return "another size";
  const auto labels = wanted.as<std::uint8_t>();
  std::size_t other = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) other += labels[i] != found.labels[i];
  return other == 0 ? "" : std::to_string(other) + " of " + std::to_string(labels.size()) + " pixels differ";
}

std::string boxes(const Document& document, const nlohmann::json& expected, const Detections& found) {
  const auto labels = document.view(expected["classes"]).as<std::int64_t>();
  std::string text = furthest<std::int64_t>("label", found.labels, labels, 0, 0);
  if (text.empty()) {
    text = furthest<float>("score", found.scores, document.view(expected["scores"]).as<float>(), 1e-6, 1e-5);
  }
  if (text.empty()) {
    const std::span<const float> sides{found.boxes.data()->data(), found.boxes.size() * 4};
    text = furthest<float>("side", sides, document.view(expected["boxes"]).as<float>(), 1e-3, 1e-5);
  }
  return text;
}

std::string numbers(const Document& document, const nlohmann::json& expected, const Values& found) {
  if (expected["names"].get<std::vector<std::string>>() != found.names) return "other names";
  return furthest<double>("value", found.values, document.view(expected["values"]).as<double>(), 0, 1e-9);
}

std::string tensors(const Document& document, const nlohmann::json& expected, const Tensors& found) {
  if (expected.size() != found.names.size()) return "another number of tensors";
  for (std::size_t i = 0; i < found.names.size(); ++i) {
    const TensorView wanted = document.view(expected.at(found.names[i]));
    const TensorView view = found.tensors[i].view();
    if (wanted.dtype != view.dtype || !(wanted.shape == view.shape)) return "another dtype or shape";
    if (std::memcmp(wanted.data, view.data, view.bytes()) != 0) return "other values";
  }
  return "";
}

std::string parts(const Document& document, const nlohmann::json& expected, const Several& found) {
  if (expected.size() != found.parts.size()) return "another number of parts";
  for (const Part& part : found.parts) {
    const std::string text = difference(document, expected.at(part.name), part.result);
    if (!text.empty()) return part.name + ": " + text;
  }
  return "";
}

}  // namespace

std::vector<float> noise(std::size_t count, std::uint64_t seed, double low, double width) {
  std::vector<float> made(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t mixed = (i * 2654435761U + seed * 40503U) & 0xFFFFFFFFU;
    for (int round = 0; round < 2; ++round) mixed = ((mixed ^ (mixed >> 16U)) * 0x45D9F3BU) & 0xFFFFFFFFU;
    made[i] = static_cast<float>(low + width * (static_cast<double>(mixed >> 8U) / 16777216.0));
  }
  return made;
}

Document::Document(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(EDGEKIT_CASES) / "decode";
  auto arrays = read_npz(folder / (name + ".npz"));
  if (!arrays) throw std::runtime_error(arrays.error().message + "; write the cases with: make cpp-cases");
  arrays_ = std::move(*arrays);
  std::ifstream file(folder / (name + ".json"));
  for (const nlohmann::json& given : nlohmann::json::parse(file)) cases.push_back(read(given));
}

TensorView Document::view(const nlohmann::json& array) const {
  const auto name = array.at("dtype").get<std::string>();
  const DType dtype = *dtype_of(name);
  const auto* data = static_cast<const std::uint8_t*>(arrays_.at(name).data());
  return {data + array.at("at").get<std::size_t>() * size_of(dtype), shape_of(array.at("shape")), dtype};
}

Case Document::read(const nlohmann::json& given) const {
  Case made;
  made.name = given["name"];
  made.task = given["task"];
  made.refused = given.contains("refused");
  if (given.contains("error")) made.error = given["error"];
  if (given.contains("expected")) made.expected = given["expected"];
  const nlohmann::json& place = given["geometry"];
  made.geometry = {place[0].get<std::array<std::int32_t, 2>>(), place[1].get<std::array<std::int32_t, 2>>(),
                   place[2].get<std::array<std::int32_t, 4>>()};
  for (const nlohmann::json& output : given["outputs"]) {
    const auto dtype = output["spec_dtype"].get<std::string>();
    made.specs.push_back({output["name"], shape_of(output["spec"]), *dtype_of(dtype)});
    if (!output.contains("noise")) {
      made.outputs.push_back(view(output));
      continue;
    }
    const nlohmann::json& rule = output["noise"];
    const Shape shape = shape_of(output["shape"]);
    made.made.push_back(noise(static_cast<std::size_t>(shape.elements()), rule[0], rule[1], rule[2]));
    made.outputs.push_back({made.made.back().data(), shape, DType::float32});
  }
  return made;
}

std::string difference(const Document& document, const nlohmann::json& expected, const Result& result) {
  if (const auto* found = result.get<LabelMap>()) return masks(*found, document.view(expected.at("labels")));
  if (const auto* found = result.get<Detections>()) return boxes(document, expected, *found);
  if (const auto* found = result.get<ClassScores>()) {
    const auto wanted = document.view(expected.at("probabilities")).as<float>();
    return furthest<float>("probability", found->probabilities, wanted, 1e-7, 1e-6);
  }
  if (const auto* found = result.get<Embedding>()) {
    const auto wanted = document.view(expected.at("vector")).as<float>();
    return furthest<float>("value", found->vector, wanted, 0, 1e-6);
  }
  if (const auto* found = result.get<Values>()) return numbers(document, expected, *found);
  if (const auto* found = result.get<Tensors>()) return tensors(document, expected.at("tensors"), *found);
  if (const auto* found = result.get<Several>()) return parts(document, expected.at("parts"), *found);
  return "no result";
}

}  // namespace edgekit::testing
