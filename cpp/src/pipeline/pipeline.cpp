#include "edgekit/pipeline.hpp"

#include <new>
#include <utility>

#include "bundle/contents.hpp"
#include "core/no_memory.hpp"
#include "postprocess/decoder.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view control = "control";

Status same_interface(const char* what, std::span<const TensorSpec> engine, std::span<const TensorSpec> bundle) {
  for (const TensorSpec& wanted : bundle) {
    bool found = false;
    for (const TensorSpec& one : engine) found = found || (one.name == wanted.name && one.dtype == wanted.dtype);
    if (!found) {
      return Error{Code::bundle, std::string("the engine has no ") + what + " " + wanted.text() +
                                     ", which bundle.json names; build the bundle again"};
    }
  }
  return {};
}

}  // namespace

struct Pipeline::State {
  std::unique_ptr<Engine> engine;
  Preprocess preprocess;
  std::unique_ptr<Decoder> decoder;
  std::span<const TensorView> outputs;
  Timing timing;

  static Expected<std::unique_ptr<State>> made(const Bundle& bundle, std::unique_ptr<Engine> engine,
                                               const nlohmann::json& preprocess) {
    try {
      if (Status fits = same_interface("input", engine->inputs(), bundle.inputs()); !fits) return fits.error();
      if (Status fits = same_interface("output", engine->outputs(), bundle.outputs()); !fits) return fits.error();
      Expected<Preprocess> inputs = Preprocess::create(preprocess, engine->inputs());
      if (!inputs) return inputs.error();
      Expected<std::unique_ptr<Decoder>> decoder = Decoder::create(bundle.contents().task, engine->outputs());
      if (!decoder) return decoder.error();
      return std::unique_ptr<State>(new State{std::move(engine), std::move(*inputs), std::move(*decoder), {}, {}});
    } catch (const std::bad_alloc&) {
      return no_memory("no memory for a pipeline");
    }
  }

  Status run(std::span<const Source> sources, Result& result) {
    timing = {};
    outputs = {};
    const Clock::time_point start = Clock::now();
    const Expected<std::span<const TensorView>> feeds = preprocess(sources);
    const Clock::time_point prepared = Clock::now();
    timing.preprocess = prepared - start;
    if (!feeds) return feeds.error();
    const Expected<std::span<const TensorView>> computed = engine->infer(*feeds);
    const Clock::time_point inferred = Clock::now();
    timing.engine = inferred - prepared;
    if (!computed) return computed.error();
    outputs = *computed;
    Status decoded = decoder->decode(outputs, preprocess.geometry(), result);
    timing.postprocess = Clock::now() - inferred;
    return decoded;
  }
};

Pipeline::Pipeline(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;
Pipeline::~Pipeline() = default;

Expected<Pipeline> Pipeline::open(const std::filesystem::path& bundle, const BundleOptions& options) {
  const Expected<Bundle> opened = Bundle::open(bundle, options);
  if (!opened) return opened.error();
  return of(*opened);
}

Expected<Pipeline> Pipeline::of(const Bundle& bundle, std::string_view role) {
  Expected<std::unique_ptr<Engine>> engine = bundle.engine(role);
  if (!engine) return engine.error();
  const Contents& contents = bundle.contents();
  const bool own = role == control && contents.control && contents.control->preprocess;
  auto state = State::made(bundle, std::move(*engine), own ? *contents.control->preprocess : contents.preprocess);
  if (!state) return state.error();
  return Pipeline(std::move(*state));
}

Expected<Pipeline> Pipeline::with(const Bundle& bundle, std::unique_ptr<Engine> engine) {
  if (engine == nullptr) return Error{Code::invalid_argument, "no engine was given (a null pointer)"};
  auto state = State::made(bundle, std::move(engine), bundle.contents().preprocess);
  if (!state) return state.error();
  return Pipeline(std::move(*state));
}

Status Pipeline::process(const Frame& frame, Result& result) noexcept {
  const Source source{{}, frame, {}};
  return process(std::span(&source, 1), result);
}

Status Pipeline::process(std::span<const Source> sources, Result& result) noexcept {
  try {
    return state_->run(sources, result);
  } catch (const std::bad_alloc&) {
    return no_memory("no memory for a frame's result");
  } catch (const std::exception& error) {
    return described(Code::engine, [&error] { return std::string(error.what()); });
  }
}

Timing Pipeline::timing() const noexcept { return state_->timing; }
std::span<const TensorView> Pipeline::outputs() const noexcept { return state_->outputs; }
const Geometry& Pipeline::geometry() const noexcept { return state_->preprocess.geometry(); }
std::string Pipeline::describe() const { return state_->engine->describe(); }

}  // namespace edgekit
