// One model input, made for each frame; a kind of src/edgekit/inputs a file.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "edgekit/frame.hpp"
#include "edgekit/tensor.hpp"
#include "preprocess/settings.hpp"

namespace edgekit::preprocessing {

/// The images and arrays of a frame.
struct Sources {
  std::span<const Source> given;
  bool alone = false;  ///< the model takes one source, so that one alone may go by any name

  /// Code::frame: the frame has none of that name. `input` is whose it is.
  Expected<const Source*> take(const std::string& name, const std::string& input) const;
};

/// Makes one model input of each frame, in memory of its own.
class Input {
 public:
  virtual ~Input() = default;

  /// Fills tensor(). `placed`: where the frame's image went, if an input before this one placed it.
  virtual Status make(const Sources& sources, const Geometry* placed) = 0;
  /// Where the last frame's image went; null: this input places none.
  virtual const Geometry* placed() const noexcept { return nullptr; }
  TensorView tensor() const noexcept { return tensor_.view(); }

 protected:
  Tensor tensor_;
};

/// Each makes room for its tensor: Code::out_of_memory, or std::bad_alloc is thrown.
Expected<std::unique_ptr<Input>> make_image(const TensorSpec& spec, const ImageSettings& settings);
Expected<std::unique_ptr<Input>> make_array(const TensorSpec& spec, const ArraySettings& settings);
Expected<std::unique_ptr<Input>> make_constant(const TensorSpec& spec, const ConstantSettings& settings);
Expected<std::unique_ptr<Input>> make_frame_size(const TensorSpec& spec, const FrameSizeSettings& settings);

}  // namespace edgekit::preprocessing
