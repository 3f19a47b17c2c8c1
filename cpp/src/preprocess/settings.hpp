// What `preprocess` of bundle.json says, checked.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"
#include "preprocess/kinds.hpp"

namespace edgekit::preprocessing {

/// One or several of the frame's images, resized and normalised.
struct ImageSettings {
  std::vector<std::string> sources;  ///< the channels of the images follow each other
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  Mode mode = Mode::stretch;
  std::optional<std::int32_t> before_crop_side;                 ///< the shorter side
  std::optional<std::array<std::int32_t, 2>> before_crop_size;  ///< (height, width)
  Interpolation interpolation = Interpolation::bilinear;
  Antialias antialias = Antialias::off;
  Colour colour = Colour::rgb;
  DType pixels = DType::uint8;
  double scale = 1.0;
  std::vector<double> mean;  ///< one for each channel of the model input
  std::vector<double> std;
  double pad_value = 114.0;
  Layout layout = Layout::nchw;

  std::int32_t channels_of_one() const noexcept { return colour == Colour::grey ? 1 : 3; }
};

/// An array of the frame, as it is.
struct ArraySettings {
  std::string source;
};

/// The same array for every frame.
struct ConstantSettings {
  std::vector<double> values;              ///< one, or as many as the input has elements
  std::vector<std::int64_t> whole_values;  ///< the same of an input of whole numbers, which doubles may not hold
};

/// How large the frame is, or the part of the tensor that it fills.
struct FrameSizeSettings {
  enum class Of : std::uint8_t { frame, resized, ratio };
  Of of = Of::frame;
  bool height_first = true;
};

/// One model input.
struct InputSettings {
  TensorSpec spec;  ///< fixed sizes
  std::variant<ImageSettings, ArraySettings, ConstantSettings, FrameSizeSettings> what;
};

/// The settings of each input, in the order of `inputs`.
///
/// Code::unsupported: a kind, key or value that this library has not; Code::bundle: one that nothing can have. Both
/// name the key with its value.
Expected<std::vector<InputSettings>> parse(const nlohmann::json& section, std::span<const TensorSpec> inputs);

}  // namespace edgekit::preprocessing
