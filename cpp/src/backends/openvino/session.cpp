#include "backends/openvino/session.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <openvino/runtime/intel_cpu/properties.hpp>
#include <sstream>

#include "core/denormals.hpp"
#include "core/no_memory.hpp"

namespace edgekit::openvino {
namespace {

struct Element {
  ov::element::Type_t theirs;
  DType ours;
};

constexpr std::array<Element, 12> elements{{{ov::element::Type_t::f32, DType::float32},
                                            {ov::element::Type_t::f64, DType::float64},
                                            {ov::element::Type_t::f16, DType::float16},
                                            {ov::element::Type_t::i8, DType::int8},
                                            {ov::element::Type_t::u8, DType::uint8},
                                            {ov::element::Type_t::i16, DType::int16},
                                            {ov::element::Type_t::u16, DType::uint16},
                                            {ov::element::Type_t::i32, DType::int32},
                                            {ov::element::Type_t::u32, DType::uint32},
                                            {ov::element::Type_t::i64, DType::int64},
                                            {ov::element::Type_t::u64, DType::uint64},
                                            {ov::element::Type_t::boolean, DType::boolean}}};

ov::element::Type_t theirs(DType dtype) {
  return std::find_if(elements.begin(), elements.end(), [dtype](const Element& one) { return one.ours == dtype; })
      ->theirs;
}

ov::Shape sizes_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

/// Over the memory of others, which lives longer. The runtime does not write to inputs.
ov::Tensor over(const TensorView& view) {
  return {theirs(view.dtype), sizes_of(view.shape), const_cast<void*>(view.data)};
}

TensorView view_of(const ov::Tensor& tensor, DType dtype) {
  const ov::Shape& shape = tensor.get_shape();
  const std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  return {tensor.data(), Shape(sizes), dtype};
}

/// Threads that the calling thread starts run on `processors` alone, and so does it, while this lives.
class Pinned {
 public:
  explicit Pinned(std::span<const std::int32_t> processors) noexcept {
    if (processors.empty() || sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t wanted;
    CPU_ZERO(&wanted);
    for (const std::int32_t processor : processors) CPU_SET(static_cast<std::size_t>(processor), &wanted);
    changed_ = sched_setaffinity(0, sizeof wanted, &wanted) == 0;
  }
  ~Pinned() {
    if (changed_) sched_setaffinity(0, sizeof before_, &before_);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_{};
  bool changed_ = false;
};

// As edgekit's Python sets every model: engine and control differ in their file and in nothing else.
ov::AnyMap settings(const EngineFile& file, const EngineOptions& options) {
  const auto same = [](const std::string& text) { return text; };
  return {{ov::inference_num_threads.name(), options.threads},
          {ov::num_streams.name(), 1},
          {ov::hint::performance_mode.name(), ov::hint::PerformanceMode::LATENCY},
          {ov::hint::inference_precision.name(), file.hint},
          {ov::intel_cpu::denormals_optimization.name(), true},
          {ov::hint::enable_cpu_pinning.name(), false},
          // Python writes the list of layers under names of its own through these; nothing is encrypted.
          {ov::cache_encryption_callbacks.name(), ov::EncryptionCallbacks{same, same}}};
}

}  // namespace

ov::Core& core() {
  static ov::Core one;
  return one;
}

std::string version() { return ov::get_openvino_version().buildNumber; }

std::string said(std::string_view message) {
  std::string kept;
  std::string all;
  std::istringstream lines{std::string(message)};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    line = line.substr(first, line.find_last_not_of(" \t\r") + 1 - first);
    const bool place = line.starts_with("Exception from ") || line.starts_with("[ CORE ] ") ||
                       (line.starts_with("Check '") && line.find("' failed at ") != std::string::npos);
    for (std::string* text : {&all, place ? nullptr : &kept}) {
      if (text != nullptr) *text += (text->empty() ? "" : " ") + line;
    }
  }
  return kept.empty() ? all : kept;
}

OvEngine::OvEngine(std::string name, EngineFile file, const EngineOptions& options)
    : name_(std::move(name)),
      inputs_(std::move(file.inputs)),
      outputs_(std::move(file.outputs)),
      bound_(inputs_.size()),
      sources_(outputs_.size()),
      views_(outputs_.size()),
      pin_(options.pin) {
  compile(file, options);
  bind_outputs();
  const std::string here = version();
  description_ = "openvino " + here.substr(0, here.find('-')) + ", cpu, " + std::to_string(options.threads) +
                 (options.threads == 1 ? " thread" : " threads");
}

void OvEngine::compile(const EngineFile& file, const EngineOptions& options) {
  // OpenVINO hands the threads of a model that is gone to the next one, with the control register that they were made
  // under: every call that may start one flushes.
  const FlushedDenormals flushed;
  const Pinned pinned(pin_);
  std::istringstream stream(file.blob);
  model_ = core().import_model(stream, "CPU", settings(file, options));
  request_ = model_.create_infer_request();
  for (const TensorSpec& spec : inputs_) input_ports_.push_back(model_.input(spec.name));
}

void OvEngine::bind_outputs() {
  for (std::size_t index = 0; index < outputs_.size(); ++index) {
    const TensorSpec& spec = outputs_[index];
    Output& source = sources_[index];
    const auto input =
        std::find_if(inputs_.begin(), inputs_.end(), [&spec](const TensorSpec& one) { return one.name == spec.name; });
    if (input == inputs_.end()) {
      source.port = model_.output(spec.name);
    } else {  // one name stands for both: it is copied
      source.input = static_cast<std::size_t>(input - inputs_.begin());
    }
    if (spec.shape.elements() < 0) continue;
    if (!source.buffer.resize(spec.shape, spec.dtype)) throw std::bad_alloc();
    views_[index] = source.buffer.view();
    if (source.port) request_.set_tensor(*source.port, over(views_[index]));
  }
}

void OvEngine::bind(std::span<const TensorView> feeds) {
  for (std::size_t index = 0; index < feeds.size(); ++index) {
    const TensorView& feed = feeds[index];
    if (bound_[index].data == feed.data && bound_[index].shape == feed.shape && started_) continue;
    request_.set_tensor(input_ports_[index], over(feed));
    bound_[index] = feed;
  }
}

void OvEngine::collect(std::span<const TensorView> feeds) {
  for (std::size_t index = 0; index < outputs_.size(); ++index) {
    Output& source = sources_[index];
    if (!source.port) {
      const TensorView& feed = feeds[source.input];
      if (!source.buffer.resize(feed.shape, feed.dtype)) throw std::bad_alloc();
      std::memcpy(source.buffer.data(), feed.data, feed.bytes());
      views_[index] = source.buffer.view();
    } else if (source.buffer.data() == nullptr) {
      views_[index] = view_of(request_.get_tensor(*source.port), outputs_[index].dtype);
    }
  }
}

Expected<std::span<const TensorView>> OvEngine::infer_checked(std::span<const TensorView> feeds) noexcept {
  try {
    const FlushedDenormals flushed;
    bind(feeds);
    if (started_) {
      request_.infer();
    } else {
      const Pinned pinned(pin_);
      request_.infer();
      started_ = true;
    }
    collect(feeds);
    return std::span<const TensorView>(views_);
  } catch (const std::bad_alloc&) {
    return no_memory("no memory for a query");
  } catch (const std::exception& error) {
    return described(Code::engine, [&] { return name_ + ": inference failed: " + said(error.what()); });
  }
}

}  // namespace edgekit::openvino
