#include "support/synthetic.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

namespace edgekit::test {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

/// As a backend's boundary has to: what a runtime throws becomes a value.
template <class Function>
Status caught(Function function) noexcept {
  try {
    function();
    return {};
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, "the engine has no memory"};
  } catch (const std::exception& error) {
    return Error{Code::engine, std::string("the engine failed: ") + error.what()};
  }
}

void act(Fault fault, Gate& gate) {
  if (fault == Fault::throws) throw std::runtime_error("as it was told");
  if (fault == Fault::out_of_memory) throw std::bad_alloc();
  if (fault == Fault::hangs) gate.pass();
}

}  // namespace

void Gate::pass() {
  std::unique_lock lock(mutex_);
  ++inside_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return open_; });
  --inside_;
}

void Gate::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

void Gate::close() {
  const std::lock_guard lock(mutex_);
  open_ = false;
}

void Gate::wait_for_visitor() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return inside_ > 0; });
}

void spin(nanoseconds time) noexcept {
  const auto end = steady_clock::now() + time;
  while (steady_clock::now() < end) {
  }
}

void SyntheticProcessor::compute(const Frame& frame, Result& result) {
  auto& values = result.reuse<Values>();
  values.names.resize(1);
  values.names.front() = "first";
  values.values.assign(1, frame.data[0]);
}

Status SyntheticProcessor::process(const Frame& frame, Result& result) noexcept {
  const int now_inside = ++inside;
  int most = most_inside;
  while (most < now_inside && !most_inside.compare_exchange_weak(most, now_inside)) {
  }
  ++calls;
  const Fault what = fault.exchange(Fault::none);
  const auto begin = steady_clock::now();
  Status status = caught([&] {
    act(what, gate);
    spin(spins);
    compute(frame, result);
  });
  timing_ = {.preprocess = nanoseconds(0), .engine = steady_clock::now() - begin, .postprocess = nanoseconds(0)};
  if (what == Fault::not_a_number) status = Error{Code::tensor, "output 'scores' holds NaN"};
  if (what == Fault::wrong_shape) status = Error{Code::tensor, "output 'scores' has a wrong shape"};
  --inside;
  return status;
}

Expected<std::unique_ptr<SyntheticEngine>> SyntheticEngine::make(std::vector<TensorSpec> inputs,
                                                                 std::vector<TensorSpec> outputs) {
  std::unique_ptr<SyntheticEngine> made(new SyntheticEngine(std::move(inputs), std::move(outputs)));
  made->tensors_.resize(made->outputs_.size());
  made->views_.resize(made->outputs_.size());
  if (Status filled = made->fill(Fault::none); !filled) return std::move(filled).error();
  return made;
}

Status SyntheticEngine::fill(Fault what) {
  for (std::size_t index = 0; index < outputs_.size(); ++index) {
    const TensorSpec& spec = outputs_[index];
    Shape shape = spec.shape;
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) shape[axis] = std::max<std::int64_t>(shape[axis], 1);
    if (what == Fault::wrong_shape) ++shape[shape.rank() - 1];
    Tensor& tensor = tensors_[index];
    if (Status made = tensor.resize(shape, spec.dtype); !made) return made;
    std::memset(tensor.data(), 0, tensor.bytes());
    if (what == Fault::not_a_number && spec.dtype == DType::float32) {
      tensor.as<float>().back() = std::numeric_limits<float>::quiet_NaN();
    }
    views_[index] = tensor.view();
  }
  return {};
}

Expected<std::span<const TensorView>> SyntheticEngine::infer_checked(std::span<const TensorView>) noexcept {
  const Fault what = fault.exchange(Fault::none);
  Status status = caught([&] {
    act(what, gate);
    spin(spins);
  });
  if (status) status = fill(what);
  if (!status) return std::move(status).error();
  return std::span<const TensorView>(views_);
}

}  // namespace edgekit::test
