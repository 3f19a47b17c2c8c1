#include "preprocess/preprocess.hpp"

#include <algorithm>
#include <set>

#include "core/no_memory.hpp"
#include "preprocess/input.hpp"
#include "preprocess/settings.hpp"

namespace edgekit {
namespace {

using namespace preprocessing;  // this file is the door of that room

constexpr const char* no_room = "no memory to preprocess frames of this size";

Expected<std::unique_ptr<Input>> make(const InputSettings& settings) {
  struct Maker {
    const TensorSpec& spec;
    Expected<std::unique_ptr<Input>> operator()(const ImageSettings& what) { return make_image(spec, what); }
    Expected<std::unique_ptr<Input>> operator()(const ArraySettings& what) { return make_array(spec, what); }
    Expected<std::unique_ptr<Input>> operator()(const ConstantSettings& what) { return make_constant(spec, what); }
    Expected<std::unique_ptr<Input>> operator()(const FrameSizeSettings& what) { return make_frame_size(spec, what); }
  };
  return std::visit(Maker{settings.spec}, settings.what);
}

std::set<std::string> names_of_sources(const std::vector<InputSettings>& all) {
  std::set<std::string> names;
  for (const InputSettings& one : all) {
    if (const auto* image = std::get_if<ImageSettings>(&one.what)) {
      names.insert(image->sources.begin(), image->sources.end());
    } else if (const auto* array = std::get_if<ArraySettings>(&one.what)) {
      names.insert(array->source);
    }
  }
  return names;
}

// Of a model without an input that places an image: the frame's first image as it is; without one a single pixel.
Geometry as_it_is(std::span<const Source> sources) {
  for (const Source& source : sources) {
    const bool array = source.array.data != nullptr;
    if (array && (source.array.shape.rank() != 3 || source.array.shape[2] != 3)) continue;
    const auto height = array ? static_cast<std::int32_t>(source.array.shape[0]) : source.image.height;
    const auto width = array ? static_cast<std::int32_t>(source.array.shape[1]) : source.image.width;
    return {{height, width}, {height, width}, {0, 0, height, width}};
  }
  return {{1, 1}, {1, 1}, {0, 0, 1, 1}};
}

}  // namespace

namespace preprocessing {

Expected<const Source*> Sources::take(const std::string& name, const std::string& input) const {
  for (const Source& source : given) {
    if (source.name == name) return &source;
  }
  if (alone && given.size() == 1) return &given.front();
  std::string names;
  for (const Source& source : given) names += (names.empty() ? "'" : ", '") + std::string(source.name) + "'";
  return Error{Code::frame, "preprocess." + input + ": the sample has no image '" + name + "', it has " +
                                (names.empty() ? "no image" : names) + "; set preprocess." + input +
                                ".source to one of its images, or give one of that name"};
}

}  // namespace preprocessing

struct Preprocess::State {
  std::vector<std::unique_ptr<Input>> inputs;
  std::vector<std::size_t> order;  // those that place an image first: the others may ask where it went
  std::vector<TensorView> feeds;
  bool one_source = false;
  Geometry geometry;

  Status run(std::span<const Source> given) {
    const Sources sources{given, one_source};
    const Geometry* placed = nullptr;
    for (const std::size_t at : order) {
      if (Status made = inputs[at]->make(sources, placed); !made) return made;
      if (placed == nullptr) placed = inputs[at]->placed();
    }
    geometry = placed != nullptr ? *placed : as_it_is(given);
    return {};
  }
};

Preprocess::Preprocess(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Preprocess::Preprocess(Preprocess&&) noexcept = default;
Preprocess& Preprocess::operator=(Preprocess&&) noexcept = default;
Preprocess::~Preprocess() = default;

Expected<Preprocess> Preprocess::create(const nlohmann::json& section, std::span<const TensorSpec> inputs) try {
  const Expected<std::vector<InputSettings>> settings = parse(section, inputs);
  if (!settings) return settings.error();
  auto state = std::make_unique<State>();
  for (const InputSettings& one : *settings) {
    Expected<std::unique_ptr<Input>> made = make(one);
    if (!made) return made.error();
    state->order.push_back(state->inputs.size());
    state->inputs.push_back(std::move(*made));
    state->feeds.push_back(state->inputs.back()->tensor());
  }
  std::stable_partition(state->order.begin(), state->order.end(),
                        [&](std::size_t at) { return state->inputs[at]->placed() != nullptr; });
  state->one_source = names_of_sources(*settings).size() == 1;
  return Preprocess(std::move(state));
} catch (const std::bad_alloc&) {
  return no_memory(no_room);
} catch (const nlohmann::json::exception& error) {  // a text that is no UTF-8
  return Error{Code::bundle, std::string("preprocess: ") + error.what()};
}

Expected<std::span<const TensorView>> Preprocess::operator()(std::span<const Source> sources) try {
  if (Status made = state_->run(sources); !made) return made.error();
  return std::span<const TensorView>(state_->feeds);
} catch (const std::bad_alloc&) {
  return no_memory(no_room);
}

const Geometry& Preprocess::geometry() const noexcept { return state_->geometry; }

}  // namespace edgekit
