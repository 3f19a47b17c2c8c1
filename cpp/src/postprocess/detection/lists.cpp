// Models that suppress inside: lists of objects, whose rows that pad the list are dropped.
#include <algorithm>
#include <cmath>
#include <limits>

#include "postprocess/detection/head.hpp"

namespace edgekit::detection {
namespace {

/// One number of an output as a whole one; what no int64 holds is the least of them, as on x86.
std::int64_t whole(const TensorView& view, std::int64_t place) {
  if (view.dtype == DType::int64) return static_cast<const std::int64_t*>(view.data)[place];
  if (view.dtype == DType::int32) return static_cast<const std::int32_t*>(view.data)[place];
  const float value = static_cast<const float*>(view.data)[place];
  constexpr float limit = 9223372036854775808.0F;
  return value >= -limit && value < limit ? static_cast<std::int64_t>(value) : std::numeric_limits<std::int64_t>::min();
}

/// The columns of the lists, wherever they lie.
struct Columns {
  const float* boxes = nullptr;
  std::int64_t box_step = 4;
  const float* scores = nullptr;
  std::int64_t score_step = 1;
  TensorView labels;
  std::int64_t label_step = 1;
  std::int64_t first_label = 0;
  std::int64_t total = 0;
  bool from_one = false;

  float score(std::int64_t row) const { return scores[row * score_step]; }
  std::int64_t label(std::int64_t row) const {
    const auto found = static_cast<std::uint64_t>(whole(labels, first_label + row * label_step));
    return static_cast<std::int64_t>(found - (from_one ? 1U : 0U));  // unsigned: the least number wraps as NumPy's does
  }
};

std::int64_t rows_of(const TensorView& view, std::int64_t width) { return view.shape.elements() / width; }

}  // namespace

Status Head::lists(const std::array<std::int32_t, 2>& size, std::vector<Candidate>& found) {
  constexpr std::int64_t head_width = 6;
  Columns columns;
  std::int64_t rows = 0;
  if (has(Role::head)) {
    const auto* data = static_cast<const float*>(view(Role::head).data);
    rows = rows_of(view(Role::head), head_width);
    columns = {data, head_width, data + 4, head_width, view(Role::head), head_width, 5, 0, false};
  } else {
    rows = rows_of(view(Role::boxes), 4);
    const std::int64_t scores = view(Role::scores).shape.elements();
    const std::int64_t labels = view(Role::labels).shape.elements();
    if (scores != rows || labels != rows) {
      return Error{Code::tensor, "outputs differ: " + std::to_string(rows) + " boxes, " + std::to_string(scores) +
                                     " scores, " + std::to_string(labels) + " labels; correct task.output"};
    }
    columns.boxes = static_cast<const float*>(view(Role::boxes).data);
    columns.scores = static_cast<const float*>(view(Role::scores).data);
    columns.labels = view(Role::labels);
  }
  columns.from_one = family_.background == Background::first;
  columns.total = has(Role::count) ? whole(view(Role::count), 0) : rows;
  if (columns.total < 0 || columns.total > rows) {
    return Error{Code::tensor, "output '" + slots(Role::count)[0].name + "' counts " + std::to_string(columns.total) +
                                   " objects; expected 0 to " + std::to_string(rows) + ", the length of the list"};
  }
  const auto least = static_cast<float>(least_);
  const auto real = [&columns, least](std::int64_t row) {
    return columns.label(row) >= 0 && columns.score(row) >= least && columns.score(row) > 0;
  };
  float low = 0;
  float high = 0;
  std::int64_t highest = -1;
  for (std::int64_t row = 0; row < columns.total; ++row) {
    if (!real(row)) continue;
    low = highest < 0 ? columns.score(row) : std::min(low, columns.score(row));
    high = std::max(high, columns.score(row));
    highest = std::max(highest, columns.label(row));
  }
  if (Status probable = check_probabilities(low, high); !probable) return probable;
  if (highest >= classes_) {
    return Error{Code::tensor, "the model found an object of class " + std::to_string(highest) + "; allowed: 0.." +
                                   std::to_string(classes_ - 1) +
                                   ": correct task.classes, or set task.background to first when its classes count "
                                   "from 1"};
  }
  best_.start(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < columns.total; ++row) {
    if (real(row)) best_.add(std::min(columns.score(row), 1.0F), row, columns.label(row));
  }
  for (const Chosen& chosen : best_.sorted()) {
    const float* box = columns.boxes + chosen.row * columns.box_step;
    found.push_back({decode_box({box, 4}, Point{}, family_, size), chosen.score, chosen.label});
  }
  return {};
}

}  // namespace edgekit::detection
