#include "postprocess/section.hpp"

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

/// A value as it stands in a message: not longer than a line, whatever bytes it holds.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  constexpr std::size_t most = 80;
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

bool all_texts(const nlohmann::json& value) {
  return std::all_of(value.begin(), value.end(), [](const nlohmann::json& item) { return item.is_string(); });
}

}  // namespace

Section::Section(const nlohmann::json& section, std::string where) : section_(section), where_(std::move(where)) {
  if (!section_.is_object()) error_ = where_ + ": found " + shown(section_) + "; expected a mapping";
}

const nlohmann::json* Section::find(const std::string& key) {
  known_.insert(key);
  if (!section_.is_object()) return nullptr;
  const auto found = section_.find(key);
  return found == section_.end() || found->is_null() ? nullptr : &*found;
}

void Section::ignore(std::initializer_list<const char*> keys) { known_.insert(keys.begin(), keys.end()); }

void Section::refuse(const std::string& key, const std::string& why) {
  if (error_.empty()) error_ = where_ + "." + key + ": " + why;
}

void Section::expect(const std::string& key, const std::string& expected) {
  const nlohmann::json* value = find(key);
  refuse(key, (value == nullptr ? "is missing" : "found " + shown(*value)) + "; expected " + expected);
}

std::string Section::text(const std::string& key) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  expect(key, "a text");
  return {};
}

std::vector<std::string> Section::one_or_more(const std::string& key) {
  const nlohmann::json* value = find(key);
  if (value != nullptr && value->is_string()) return {value->get<std::string>()};
  if (value != nullptr && value->is_array() && !value->empty() && all_texts(*value)) {
    return value->get<std::vector<std::string>>();
  }
  expect(key, "a name, or a list of names");
  return {""};
}

std::vector<std::string> Section::names(const std::string& key, std::size_t fewest, std::size_t most) {
  const nlohmann::json* value = find(key);
  if (value == nullptr || !value->is_array() || !all_texts(*value)) {
    expect(key, "a list of names");
    return std::vector<std::string>(fewest);
  }
  auto made = value->get<std::vector<std::string>>();
  if (made.size() < fewest || made.size() > most) {
    refuse(key, "expected " + std::to_string(fewest) + " to " + std::to_string(most) + " class names, found " +
                    std::to_string(made.size()));
    return std::vector<std::string>(fewest);
  }
  return made;
}

bool Section::boolean(const std::string& key, bool fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  expect(key, "true or false");
  return fallback;
}

double Section::number(const std::string& key, double fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_number() && std::isfinite(value->get<double>())) return value->get<double>();
  expect(key, "a number");
  return fallback;
}

std::int64_t Section::whole(const std::string& key, std::int64_t fallback, std::int64_t least) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  if (fits && value->get<std::int64_t>() >= least) return value->get<std::int64_t>();
  expect(key, "a whole number of " + std::to_string(least) + " or more");
  return std::max(fallback, least);
}

std::size_t Section::choice(const std::string& key, std::span<const std::string_view> allowed, std::size_t fallback) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_string()) {
    const auto found = std::find(allowed.begin(), allowed.end(), value->get_ref<const std::string&>());
    if (found != allowed.end()) return static_cast<std::size_t>(found - allowed.begin());
  }
  std::string listed;
  for (const std::string_view name : allowed) listed += (listed.empty() ? "one of " : ", ") + std::string(name);
  expect(key, listed);
  return fallback;
}

std::vector<double> Section::numbers(const std::string& key) {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return {};
  const auto number = [](const nlohmann::json& item) { return item.is_number() && std::isfinite(item.get<double>()); };
  if (value->is_array() && std::all_of(value->begin(), value->end(), number)) return value->get<std::vector<double>>();
  expect(key, "a list of numbers");
  return {};
}

Status Section::finish() const {
  if (!error_.empty()) return Error{Code::unsupported, error_};
  for (const auto& [key, value] : section_.items()) {
    if (known_.contains(key)) continue;
    return Error{Code::unsupported, where_ + "." + key + ": " + shown(value) +
                                        " is of an option that this library has not; update it, or build the bundle "
                                        "without the option"};
  }
  return {};
}

}  // namespace edgekit
