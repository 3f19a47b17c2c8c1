// Inputs that are no image: an array of the frame, a constant, the size of the frame.
#include <algorithm>

#include "preprocess/half.hpp"
#include "preprocess/input.hpp"
#include "preprocess/numbers.hpp"

namespace edgekit::preprocessing {
namespace {

class FrameArray final : public Input {
 public:
  FrameArray(const TensorSpec& spec, const ArraySettings& settings) : spec_(spec), source_(settings.source) {}
  Status reserve() { return tensor_.resize(spec_.shape, spec_.dtype); }

  Status make(const Sources& sources, const Geometry*) override {
    const Expected<const Source*> found = sources.take(source_, spec_.name);
    if (!found) return found.error();
    const TensorView& given = (*found)->array;
    if (given.data == nullptr) return wrong("is an image; expected an array");
    const Shape without_batch(std::span(spec_.shape.begin() + 1, spec_.shape.rank() - 1));
    if (!(given.shape == spec_.shape) && !(given.shape == without_batch)) {
      return wrong("has the shape " + given.shape.text() + "; the model input takes " + spec_.shape.text() +
                   ", with or without its first axis: write the files so");
    }
    const auto count = static_cast<std::size_t>(spec_.shape.elements());
    const std::string type = name_of(spec_.dtype);
    switch (convert(given.data, given.dtype, count, tensor_.data(), spec_.dtype)) {
      case Converted::not_held:
        return wrong(std::string("is ") + name_of(given.dtype) + " and holds values that " + type +
                     ", the type of the model input, cannot hold: write the files in " + type);
      case Converted::too_large:
        return wrong("holds values beyond what " + type + ", the type of the model input, can hold: scale them before");
      default:
        return {};
    }
  }

 private:
  Error wrong(const std::string& why) const {
    return {Code::frame, "preprocess." + spec_.name + ": the frame's '" + source_ + "' " + why};
  }

  TensorSpec spec_;
  std::string source_;
};

class Constant final : public Input {
 public:
  Status fill(const TensorSpec& spec, const ConstantSettings& settings) {
    if (Status room = tensor_.resize(spec.shape, spec.dtype); !room) return room;
    const bool real = spec.dtype == DType::float32 || spec.dtype == DType::float16;
    const auto count = static_cast<std::size_t>(spec.shape.elements());
    const std::size_t size = size_of(spec.dtype);
    for (std::size_t at = 0; at < count; ++at) {
      const std::size_t from = settings.values.size() == 1 ? 0 : at;
      const void* value = real ? static_cast<const void*>(&settings.values[from]) : &settings.whole_values[from];
      (void)convert(value, real ? DType::float64 : DType::int64, 1,
                    static_cast<std::uint8_t*>(tensor_.data()) + at * size, spec.dtype);  // parse() has looked
    }
    return {};
  }
  Status make(const Sources&, const Geometry*) override { return {}; }
};

class FrameSize final : public Input {
 public:
  FrameSize(const TensorSpec& spec, const FrameSizeSettings& settings) : spec_(spec), settings_(settings) {}
  Status reserve() { return tensor_.resize(spec_.shape, spec_.dtype); }

  Status make(const Sources&, const Geometry* placed) override {
    if (placed == nullptr) {
      return Error{Code::frame,
                   "preprocess." + spec_.name + ": no input of kind image says how large the frame is; add one"};
    }
    double size[2];
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const double frame = placed->original[axis];
      const double resized = placed->content[2 + axis];
      size[axis] = settings_.of == FrameSizeSettings::Of::frame     ? frame
                   : settings_.of == FrameSizeSettings::Of::resized ? resized
                                                                    : resized / frame;
    }
    if (!settings_.height_first) std::swap(size[0], size[1]);
    if (convert(size, DType::float64, 2, tensor_.data(), spec_.dtype) != Converted::yes) {
      return Error{Code::frame, "preprocess." + spec_.name + ": the size does not fit in " + name_of(spec_.dtype)};
    }
    return {};
  }

 private:
  TensorSpec spec_;
  FrameSizeSettings settings_;
};

template <class T>
Expected<std::unique_ptr<Input>> finished(std::unique_ptr<T> made, const Status& room) {
  if (!room) return room.error();
  return std::unique_ptr<Input>(std::move(made));
}

}  // namespace

Expected<std::unique_ptr<Input>> make_array(const TensorSpec& spec, const ArraySettings& settings) {
  auto made = std::make_unique<FrameArray>(spec, settings);
  const Status room = made->reserve();
  return finished(std::move(made), room);
}

Expected<std::unique_ptr<Input>> make_constant(const TensorSpec& spec, const ConstantSettings& settings) {
  auto made = std::make_unique<Constant>();
  const Status room = made->fill(spec, settings);
  return finished(std::move(made), room);
}

Expected<std::unique_ptr<Input>> make_frame_size(const TensorSpec& spec, const FrameSizeSettings& settings) {
  auto made = std::make_unique<FrameSize>(spec, settings);
  const Status room = made->reserve();
  return finished(std::move(made), room);
}

}  // namespace edgekit::preprocessing
