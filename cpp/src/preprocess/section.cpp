#include "preprocess/section.hpp"

#include <algorithm>
#include <cmath>

namespace edgekit::preprocessing {
namespace {

constexpr std::int64_t longest_side = 32767;

std::string shown(const nlohmann::json& value) {
  constexpr std::size_t most = 80;
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > most) text = text.substr(0, most) + "...";
  return text;
}

template <class Names>
std::string joined(const Names& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

std::optional<double> finite(const nlohmann::json& value) {
  if (!value.is_number()) return std::nullopt;
  const double number = value.get<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

}  // namespace

SectionReader::SectionReader(const nlohmann::json& section, std::string place)
    : section_(section), place_(std::move(place)) {
  if (!section_.is_object()) {
    problem_ =
        Error{Code::bundle, place_ + ": expected a mapping, found " + shown(section_) + "; build the bundle again"};
  }
}

const nlohmann::json* SectionReader::find(std::string_view key) {
  known_.emplace_back(key);
  if (failed()) return nullptr;
  const auto found = section_.find(std::string(key));
  return found == section_.end() ? nullptr : &*found;
}

std::size_t SectionReader::one_of(std::string_view key, std::span<const std::string_view> names,
                                  std::optional<std::size_t> otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    if (!otherwise) wrong(key, "is missing; expected one of " + joined(names));
    return otherwise.value_or(0);
  }
  if (value->is_string()) {
    const auto at = std::find(names.begin(), names.end(), value->get_ref<const std::string&>());
    if (at != names.end()) return static_cast<std::size_t>(at - names.begin());
  }
  refuse(key, shown(*value) + " is nothing that this library has; it has " + joined(names));
  return otherwise.value_or(0);
}

std::string SectionReader::text(std::string_view key, std::string_view otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (value->is_string()) return value->get<std::string>();
  wrong(key, "expected a name, found " + shown(*value));
  return std::string(otherwise);
}

double SectionReader::number(std::string_view key, double otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  if (const auto number = finite(*value)) return *number;
  wrong(key, "expected a finite number, found " + shown(*value));
  return otherwise;
}

std::vector<double> SectionReader::numbers(std::string_view key, std::vector<double> otherwise) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return otherwise;
  std::vector<double> made;
  const nlohmann::json listed = value->is_array() ? *value : nlohmann::json::array({*value});
  for (const auto& one : listed) {
    const auto number = finite(one);
    if (!number) {
      wrong(key, "expected finite numbers, found " + shown(*value));
      return otherwise;
    }
    made.push_back(*number);
  }
  if (made.empty()) wrong(key, "expected a number, found an empty list");
  return made.empty() ? otherwise : made;
}

std::vector<std::int32_t> SectionReader::sides(std::string_view key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return {};
  const nlohmann::json listed = value->is_array() ? *value : nlohmann::json::array({*value});
  std::vector<std::int32_t> made;
  for (const auto& one : listed) {
    const bool fits = one.is_number_integer() && one.get<double>() >= 1 && one.get<double>() <= longest_side;
    if (fits) made.push_back(one.get<std::int32_t>());
  }
  if (made.size() == listed.size() && (made.size() == 2 || !value->is_array())) return made;
  wrong(key,
        "expected a number of pixels from 1 to " + std::to_string(longest_side) + ", or two; found " + shown(*value));
  return {1, 1};
}

void SectionReader::refuse(std::string_view key, const std::string& why) { report(Code::unsupported, key, why); }

void SectionReader::wrong(std::string_view key, const std::string& why) { report(Code::bundle, key, why); }

void SectionReader::report(Code code, std::string_view key, const std::string& why) {
  if (!problem_) problem_ = Error{code, place_ + "." + std::string(key) + ": " + why};
}

Status SectionReader::finish() const {
  if (problem_) return *problem_;
  for (const auto& [key, value] : section_.items()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      return Error{Code::unsupported, place_ + "." + key + ": " + shown(value) +
                                          " belongs to a key that this library does not know; it knows " +
                                          joined(known_)};
    }
  }
  return {};
}

}  // namespace edgekit::preprocessing
