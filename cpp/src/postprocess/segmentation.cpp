// Segmentation: the class with the highest score at each pixel of the original image.
//
// Scores are never brought to the full size: two rows of them are, and the ids between them follow at once.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "postprocess/label_rows.hpp"
#include "postprocess/reading.hpp"
#include "postprocess/sure_rows.hpp"
#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

/// Two neighbouring rows of all classes, resized along the row.
class RowPair {
 public:
  Status set(std::size_t classes, const Columns& columns, bool class_after_class) {
    classes_ = classes;
    blocks_ = columns.blocks;
    by_class_ = class_after_class;
    held_ = {-1, -1};
    return memory_.resize({2, static_cast<std::int64_t>(classes * blocks_ * block)}, DType::float32);
  }
  void forget() { held_ = {-1, -1}; }

  /// The row `y` of all classes; `source(class)` gives one that is not there yet.
  template <class Source>
  const float* row(std::int32_t y, const Columns& columns, Source&& source) {
    const auto slot = static_cast<std::size_t>(y % 2);
    float* made = memory_.as<float>().data() + slot * classes_ * blocks_ * block;
    if (held_[slot] == y) return made;
    held_[slot] = y;
    wild_[slot] = false;
    for (std::size_t id = 0; id < classes_; ++id) {
      float* to = made + id * block * (by_class_ ? blocks_ : 1);
      if (resize_row(source(id), columns, to, by_class_ ? block : classes_ * block)) wild_[slot] = true;
    }
    return made;
  }
  bool wild() const { return wild_[0] || wild_[1]; }

 private:
  std::size_t classes_ = 0;
  std::size_t blocks_ = 0;
  bool by_class_ = false;
  Tensor memory_;
  std::array<std::int32_t, 2> held_{-1, -1};
  std::array<bool, 2> wild_{};
};

/// Planes of scores (C, h, w) of one frame.
struct Planes {
  const float* data = nullptr;
  std::size_t classes = 0;
  std::int32_t height = 0;
  std::int32_t width = 0;

  const float* row(std::size_t id, std::int32_t y) const {
    return data +
           (id * static_cast<std::size_t>(height) + static_cast<std::size_t>(y)) * static_cast<std::size_t>(width);
  }
};

/// Rows of the planes in the tensor's size: for a letterbox whose border does not end between two scores.
class Enlarged {
 public:
  Status set(const Planes& planes, const Geometry& geometry) {
    columns_.set(planes.width, geometry.tensor[1], false);
    rows_.set(planes.height, geometry.tensor[0]);
    if (Status room = pair_.set(planes.classes, columns_, true); !room) return room;
    return between_.resize({static_cast<std::int64_t>(columns_.blocks * block)}, DType::float32);
  }
  void forget() { pair_.forget(); }

  const float* row(const Planes& planes, std::size_t id, std::int32_t y) {
    const auto at = static_cast<std::size_t>(y);
    const std::int32_t from = rows_.from[at];
    const auto source = [&planes](std::int32_t line) {
      return [&planes, line](std::size_t each) { return planes.row(each, line); };
    };
    const std::size_t place = id * columns_.blocks * block;
    const float* upper = pair_.row(from, columns_, source(from)) + place;
    if (y < rows_.begin || y >= rows_.end) return upper;
    const float* lower = pair_.row(from + 1, columns_, source(from + 1)) + place;
    between_rows(upper, lower, rows_.share[at], columns_.blocks, between_.as<float>().data());
    return between_.as<float>().data();
  }

 private:
  Columns columns_;
  Axis rows_;
  RowPair pair_;
  Tensor between_;
};

/// The sure pixels of two neighbouring rows.
class SurePair {
 public:
  void set(std::size_t width) {
    rows_[0].resize(width);
    rows_[1].resize(width);
  }
  void forget() { held_ = {-1, -1}; }

  const SureRow& row(std::int32_t y, const ScoreRow& scores) {
    const auto slot = static_cast<std::size_t>(y % 2);
    if (held_[slot] != y) rows_[slot].set(scores);
    held_[slot] = y;
    return rows_[slot];
  }

 private:
  std::array<SureRow, 2> rows_;
  std::array<std::int32_t, 2> held_{-1, -1};
};

/// Planes of scores to ids, in the original's size.
class Labeller {
 public:
  Labeller(float above, std::int32_t first_id) : above_(above), first_id_(first_id) {}

  /// @return whether every pixel has a class; Code::tensor: the image does not lie inside the tensor.
  Expected<bool> operator()(const Planes& planes, const Geometry& geometry, LabelMap& made) {
    if (planes_height_ != planes.height || planes_width_ != planes.width || geometry_ != geometry) {
      if (Status fits = set(planes, geometry); !fits) return fits.error();
    }
    pair_.forget();
    enlarged_.forget();
    sure_.forget();
    tried_ = 0;
    saved_ = 0;
    made.height = geometry.original[0];
    made.width = geometry.original[1];
    const auto width = static_cast<std::size_t>(made.width);
    made.labels.resize(static_cast<std::size_t>(made.height) * width);
    bool unclear = false;
    for (std::int32_t y = 0; y < made.height; ++y) {
      std::uint8_t* labels = made.labels.data() + static_cast<std::size_t>(y) * width;
      if (!sure_line(planes, y, labels, width)) unclear = line(planes, y, labels, width) || unclear;
    }
    return !unclear;
  }

 private:
  Status set(const Planes& planes, const Geometry& geometry) {
    planes_height_ = 0;  // nothing is set, if this fails
    const auto& [top, left, rows, columns] = geometry.content;
    const auto& [height, width] = geometry.tensor;
    if (top < 0 || left < 0 || rows > height - top || columns > width - left) {
      return Error{Code::tensor,
                   "the image reaches outside of the tensor, so that pixels have no class; take stretch "
                   "or letterbox as the mode of the input"};
    }
    const auto splits = [](std::int64_t scores, std::int64_t from, std::int64_t size, std::int64_t whole) {
      return scores * from % whole != 0 || scores * size % whole != 0;
    };
    enlarge_ = splits(planes.height, top, rows, height) || splits(planes.width, left, columns, width);
    const auto part = [](std::int64_t scores, std::int64_t size, std::int64_t whole) {
      return static_cast<std::int32_t>(scores * size / whole);
    };
    const std::int32_t high = enlarge_ ? height : planes.height;
    const std::int32_t wide = enlarge_ ? width : planes.width;
    top_ = part(high, top, height);
    left_ = part(wide, left, width);
    const std::array<std::int32_t, 2> inner{part(high, rows, height), part(wide, columns, width)};
    as_it_is_ = inner == geometry.original;
    rows_.set(inner[0], geometry.original[0]);
    columns_.set(inner[1], geometry.original[1], as_it_is_);
    if (Status room = enlarge_ ? enlarged_.set(planes, geometry) : Status{}; !room) return room;
    if (Status room = pair_.set(planes.classes, columns_, false); !room) return room;
    // Worth its while where many pixels come from one, and vectors of scores are read as they lie.
    const auto pixels = [](const std::array<std::int32_t, 2>& size) { return std::int64_t{size[0]} * size[1]; };
    may_skip_ = !enlarge_ && pixels(geometry.original) >= 2 * pixels(inner);
    inner_width_ = static_cast<std::size_t>(inner[1]);
    if (may_skip_) {
      sure_.set(inner_width_);
      plain_.resize(columns_.blocks);
    }
    planes_height_ = planes.height;
    planes_width_ = planes.width;
    geometry_ = geometry;
    return {};
  }

  const float* scores(const Planes& planes, std::int32_t y) {
    return pair_.row(y, columns_, [this, &planes, y](std::size_t id) {
      return (enlarge_ ? enlarged_.row(planes, id, top_ + y) : planes.row(id, top_ + y)) + left_;
    });
  }

  const SureRow& sure_row(const Planes& planes, std::int32_t y) {
    const auto step = static_cast<std::size_t>(planes.height) * static_cast<std::size_t>(planes.width);
    return sure_.row(y, {planes.row(0, top_ + y) + left_, step, planes.classes, inner_width_, above_, first_id_});
  }

  /// Fills plain_ with the class of each block whose pixels are all of one, else -1; how many there are.
  std::size_t find_plain(const SureRow& upper, const SureRow& lower) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < plain_.size(); ++at) {
      const auto first = static_cast<std::size_t>(columns_.first[at]);
      const auto last = static_cast<std::size_t>(columns_.last[at]);
      const std::int32_t id = upper.id(first, last);
      plain_[at] = id == lower.id(first, last) ? id : -1;
      count += plain_[at] >= 0 ? 1 : 0;
    }
    return count;
  }

  /// A line whose blocks are mostly of one class; false: it is not one, and nothing was written.
  bool sure_line(const Planes& planes, std::int32_t y, std::uint8_t* labels, std::size_t width) {
    constexpr std::size_t enough = 64;  // lines after which it is clear whether a frame has such
    if (!may_skip_ || (tried_ >= enough && saved_ * 4 < tried_)) return false;
    ++tried_;
    const auto at = static_cast<std::size_t>(y);
    const std::int32_t from = rows_.from[at];
    const bool outermost = y < rows_.begin || y >= rows_.end;
    const SureRow& upper = sure_row(planes, from);
    const SureRow& lower = outermost ? upper : sure_row(planes, from + 1);
    if (!upper.beside(lower) || find_plain(upper, lower) * 3 < plain_.size() * 2) return false;
    ++saved_;
    const auto step = static_cast<std::size_t>(planes.height) * static_cast<std::size_t>(planes.width);
    const float* scores = planes.row(0, top_ + from) + left_;
    const Unsure rows{
        scores, outermost ? nullptr : scores + planes.width, step, rows_.share[at], planes.classes, above_, first_id_};
    std::array<std::uint8_t, block> made{};
    for (std::size_t i = 0; i < plain_.size(); ++i) {
      const std::size_t count = std::min(block, width - i * block);
      if (plain_[i] >= 0) {
        std::memset(labels + i * block, plain_[i], count);
      } else {
        label_block(rows, columns_, i, made.data());
        std::memcpy(labels + i * block, made.data(), count);
      }
    }
    return true;
  }

  bool line(const Planes& planes, std::int32_t y, std::uint8_t* labels, std::size_t width) {
    const auto at = static_cast<std::size_t>(y);
    Scored scored{.classes = planes.classes, .above = above_, .first_id = first_id_};
    scored.upper = scores(planes, rows_.from[at]);
    scored.share = rows_.share[at];
    if (!as_it_is_ && y >= rows_.begin && y < rows_.end) scored.lower = scores(planes, rows_.from[at] + 1);
    scored.wild = pair_.wild();
    const std::size_t whole = width / block;
    bool unclear = label_row(scored, 0, whole, labels);
    if (whole * block < width) {
      std::array<std::uint8_t, block> rest{};
      unclear = label_row(scored, whole, 1, rest.data()) || unclear;
      std::memcpy(labels + whole * block, rest.data(), width - whole * block);
    }
    return unclear;
  }

  float above_;
  std::int32_t first_id_;
  std::int32_t planes_height_ = 0;
  std::int32_t planes_width_ = 0;
  Geometry geometry_;
  bool enlarge_ = false;
  bool as_it_is_ = false;
  std::int32_t top_ = 0;
  std::int32_t left_ = 0;
  Axis rows_;
  Columns columns_;
  RowPair pair_;
  Enlarged enlarged_;
  bool may_skip_ = false;
  std::size_t inner_width_ = 0;
  SurePair sure_;
  std::vector<std::int32_t> plain_;
  std::size_t tried_ = 0;
  std::size_t saved_ = 0;
};

class Segmentation final : public Decoder {
 public:
  Segmentation(Slot slot, std::int64_t channels, std::optional<double> threshold)
      : slot_(std::move(slot)),
        channels_(channels),
        one_channel_(threshold.has_value()),
        label_(threshold ? static_cast<float>(*threshold) : -std::numeric_limits<float>::infinity(),
               threshold ? 1 : 0) {}

  Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) override {
    if (Status fits = check(geometry); !fits) return fits;
    const Expected<TensorView> view = read(outputs, slot_);
    if (!view) return view.error();
    const Shape& shape = view->shape;
    const bool flat = one_channel_ && shape.rank() == 3;
    const bool fits = flat ? shape[0] == 1 : shape.rank() == 4 && shape[0] == 1 && shape[1] == channels_;
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
    if (!fits || shape.elements() == 0 || shape[shape.rank() - 1] > most || shape[shape.rank() - 2] > most) {
      return wrong_shape(slot_, shape, "[1, " + std::to_string(channels_) + ", h, w]");
    }
    if (view->dtype != DType::float32) return wrong_dtype(slot_, view->dtype);
    const Planes planes{view->as<float>().data(), static_cast<std::size_t>(channels_),
                        static_cast<std::int32_t>(shape[shape.rank() - 2]),
                        static_cast<std::int32_t>(shape[shape.rank() - 1])};
    const Expected<bool> clear = label_(planes, geometry, result.reuse<LabelMap>());
    if (!clear) return clear.error();
    if (*clear) return {};
    return Error{Code::tensor, "output '" + slot_.name + "' holds NaN, so pixels have no class; run: edgekit verify"};
  }

 private:
  Slot slot_;
  std::int64_t channels_;
  bool one_channel_;
  Labeller label_;
};

/// How many channels the output has: one per class, or one that a threshold cuts.
std::int64_t channels_of(Section& section, const std::optional<double>& threshold) {
  constexpr std::size_t most = 256;
  const std::size_t count = section.names("classes", 1, most).size();
  if (!threshold && count == 1) {
    section.refuse("classes", "expected 2 to 256 class names, found one alone; a background counts as a class");
  }
  if (threshold && count > 2) {
    section.refuse("threshold", "tells 2 classes apart, found " + std::to_string(count) + "; remove it");
  }
  return threshold ? 1 : static_cast<std::int64_t>(count);
}

Status check_output(const TensorSpec& spec, std::int64_t channels, bool one_channel) {
  const std::string expected = "task.output: expected float32[1, " + std::to_string(channels) + ", h, w]";
  const std::size_t rank = spec.shape.rank();
  const bool flat = one_channel && rank == 3;
  if (!flat && rank != 4) {
    return Error{Code::tensor, expected + "; the model gives " + spec.text() + ", which has " + std::to_string(rank) +
                                   " dimensions instead of 4"};
  }
  if (!flat && spec.shape[1] >= 0 && spec.shape[1] != channels) {
    return Error{Code::tensor, expected + "; the model gives " + spec.text() + ", with " +
                                   std::to_string(spec.shape[1]) + " channels: correct task.classes"};
  }
  if (spec.shape[0] >= 0 && spec.shape[0] != 1) {
    return Error{Code::tensor,
                 expected + "; the model gives " + spec.text() + ", a batch of " + std::to_string(spec.shape[0])};
  }
  if (spec.dtype != DType::float32) {
    return Error{Code::tensor, expected + "; the model gives " + spec.text() + ": cast the output to float32"};
  }
  return {};
}

}  // namespace

Made make_segmentation(Section section, std::span<const TensorSpec> outputs) {
  section.ignore({"ignore_index"});
  const std::string output = section.text("output");
  std::optional<double> threshold;
  if (section.find("threshold") != nullptr) threshold = section.number("threshold", 0);
  const std::int64_t channels = channels_of(section, threshold);
  if (Status fits = section.finish(); !fits) return fits.error();
  Expected<Slot> slot = slot_of(output, outputs);
  if (!slot) return slot.error();
  if (Status fits = check_output(outputs[slot->place], channels, threshold.has_value()); !fits) return fits.error();
  return {std::make_unique<Segmentation>(std::move(*slot), channels, threshold)};
}

}  // namespace edgekit
