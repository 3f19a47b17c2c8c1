// Regression: numbers of a frame in the unit of the labels; landmarks in pixels of the original image.
#include <algorithm>
#include <array>

#include "postprocess/reading.hpp"
#include "postprocess/tasks.hpp"

namespace edgekit {
namespace {

enum class Coordinates : std::uint8_t { original, input_pixels, input_share };

struct Settings {
  std::vector<Slot> slots;
  std::vector<std::string> names;  ///< of the values: components, or x and y of each point
  std::vector<double> scale;       ///< one for each value
  std::vector<double> offset;
  bool points = false;
  bool planes = false;  ///< all x before all y
  Coordinates coordinates = Coordinates::original;
};

class Regression final : public Decoder {
 public:
  explicit Regression(Settings settings) : settings_(std::move(settings)), given_(settings_.names.size()) {}

  Status decode(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) override {
    if (Status read = gather(outputs); !read) return read;
    for (std::size_t i = 0; i < given_.size(); ++i) {
      const double scaled = given_[i] * settings_.scale[i];  // rounded before the sum, as NumPy does
      given_[i] = scaled + settings_.offset[i];
    }
    Values& made = result.reuse<Values>();
    if (made.names != settings_.names) made.names = settings_.names;
    made.values.assign(given_.begin(), given_.end());
    return settings_.points ? place(geometry, made.values) : Status{};
  }

 private:
  /// The values of all outputs, one after another.
  Status gather(std::span<const TensorView> outputs) {
    std::size_t count = 0;
    for (const Slot& slot : settings_.slots) {
      const auto values = read_finite(outputs, slot);
      if (!values) return values.error();
      for (const float value : *values) {
        if (count < given_.size()) given_[count] = value;
        ++count;
      }
    }
    if (count == given_.size()) return {};
    std::string what;
    for (const Slot& slot : settings_.slots) what += (what.empty() ? "'" : " and '") + slot.name + "'";
    return Error{Code::tensor, "output " + what + " has " + std::to_string(count) + " values; expected " +
                                   std::to_string(given_.size())};
  }

  /// Landmarks as x, y in pixels of the original image.
  Status place(const Geometry& geometry, std::vector<double>& made) const {
    const bool direct = settings_.coordinates == Coordinates::original;
    if (Status fits = direct ? Status{} : check(geometry); !fits) return fits;
    const bool share = settings_.coordinates == Coordinates::input_share;
    const std::size_t count = given_.size() / 2;
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const std::size_t side = 1 - axis;  // x is along the width, which comes second in sizes
      for (std::size_t point = 0; point < count; ++point) {
        double value = settings_.planes ? given_[axis * count + point] : given_[2 * point + axis];
        if (share) value *= geometry.tensor[side];
        if (!direct) {
          const double factor =
              static_cast<double>(geometry.original[side]) / static_cast<double>(geometry.content[2 + side]);
          value = (value - geometry.content[side]) * factor;
        }
        made[2 * point + axis] = value;
      }
    }
    return {};
  }

  Settings settings_;
  std::vector<double> given_;
};

/// `scale` or `offset`: one number for each value, or one for all.
std::vector<double> one_for_each(Section& section, const std::string& key, double fallback, std::size_t width) {
  const nlohmann::json* given = section.find(key);
  if (given == nullptr || !given->is_array()) return std::vector<double>(width, section.number(key, fallback));
  std::vector<double> made = section.numbers(key);
  if (made.size() != width) {
    section.refuse(key, "found " + std::to_string(made.size()) + " numbers for " + std::to_string(width) +
                            " values; give one for each, or one for all");
    made.resize(width);
  }
  return made;
}

Settings settings_of(Section& section) {
  constexpr std::size_t most = 4096;
  static constexpr std::array<std::string_view, 3> coordinates{"original", "input-pixels", "input-share"};
  static constexpr std::array<std::string_view, 2> layouts{"pairs", "planes"};
  Settings made;
  made.points = section.find("points") != nullptr;
  if (made.points == (section.find("components") != nullptr)) {
    section.refuse("components", "give one of components and points, the names of values or of landmarks");
  }
  const std::vector<std::string> names = section.names(made.points ? "points" : "components", 1, most);
  for (const std::string& name : names) {
    if (made.points) made.names.push_back(name + "_x");
    made.names.push_back(made.points ? name + "_y" : name);
  }
  made.scale = one_for_each(section, "scale", 1, made.names.size());
  made.offset = one_for_each(section, "offset", 0, made.names.size());
  if (made.points != (section.find("coordinates") != nullptr)) {
    section.expect("coordinates", made.points ? "what the landmarks are measured in" : "none: it belongs to points");
  }
  made.coordinates = static_cast<Coordinates>(section.choice("coordinates", coordinates, 0));
  made.planes = section.choice("layout", layouts, 0) == 1;
  return made;
}

}  // namespace

Made make_regression(Section section, std::span<const TensorSpec> outputs) {
  section.ignore({"period", "normalise"});
  const std::vector<std::string> names = section.one_or_more("output");
  Settings settings = settings_of(section);
  if (Status fits = section.finish(); !fits) return fits.error();
  Expected<std::vector<Slot>> slots = slots_of(names, outputs);
  if (!slots) return slots.error();
  for (const Slot& slot : *slots) {
    if (outputs[slot.place].dtype != DType::float32) {
      return Error{Code::tensor, "task.output: the model gives " + outputs[slot.place].text() +
                                     "; expected float32: cast the output to float32"};
    }
  }
  settings.slots = std::move(*slots);
  return {std::make_unique<Regression>(std::move(settings))};
}

}  // namespace edgekit
