// Engine: one query over named arrays, with the GIL released.
#include "edgekit/engine.hpp"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>

#include "arrays.hpp"
#include "bindings.hpp"
#include "engine.hpp"

/// Of cpp/ops, whose header asks for those of ONNX Runtime.
extern "C" int edgekit_ops_version();

namespace edgekit::python {

NativeEngine::NativeEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

nb::dict NativeEngine::infer(const nb::dict& feeds) {
  const std::span<const TensorSpec> wanted = engine_->inputs();
  std::vector<RowArray> held;
  std::vector<TensorView> views;
  for (const TensorSpec& spec : wanted) {
    const nb::str name(spec.name.c_str());
    if (!feeds.contains(name)) raise({Code::tensor, "missing input '" + spec.name + "'; expected " + spec.text()});
    held.push_back(nb::cast<RowArray>(feeds[name]));
    views.push_back(view_of(held.back(), spec.name));
  }
  if (feeds.size() != wanted.size()) {
    raise({Code::tensor, std::to_string(feeds.size()) + " arrays were given; the engine has " +
                             std::to_string(wanted.size()) + " inputs"});
  }
  std::shared_ptr<Copies> copies;
  Status status;
  {
    const nb::gil_scoped_release released;
    const std::scoped_lock lock(mutex_);
    const Expected<std::span<const TensorView>> outputs = engine_->infer(views);
    if (outputs) copies = pool_.take();
    status = outputs ? copy(*outputs, *copies) : Status(outputs.error());
  }
  check(status);
  return arrays_of(engine_->outputs(), copies);
}

namespace {

std::shared_ptr<NativeEngine> opened(const std::filesystem::path& file, const std::string& name, std::int32_t threads,
                                     bool spinning, std::vector<std::int32_t> pin, std::string provider,
                                     bool cuda_graph) {
  const Backend* found = taken(backend(name));
  const EngineOptions options{.threads = threads,
                              .spinning = spinning,
                              .pin = std::move(pin),
                              .provider = std::move(provider),
                              .cuda_graph = cuda_graph};
  Expected<std::unique_ptr<Engine>> engine = [&] {
    const nb::gil_scoped_release released;
    return found->open(file, options);
  }();
  return std::make_shared<NativeEngine>(taken(std::move(engine)));
}

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Backend& one : backends()) names.emplace_back(one.name);
  return names;
}

}  // namespace

void add_engine(nb::module_& module) {
  module.def("backends", backend_names, "The backends that this build has, by name.");
  module.def("operators", edgekit_ops_version, "Version of edgekit's operators for ONNX Runtime, which are built in.");
  nb::class_<NativeEngine>(module, "Engine", "A loaded engine file. Queries of several threads wait for one another.")
      .def_static("open", opened, nb::arg("file"), nb::kw_only(), nb::arg("backend") = "ort", nb::arg("threads") = 1,
                  nb::arg("spinning") = false, nb::arg("pin") = std::vector<std::int32_t>{},
                  nb::arg("provider") = "cpu", nb::arg("cuda_graph") = true,
                  "Load the engine in a file that edgekit built.")
      .def_prop_ro("inputs", [](const NativeEngine& self) { return specs_of(self.engine().inputs()); })
      .def_prop_ro("outputs", [](const NativeEngine& self) { return specs_of(self.engine().outputs()); })
      .def("infer", &NativeEngine::infer, nb::arg("feeds"),
           "Compute {name: array}; C-contiguous inputs are not copied, outputs belong to the caller.")
      .def("describe", [](const NativeEngine& self) { return self.engine().describe(); });
}

}  // namespace edgekit::python
