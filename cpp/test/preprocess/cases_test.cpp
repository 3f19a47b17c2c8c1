// Holds the preprocessing to Python's, over all that a spec can name.
#include "preprocess/cases.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>

#include "files/npz.hpp"
#include "preprocess/half.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit {

const std::uint8_t* PreprocessCases::at(const nlohmann::json& slice) const {
  return static_cast<const std::uint8_t*>(bytes.data()) + slice.at("at").get<std::size_t>();
}

std::vector<Source> PreprocessCases::sources(const nlohmann::json& one) const {
  std::vector<Source> made;
  for (const auto& source : one.at("sources")) {
    Source next{.name = source.at("name").get_ref<const std::string&>(), .image = {}, .array = {}};
    if (source.contains("array")) {
      const auto& slice = source.at("array");
      next.array = {at(slice), Shape(slice.at("shape").get<std::vector<std::int64_t>>()),
                    *dtype_of(slice.at("dtype").get<std::string>())};
    } else {
      next.image.data = at(source.at("data"));
      next.image.bytes = source.at("data").at("bytes");
      next.image.height = source.at("height");
      next.image.width = source.at("width");
      next.image.stride = source.at("stride");
      next.image.encoding = *encoding_of(source.at("encoding").get<std::string>());
    }
    made.push_back(next);
  }
  return made;
}

std::vector<TensorSpec> PreprocessCases::inputs(const nlohmann::json& one) {
  std::vector<TensorSpec> made;
  for (const auto& input : one.at("inputs")) {
    made.push_back({input.at("name"), Shape(input.at("shape").get<std::vector<std::int64_t>>()),
                    *dtype_of(input.at("dtype").get<std::string>())});
  }
  return made;
}

const PreprocessCases& preprocess_cases() {
  static const PreprocessCases cases = [] {
    const std::filesystem::path folder = std::filesystem::path(EDGEKIT_CASES) / "preprocess";
    std::ifstream file(folder / "cases.json");
    auto arrays = read_npz(folder / "bytes.npz");
    if (!file || !arrays) throw std::runtime_error("no cases in " + folder.string() + ": make cpp-cases");
    return PreprocessCases{nlohmann::json::parse(file), std::move(arrays->at("bytes"))};
  }();
  return cases;
}

namespace {

double value_of(const std::uint8_t* values, DType dtype, std::size_t at) {
  const auto read = [&](auto value) {
    std::memcpy(&value, values + at * sizeof value, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::float16:
      return preprocessing::double_of_half(read(std::uint16_t{}));
    case DType::uint8:
    case DType::boolean:
      return read(std::uint8_t{});
    case DType::int32:
      return read(std::int32_t{});
    case DType::int64:
      return static_cast<double>(read(std::int64_t{}));
    default:
      return read(float{});
  }
}

// How far the tensor is from Python's, in shares of what is allowed; and a word on the worst place.
struct Worst {
  double times = 0;
  std::string where;
};

Worst compare(const TensorView& made, const std::uint8_t* wanted, const std::vector<double>& allowed,
              bool channels_last) {
  Worst worst;
  const auto* values = static_cast<const std::uint8_t*>(made.data);
  if (std::memcmp(values, wanted, made.bytes()) == 0) return worst;
  const auto count = static_cast<std::size_t>(made.shape.elements());
  const std::size_t plane = count / allowed.size();
  for (std::size_t at = 0; at < count; ++at) {
    const double limit = allowed[channels_last ? at % allowed.size() : at / plane];
    const double found = value_of(values, made.dtype, at);
    const double expected = value_of(wanted, made.dtype, at);
    if (found == expected || (std::isnan(found) && std::isnan(expected))) continue;
    const double times = std::abs(found - expected) / std::max(limit, 1e-300);
    if (times > worst.times || std::isnan(times)) {
      worst = {std::isnan(times) ? HUGE_VAL : times,
               "at " + std::to_string(at) + ": " + std::to_string(found) + " instead of " + std::to_string(expected)};
    }
  }
  return worst;
}

bool is_channels_last(const nlohmann::json& keys) { return keys.is_object() && keys.value("layout", "nchw") == "nhwc"; }

std::string check_case(const nlohmann::json& one) {
  const PreprocessCases& cases = preprocess_cases();
  auto preprocess = Preprocess::create(one.at("section"), PreprocessCases::inputs(one));
  if (!preprocess) return preprocess.error().message;
  std::vector<Source> sources = cases.sources(one);
  std::vector<std::vector<std::uint8_t>> own;  // a buffer for each, so that AddressSanitizer sees what lies beside it
  for (Source& source : sources) {
    const void*& data = source.array.data;
    const auto* first = data != nullptr ? static_cast<const std::uint8_t*>(data) : source.image.data;
    own.emplace_back(first, first + (data != nullptr ? source.array.bytes() : source.image.bytes));
    if (data != nullptr) {
      data = own.back().data();
    } else {
      source.image.data = own.back().data();
    }
  }
  for (int again = 0; again < 2; ++again) {  // the second time with the memory of the first
    const auto feeds = (*preprocess)(sources);
    if (one.contains("error")) {
      if (feeds) return "Python refuses it: " + one.at("error").get<std::string>();
      return feeds.error().code == Code::frame ? "" : "refused for another reason: " + feeds.error().message;
    }
    if (!feeds) return feeds.error().message;
    for (std::size_t at = 0; at < feeds->size(); ++at) {
      const auto& input = one.at("inputs")[at];
      const auto allowed = input.at("allowed").get<std::vector<double>>();
      const Worst worst = compare((*feeds)[at], cases.at(input.at("made")), allowed,
                                  is_channels_last(one.at("section").at(input.at("name"))));
      if (worst.times > 1.0) return worst.where + " (" + std::to_string(worst.times) + " times what is allowed)";
    }
    const Geometry& geometry = preprocess->geometry();
    const nlohmann::json found = {geometry.original, geometry.tensor, geometry.content};
    if (found != one.at("geometry")) return "geometry " + found.dump() + " instead of " + one.at("geometry").dump();
  }
  return "";
}

TEST(PreprocessCases, AreAsInPython) {
  std::size_t wrong = 0;
  for (const auto& one : preprocess_cases().list) {
    const std::string why = check_case(one);
    if (why.empty()) continue;
    ++wrong;
    if (wrong <= 30) ADD_FAILURE() << one.at("name").get<std::string>() << ": " << why;
  }
  EXPECT_EQ(wrong, 0U) << "of " << preprocess_cases().list.size();
  EXPECT_GT(preprocess_cases().list.size(), 500U);
}

TEST(PreprocessCases, HaveThePathErrorsOfPython) {
  // The same words up to what Python alone can say: the values that the pixels have, and the way out.
  const std::map<std::string, std::string> said{
      {"crop too large",
       "a frame of 40x50 (height x width) is 40x50 before the crop, less than the 41x30 that is taken"},
      {"16 bits for 8", "but preprocess.image.pixels is uint8: set pixels: uint16"},
      {"8 bits for 16", "but preprocess.image.pixels is uint16: leave these frames out"},
      {"NaN", "holds NaN or infinity"},
      {"no such image", "the sample has no image 'left', it has 'image'"},
      {"size of nothing", "no input of kind image says how large the frame is"},
      {"array of another shape", "the model input takes [1, 4, 2], with or without its first axis"},
      {"array 256.0 of int16 to uint8", "is int16 and holds values that uint8"},
      {"array 70000.0 of float32 to float16", "holds values beyond what float16"},
      {"no RGB", "(height, width, 3)"}};
  std::size_t seen = 0;
  for (const auto& one : preprocess_cases().list) {
    const auto wanted = said.find(one.at("name"));
    if (wanted == said.end()) continue;
    ++seen;
    auto preprocess = Preprocess::create(one.at("section"), PreprocessCases::inputs(one));
    ASSERT_TRUE(preprocess) << preprocess.error().message;
    const auto feeds = (*preprocess)(preprocess_cases().sources(one));
    ASSERT_FALSE(feeds) << wanted->first;
    EXPECT_THAT(feeds.error().message, ::testing::HasSubstr(wanted->second));
    EXPECT_THAT(one.at("error").get<std::string>(), ::testing::HasSubstr(wanted->second));
  }
  EXPECT_EQ(seen, said.size());
}

}  // namespace
}  // namespace edgekit
