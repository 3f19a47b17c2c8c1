#include "run/summary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <vector>

namespace edgekit::run {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t most_listed = 5;

/// printf of one number.
std::string text_of(const char* format, double number) {
  std::array<char, 64> made{};
  std::snprintf(made.data(), made.size(), format, number);
  return made.data();
}

std::string shortened(const std::vector<std::string>& listed) {
  std::string made;
  for (std::size_t at = 0; at < std::min(listed.size(), most_listed); ++at) made += (at > 0 ? ", " : "") + listed[at];
  if (listed.size() > most_listed) made += " and " + std::to_string(listed.size() - most_listed) + " more";
  return made;
}

class Describe {
 public:
  explicit Describe(const nlohmann::json& task) : task_(task) {
    if (task.contains("classes") && task["classes"].is_array()) classes_ = task["classes"];
  }

  Found operator()(const std::monostate& /*nothing*/) const { return {"unknown", "nothing"}; }

  Found operator()(const LabelMap& map) const {
    Found made{"pixels", {}};
    std::vector<std::string> listed;
    for (const auto& [name, count] : by_class(map.labels)) {
      const double share = static_cast<double>(count) / static_cast<double>(map.labels.size());
      made.numbers[name] = share;
      listed.push_back(name + " " + text_of("%.1f%%", 100 * share));
    }
    made.text = shortened(listed);
    return made;
  }

  Found operator()(const Detections& found) const {
    const double confidence = task_.value("confidence", 0.3);
    std::vector<std::int64_t> sure;
    for (std::size_t at = 0; at < found.scores.size(); ++at) {
      if (found.scores[at] >= static_cast<float>(confidence)) sure.push_back(found.labels[at]);
    }
    Found made{"boxes", sure.empty() ? "no" : std::to_string(sure.size())};
    made.text += sure.size() == 1 ? " box" : " boxes";
    const char* before = ": ";
    for (const auto& [name, count] : by_class(sure)) {
      made.numbers[name] = count;
      made.text += before + std::to_string(count) + " " + name;
      before = ", ";
    }
    if (const std::size_t rest = found.scores.size() - sure.size(); rest > 0) {
      made.text += " (" + std::to_string(rest) + " below confidence " + text_of("%g", confidence) + ")";
    }
    return made;
  }

  Found operator()(const ClassScores& scores) const {
    const bool spoof = task_.value("kind", "") == "antispoofing";
    std::vector<std::size_t> order(scores.probabilities.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t one, std::size_t other) {
      return scores.probabilities[one] > scores.probabilities[other];
    });
    if (!spoof) order.resize(std::min(order.size(), most_listed));
    Found made{"probabilities", {}};
    for (const std::size_t id : order) {
      made.numbers[name_of_class(id)] = static_cast<double>(scores.probabilities[id]);
      made.text += (made.text.empty() ? "" : ", ") + name_of_class(id) + text_of(" %.2f", scores.probabilities[id]);
    }
    if (spoof) made.text = verdict(scores);
    return made;
  }

  Found operator()(const Embedding& embedding) const {
    double sum = 0;
    for (const float value : embedding.vector) sum += static_cast<double>(value) * static_cast<double>(value);
    Found made{"length",
               std::to_string(embedding.vector.size()) + " values of length " + text_of("%.4g", std::sqrt(sum))};
    made.numbers["length"] = std::sqrt(sum);
    return made;
  }

  Found operator()(const Values& values) const {
    Found made{"values", {}};
    std::vector<std::string> listed;
    for (std::size_t at = 0; at < values.values.size(); ++at) {
      made.numbers[values.names[at]] = values.values[at];
      listed.push_back(values.names[at] + text_of(" %.4g", values.values[at]));
    }
    made.text = shortened(listed);
    return made;
  }

  Found operator()(const Tensors& tensors) const {
    Found made{"elements", {}};
    std::vector<std::string> listed;
    for (std::size_t at = 0; at < tensors.tensors.size(); ++at) {
      made.numbers[tensors.names[at]] = tensors.tensors[at].shape().elements();
      listed.push_back(tensors.names[at] + " " + tensors.tensors[at].shape().text());
    }
    made.text = shortened(listed);
    return made;
  }

  Found operator()(const Several& several) const {
    Found made{"parts", {}};
    for (const Part& part : several.parts) {
      static const nlohmann::json unknown = nlohmann::json::object();
      const bool known = task_.contains("tasks") && task_["tasks"].contains(part.name);
      const Found one = found_of(known ? task_["tasks"][part.name] : unknown, part.result);
      for (const auto& [name, number] : one.numbers.items()) made.numbers[part.name + "/" + name] = number;
      made.text += (made.text.empty() ? "" : "; ") + part.name + ": " + one.text;
    }
    return made;
  }

 private:
  std::string name_of_class(std::size_t id) const {
    return id < classes_.size() ? classes_[id].get<std::string>() : "class " + std::to_string(id);
  }

  /// How often each class is there, the most frequent first.
  template <class Label>
  std::vector<std::pair<std::string, std::int64_t>> by_class(const std::vector<Label>& labels) const {
    std::map<Label, std::int64_t> counts;
    for (const Label label : labels) ++counts[label];
    std::vector<std::pair<Label, std::int64_t>> order(counts.begin(), counts.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& one, const auto& other) { return one.second > other.second; });
    std::vector<std::pair<std::string, std::int64_t>> made;
    for (const auto& [label, count] : order) made.emplace_back(name_of_class(static_cast<std::size_t>(label)), count);
    return made;
  }

  std::string verdict(const ClassScores& scores) const {
    const double liveness = scores.probabilities.at(task_.at("live_class").get<std::size_t>());
    const double threshold = task_.at("threshold").get<double>();
    return (liveness >= threshold ? "bona fide: liveness " : "attack: liveness ") + text_of("%.2f", liveness) +
           (liveness >= threshold ? " >= " : " < ") + text_of("%.2f", threshold);
  }

  const nlohmann::json& task_;
  nlohmann::json classes_ = nlohmann::json::array();
};

struct ToJson {
  Json operator()(const std::monostate& /*nothing*/) const { return nullptr; }
  Json operator()(const LabelMap& map) const { return {{"height", map.height}, {"width", map.width}}; }
  Json operator()(const Detections& found) const {
    return {{"boxes", found.boxes}, {"scores", found.scores}, {"labels", found.labels}};
  }
  Json operator()(const ClassScores& scores) const { return {{"probabilities", scores.probabilities}}; }
  Json operator()(const Embedding& embedding) const { return {{"vector", embedding.vector}}; }
  Json operator()(const Values& values) const { return {{"names", values.names}, {"values", values.values}}; }
  Json operator()(const Tensors& tensors) const {
    Json made = Json::object();
    for (std::size_t at = 0; at < tensors.tensors.size(); ++at) {
      const Tensor& tensor = tensors.tensors[at];
      made[tensors.names[at]] = {{"dtype", name_of(tensor.dtype())},
                                 {"shape", std::vector(tensor.shape().begin(), tensor.shape().end())}};
    }
    return made;
  }
  Json operator()(const Several& several) const {
    Json made = Json::object();
    for (const Part& part : several.parts) made[part.name] = json_of(part.result);
    return made;
  }
};

}  // namespace

nlohmann::ordered_json Found::json() const { return {{"what", what}, {"text", text}, {"numbers", numbers}}; }

Found found_of(const nlohmann::json& task, const Result& result) { return std::visit(Describe(task), result.value); }

nlohmann::ordered_json json_of(const Result& result) { return std::visit(ToJson{}, result.value); }

}  // namespace edgekit::run
