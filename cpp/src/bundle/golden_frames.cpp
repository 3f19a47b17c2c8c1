// golden/predictions.json, and the frames that it names.
#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bundle/golden.hpp"
#include "bundle/hash.hpp"
#include "bundle/json.hpp"
#include "bundle/text.hpp"
#include "core/is_text.hpp"
#include "files/npz.hpp"
#include "files/picture.hpp"

namespace edgekit {
namespace {

using Json = nlohmann::ordered_json;  // several tasks' predictions have an order

constexpr std::string_view document_file = "golden/predictions.json";
constexpr std::uint64_t largest_document = std::uint64_t{256} << 20;
constexpr std::int64_t most_side = std::int64_t{1} << 20;

/// What is wrong with the document; caught in read().
struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void only(const Json& mapping, std::initializer_list<std::string_view> keys) {
  if (!mapping.is_object()) throw Wrong("expected a mapping, {key: value}");
  for (const auto& [key, unused] : mapping.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) throw Wrong(key + ": unknown key");
  }
}

std::int64_t whole(const Json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) throw Wrong("expected a whole number");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
    throw Wrong("expected " + std::to_string(most) + " or less");
  }
  const auto found = value.get<std::int64_t>();
  if (found < least || found > most) {
    throw Wrong("expected a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return found;
}

double number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  throw Wrong("expected a number");
}

const Json& list(const Json& mapping, const char* key) {
  const Json& found = mapping.at(key);
  if (!found.is_array()) throw Wrong(std::string(key) + ": expected a list, [a, b]");
  return found;
}

const Json& mapping_at(const Json& mapping, const char* key) {
  const Json& found = mapping.at(key);
  if (!found.is_object()) throw Wrong(std::string(key) + ": expected a mapping, {key: value}");
  return found;
}

std::vector<float> floats(const Json& mapping, const char* key) {
  std::vector<float> made;
  for (const Json& one : list(mapping, key)) made.push_back(static_cast<float>(number(one)));
  return made;
}

template <std::size_t count>
std::array<std::int32_t, count> numbers(const Json& mapping, const char* key, std::int64_t least) {
  const Json& found = list(mapping, key);
  if (found.size() != count) throw Wrong(std::string(key) + ": expected " + std::to_string(count) + " numbers");
  std::array<std::int32_t, count> made{};
  for (std::size_t at = 0; at < count; ++at) made[at] = static_cast<std::int32_t>(whole(found[at], least, most_side));
  return made;
}

LabelMap label_map(const Json& record) {
  only(record, {"kind", "height", "width", "runs"});
  LabelMap made;
  made.height = static_cast<std::int32_t>(whole(record.at("height"), 0, most_side));
  made.width = static_cast<std::int32_t>(whole(record.at("width"), 0, most_side));
  const std::uint64_t pixels = static_cast<std::uint64_t>(made.height) * static_cast<std::uint64_t>(made.width);
  const Json& runs = list(record, "runs");
  std::uint64_t total = 0;
  for (std::size_t at = 1; at < runs.size(); at += 2) {
    total += static_cast<std::uint64_t>(whole(runs[at], 0, std::numeric_limits<std::int32_t>::max()));
  }
  if (runs.size() % 2 != 0 || total != pixels || pixels > most_pixels) {
    throw Wrong("the runs of a label map give " + with_commas(total) + " pixels, not " + std::to_string(made.height) +
                " x " + std::to_string(made.width));
  }
  made.labels.reserve(pixels);
  for (std::size_t at = 0; at + 1 < runs.size(); at += 2) {
    const auto label = static_cast<std::uint8_t>(whole(runs[at], 0, 255));
    made.labels.insert(made.labels.end(), runs[at + 1].get<std::size_t>(), label);
  }
  return made;
}

Detections detections(const Json& record) {
  only(record, {"kind", "boxes", "scores", "labels", "size"});
  Detections made;
  for (const Json& box : list(record, "boxes")) {
    if (!box.is_array() || box.size() != 4) throw Wrong("boxes: expected four numbers each");
    std::array<float, 4> corners{};
    for (std::size_t side = 0; side < 4; ++side) corners[side] = static_cast<float>(number(box[side]));
    made.boxes.push_back(corners);
  }
  made.scores = floats(record, "scores");
  for (const Json& label : list(record, "labels")) {
    constexpr auto limits = std::numeric_limits<std::int64_t>();
    made.labels.push_back(whole(label, limits.min(), limits.max()));
  }
  if (made.scores.size() != made.boxes.size() || made.labels.size() != made.boxes.size()) {
    throw Wrong("expected one score and one label a box");
  }
  return made;
}

Values values(const Json& record) {
  only(record, {"kind", "values"});
  Values made;
  for (const auto& [name, value] : mapping_at(record, "values").items()) {
    made.names.push_back(name);
    made.values.push_back(number(value));
  }
  return made;
}

Result prediction(const Json& record) {
  if (!record.is_object()) throw Wrong("expected a mapping, {key: value}");
  const auto kind = record.at("kind").get<std::string>();
  Result made;
  if (kind == "label_map") {
    made.value = label_map(record);
  } else if (kind == "detections") {
    made.value = detections(record);
  } else if (kind == "class_scores") {
    made.value = ClassScores{floats(record, "probabilities")};
  } else if (kind == "embedding") {
    made.value = Embedding{floats(record, "vector")};
  } else if (kind == "values") {
    made.value = values(record);
  } else if (kind == "several") {
    Several several;
    for (const auto& [name, part] : mapping_at(record, "parts").items())
      several.parts.push_back({name, prediction(part)});
    made.value = std::move(several);
  } else if (kind != "tensors" && kind != "other") {
    throw Wrong("a prediction of the kind " + quoted_name(kind) + ", which is not known");
  }
  return made;
}

Geometry geometry(const Json& record) {
  only(record, {"original", "tensor", "content"});
  return {numbers<2>(record, "original", 0), numbers<2>(record, "tensor", 0),
          numbers<4>(record, "content", -most_side)};
}

/// Grey in three equal channels, which the bundle keeps as one.
Tensor in_three_channels(const Tensor& grey) {
  Tensor made;
  const Shape& size = grey.shape();
  if (!made.resize({size[0], size[1], 3}, grey.dtype())) throw std::bad_alloc();
  const std::size_t width = size_of(grey.dtype());
  const auto* from = static_cast<const char*>(grey.data());
  auto* to = static_cast<char*>(made.data());
  for (std::size_t at = 0; at < grey.bytes(); at += width) {
    for (int channel = 0; channel < 3; ++channel, to += width) std::memcpy(to, from + at, width);
  }
  return made;
}

}  // namespace

/// Reads one frame's sources.
class GoldenFramesReader {
 public:
  explicit GoldenFramesReader(const std::filesystem::path& folder) : folder_(folder) {}

  Expected<GoldenFrame> frame(const Json& record) {
    only(record, {"id", "sources", "geometry", "prediction"});
    GoldenFrame made;
    made.id = record.at("id").get<std::string>();
    made.geometry = geometry(record.at("geometry"));
    made.prediction = prediction(record.at("prediction"));
    arrays_.clear();
    if (record.at("sources").is_null()) return made;
    for (const auto& [name, source] : mapping_at(record, "sources").items()) {
      if (Status read = add(made, name, source); !read) return read.error();
    }
    return made;
  }

 private:
  Status add(GoldenFrame& frame, const std::string& name, const Json& record) {
    only(record, {"file", "kind", "shape", "dtype"});
    const auto file = record.at("file").get<std::string>();
    if (!stays_inside(file)) throw Wrong(quoted_name(file) + " points outside the bundle");
    const bool picture = is_text(record.at("kind"), "png");
    if (!picture && !is_text(record.at("kind"), "npz")) throw Wrong("expected 'png' or 'npz'");
    const std::size_t rank = list(record, "shape").size();
    Expected<Tensor> found = picture ? from_png(file, rank) : from_npz(file, name);
    if (!found && found.error().code == Code::out_of_memory) return found.error();
    const std::string is = found ? name_of(found->dtype()) + found->shape().text() : "nothing";
    const std::string said = record.at("dtype").get<std::string>() + said_shape(record);
    if (is != said) {
      return Error{Code::bundle, file + ": " + quoted_name(name) + " is " + is + ", " + std::string(document_file) +
                                     " says " + said + "; build the bundle again"};
    }
    frame.held_.push_back(std::make_unique<GoldenFrame::Held>());
    GoldenFrame::Held& held = *frame.held_.back();
    held = {name, std::move(*found)};
    Source source{held.name, {}, {}};
    if (picture && rank == 3) {
      Picture view{std::move(held.values)};
      source.image = view.frame();
      held.values = std::move(view.pixels);
    } else {
      source.array = held.values.view();
    }
    frame.sources_.push_back(source);
    return {};
  }

  static std::string said_shape(const Json& record) {
    std::string made = "[";
    for (const Json& size : list(record, "shape")) {
      made += (made.size() > 1 ? ", " : "") + std::to_string(whole(size, 0, std::numeric_limits<std::int64_t>::max()));
    }
    return made + "]";
  }

  Expected<Tensor> from_png(const std::string& file, std::size_t rank) const {
    Expected<Picture> found = read_picture(folder_ / file);
    if (!found) return found.error();
    if (rank == 3 && found->pixels.shape().rank() == 2) return in_three_channels(found->pixels);
    return std::move(found->pixels);
  }

  Expected<Tensor> from_npz(const std::string& file, const std::string& name) {
    auto known = arrays_.find(file);
    if (known == arrays_.end()) {
      Expected<std::map<std::string, Tensor>> found = read_npz(folder_ / file);
      if (!found) return found.error();
      known = arrays_.emplace(file, std::move(*found)).first;
    }
    auto array = known->second.find(name);
    if (array == known->second.end()) return Error{Code::bundle, name + " is not there"};
    return std::move(array->second);
  }

  const std::filesystem::path& folder_;
  std::map<std::string, std::map<std::string, Tensor>> arrays_;  // of this frame, by file
};

Expected<std::optional<GoldenFrames>> GoldenFrames::read(const Bundle& bundle) noexcept try {
  const std::filesystem::path file = bundle.path() / document_file;
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(file, unknown)) return std::optional<GoldenFrames>();
  const Expected<std::string> text = read_text(file, largest_document);
  if (!text) return text.error();
  const auto wrong = [&file](const std::string& why) {
    return Error{Code::bundle, file.string() + ": " + why + "; made by another edgekit? build it again"};
  };
  try {
    const Expected<OrderedJsonDocument> parsed = parse_ordered_json(*text);
    if (!parsed) return wrong("not valid JSON: " + parsed.error().message);
    const Json& document = parsed->root;
    only(document, {"format", "version", "task", "reference", "frames"});
    if (!is_text(document.at("format"), "edgekit-predictions") || document.at("version") != 1) {
      return wrong("expected edgekit-predictions, version 1");
    }
    GoldenFrames made{document.at("task").get<std::string>(), document.at("reference").get<std::string>(), {}};
    GoldenFramesReader reader(bundle.path());
    for (const Json& record : list(document, "frames")) {
      Expected<GoldenFrame> frame = reader.frame(record);
      if (!frame) return frame.error();
      made.frames.push_back(std::move(*frame));
    }
    return std::optional<GoldenFrames>(std::move(made));
  } catch (const Wrong& error) {
    return wrong(error.what());
  } catch (const nlohmann::json::exception& error) {
    return wrong(error.what());
  }
} catch (...) {
  return Error{Code::out_of_memory, {}};
}

}  // namespace edgekit
