// Results as edgekit's Python dataclasses.
#include <nanobind/stl/string.h>

#include "arrays.hpp"
#include "bindings.hpp"

namespace edgekit::python {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};

/// A vector of the result as an array of `shape`.
template <class T>
nb::object column(const std::vector<T>& values, const Shape& shape, DType dtype, const std::shared_ptr<Result>& owner) {
  return array_of(values.data(), shape, dtype, owner);
}

std::int64_t length(const auto& values) { return static_cast<std::int64_t>(values.size()); }

nb::object made(const Result& result, const std::shared_ptr<Result>& owner, const Geometry& geometry) {
  const nb::object types = nb::module_::import_("edgekit.core.predictions");
  return std::visit(
      Overloaded{
          [](const std::monostate&) -> nb::object { return nb::none(); },
          [&](const LabelMap& map) -> nb::object {
            return types.attr("LabelMap")(column(map.labels, {map.height, map.width}, DType::uint8, owner));
          },
          [&](const Detections& found) -> nb::object {
            const std::int64_t count = length(found.boxes);
            return types.attr("Detections")(column(found.boxes, {count, 4}, DType::float32, owner),
                                            column(found.scores, {count}, DType::float32, owner),
                                            column(found.labels, {count}, DType::int64, owner),
                                            nb::make_tuple(geometry.original[0], geometry.original[1]));
          },
          [&](const ClassScores& scores) -> nb::object {
            const auto& values = scores.probabilities;
            return types.attr("ClassScores")(column(values, {length(values)}, DType::float32, owner));
          },
          [&](const Embedding& embedding) -> nb::object {
            const auto& values = embedding.vector;
            return types.attr("Embedding")(column(values, {length(values)}, DType::float32, owner));
          },
          [&](const Values& values) -> nb::object {
            nb::list names;
            for (const std::string& name : values.names) names.append(name);
            return types.attr("Values")(nb::tuple(names),
                                        column(values.values, {length(values.values)}, DType::float64, owner));
          },
          [&](const Tensors& tensors) -> nb::object {
            nb::dict arrays;
            for (std::size_t index = 0; index < tensors.names.size(); ++index) {
              const TensorView view = tensors.tensors[index].view();
              arrays[nb::str(tensors.names[index].c_str())] = array_of(view.data, view.shape, view.dtype, owner);
            }
            return types.attr("Tensors")(arrays);
          },
          [&](const Several& several) -> nb::object {
            const nb::object parts = nb::module_::import_("edgekit.tasks.multitask").attr("Predictions")();
            for (const Part& part : several.parts) {
              parts[nb::str(part.name.c_str())] = made(part.result, owner, geometry);
            }
            return parts;
          },
      },
      result.value);
}

}  // namespace

nb::object prediction_of(const std::shared_ptr<Result>& result, const Geometry& geometry) {
  return made(*result, result, geometry);
}

nb::object geometry_of(const Geometry& geometry) {
  const auto& content = geometry.content;
  return nb::module_::import_("edgekit.core.predictions")
      .attr("Geometry")(nb::make_tuple(geometry.original[0], geometry.original[1]),
                        nb::make_tuple(geometry.tensor[0], geometry.tensor[1]),
                        nb::make_tuple(content[0], content[1], content[2], content[3]));
}

Geometry geometry_from(nb::handle geometry) {
  const auto read = [&](const char* name, auto& sizes) {
    std::size_t index = 0;
    for (const nb::handle size : geometry.attr(name)) {
      if (index < sizes.size()) sizes[index++] = nb::cast<std::int32_t>(size);
    }
  };
  Geometry made;
  read("original", made.original);
  read("tensor", made.tensor);
  read("content", made.content);
  return made;
}

}  // namespace edgekit::python
