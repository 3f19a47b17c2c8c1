// The parts of the module, a file each.
#pragma once

#include <nanobind/nanobind.h>

#include "edgekit/frame.hpp"
#include "edgekit/result.hpp"

namespace edgekit::python {

void add_engine(nanobind::module_& module);
void add_pipeline(nanobind::module_& module);

/// The result as edgekit.core.predictions has it; its arrays lie in the result, which lives as long as they do.
nanobind::object prediction_of(const std::shared_ptr<Result>& result, const Geometry& geometry);
/// edgekit.core.predictions.Geometry, and back.
nanobind::object geometry_of(const Geometry& geometry);
Geometry geometry_from(nanobind::handle geometry);

}  // namespace edgekit::python
