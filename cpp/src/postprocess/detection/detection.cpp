// Detection: boxes with a class and a score, in pixels of the original image.
#include <algorithm>
#include <cmath>
#include <limits>

#include "postprocess/detection/head.hpp"
#include "postprocess/detection/nms.hpp"
#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

using detection::Background;
using detection::Box;
using detection::Candidate;
using detection::ColumnOrder;
using detection::Family;
using detection::Head;
using detection::Layout;
using detection::Prior;
using detection::Role;
using detection::role_count;
using detection::role_names;
using detection::Roles;
using detection::ScoreCoding;
using detection::Suppression;

constexpr double far = 1e6;  // pixels: boxes that reach further do so because a number overflowed

using Side = std::array<float, 4>;

/// From pixels of the input to pixels of the original image.
Box in_image(const Box& box, const Geometry& geometry) {
  Box made{};
  for (std::size_t i = 0; i < made.size(); ++i) {
    const std::size_t side = i % 2 == 0 ? 1 : 0;  // x is along the width, which comes second in sizes
    const double scale = static_cast<double>(geometry.original[side]) / geometry.content[2 + side];
    made[i] = std::clamp((box[i] - geometry.content[side]) * scale, -far, far);
  }
  return made;
}

/// As it is given: cut at the borders of the image or not, in float32.
Side given(const Box& box, const Geometry& geometry, bool clip) {
  Side made{};
  for (std::size_t i = 0; i < made.size(); ++i) {
    const double most = geometry.original[i % 2 == 0 ? 1 : 0];
    made[i] = static_cast<float>(clip ? std::clamp(box[i], 0.0, most) : box[i]);
  }
  return made;
}

struct Limits {
  double score_threshold = 0.01;
  std::size_t candidates = 1000;
  std::size_t detections = 100;
};

class Detection final : public Decoder {
 public:
  Detection(Head head, const Limits& limits)
      : head_(std::move(head)), limits_(limits), suppress_(head_.family(), limits.score_threshold, limits.detections) {}

  Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) override {
    if (Status fits = check(geometry); !fits) return fits;
    reserve(outputs, result.reuse<Detections>());
    if (Status done = head_.best(outputs, geometry.tensor, found_); !done) return done;
    if (Status done = keep_real(geometry); !done) return done;
    write(*std::get_if<Detections>(&result.value));
    return {};
  }

 private:
  /// For as many objects as the outputs can hold: nothing is allocated later, however many there are.
  void reserve(std::span<const TensorView> outputs, Detections& made) {
    std::size_t possible = 0;
    for (const TensorView& view : outputs)
      possible += static_cast<std::size_t>(std::max<std::int64_t>(view.shape.elements(), 0));
    const std::size_t candidates = std::min(limits_.candidates, possible);
    found_.reserve(candidates);
    sides_.reserve(candidates);
    suppress_.reserve(candidates);
    const std::size_t most = std::min(limits_.detections, candidates);
    made.boxes.reserve(most);
    made.scores.reserve(most);
    made.labels.reserve(most);
  }

  /// Leaves candidates that have an area in the image, in pixels of it.
  Status keep_real(const Geometry& geometry) {
    for (const Candidate& candidate : found_) {
      if (std::none_of(candidate.box.begin(), candidate.box.end(), [](double side) { return std::isnan(side); })) {
        continue;
      }
      return Error{Code::tensor,
                   "a box is no number: infinity in the model's outputs; check the model with: edgekit verify"};
    }
    sides_.clear();
    std::size_t kept = 0;
    for (const Candidate& candidate : found_) {
      const Box box = in_image(candidate.box, geometry);
      const Side side = given(box, geometry, head_.family().clip);
      if (side[2] <= side[0] || side[3] <= side[1]) continue;
      sides_.push_back(side);
      found_[kept++] = {box, candidate.score, candidate.label};
    }
    found_.resize(kept);
    return {};
  }

  void write(Detections& made) {
    made.boxes.clear();
    made.scores.clear();
    made.labels.clear();
    for (const detection::Kept& kept : suppress_(found_)) {
      made.boxes.push_back(sides_[kept.place]);
      made.scores.push_back(kept.score);
      made.labels.push_back(found_[kept.place].label);
    }
  }

  Head head_;
  Limits limits_;
  Suppression suppress_;
  std::vector<Candidate> found_;
  std::vector<Side> sides_;  ///< of found_, in the original image
};

/// Names of the outputs by what they hold.
std::array<std::vector<std::string>, role_count> read_output(Section& section) {
  std::array<std::vector<std::string>, role_count> made;
  const nlohmann::json* given = section.find("output");
  if (given == nullptr || !given->is_object()) {
    made[0] = section.one_or_more("output");
    return made;
  }
  Section parts(*given, "task.output");
  for (std::size_t part = 1; part < role_count; ++part) {
    const bool needed = part <= static_cast<std::size_t>(Role::scores);
    if (needed || parts.find(role_names[part]) != nullptr) made[part] = parts.one_or_more(role_names[part]);
  }
  if (const Status fits = parts.finish(); !fits) {
    section.refuse("output", fits.error().message.substr(std::string_view("task.output").size() + 1));
  }
  return made;
}

/// What is wrong with the names of the outputs: "KEY: WHY", or nothing.
std::string output_problem(const Family& family, const std::array<std::vector<std::string>, role_count>& parts) {
  const auto has = [&parts](Role part) { return !parts[static_cast<std::size_t>(part)].empty(); };
  if (family.layout == Layout::maps && family.strides.empty()) {
    return "strides: the layout maps has an output for each; give them, e.g. strides: [8, 16, 32]";
  }
  const std::size_t wanted = family.layout == Layout::maps ? family.strides.size() : 1;
  for (std::size_t part = 0; part < role_count; ++part) {
    if (parts[part].empty() || parts[part].size() == wanted) continue;
    return std::string("output: ") + role_names[part] + " has " + std::to_string(parts[part].size()) +
           " names; the layout " + name_of(family.layout) + " needs " + std::to_string(wanted) + ", " +
           (wanted > 1 ? "one a stride" : "one name");
  }
  const bool final = family.layout == Layout::final;
  if (final && !has(Role::head) && !has(Role::labels)) {
    return "output.labels: is missing; a model that suppresses inside gives boxes, scores and labels";
  }
  if (!final && (has(Role::labels) || has(Role::count))) {
    return std::string("output: labels and count belong to family end2end, not to the layout ") +
           name_of(family.layout);
  }
  if (!final && family.objectness && !has(Role::head) && !has(Role::objectness)) {
    return "output.objectness: is missing; name the output, or set objectness: false";
  }
  return "";
}

/// What is wrong with the columns of the scores: "KEY: WHY", or nothing.
std::string score_problem(const Family& family, bool head, bool objectness) {
  const bool from_one = family.layout == Layout::final && family.background == Background::first;
  if (family.background != Background::none && family.score_coding == ScoreCoding::sigmoid && !from_one) {
    return "background: sigmoid scores have no such column; set score_coding: softmax or probability";
  }
  if (family.score_coding == ScoreCoding::softmax && family.objectness) {
    return "objectness: softmax scores have none; set objectness: false";
  }
  if (objectness && !family.objectness) {
    return "output.objectness: is not used; set objectness: true, or leave the output out";
  }
  if (family.column_order != ColumnOrder::box_first && (!head || !family.objectness)) {
    return "column_order: belongs to one output that holds box, objectness and classes; remove it";
  }
  return "";
}

std::vector<Prior> read_priors(Section& section) {
  const nlohmann::json* given = section.find("priors");
  if (given == nullptr) return {};
  std::vector<Prior> made;
  bool fits = given->is_array();
  for (std::size_t i = 0; fits && i < given->size(); ++i) {
    const nlohmann::json& box = (*given)[i];
    fits = box.is_array() && box.size() == 4 &&
           std::all_of(box.begin(), box.end(), [](const nlohmann::json& side) { return side.is_number(); });
    if (!fits) break;
    made.push_back(box.get<Prior>());
    fits = made.back()[2] > 0 && made.back()[3] > 0;
  }
  if (!fits) section.expect("priors", "a list of (centre x, y, width, height)");
  return made;
}

Limits read_limits(Section& section) {
  Limits made;
  made.score_threshold = section.number("score_threshold", made.score_threshold);
  if (made.score_threshold < 0 || made.score_threshold >= 1) {
    section.expect("score_threshold", "a number from 0 to below 1");
  }
  const auto whole = [&section](const char* key, std::size_t fallback) {
    return static_cast<std::size_t>(section.whole(key, static_cast<std::int64_t>(fallback), 1));
  };
  made.candidates = whole("candidates", made.candidates);
  made.detections = whole("max_detections", made.detections);
  return made;
}

/// "KEY: WHY" is told as the problem of that key.
void tell(Section& section, const std::string& problem) {
  const std::size_t end = problem.find(": ");
  if (end != std::string::npos) section.refuse(problem.substr(0, end), problem.substr(end + 2));
}

}  // namespace

Made make_detection(Section section, std::span<const TensorSpec> outputs) {
  constexpr std::size_t most_classes = 4096;
  section.ignore({"confidence"});
  const auto names = read_output(section);
  const auto classes = static_cast<std::int64_t>(section.names("classes", 1, most_classes).size());
  const Family family = detection::family_of(section);
  const Limits limits = read_limits(section);
  std::vector<Prior> priors = read_priors(section);
  const bool has_priors = section.find("priors") != nullptr;
  const bool head = !names[0].empty();
  for (const std::string& problem :
       {detection::reference_problem(family, has_priors), output_problem(family, names),
        score_problem(family, head, !names[static_cast<std::size_t>(Role::objectness)].empty())}) {
    tell(section, problem);
  }
  if (Status fits = section.finish(); !fits) return fits.error();
  Roles parts;
  for (std::size_t part = 0; part < role_count; ++part) {
    Expected<std::vector<Slot>> slots = slots_of(names[part], outputs);
    if (!slots) return slots.error();
    parts[part] = std::move(*slots);
  }
  Head made(family, classes, std::move(parts), std::move(priors), limits.score_threshold, limits.candidates);
  if (Status fits = made.check(outputs); !fits) return fits.error();
  return {std::make_unique<Detection>(std::move(made), limits)};
}

}  // namespace edgekit
