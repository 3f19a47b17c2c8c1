// Bundle, Pipeline, and its two halves on their own: Preprocess and Decoder.
#include "edgekit/pipeline.hpp"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "arrays.hpp"
#include "bindings.hpp"
#include "engine.hpp"
#include "postprocess/decoder.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit::python {
namespace {

/// A frame's images and arrays, held while the GIL is released.
struct Given {
  std::vector<AnyArray> images;
  std::vector<RowArray> arrays;
  std::vector<std::string> names;
  std::vector<Source> sources;
};

/// Of three channels, in `kind` or, of uint16, in its form of 16 bits; none: an array that is no image.
std::optional<Encoding> encoding_in(const AnyArray& array, Encoding kind) {
  if (array.ndim() != 3 || array.shape(2) != 3) return std::nullopt;
  if (array.dtype() == nb::dtype<std::uint8_t>()) return kind;
  if (array.dtype() != nb::dtype<std::uint16_t>()) return std::nullopt;
  return kind == Encoding::bgr8 ? Encoding::bgr16 : Encoding::rgb16;
}

/// One image of `encoding`, or {name: array} whose uint8 and uint16 (H, W, 3) arrays are images of it.
Given given(nb::handle images, const std::string& encoding) {
  Given made;
  const Encoding kind = taken(encoding_of(encoding));
  if (!nb::isinstance<nb::dict>(images)) {
    made.images.push_back(nb::cast<AnyArray>(images));
    made.sources.push_back({.name = "image", .image = taken(frame_of(made.images.back(), kind)), .array = {}});
    return made;
  }
  const auto named = nb::cast<nb::dict>(images);
  made.names.reserve(named.size());
  for (const auto& [name, value] : named) {
    made.names.push_back(nb::cast<std::string>(name));
    const auto array = nb::cast<AnyArray>(value);
    Source source{.name = made.names.back(), .image = {}, .array = {}};
    if (const std::optional<Encoding> found = encoding_in(array, kind)) {
      source.image = taken(frame_of(array, *found));
      made.images.push_back(array);
    } else {
      made.arrays.push_back(nb::cast<RowArray>(value));
      source.array = view_of(made.arrays.back(), source.name);
    }
    made.sources.push_back(source);
  }
  return made;
}

class NativePipeline {
 public:
  explicit NativePipeline(Pipeline pipeline, std::vector<TensorSpec> outputs)
      : pipeline_(std::move(pipeline)), specs_(std::move(outputs)) {}

  nb::object process(nb::handle images, const std::string& encoding) {
    const Given frame = given(images, encoding);
    std::shared_ptr<Result> result;
    Geometry geometry;
    Status status;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      result = pool_.take();
      status = pipeline_.process(frame.sources, *result);
      geometry = geometry_ = pipeline_.geometry();
      timing_ = pipeline_.timing();
    }
    check(status);
    return prediction_of(result, geometry);
  }

  /// The engine's outputs of the last frame, copied.
  nb::dict outputs() {
    auto copies = std::make_shared<Copies>();
    Status status;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      status = copy(pipeline_.outputs(), *copies);
    }
    check(status);
    if (copies->size() != specs_.size()) raise({Code::not_ready, "no frame has gone through this pipeline yet"});
    return arrays_of(specs_, copies);
  }

  nb::dict timing_ms() {
    Timing last;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      last = timing_;
    }
    const auto ms = [](std::chrono::nanoseconds time) {
      return std::chrono::duration<double, std::milli>(time).count();
    };
    nb::dict made;
    made["preprocess"] = ms(last.preprocess);
    made["engine"] = ms(last.engine);
    made["postprocess"] = ms(last.postprocess);
    return made;
  }

  nb::object geometry() {
    Geometry last;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      last = geometry_;
    }
    return geometry_of(last);
  }
  std::string describe() const { return pipeline_.describe(); }

 private:
  std::mutex mutex_;
  Pipeline pipeline_;
  std::vector<TensorSpec> specs_;
  Geometry geometry_;
  Timing timing_;
  Pool<Result> pool_;
};

std::shared_ptr<NativePipeline> pipeline_of(const Bundle& bundle, const std::string& role) {
  Expected<Pipeline> pipeline = [&] {
    const nb::gil_scoped_release released;
    return Pipeline::of(bundle, role);
  }();
  return std::make_shared<NativePipeline>(taken(std::move(pipeline)),
                                          std::vector(bundle.outputs().begin(), bundle.outputs().end()));
}

std::shared_ptr<Bundle> bundle_at(const std::filesystem::path& path, std::optional<std::filesystem::path> key) {
  Expected<Bundle> bundle = [&] {
    const nb::gil_scoped_release released;
    return Bundle::open(path, {.trusted_key = std::move(key)});
  }();
  return std::make_shared<Bundle>(taken(std::move(bundle)));
}

nlohmann::json parsed(const std::string& text) {
  nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (document.is_discarded()) raise({Code::invalid_argument, "the section is not JSON"});
  return document;
}

/// Preprocess on its own.
class NativePreprocess {
 public:
  NativePreprocess(const std::string& section, nb::handle inputs)
      : specs_(specs_from(inputs)), preprocess_(taken(Preprocess::create(parsed(section), specs_))) {}

  nb::tuple call(nb::handle images, const std::string& encoding) {
    const Given frame = given(images, encoding);
    std::shared_ptr<Copies> copies;
    Geometry geometry;
    Status status;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      const Expected<std::span<const TensorView>> feeds = preprocess_(frame.sources);
      if (feeds) copies = pool_.take();
      status = feeds ? copy(*feeds, *copies) : Status(feeds.error());
      geometry = preprocess_.geometry();
    }
    check(status);
    return nb::make_tuple(arrays_of(specs_, copies), geometry_of(geometry));
  }

 private:
  std::mutex mutex_;
  std::vector<TensorSpec> specs_;
  Preprocess preprocess_;
  Pool<Copies> pool_;
};

/// Decoder on its own.
class NativeDecoder {
 public:
  NativeDecoder(const std::string& task, nb::handle outputs)
      : specs_(specs_from(outputs)), decoder_(taken(Decoder::create(parsed(task), specs_))) {}

  nb::object decode(const nb::dict& outputs, nb::handle geometry) {
    std::vector<RowArray> held;
    std::vector<TensorView> views;
    for (const TensorSpec& spec : specs_) {
      const nb::str name(spec.name.c_str());
      if (!outputs.contains(name)) raise({Code::tensor, "missing output '" + spec.name + "'; expected " + spec.text()});
      held.push_back(nb::cast<RowArray>(outputs[name]));
      views.push_back(view_of(held.back(), spec.name));
    }
    const Geometry where = geometry_from(geometry);
    std::shared_ptr<Result> result;
    Status status;
    {
      const nb::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      result = pool_.take();
      status = decoder_->decode(views, where, *result);
    }
    check(status);
    return prediction_of(result, where);
  }

 private:
  std::mutex mutex_;
  std::vector<TensorSpec> specs_;
  std::unique_ptr<Decoder> decoder_;
  Pool<Result> pool_;
};

void add_bundle(nb::module_& module) {
  nb::class_<Bundle>(module, "Bundle", "An opened bundle, checked as edgekit.bundle.open_bundle checks it.")
      .def_static("open", bundle_at, nb::arg("path"), nb::arg("trusted_key") = nb::none())
      .def_prop_ro("path", &Bundle::path)
      .def_prop_ro("name", &Bundle::name)
      .def_prop_ro("digest", &Bundle::digest)
      .def_prop_ro("precision", &Bundle::precision)
      .def_prop_ro("backend", &Bundle::backend)
      .def_prop_ro("task", &Bundle::task)
      .def_prop_ro("classes",
                   [](const Bundle& self) { return std::vector(self.classes().begin(), self.classes().end()); })
      .def_prop_ro("inputs", [](const Bundle& self) { return specs_of(self.inputs()); })
      .def_prop_ro("outputs", [](const Bundle& self) { return specs_of(self.outputs()); })
      .def(
          "engine",
          [](const Bundle& self, const std::string& role) {
            Expected<std::unique_ptr<Engine>> engine = [&] {
              const nb::gil_scoped_release released;
              return self.engine(role);
            }();
            return std::make_shared<NativeEngine>(taken(std::move(engine)));
          },
          nb::arg("role") = "candidate", "The engine of a role: candidate or control.")
      .def("pipeline", pipeline_of, nb::arg("role") = "candidate", "The pipeline of a role; it outlives the bundle.");
}

}  // namespace

void add_pipeline(nb::module_& module) {
  add_bundle(module);
  nb::class_<NativePipeline>(module, "Pipeline",
                             "Frame in, prediction out. Frames of several threads wait for one another.")
      .def("process", &NativePipeline::process, nb::arg("images"), nb::arg("encoding") = "rgb8",
           "The prediction of an image, or of {name: array} whose uint8 and uint16 (H, W, 3) arrays are images. "
           "Nothing is copied "
           "on the way in; the arrays of the prediction belong to the caller.")
      .def("outputs", &NativePipeline::outputs, "The engine's outputs of the last frame.")
      .def("timing_ms", &NativePipeline::timing_ms, "Milliseconds of each stage of the last frame.")
      .def("geometry", &NativePipeline::geometry)
      .def("describe", &NativePipeline::describe);
  nb::class_<NativePreprocess>(module, "Preprocess", "A bundle's preprocessing alone: `section` is JSON.")
      .def(nb::init<const std::string&, nb::handle>(), nb::arg("section"), nb::arg("inputs"))
      .def("__call__", &NativePreprocess::call, nb::arg("images"), nb::arg("encoding") = "rgb8");
  nb::class_<NativeDecoder>(module, "Decoder", "A task's decoding alone: `task` is JSON.")
      .def(nb::init<const std::string&, nb::handle>(), nb::arg("task"), nb::arg("outputs"))
      .def("decode", &NativeDecoder::decode, nb::arg("outputs"), nb::arg("geometry"));
}

}  // namespace edgekit::python
