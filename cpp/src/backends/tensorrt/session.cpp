#include "backends/tensorrt/session.hpp"

#ifdef EDGEKIT_TENSORRT_PLUGINS
#include <NvInferPlugin.h>
#endif

#include <algorithm>
#include <exception>
#include <new>
#include <optional>

#include "backends/tensorrt/log.hpp"

namespace edgekit::tensorrt {
namespace {

using nvinfer1::OptProfileSelector;

std::optional<DType> dtype_of(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      return DType::float32;
    case nvinfer1::DataType::kHALF:
      return DType::float16;
    case nvinfer1::DataType::kINT8:
      return DType::int8;
    case nvinfer1::DataType::kUINT8:
      return DType::uint8;
    case nvinfer1::DataType::kINT32:
      return DType::int32;
    case nvinfer1::DataType::kINT64:
      return DType::int64;
    case nvinfer1::DataType::kBOOL:
      return DType::boolean;
    default:
      return std::nullopt;
  }
}

Shape shape_of(const nvinfer1::Dims& dims) {
  Shape made(std::vector<std::int64_t>(static_cast<std::size_t>(std::max(dims.nbDims, 0)), 0));
  for (std::size_t axis = 0; axis < made.rank(); ++axis) made[axis] = dims.d[axis];
  return made;
}

nvinfer1::Dims dims_of(const Shape& shape) {
  nvinfer1::Dims made{};
  made.nbDims = static_cast<std::int32_t>(shape.rank());
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) made.d[axis] = shape[axis];
  return made;
}

bool within(const Shape& shape, const nvinfer1::Dims& low, const nvinfer1::Dims& high) {
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] < low.d[axis] || shape[axis] > high.d[axis]) return false;
  }
  return true;
}

}  // namespace

Expected<std::unique_ptr<Engine>> Session::open(std::string name, std::string_view plan, const Facts& facts,
                                                const Machine& here, bool cuda_graph) {
  std::unique_ptr<Session> session(new Session(std::move(name)));
  session->about_ = "tensorrt " + here.tensorrt + ", " + here.device + " (" + here.compute_capability + ")";
  Expected<Stream> stream = open_stream();
  if (!stream) return stream.error();
  session->stream_ = *std::move(stream);
  if (Status status = session->load(plan, facts); !status) return status.error();
  if (Status status = session->list_tensors(); !status) return status.error();
  if (Status status = session->take_memory(); !status) return status.error();
  if (session->static_ && cuda_graph) {
    if (Status status = session->capture(); !status) return status.error();
  }
  return std::unique_ptr<Engine>(std::move(session));
}

Error Session::failed(Code code, const std::string& what) const {
  return {code, name_ + ": " + what + process_log().take_words()};
}

Status Session::load(std::string_view plan, const Facts& facts) {
  Log& log = process_log();
  log.clear();
#ifdef EDGEKIT_TENSORRT_PLUGINS
  initLibNvInferPlugins(&log, "");
#endif
  runtime_.reset(nvinfer1::createInferRuntime(log));
  if (!runtime_) return failed(Code::missing_requirement, "TensorRT does not start; check NVIDIA's driver");
  if (facts.dla_core) runtime_->setDLACore(*facts.dla_core);
  runtime_->setEngineHostCodeAllowed(facts.version_compatible);
  engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
  if (!engine_) {
    Error error = failed(Code::bundle, "TensorRT cannot read the engine");
    error.message += "; make it anew for this machine: edgekit bundle rebuild BUNDLE";
    return error;
  }
  context_.reset(engine_->createExecutionContext());
  if (!context_) {
    const std::string need = std::to_string(engine_->getDeviceMemorySizeV2() >> 20U);
    Error error = failed(Code::out_of_memory,
                         "TensorRT cannot make an execution context, which needs " + need + " MiB of device memory");
    error.message += "; close other programs on the device, or build with smaller profiles";
    return error;
  }
  return {};
}

Expected<TensorSpec> Session::spec_of(const char* name) const {
  const std::optional<DType> dtype = dtype_of(engine_->getTensorDataType(name));
  if (!dtype) {
    return Error{Code::unsupported, name_ + ": tensor '" + name +
                                        "' has a type that edgekit has not; put a Cast to float32 beside it in the "
                                        "ONNX file"};
  }
  if (engine_->getTensorFormat(name) != nvinfer1::TensorFormat::kLINEAR) {
    return Error{Code::unsupported, name_ + ": tensor '" + name + "' lies as " + engine_->getTensorFormatDesc(name) +
                                        "; expected row by row (linear)"};
  }
  return TensorSpec{name, shape_of(engine_->getTensorShape(name)), *dtype};
}

Status Session::list_tensors() {
  for (std::int32_t index = 0; index < engine_->getNbIOTensors(); ++index) {
    const char* name = engine_->getIOTensorName(index);
    Expected<TensorSpec> spec = spec_of(name);
    if (!spec) return spec.error();
    const bool on_host = engine_->getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
    const bool is_input = engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
    if (on_host && is_input) {
      return Error{Code::unsupported, name_ + ": input '" + name +
                                          "' holds sizes, not data; make it a constant in the ONNX file, or let an "
                                          "axis of another input be dynamic"};
    }
    if (is_input && spec->shape.elements() < 0) static_ = false;
    (is_input ? input_specs_ : output_specs_).push_back(*spec);
    (is_input ? input_places_ : output_places_).emplace_back(*spec, on_host);
  }
  shapes_.resize(input_places_.size());
  views_.resize(output_places_.size());
  return {};
}

Status Session::take_memory() {
  const std::int32_t profiles = static_ ? 1 : engine_->getNbOptimizationProfiles();
  std::vector<Shape> largest(input_specs_.size());
  for (std::int32_t profile = 0; profile < profiles; ++profile) {
    for (std::size_t index = 0; index < largest.size(); ++index) {
      const TensorSpec& spec = input_specs_[index];
      largest[index] = static_
                           ? spec.shape
                           : shape_of(engine_->getProfileShape(spec.name.c_str(), profile, OptProfileSelector::kMAX));
    }
    if (Status status = set_shapes(profile, largest); !status) return status;
  }
  return {};
}

Status Session::set_shapes(int profile, std::span<const Shape> shapes) {
  shapes_.assign(shapes.size(), Shape{});  // none, should one of the next steps fail
  if (!static_) {
    if (profile != context_->getOptimizationProfile()) {
      if (!context_->setOptimizationProfileAsync(profile, stream_.get())) {
        return failed(Code::engine, "TensorRT cannot use profile " + std::to_string(profile));
      }
      if (Status status = checked(cudaStreamSynchronize(stream_.get()), name_); !status) return status;
    }
    for (std::size_t index = 0; index < shapes.size(); ++index) {
      const std::string& name = input_specs_[index].name;
      if (!context_->setInputShape(name.c_str(), dims_of(shapes[index]))) {
        return failed(Code::tensor, "input '" + name + "' of shape " + shapes[index].text() + " is refused");
      }
    }
  }
  for (std::size_t index = 0; index < shapes.size(); ++index) {
    if (Status status = input_places_[index].take(shapes[index]); !status) return status;
  }
  for (Place& place : output_places_) {
    const Shape shape = shape_of(context_->getTensorShape(place.spec().name.c_str()));
    if (shape.elements() < 0) {
      return Error{Code::unsupported, name_ + ": the size of output '" + place.spec().name +
                                          "' depends on the data; end the model before such a node (NonZero, "
                                          "NonMaxSuppression), and do that step after the engine"};
    }
    if (Status status = place.take(shape); !status) return status;
  }
  for (std::vector<Place>* places : {&input_places_, &output_places_}) {
    for (const Place& place : *places) {
      if (!context_->setTensorAddress(place.spec().name.c_str(), place.address())) {
        return failed(Code::engine, "TensorRT refuses the memory of '" + place.spec().name + "'");
      }
    }
  }
  shapes_.assign(shapes.begin(), shapes.end());
  return {};
}

Expected<int> Session::profile_of(std::span<const TensorView> feeds) const {
  const std::int32_t count = engine_->getNbOptimizationProfiles();
  const std::int32_t active = context_->getOptimizationProfile();
  const auto holds = [&](std::int32_t profile) {
    for (std::size_t index = 0; index < feeds.size(); ++index) {
      const char* name = input_specs_[index].name.c_str();
      if (!within(feeds[index].shape, engine_->getProfileShape(name, profile, OptProfileSelector::kMIN),
                  engine_->getProfileShape(name, profile, OptProfileSelector::kMAX))) {
        return false;
      }
    }
    return true;
  };
  if (active >= 0 && active < count && holds(active)) return active;
  for (std::int32_t profile = 0; profile < count; ++profile) {
    if (holds(profile)) return profile;
  }
  std::string given;
  for (std::size_t index = 0; index < feeds.size(); ++index) {
    given += (given.empty() ? "" : ", ") + input_specs_[index].name + " " + feeds[index].shape.text();
  }
  return Error{Code::tensor, name_ + ": no profile was built for " + given + "; add one under profiles"};
}

Status Session::queue() {
  for (const Place& place : input_places_) {
    if (Status status = place.copy_in(stream_.get()); !status) return status;
  }
  if (!context_->enqueueV3(stream_.get())) return failed(Code::engine, "TensorRT cannot run the engine");
  for (const Place& place : output_places_) {
    if (Status status = place.copy_out(stream_.get()); !status) return status;
  }
  return {};
}

Status Session::capture() {
  const std::string fix = "; set cuda_graph: false for this target";
  if (Status status = queue(); !status) return status;
  if (Status status = checked(cudaStreamSynchronize(stream_.get()), name_); !status) return status;
  Status begun = checked(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), name_);
  if (!begun) return begun;
  Status queued = queue();
  cudaGraph_t recorded = nullptr;
  Status ended = checked(cudaStreamEndCapture(stream_.get(), &recorded), name_);
  cudaGraphExec_t made = nullptr;
  Status status = !queued ? queued : ended;
  if (status) status = checked(cudaGraphInstantiateWithFlags(&made, recorded, 0), name_);
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  if (!status) {
    return Error{Code::unsupported,
                 name_ + ": no CUDA graph can hold this engine (" + status.error().message + ")" + fix};
  }
  graph_.reset(made);
  return {};
}

Status Session::run() {
  Status status = graph_ ? checked(cudaGraphLaunch(graph_.get(), stream_.get()), name_) : queue();
  // Waits after a failure too: what was queued writes to memory that the caller may read.
  Status done = checked(cudaStreamSynchronize(stream_.get()), name_);
  return !status ? status : done;
}

Expected<std::span<const TensorView>> Session::infer_checked(std::span<const TensorView> feeds) noexcept {
  try {
    const bool same = std::equal(feeds.begin(), feeds.end(), shapes_.begin(), shapes_.end(),
                                 [](const TensorView& feed, const Shape& shape) { return feed.shape == shape; });
    if (!same) {
      Expected<int> profile = profile_of(feeds);
      if (!profile) return profile.error();
      std::vector<Shape> shapes;
      for (const TensorView& feed : feeds) shapes.push_back(feed.shape);
      if (Status status = set_shapes(*profile, shapes); !status) return status.error();
    }
    for (std::size_t index = 0; index < feeds.size(); ++index) input_places_[index].fill(feeds[index]);
    if (Status status = run(); !status) return status.error();
    for (std::size_t index = 0; index < views_.size(); ++index) views_[index] = output_places_[index].view();
    return std::span<const TensorView>(views_);
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, {}};
  }
}

std::string Session::describe() const { return about_ + (graph_ ? ", CUDA graph" : ""); }

}  // namespace edgekit::tensorrt
