#include "postprocess/detection/family.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

namespace edgekit::detection {
namespace {

constexpr std::array<std::string_view, 4> layouts{"rows", "columns", "maps", "final"};
constexpr std::array<std::string_view, 11> codings{
    "grid-exp", "grid-tanh",      "sides", "distribution", "anchor-variance", "anchor-exp", "anchor-sigmoid",
    "cxcywh",   "cxcywh-sigmoid", "xyxy",  "yxyx"};
constexpr std::array<std::string_view, 2> units{"pixels", "normalised"};
constexpr std::array<std::string_view, 3> score_codings{"probability", "sigmoid", "softmax"};
constexpr std::array<std::string_view, 3> backgrounds{"none", "first", "last"};
constexpr std::array<std::string_view, 2> column_orders{"box-first", "objectness-first"};
constexpr std::array<std::string_view, 2> anchor_orders{"anchor-first", "cell-first"};
constexpr std::array<std::string_view, 5> nms_modes{"class-aware", "class-agnostic", "soft-linear", "soft-gaussian",
                                                    "none"};

std::vector<std::int64_t> three_strides() { return {8, 16, 32}; }

/// The published anchors of YOLOv5, fitted to COCO at 640x640.
std::vector<std::vector<Pair>> yolov5_anchors() {
  return {{{10, 13}, {16, 30}, {33, 23}}, {{30, 61}, {62, 45}, {59, 119}}, {{116, 90}, {156, 198}, {373, 326}}};
}

struct Named {
  std::string_view name;
  Family family;
};

Family yolo(Layout layout, BoxCoding coding, double iou) {
  return {.layout = layout, .box_coding = coding, .multi_label = true, .iou = iou, .clip = true};
}

Family yolo_head(Layout layout, BoxCoding coding, double iou) {
  Family made = yolo(layout, coding, iou);
  made.score_coding = ScoreCoding::sigmoid;
  made.strides = three_strides();
  return made;
}

Family with_anchors(Family family) {
  family.objectness = true;
  family.anchors = yolov5_anchors();
  return family;
}

Family with_objectness(Family family) {
  family.objectness = true;
  return family;
}

/// As the table of edgekit's families.py.
std::vector<Named> make_families() {
  Family fcos = yolo_head(Layout::maps, BoxCoding::sides, 0.6);
  fcos.strides = {8, 16, 32, 64, 128};
  return {
      {"yolox", {.box_coding = BoxCoding::grid_exp, .objectness = true, .strides = three_strides()}},
      {"yolox-decoded", {.objectness = true}},
      {"yolov8", yolo_head(Layout::columns, BoxCoding::distribution, 0.7)},
      {"yolov8-decoded", yolo(Layout::columns, BoxCoding::cxcywh, 0.7)},
      {"yolov5", with_anchors(yolo_head(Layout::maps, BoxCoding::anchor_sigmoid, 0.6))},
      {"yolov5-decoded", with_objectness(yolo(Layout::rows, BoxCoding::cxcywh, 0.6))},
      {"yolov3", with_anchors(yolo_head(Layout::maps, BoxCoding::anchor_exp, 0.45))},
      {"fastestdet",
       {.layout = Layout::maps,
        .box_coding = BoxCoding::grid_tanh,
        .objectness = true,
        .score_powers = {0.6, 0.4},
        .column_order = ColumnOrder::objectness_first,
        .strides = {16},
        .iou = 0.45}},
      {"fcos", std::move(fcos)},
      {"ssd",
       {.box_coding = BoxCoding::anchor_variance,
        .score_coding = ScoreCoding::softmax,
        .background = Background::first,
        .multi_label = true,
        .anchor_order = AnchorOrder::cell_first,
        .iou = 0.45,
        .clip = true}},
      {"detr",
       {.unit = Unit::normalised,
        .score_coding = ScoreCoding::softmax,
        .background = Background::last,
        .nms = NmsMode::none}},
      {"detr-sigmoid",
       {.unit = Unit::normalised, .score_coding = ScoreCoding::sigmoid, .multi_label = true, .nms = NmsMode::none}},
      {"end2end", {.layout = Layout::final, .box_coding = BoxCoding::xyxy, .nms = NmsMode::none}},
  };
}

template <class T>
void read_choice(Section& section, const char* key, std::span<const std::string_view> names, T& value) {
  value = static_cast<T>(section.choice(key, names, static_cast<std::size_t>(value)));
}

void read_pair(Section& section, const char* key, bool zero, std::array<double, 2>& value) {
  if (section.find(key) == nullptr) return;
  const std::vector<double> given = section.numbers(key);
  if (given.size() == 2 && std::min(given[0], given[1]) >= 0 && (zero || std::min(given[0], given[1]) > 0)) {
    value = {given[0], given[1]};
  } else {
    section.expect(key, zero ? "two numbers of 0 or more" : "two numbers above 0");
  }
}

void read_strides(Section& section, std::vector<std::int64_t>& strides) {
  if (section.find("strides") == nullptr) return;
  strides.clear();
  for (const double stride : section.numbers("strides")) {
    const bool fits = stride >= 1 && stride <= std::numeric_limits<std::int32_t>::max();
    if (!fits || stride != static_cast<double>(static_cast<std::int64_t>(stride))) {
      section.expect("strides", "whole numbers of 1 or more");
      return;
    }
    strides.push_back(static_cast<std::int64_t>(stride));
  }
}

/// Whether it is a list of two positive numbers.
bool read_size(const nlohmann::json& value, Pair& size) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number()) return false;
  size = {value[0].get<float>(), value[1].get<float>()};
  return size[0] > 0 && size[1] > 0;
}

void read_anchors(Section& section, std::vector<std::vector<Pair>>& anchors) {
  const nlohmann::json* given = section.find("anchors");
  if (given == nullptr) return;
  anchors.clear();
  bool fits = given->is_array();
  for (std::size_t i = 0; fits && i < given->size(); ++i) {
    const nlohmann::json& of_stride = (*given)[i];
    std::vector<Pair>& made = anchors.emplace_back();
    fits = of_stride.is_array();
    for (std::size_t j = 0; fits && j < of_stride.size(); ++j) fits = read_size(of_stride[j], made.emplace_back());
  }
  if (fits) return;
  section.expect("anchors", "a list of (width, height) for each stride");
  anchors.clear();
}

void read_nms(Section& section, Family& family) {
  static const nlohmann::json none = nlohmann::json::object();
  const nlohmann::json* given = section.find("nms");
  Section nms(given == nullptr ? none : *given, "task.nms");
  read_choice(nms, "mode", nms_modes, family.nms);
  family.iou = nms.number("iou", family.iou);
  if (family.iou <= 0 || family.iou >= 1) nms.expect("iou", "a number between 0 and 1");
  family.sigma = nms.number("sigma", family.sigma);
  if (!(family.sigma > 0)) nms.expect("sigma", "a number above 0");
  if (const Status fits = nms.finish(); !fits) {
    section.refuse("nms", fits.error().message.substr(std::string_view("task.nms").size() + 1));
  }
}

}  // namespace

Needs Family::needs() const noexcept {
  switch (box_coding) {
    case BoxCoding::grid_exp:
    case BoxCoding::grid_tanh:
    case BoxCoding::sides:
    case BoxCoding::distribution:
      return Needs::strides;
    case BoxCoding::anchor_variance:
    case BoxCoding::anchor_exp:
    case BoxCoding::anchor_sigmoid:
      return Needs::anchors;
    default:
      return Needs::nothing;
  }
}

const char* name_of(Layout layout) noexcept { return layouts[static_cast<std::size_t>(layout)].data(); }
const char* name_of(BoxCoding coding) noexcept { return codings[static_cast<std::size_t>(coding)].data(); }

Family family_of(Section& section) {
  const std::vector<Named> families = make_families();
  std::vector<std::string_view> names;
  names.reserve(families.size());
  for (const Named& one : families) names.push_back(one.name);
  if (section.find("family") == nullptr) section.expect("family", "the family of the model");
  Family made = families[section.choice("family", names, 0)].family;
  read_choice(section, "layout", layouts, made.layout);
  read_choice(section, "box_coding", codings, made.box_coding);
  read_choice(section, "unit", units, made.unit);
  read_choice(section, "score_coding", score_codings, made.score_coding);
  made.objectness = section.boolean("objectness", made.objectness);
  read_pair(section, "score_powers", true, made.score_powers);
  read_choice(section, "column_order", column_orders, made.column_order);
  read_choice(section, "background", backgrounds, made.background);
  made.multi_label = section.boolean("multi_label", made.multi_label);
  read_strides(section, made.strides);
  read_anchors(section, made.anchors);
  read_choice(section, "anchor_order", anchor_orders, made.anchor_order);
  read_pair(section, "variances", false, made.variances);
  made.bins = section.whole("bins", made.bins, 2);
  if (made.bins > std::numeric_limits<std::int16_t>::max()) section.expect("bins", "fewer than 32768");
  read_nms(section, made);
  made.clip = section.boolean("clip", made.clip);
  return made;
}

std::string reference_problem(const Family& family, bool has_priors) {
  const Needs needs = family.needs();
  const std::string coding = name_of(family.box_coding);
  if (family.box_coding == BoxCoding::cxcywh_sigmoid && family.unit == Unit::pixels) {
    return "unit: sigmoids are shares of the input; set unit: normalised";
  }
  if (needs == Needs::nothing) {
    const std::string extra = has_priors ? "priors" : family.anchors.empty() ? "" : "anchors";
    return extra.empty() ? "" : extra + ": boxes coded as " + coding + " have no reference; remove " + extra;
  }
  if (family.layout == Layout::final) {
    return "box_coding: " + coding + " needs reference points, which lists of objects (layout final) do not have";
  }
  if (has_priors) {
    return needs == Needs::strides || family.layout == Layout::maps
               ? "priors: only for anchor-variance boxes in rows or columns; give strides and anchors"
               : "";
  }
  if (family.strides.empty()) {
    return "strides: boxes coded as " + coding + " need them, e.g. strides: [8, 16, 32]";
  }
  if (needs == Needs::anchors && family.anchors.size() != family.strides.size()) {
    return "anchors: found lists for " + std::to_string(family.anchors.size()) + " of " +
           std::to_string(family.strides.size()) + " strides; give one for each";
  }
  if (needs == Needs::strides && !family.anchors.empty()) {
    return "anchors: boxes coded as " + coding + " have none; remove them";
  }
  const auto other_count = [&family](const auto& sizes) { return sizes.size() != family.anchors[0].size(); };
  if (family.layout == Layout::maps && std::any_of(family.anchors.begin(), family.anchors.end(), other_count)) {
    return "anchors: each stride needs the same number of them when outputs are maps";
  }
  const auto none = [](const auto& sizes) { return sizes.empty(); };
  return std::any_of(family.anchors.begin(), family.anchors.end(), none) ? "anchors: a stride has none" : "";
}

}  // namespace edgekit::detection
