// From the outputs of a detector to its best candidates, whatever the family of the model.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "edgekit/tensor.hpp"
#include "postprocess/detection/best.hpp"
#include "postprocess/detection/codings.hpp"
#include "postprocess/detection/family.hpp"
#include "postprocess/detection/nms.hpp"
#include "postprocess/detection/select.hpp"
#include "postprocess/reading.hpp"

namespace edgekit::detection {

/// What an output holds; `head` has everything in one row.
enum class Role : std::uint8_t { head, boxes, scores, objectness, labels, count };
inline constexpr std::size_t role_count = 6;
inline constexpr std::array<const char*, role_count> role_names{"head",       "boxes",  "scores",
                                                                "objectness", "labels", "count"};

/// Outputs by what they hold: one, or one a stride; none where the model has none of them.
using Roles = std::array<std::vector<Slot>, role_count>;

class Head {
 public:
  Head(Family family, std::int64_t classes, Roles parts, std::vector<Prior> priors, double least, std::size_t most);

  /// Code::tensor: an output's description has not the shape or dtype of the family.
  Status check(std::span<const TensorSpec> outputs) const;

  /// The surest candidates, falling; equal ones in the model's order. `size` is (height, width) of the model's input.
  ///
  /// Code::tensor: an output has another shape or dtype, or holds NaN; the number of candidates is not that of the
  /// strides or anchors; scores are no probabilities.
  Status best(std::span<const TensorView> outputs, const std::array<std::int32_t, 2>& size,
              std::vector<Candidate>& found);

  const Family& family() const noexcept { return family_; }

 private:
  bool has(Role part) const noexcept { return !parts_[static_cast<std::size_t>(part)].empty(); }
  const std::vector<Slot>& slots(Role part) const noexcept { return parts_[static_cast<std::size_t>(part)]; }
  const TensorView& view(Role part, std::size_t place = 0) const {
    return views_[static_cast<std::size_t>(part)][place];
  }
  std::int64_t width(Role part) const noexcept;
  std::string misfit(Role part, const Shape& shape) const;
  const std::string& first_name() const;
  Status read(std::span<const TensorView> outputs);
  void find_blocks(Role part);
  Status find_points(std::int64_t count, const std::array<std::int32_t, 2>& size);
  std::string makers(const std::array<std::int32_t, 2>& size) const;
  Status check_grids(const std::array<std::int32_t, 2>& size) const;
  Status raw(const std::array<std::int32_t, 2>& size, std::vector<Candidate>& found);
  Status select_all();
  Status lists(const std::array<std::int32_t, 2>& size, std::vector<Candidate>& found);

  Family family_;
  std::int64_t classes_;
  Roles parts_;
  std::vector<Prior> priors_;
  double least_;
  Selector select_;
  Best best_;
  std::array<std::vector<TensorView>, role_count> views_;
  std::array<std::vector<Block>, role_count> blocks_;
  std::array<std::int32_t, 2> points_size_{};
  std::vector<Point> points_;
  std::vector<float> numbers_;  ///< the box columns of one candidate
};

}  // namespace edgekit::detection
