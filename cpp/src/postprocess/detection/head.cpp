#include "postprocess/detection/head.hpp"

#include <algorithm>

namespace edgekit::detection {
namespace {

constexpr std::array<Role, role_count> all_roles{Role::head,       Role::boxes,  Role::scores,
                                                 Role::objectness, Role::labels, Role::count};

bool any_dtype(Role part, DType dtype) {
  const bool id = part == Role::labels || part == Role::count;
  return dtype == DType::float32 || (id && (dtype == DType::int64 || dtype == DType::int32));
}

const char* dtypes_of(Role part) {
  return part == Role::labels || part == Role::count ? "int64 or int32 or float32" : "float32";
}

/// Whether a shape is of this form; -1 in either fits any size.
bool fits(const Shape& shape, const Shape& form) {
  return shape.rank() == form.rank() &&
         std::equal(shape.begin(), shape.end(), form.begin(),
                    [](std::int64_t a, std::int64_t b) { return a < 0 || b < 0 || a == b; });
}

std::string list_of(const std::vector<std::string>& items) {
  std::string made = "[";
  for (const std::string& item : items) made.append(made.size() > 1 ? ", " : "").append(item);
  return made.append("]");
}

std::string list_of(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> items;
  items.reserve(numbers.size());
  for (const std::int64_t number : numbers) items.push_back(std::to_string(number));
  return list_of(items);
}

std::string grid(std::int64_t rows, std::int64_t columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

}  // namespace

Head::Head(Family family, std::int64_t classes, Roles parts, std::vector<Prior> priors, double least, std::size_t most)
    : family_(std::move(family)),
      classes_(classes),
      parts_(std::move(parts)),
      priors_(std::move(priors)),
      least_(least),
      select_(family_, classes, least),
      best_(most),
      numbers_(static_cast<std::size_t>(family_.box_columns())) {
  for (std::size_t part = 0; part < role_count; ++part) {
    views_[part].resize(parts_[part].size());
    blocks_[part].reserve(parts_[part].size() * static_cast<std::size_t>(family_.per_cell()));
  }
}

std::int64_t Head::width(Role part) const noexcept {
  if (family_.layout == Layout::final) return part == Role::head ? 6 : part == Role::boxes ? 4 : 1;
  switch (part) {
    case Role::boxes:
      return family_.box_columns();
    case Role::scores:
      return family_.score_columns(classes_);
    case Role::objectness:
      return 1;
    default:
      return family_.columns(classes_);
  }
}

std::string Head::misfit(Role part, const Shape& shape) const {
  if (part == Role::count) {
    const bool one = std::all_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 0 || size == 1; });
    return shape.rank() <= 2 && one ? "" : "[1] or [1, 1]";
  }
  const std::int64_t wide = width(part);
  const std::string columns = std::to_string(wide);
  switch (family_.layout) {
    case Layout::final:
      if (part == Role::scores || part == Role::labels) {
        return fits(shape, {-1}) || fits(shape, {1, -1}) ? "" : "[1, N]";
      }
      return fits(shape, {-1, wide}) || fits(shape, {1, -1, wide}) ? "" : "[1, N, " + columns + "]";
    case Layout::maps: {
      const std::int64_t each = family_.per_cell();
      return fits(shape, {1, each * wide, -1, -1}) || fits(shape, {1, each, -1, -1, wide})
                 ? ""
                 : "[1, " + std::to_string(each * wide) + ", h, w]";
    }
    case Layout::rows:
      return fits(shape, {1, -1, wide}) ? "" : "[1, N, " + columns + "]";
    default:
      return fits(shape, {1, wide, -1}) ? "" : "[1, " + columns + ", N]";
  }
}

const std::string& Head::first_name() const { return slots(has(Role::head) ? Role::head : Role::boxes)[0].name; }

Status Head::check(std::span<const TensorSpec> outputs) const {
  for (const Role part : all_roles) {
    for (const Slot& slot : slots(part)) {
      const TensorSpec& spec = outputs[slot.place];
      if (const std::string expected = misfit(part, spec.shape); !expected.empty()) {
        return Error{Code::tensor, std::string("task.output: expected ") + role_names[static_cast<std::size_t>(part)] +
                                       " " + expected + "; the model gives " + spec.text() +
                                       ": correct task.classes (now " + std::to_string(classes_) +
                                       "), task.family or its layout"};
      }
      if (any_dtype(part, spec.dtype)) continue;
      return Error{Code::tensor, "task.output: the model gives " + spec.text() + "; expected " + dtypes_of(part) +
                                     ": cast it in the model"};
    }
  }
  return {};
}

Status Head::read(std::span<const TensorView> outputs) {
  for (const Role part : all_roles) {
    for (std::size_t i = 0; i < slots(part).size(); ++i) {
      const Slot& slot = slots(part)[i];
      const Expected<TensorView> view = edgekit::read(outputs, slot);
      if (!view) return view.error();
      if (const std::string expected = misfit(part, view->shape); !expected.empty()) {
        return wrong_shape(slot, view->shape, expected);
      }
      if (!any_dtype(part, view->dtype)) return wrong_dtype(slot, view->dtype, dtypes_of(part));
      if (view->dtype == DType::float32 && has_nan(view->as<float>())) {
        return Error{Code::tensor,
                     "output '" + slot.name + "' holds NaN, so its boxes and scores mean nothing; run: edgekit verify"};
      }
      views_[static_cast<std::size_t>(part)][i] = *view;
    }
  }
  return {};
}

/// The candidates of an output in the order of the reference points.
void Head::find_blocks(Role part) {
  std::vector<Block>& made = blocks_[static_cast<std::size_t>(part)];
  made.clear();
  const std::int64_t wide = width(part);
  for (std::size_t i = 0; i < slots(part).size(); ++i) {
    const Shape& shape = view(part, i).shape;
    const auto* data = static_cast<const float*>(view(part, i).data);
    if (family_.layout == Layout::rows) {
      made.push_back({data, shape[1], wide, 1});
      continue;
    }
    if (family_.layout == Layout::columns) {
      made.push_back({data, shape[2], 1, shape[2]});
      continue;
    }
    const std::int64_t cells = shape[2] * shape[3];  // of both forms
    for (std::int64_t anchor = 0; anchor < family_.per_cell(); ++anchor) {
      const float* first = data + anchor * wide * cells;
      made.push_back(shape.rank() == 4 ? Block{first, cells, 1, cells} : Block{first, cells, wide, 1});
    }
  }
}

/// What makes the reference points, in a message.
std::string Head::makers(const std::array<std::int32_t, 2>& size) const {
  if (!priors_.empty()) return std::to_string(priors_.size()) + " priors";
  return "strides " + list_of(family_.strides) + " on an input of " + std::to_string(size[0]) + "x" +
         std::to_string(size[1]);
}

Status Head::check_grids(const std::array<std::int32_t, 2>& size) const {
  const auto cells = [&size, this](std::size_t axis, std::size_t level) {
    return (size[axis] + family_.strides[level] - 1) / family_.strides[level];
  };
  for (const Role part : all_roles) {
    if (slots(part).empty()) continue;
    bool same = true;
    for (std::size_t i = 0; i < family_.strides.size(); ++i) {
      const Shape& shape = view(part, i).shape;
      same = same && shape[2] == cells(0, i) && shape[3] == cells(1, i);
    }
    if (same) continue;
    std::vector<std::string> found;
    std::vector<std::string> wanted;
    for (std::size_t i = 0; i < family_.strides.size(); ++i) {
      found.push_back(grid(view(part, i).shape[2], view(part, i).shape[3]));
      wanted.push_back(grid(cells(0, i), cells(1, i)));
    }
    return Error{Code::tensor, "output '" + first_name() + "' and the next have grids " + list_of(found) + ", but " +
                                   makers(size) + " make " + list_of(wanted) +
                                   "; list the outputs in the order of task.strides"};
  }
  return {};
}

Status Head::find_points(std::int64_t count, const std::array<std::int32_t, 2>& size) {
  if (family_.needs() == Needs::nothing) return {};
  const bool given = !priors_.empty();
  const std::int64_t wanted = given ? static_cast<std::int64_t>(priors_.size()) : count_points(size, family_);
  if (wanted != count) {
    return Error{Code::tensor, "output '" + first_name() + "' has " + std::to_string(count) + " candidates, but " +
                                   makers(size) + " make " + std::to_string(wanted) +
                                   "; correct task.strides, task.anchors or task.priors, or the size under preprocess"};
  }
  if (family_.layout == Layout::maps) {
    if (Status fits = check_grids(size); !fits) return fits;
  }
  if (points_size_ == size) return {};
  if (given) {
    make_points(size, priors_, points_);
  } else {
    make_points(size, family_, points_);
  }
  points_size_ = size;
  return {};
}

Status Head::select_all() {
  const bool head = has(Role::head);
  const auto& boxes = blocks_[static_cast<std::size_t>(head ? Role::head : Role::boxes)];
  const auto& scores = blocks_[static_cast<std::size_t>(head ? Role::head : Role::scores)];
  const auto& objects = blocks_[static_cast<std::size_t>(head ? Role::head : Role::objectness)];
  const bool before = head && family_.column_order == ColumnOrder::objectness_first;
  const std::int64_t object_column = head && !before ? family_.box_columns() : 0;
  const std::int64_t score_column = head ? family_.box_columns() + (family_.objectness ? 1 : 0) : 0;
  std::int64_t start = 0;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const std::int64_t rows = boxes[i].rows;
    const std::int64_t beside = family_.objectness ? objects[i].rows : rows;
    if (scores[i].rows != rows || beside != rows) {
      const bool of_scores = scores[i].rows != rows;
      return Error{Code::tensor, "outputs differ: " + std::to_string(rows) + " boxes, but " +
                                     std::to_string(of_scores ? scores[i].rows : beside) +
                                     (of_scores ? " scores" : " objectness scores") + "; correct task.output"};
    }
    const Block real = scores[i].from_column(score_column);
    const Block object = family_.objectness ? objects[i].from_column(object_column) : Block{};
    if (Status done = select_(real, family_.objectness ? &object : nullptr, start, best_); !done) return done;
    start += rows;
  }
  return {};
}

/// Candidates of a head that leaves grid, anchors or suppression to us.
Status Head::raw(const std::array<std::int32_t, 2>& size, std::vector<Candidate>& found) {
  for (const Role part : all_roles) find_blocks(part);
  const bool head = has(Role::head);
  const auto& boxes = blocks_[static_cast<std::size_t>(head ? Role::head : Role::boxes)];
  std::int64_t count = 0;
  for (const Block& block : boxes) count += block.rows;
  if (Status made = find_points(count, size); !made) return made;
  best_.start(static_cast<std::size_t>(count * (family_.multi_label ? classes_ : 1)));
  if (Status done = select_all(); !done) return done;
  const bool before = head && family_.objectness && family_.column_order == ColumnOrder::objectness_first;
  for (const Chosen& chosen : best_.sorted()) {
    std::int64_t row = chosen.row;
    std::size_t of = 0;
    while (row >= boxes[of].rows) row -= boxes[of++].rows;
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      numbers_[i] = boxes[of].at(row, static_cast<std::int64_t>(i) + (before ? 1 : 0));
    }
    const Point point = points_.empty() ? Point{} : points_[static_cast<std::size_t>(chosen.row)];
    found.push_back({decode_box(numbers_, point, family_, size), chosen.score, chosen.label});
  }
  return {};
}

Status Head::best(std::span<const TensorView> outputs, const std::array<std::int32_t, 2>& size,
                  std::vector<Candidate>& found) {
  found.clear();
  if (Status done = read(outputs); !done) return done;
  return family_.layout == Layout::final ? lists(size, found) : raw(size, found);
}

}  // namespace edgekit::detection
