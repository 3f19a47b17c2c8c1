// What the numbers of detection heads mean, as data.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postprocess/section.hpp"

namespace edgekit::detection {

enum class Layout : std::uint8_t { rows, columns, maps, final };
enum class BoxCoding : std::uint8_t {
  grid_exp,
  grid_tanh,
  sides,
  distribution,
  anchor_variance,
  anchor_exp,
  anchor_sigmoid,
  cxcywh,
  cxcywh_sigmoid,
  xyxy,
  yxyx,
};
enum class Unit : std::uint8_t { pixels, normalised };
enum class ScoreCoding : std::uint8_t { probability, sigmoid, softmax };
enum class Background : std::uint8_t { none, first, last };
enum class ColumnOrder : std::uint8_t { box_first, objectness_first };
enum class AnchorOrder : std::uint8_t { anchor_first, cell_first };
enum class NmsMode : std::uint8_t { class_aware, class_agnostic, soft_linear, soft_gaussian, none };
/// What the reference points of a box coding are made of.
enum class Needs : std::uint8_t { nothing, strides, anchors };

using Pair = std::array<float, 2>;

/// How a kind of model writes its detections; edgekit's documentation of `task.family` says what each field means.
struct Family {
  Layout layout = Layout::rows;
  BoxCoding box_coding = BoxCoding::cxcywh;
  Unit unit = Unit::pixels;
  ScoreCoding score_coding = ScoreCoding::probability;
  bool objectness = false;
  std::array<double, 2> score_powers{1, 1};
  ColumnOrder column_order = ColumnOrder::box_first;
  Background background = Background::none;
  bool multi_label = false;
  std::vector<std::int64_t> strides{};
  std::vector<std::vector<Pair>> anchors{};  ///< (width, height) in pixels, a list for each stride
  AnchorOrder anchor_order = AnchorOrder::anchor_first;
  std::array<double, 2> variances{0.1, 0.2};
  std::int64_t bins = 16;
  NmsMode nms = NmsMode::class_aware;
  double iou = 0.65;
  double sigma = 0.5;
  bool clip = false;

  std::int64_t box_columns() const noexcept { return box_coding == BoxCoding::distribution ? 4 * bins : 4; }
  /// Candidates of one cell of a grid.
  std::int64_t per_cell() const noexcept { return anchors.empty() ? 1 : static_cast<std::int64_t>(anchors[0].size()); }
  std::int64_t score_columns(std::int64_t classes) const noexcept { return classes + (background != Background::none); }
  /// Width of a row that holds box, objectness and scores.
  std::int64_t columns(std::int64_t classes) const noexcept {
    return box_columns() + (objectness ? 1 : 0) + score_columns(classes);
  }
  Needs needs() const noexcept;
};

const char* name_of(Layout layout) noexcept;
const char* name_of(BoxCoding coding) noexcept;

/// The family that a section names, with what it overrides; what does not fit is told by the section.
Family family_of(Section& section);

/// What is wrong with strides, anchors and priors: "KEY: WHY", or nothing.
std::string reference_problem(const Family& family, bool has_priors);

}  // namespace edgekit::detection
