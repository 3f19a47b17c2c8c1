#include "postprocess/compare.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <vector>

namespace edgekit {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::string number(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

/// |a - b| where both are finite or equal, else infinite: a NaN never agrees.
double gap(double a, double b) {
  if (a == b) return 0;
  const double made = std::abs(a - b);
  return std::isfinite(made) ? made : infinity;
}

double furthest_side(const std::array<float, 4>& a, const std::array<float, 4>& b) {
  double most = 0;
  for (std::size_t side = 0; side < 4; ++side) most = std::max(most, gap(a[side], b[side]));
  return most;
}

template <class T>
double furthest(std::span<const T> one, std::span<const T> other, bool relative) {
  if (one.size() != other.size()) return infinity;
  double most = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    const double a = static_cast<double>(one[i]);
    const double b = static_cast<double>(other[i]);
    most = std::max(most, relative ? gap(a, b) / std::max(1.0, std::isfinite(b) ? std::abs(b) : 1.0) : gap(a, b));
  }
  return most;
}

Agreement of(const LabelMap& one, const LabelMap& other, const AgreementLimits& limits) {
  if (one.height != other.height || one.width != other.width) {
    return {false, "label map: " + std::to_string(one.height) + "x" + std::to_string(one.width) + " and " +
                       std::to_string(other.height) + "x" + std::to_string(other.width)};
  }
  const double share = equal_share(one, other);
  return {share >= limits.equal_pixels, "label map: " + number("%.4f", share * 100) + " % of pixels are equal"};
}

Agreement of(const Detections& one, const Detections& other, const AgreementLimits& limits) {
  const Matched found = matched(one, other, limits.box_px);
  return {found.share >= limits.matched_boxes && found.furthest_score <= limits.score,
          "detections: " + std::to_string(found.pairs) + " pairs of " + std::to_string(one.boxes.size()) + " and " +
              std::to_string(other.boxes.size()) + " boxes, at most " + number("%.3g", found.furthest_px) +
              " px apart, scores " + number("%.3g", found.furthest_score)};
}

Agreement of(const ClassScores& one, const ClassScores& other, const AgreementLimits& limits) {
  const double most = furthest<float>(one.probabilities, other.probabilities, false);
  return {most <= limits.probability, "class scores: probabilities at most " + number("%.3g", most) + " apart"};
}

Agreement of(const Embedding& one, const Embedding& other, const AgreementLimits& limits) {
  const double made = cosine(one.vector, other.vector);
  return {made >= limits.cosine, "embedding: cosine " + number("%.7f", made)};
}

Agreement of(const Values& one, const Values& other, const AgreementLimits& limits) {
  // A document has its values by name, in no order.
  std::map<std::string, double> values;
  for (std::size_t i = 0; i < other.names.size(); ++i) values[other.names[i]] = other.values[i];
  if (values.size() != one.names.size()) return {false, "values: other names"};
  double most = 0;
  for (std::size_t i = 0; i < one.names.size(); ++i) {
    const auto found = values.find(one.names[i]);
    if (found == values.end()) return {false, "values: no '" + one.names[i] + "' in both"};
    most = std::max(most, furthest<double>({&one.values[i], 1}, {&found->second, 1}, true));
  }
  return {most <= limits.value, "values: at most " + number("%.3g", most) + " apart"};
}

template <class T>
double furthest_of(const Tensor& one, const Tensor& other) {
  return furthest<T>(one.view().as<T>(), other.view().as<T>(), true);
}

double furthest_of(const Tensor& one, const Tensor& other) {
  switch (one.dtype()) {
    case DType::float32:
      return furthest_of<float>(one, other);
    case DType::float64:
      return furthest_of<double>(one, other);
    case DType::int64:
      return furthest_of<std::int64_t>(one, other);
    case DType::int32:
      return furthest_of<std::int32_t>(one, other);
    default:  // of other types only the bytes count
      return std::equal(one.view().as<std::uint8_t>().data(), one.view().as<std::uint8_t>().data() + one.bytes(),
                        other.view().as<std::uint8_t>().data())
                 ? 0
                 : infinity;
  }
}

Agreement of(const Tensors& one, const Tensors& other, const AgreementLimits& limits) {
  double most = 0;
  for (std::size_t i = 0; i < one.names.size(); ++i) {
    const auto found = std::find(other.names.begin(), other.names.end(), one.names[i]);
    if (found == other.names.end() || one.names.size() != other.names.size()) return {false, "tensors: other names"};
    const Tensor& partner = other.tensors[static_cast<std::size_t>(found - other.names.begin())];
    if (one.tensors[i].dtype() != partner.dtype() || !(one.tensors[i].shape() == partner.shape())) {
      return {false, "tensors: '" + one.names[i] + "' has another shape or dtype"};
    }
    most = std::max(most, furthest_of(one.tensors[i], partner));
  }
  return {most <= limits.value, "tensors: at most " + number("%.3g", most) + " apart"};
}

Agreement of(const Several& one, const Several& other, const AgreementLimits& limits) {
  Agreement made{one.parts.size() == other.parts.size(), ""};
  if (!made.holds)
    return {false,
            "several: " + std::to_string(one.parts.size()) + " and " + std::to_string(other.parts.size()) + " parts"};
  for (const Part& part : one.parts) {
    const auto found = std::find_if(other.parts.begin(), other.parts.end(),
                                    [&part](const Part& candidate) { return candidate.name == part.name; });
    if (found == other.parts.end()) return {false, "several: no part '" + part.name + "' in both"};
    const Agreement next = compare(part.result, found->result, limits);
    made.holds = made.holds && next.holds;
    made.text += (made.text.empty() ? "" : "; ") + part.name + ": " + next.text;
  }
  return made;
}

Agreement of(std::monostate, std::monostate, const AgreementLimits&) { return {true, "both are empty"}; }

LabelMap label_map(const nlohmann::json& record) {
  LabelMap made{record.at("height").get<std::int32_t>(), record.at("width").get<std::int32_t>(), {}};
  const std::int64_t pixels = std::int64_t{made.height} * made.width;
  const auto runs = record.at("runs").get<std::vector<std::int64_t>>();
  std::int64_t total = 0;
  for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
    if (runs[i] < 0 || runs[i] > 255 || runs[i + 1] < 0 || runs[i + 1] > pixels - total) {
      total = -1;
      break;
    }
    total += runs[i + 1];
    made.labels.insert(made.labels.end(), static_cast<std::size_t>(runs[i + 1]), static_cast<std::uint8_t>(runs[i]));
  }
  if (runs.size() % 2 != 0 || total != pixels || made.height < 0 || made.width < 0) made.height = -1;
  return made;
}

Detections detections(const nlohmann::json& record) {
  return {record.at("boxes").get<std::vector<std::array<float, 4>>>(), record.at("scores").get<std::vector<float>>(),
          record.at("labels").get<std::vector<std::int64_t>>()};
}

Values values(const nlohmann::json& record) {
  Values made;
  for (const auto& [name, value] : record.at("values").items()) {
    made.names.push_back(name);
    made.values.push_back(value.get<double>());
  }
  return made;
}

Error unreadable(const std::string& why) {
  return {Code::bundle, "golden/predictions.json: " + why + "; build the bundle again"};
}

Expected<Result> read(const nlohmann::json& record);

Expected<Result> several(const nlohmann::json& record) {
  Several made;
  for (const auto& [name, part] : record.at("parts").items()) {
    Expected<Result> found = read(part);
    if (!found) return found;
    made.parts.push_back({name, std::move(*found)});
  }
  return Result{std::move(made)};
}

Expected<Result> read(const nlohmann::json& record) {
  const auto kind = record.at("kind").get<std::string>();
  if (kind == "label_map") {
    LabelMap made = label_map(record);
    if (made.height < 0) return unreadable("the runs of a label map do not give height x width pixels");
    return Result{std::move(made)};
  }
  if (kind == "detections") {
    Detections made = detections(record);
    if (made.boxes.size() != made.scores.size() || made.boxes.size() != made.labels.size()) {
      return unreadable("boxes, scores and labels are not as many");
    }
    return Result{std::move(made)};
  }
  if (kind == "class_scores") return Result{ClassScores{record.at("probabilities").get<std::vector<float>>()}};
  if (kind == "embedding") return Result{Embedding{record.at("vector").get<std::vector<float>>()}};
  if (kind == "values") return Result{values(record)};
  if (kind == "several") return several(record);
  return Error{Code::unsupported, "golden/predictions.json: a prediction of kind '" + kind + "' holds no values"};
}

}  // namespace

double equal_share(const LabelMap& one, const LabelMap& other) noexcept {
  if (one.height != other.height || one.width != other.width || one.labels.size() != other.labels.size()) return 0;
  if (one.labels.empty()) return 1;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < one.labels.size(); ++i) equal += one.labels[i] == other.labels[i];
  return static_cast<double>(equal) / static_cast<double>(one.labels.size());
}

Matched matched(const Detections& one, const Detections& other, double most_px) {
  std::vector<bool> taken(other.boxes.size());
  Matched made;
  for (std::size_t i = 0; i < one.boxes.size(); ++i) {
    std::size_t nearest = other.boxes.size();
    double least = infinity;
    for (std::size_t j = 0; j < other.boxes.size(); ++j) {
      if (taken[j] || one.labels[i] != other.labels[j]) continue;
      const double apart = furthest_side(one.boxes[i], other.boxes[j]);
      if (apart <= most_px && apart < least) least = apart, nearest = j;
    }
    if (nearest == other.boxes.size()) continue;
    taken[nearest] = true;
    ++made.pairs;
    made.furthest_px = std::max(made.furthest_px, least);
    made.furthest_score = std::max(made.furthest_score, gap(one.scores[i], other.scores[nearest]));
  }
  const std::size_t all = one.boxes.size() + other.boxes.size();
  if (all > 0) made.share = 2.0 * static_cast<double>(made.pairs) / static_cast<double>(all);
  return made;
}

double cosine(std::span<const float> one, std::span<const float> other) noexcept {
  if (one.size() != other.size()) return 0;
  double product = 0;
  double first = 0;
  double second = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    product += static_cast<double>(one[i]) * other[i];
    first += static_cast<double>(one[i]) * one[i];
    second += static_cast<double>(other[i]) * other[i];
  }
  const double made = product / std::sqrt(first * second);
  return std::isfinite(made) ? std::clamp(made, -1.0, 1.0) : 0;
}

Agreement compare(const Result& one, const Result& other, const AgreementLimits& limits) {
  if (one.value.index() != other.value.index()) return {false, "results of different tasks"};
  return std::visit(
      [&other, &limits](const auto& held) {
        return of(held, *std::get_if<std::decay_t<decltype(held)>>(&other.value), limits);
      },
      one.value);
}

Expected<Result> recorded(const nlohmann::json& prediction) {
  try {
    return read(prediction);
  } catch (const nlohmann::json::exception& error) {
    return unreadable(error.what());
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, "no memory for a prediction of golden/predictions.json"};
  }
}

}  // namespace edgekit
