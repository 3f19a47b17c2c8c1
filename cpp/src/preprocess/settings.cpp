#include "preprocess/settings.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/is_text.hpp"
#include "preprocess/half.hpp"
#include "preprocess/section.hpp"

namespace edgekit::preprocessing {
namespace {

using nlohmann::json;
using Names = std::span<const std::string_view>;

constexpr std::string_view kinds[] = {"image", "array", "constant", "frame_size"};
constexpr std::string_view modes[] = {"stretch", "letterbox", "letterbox-topleft", "crop"};
constexpr std::string_view interpolations[] = {"bilinear", "nearest", "nearest-exact", "area", "bicubic", "lanczos"};
constexpr std::string_view colours[] = {"rgb", "bgr", "grey"};
constexpr std::string_view pixel_types[] = {"uint8", "uint16", "float32"};
constexpr std::string_view layouts[] = {"nchw", "nhwc"};
constexpr std::string_view dtypes[] = {"float32", "float16", "uint8", "int32", "int64", "bool"};
constexpr std::int64_t most_elements = std::int64_t{1} << 31;

bool is_float(DType dtype) { return dtype == DType::float32 || dtype == DType::float16; }

// `mean` or `std` of one image stands for those of several.
std::vector<double> spread(const std::vector<double>& values, std::size_t channels) {
  std::vector<double> made;
  while (made.size() < channels) made.insert(made.end(), values.begin(), values.end());
  return made;
}

void read_sources(SectionReader& keys, ImageSettings& made) {
  const json* source = keys.find("source");
  made.sources = {"image"};
  if (source == nullptr) return;
  const json listed = source->is_array() ? *source : json::array({*source});
  made.sources.clear();
  for (const auto& one : listed) {
    if (!one.is_string()) return keys.wrong("source", "expected a name, or several, found " + source->dump());
    made.sources.push_back(one.get<std::string>());
  }
  if (made.sources.empty() || made.sources.size() > 64) keys.wrong("source", "expected 1 to 64 names");
}

void read_sizes(SectionReader& keys, ImageSettings& made) {
  const std::vector<std::int32_t> size = keys.sides("resize");
  if (size.empty()) return keys.wrong("resize", "is missing; expected (height, width) of the input in pixels");
  made.rows = size.front();
  made.columns = size.back();
  const json* before = keys.find("before_crop");
  if (before == nullptr || before->is_null()) return;
  if (made.mode != Mode::crop) return keys.wrong("before_crop", "belongs to mode: crop");
  const std::vector<std::int32_t> sides = keys.sides("before_crop");
  if (sides.size() == 1) made.before_crop_side = sides.front();
  if (sides.size() == 2) made.before_crop_size = {sides[0], sides[1]};
}

void read_antialias(SectionReader& keys, ImageSettings& made) {
  const json* value = keys.find("antialias");
  if (value == nullptr || *value == false) return;
  if (*value == true) {
    made.antialias = Antialias::on;
  } else if (is_text(*value, "pillow-13")) {
    made.antialias = Antialias::pillow_13;
  } else {
    return keys.refuse("antialias", value->dump() + " is nothing that this library has; it has false, true, pillow-13");
  }
  const bool can = made.interpolation == Interpolation::bilinear || made.interpolation == Interpolation::bicubic ||
                   made.interpolation == Interpolation::lanczos;
  if (!can) {
    keys.wrong("antialias", "leave it out with interpolation: " +
                                std::string(interpolations[static_cast<std::size_t>(made.interpolation)]) +
                                ", or take bilinear, bicubic or lanczos");
  }
}

void read_normalising(SectionReader& keys, ImageSettings& made) {
  made.scale = keys.number("scale", 1.0);
  if (!(made.scale > 0)) keys.wrong("scale", "expected a number above 0, found " + std::to_string(made.scale));
  const auto one = static_cast<std::size_t>(made.channels_of_one());
  const std::size_t channels = one * made.sources.size();
  for (const auto& [key, values, plain] : {std::tuple{"mean", &made.mean, 0.0}, std::tuple{"std", &made.std, 1.0}}) {
    *values = keys.numbers(key, {plain});
    if (values->size() != 1 && values->size() != one && values->size() != channels) {
      return keys.wrong(key, "expected 1, " + std::to_string(one) + " or " + std::to_string(channels) +
                                 " numbers; found " + std::to_string(values->size()));
    }
    *values = spread(*values, channels);
  }
  for (const double value : made.std) {
    if (!(value > 0)) return keys.wrong("std", "expected numbers above 0, found " + std::to_string(value));
  }
  made.pad_value = keys.number("pad_value", 114.0);
  if (made.pixels == DType::float32) return;
  const double largest = made.pixels == DType::uint8 ? 255 : 65535;
  if (made.pad_value != std::floor(made.pad_value) || made.pad_value < 0 || made.pad_value > largest) {
    keys.wrong("pad_value", "expected a whole number from 0 to " + std::to_string(static_cast<int>(largest)) +
                                "; found " + std::to_string(made.pad_value));
  }
}

// The largest magnitude that a pixel of 8 or 16 bits becomes.
double largest_of(const ImageSettings& made) {
  double most = 0;
  for (const double value : {0.0, made.pixels == DType::uint8 ? 255.0 : 65535.0}) {
    for (std::size_t at = 0; at < made.mean.size(); ++at) {
      most = std::max(most, std::abs((value * made.scale - made.mean[at]) / made.std[at]));
    }
  }
  return most;
}

void check_dtype(SectionReader& keys, const ImageSettings& made, DType dtype) {
  if (dtype == DType::boolean) return keys.wrong("dtype", "the model input is bool, and an image is not");
  if (dtype == DType::float16 && made.pixels != DType::float32 && largest_of(made) > half_largest) {
    return keys.wrong("scale", "pixels become more than float16 can hold");
  }
  if (is_float(dtype)) return;
  const auto all = [](const std::vector<double>& values, double plain) {
    return std::all_of(values.begin(), values.end(), [plain](double value) { return value == plain; });
  };
  const std::string takes = "the model input is " + std::string(name_of(dtype)) + " and takes pixel values as they are";
  if (made.scale != 1.0) return keys.wrong("scale", takes);
  if (!all(made.mean, 0.0)) return keys.wrong("mean", takes);
  if (!all(made.std, 1.0)) return keys.wrong("std", takes);
  if (made.pixels == DType::float32 || (made.pixels == DType::uint16 && dtype == DType::uint8)) {
    keys.wrong("pixels",
               std::string(name_of(made.pixels)) + " values do not fit in the model input, which is " + name_of(dtype));
  }
}

ImageSettings read_image(SectionReader& keys, const TensorSpec& spec) {
  ImageSettings made;
  read_sources(keys, made);
  made.mode = static_cast<Mode>(keys.one_of("mode", modes, 0));
  read_sizes(keys, made);
  made.interpolation = static_cast<Interpolation>(keys.one_of("interpolation", interpolations, 0));
  read_antialias(keys, made);
  made.colour = static_cast<Colour>(keys.one_of("color", colours, 0));
  constexpr DType types[] = {DType::uint8, DType::uint16, DType::float32};
  made.pixels = types[keys.one_of("pixels", pixel_types, 0)];
  made.layout = static_cast<Layout>(keys.one_of("layout", layouts, 0));
  if (!keys.failed()) read_normalising(keys, made);
  if (!keys.failed()) check_dtype(keys, made, spec.dtype);
  const std::int64_t channels = static_cast<std::int64_t>(made.sources.size()) * made.channels_of_one();
  const Shape shape = made.layout == Layout::nchw ? Shape{1, channels, made.rows, made.columns}
                                                  : Shape{1, made.rows, made.columns, channels};
  if (!(shape == spec.shape)) {
    keys.wrong("resize", "makes " + shape.text() + ", but the model input has " + spec.shape.text());
  }
  return made;
}

// Nested lists row by row; false: the lists have other lengths than `shape`.
bool flatten(const json& value, std::span<const std::int64_t> shape, std::vector<json>& out) {
  if (shape.empty()) {
    out.push_back(value);
    return value.is_number() || value.is_boolean();
  }
  if (!value.is_array() || static_cast<std::int64_t>(value.size()) != shape.front()) return false;
  return std::all_of(value.begin(), value.end(), [&](const json& one) { return flatten(one, shape.subspan(1), out); });
}

bool holds(DType dtype, const json& value, double number) {
  if (!std::isfinite(number)) return false;
  if (dtype == DType::float32) return std::isfinite(static_cast<float>(number));
  if (dtype == DType::float16) return std::abs(number) < half_overflow;
  if (number != std::floor(number)) return false;
  if (dtype == DType::boolean) return number == 0 || number == 1;
  if (dtype == DType::uint8) return number >= 0 && number <= 255;
  if (dtype == DType::int32) return std::abs(number) < 2147483648.0 || number == -2147483648.0;
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
  return std::abs(number) < 9223372036854775808.0 || number == -9223372036854775808.0;
}

ConstantSettings read_constant(SectionReader& keys, const TensorSpec& spec) {
  ConstantSettings made;
  const json* value = keys.find("value");
  if (value == nullptr) {
    keys.wrong("value", "is missing; expected a number, or nested lists of the input's shape");
    return made;
  }
  std::vector<json> flat;
  const std::span<const std::int64_t> shape(spec.shape.begin(), spec.shape.rank());
  if (!flatten(*value, value->is_array() ? shape : shape.first(0), flat) || flat.empty()) {
    keys.wrong("value", "expected a number, or nested lists of the input's shape " + spec.shape.text());
    return made;
  }
  for (const json& one : flat) {
    const double number = one.is_boolean() ? (one.get<bool>() ? 1.0 : 0.0) : one.get<double>();
    if (!holds(spec.dtype, one, number)) {
      keys.wrong("value", "holds " + one.dump() + ", which " + name_of(spec.dtype) + " cannot hold");
      return made;
    }
    made.values.push_back(number);
    made.whole_values.push_back(one.is_number_integer() ? one.get<std::int64_t>()
                                : is_float(spec.dtype)  ? 0
                                                        : static_cast<std::int64_t>(number));
  }
  return made;
}

FrameSizeSettings read_frame_size(SectionReader& keys, const TensorSpec& spec) {
  constexpr std::string_view of[] = {"frame", "resized", "ratio"};
  constexpr std::string_view orders[] = {"height_width", "width_height"};
  FrameSizeSettings made;
  made.of = static_cast<FrameSizeSettings::Of>(keys.one_of("of", of, 0));
  made.height_first = keys.one_of("order", orders, std::nullopt) == 0;
  if (spec.shape.elements() != 2) keys.wrong("kind", "a size is two numbers; the input has " + spec.shape.text());
  if (spec.dtype == DType::boolean || spec.dtype == DType::uint8) {
    keys.wrong("kind", std::string("a size does not fit in ") + name_of(spec.dtype) + ", the type of the model input");
  }
  if (made.of == FrameSizeSettings::Of::ratio && !is_float(spec.dtype)) {
    keys.wrong("of", std::string("a ratio is no whole number, and the model input is ") + name_of(spec.dtype));
  }
  return made;
}

// The keys `shape` and `dtype`, which repeat what the model input says.
void check_repeated(SectionReader& keys, const TensorSpec& spec, bool with_shape) {
  const std::size_t dtype = keys.one_of("dtype", dtypes, 0);
  const bool image_default = keys.find("dtype") == nullptr;
  if (!keys.failed() && !image_default && dtypes[dtype] != name_of(spec.dtype)) {
    keys.wrong("dtype", "is " + std::string(dtypes[dtype]) + ", but the model input is " + name_of(spec.dtype));
  }
  if (!with_shape) return;
  const json* shape = keys.find("shape");
  if (shape == nullptr) return;
  const std::vector<std::int64_t> wanted(spec.shape.begin(), spec.shape.end());
  if (*shape != json(wanted)) {
    keys.wrong("shape", "is " + shape->dump() + ", but the model input has " + spec.shape.text());
  }
}

Expected<InputSettings> parse_one(const json& section, const TensorSpec& spec) {
  SectionReader keys(section, "preprocess." + spec.name);
  InputSettings made{spec, {}};
  const std::int64_t elements = spec.shape.elements();
  if (elements < 1 || elements > most_elements) {
    keys.refuse("shape", spec.shape.text() + " is no fixed size that this library can fill");
  }
  if (std::find(std::begin(dtypes), std::end(dtypes), name_of(spec.dtype)) == std::end(dtypes)) {
    keys.refuse("dtype",
                std::string("a model input of ") + name_of(spec.dtype) + " is not made; build it with another");
  }
  const std::size_t kind = keys.one_of("kind", kinds, 0);
  check_repeated(keys, spec, kind != 0);
  if (Status early = keys.finish_so_far(); !early) return early.error();
  switch (kind) {
    case 0:
      made.what = read_image(keys, spec);
      break;
    case 1:
      made.what = ArraySettings{keys.text("source", "")};
      if (std::get<ArraySettings>(made.what).source.empty()) keys.wrong("source", "is missing; name an array");
      break;
    case 2:
      made.what = read_constant(keys, spec);
      break;
    default:
      made.what = read_frame_size(keys, spec);
  }
  if (Status ended = keys.finish(); !ended) return ended.error();
  return made;
}

}  // namespace

Expected<std::vector<InputSettings>> parse(const json& section, std::span<const TensorSpec> inputs) {
  if (!section.is_object() || inputs.empty()) {
    return Error{Code::bundle, "preprocess: no input is described; expected one entry for each model input"};
  }
  std::set<std::string> expected;
  std::vector<InputSettings> made;
  for (const TensorSpec& spec : inputs) {
    expected.insert(spec.name);
    const auto found = section.find(spec.name);
    if (found == section.end()) {
      return Error{Code::bundle, "preprocess." + spec.name + ": nothing says what this model input is made of"};
    }
    Expected<InputSettings> one = parse_one(*found, spec);
    if (!one) return one.error();
    made.push_back(std::move(*one));
  }
  for (const auto& [name, keys] : section.items()) {
    if (!expected.contains(name)) return Error{Code::bundle, "preprocess." + name + ": the model has no such input"};
  }
  return made;
}

}  // namespace edgekit::preprocessing
