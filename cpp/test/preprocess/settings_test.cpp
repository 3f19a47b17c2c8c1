// What a bundle may not ask for, each refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "preprocess/half.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const TensorSpec image_input{"image", {1, 3, 4, 6}, DType::float32};

json with(const json& keys) {
  json section = {{"image", {{"resize", {4, 6}}}}};
  section["image"].update(keys);
  return section;
}

Error refused(const json& section, const TensorSpec& input = image_input) {
  const auto made = Preprocess::create(section, {&input, 1});
  return made ? Error{} : made.error();
}

TEST(PreprocessSettings, TakesWhatIsLeftOutAsPythonDoes) {
  EXPECT_TRUE(Preprocess::create(with(json::object()), {&image_input, 1}));
}

TEST(PreprocessSettings, RefusesByNameWhatItHasNot) {
  const std::pair<json, const char*> cases[] = {
      {{{"mode", "mosaic"}}, "preprocess.image.mode: \"mosaic\""},
      {{{"interpolation", "mitchell"}}, "preprocess.image.interpolation: \"mitchell\""},
      {{{"antialias", "pillow-14"}}, "preprocess.image.antialias: \"pillow-14\""},
      {{{"color", "lab"}}, "preprocess.image.color: \"lab\""},
      {{{"pixels", "uint12"}}, "preprocess.image.pixels: \"uint12\""},
      {{{"layout", "nhcw"}}, "preprocess.image.layout: \"nhcw\""},
      {{{"dtype", "float8"}}, "preprocess.image.dtype: \"float8\""},
      {{{"kind", "lidar"}}, "preprocess.image.kind: \"lidar\""},
      {{{"gamma", 2.2}}, "preprocess.image.gamma: 2.2"},
  };
  for (const auto& [keys, text] : cases) {
    const Error error = refused(with(keys));
    EXPECT_EQ(error.code, Code::unsupported) << keys;
    EXPECT_THAT(error.message, HasSubstr(text));
  }
}

TEST(PreprocessSettings, NamesWhatNothingCanBe) {
  const std::pair<json, const char*> cases[] = {
      {{{"resize", {4, 7}}}, "resize: makes [1, 3, 4, 7], but the model input has [1, 3, 4, 6]"},
      {{{"resize", {4, 0}}}, "resize: expected a number of pixels"},
      {{{"resize", {4, 6, 8}}}, "resize: expected a number of pixels"},
      {{{"resize", "4x6"}}, "resize: expected a number of pixels"},
      {{{"resize", json::array()}}, "resize: expected a number of pixels"},
      {{{"layout", "nhwc"}}, "but the model input has [1, 3, 4, 6]"},
      {{{"color", "grey"}}, "makes [1, 1, 4, 6]"},
      {{{"source", json::array()}}, "source: expected 1 to 64 names"},
      {{{"source", 3}}, "source: expected a name"},
      {{{"before_crop", 8}}, "before_crop: belongs to mode: crop"},
      {{{"interpolation", "area"}, {"antialias", true}}, "antialias: leave it out"},
      {{{"scale", 0}}, "scale: expected a number above 0"},
      {{{"scale", nullptr}}, "scale: expected a finite number"},
      {{{"mean", {1, 2}}}, "mean: expected 1, 3 or 3 numbers; found 2"},
      {{{"mean", {1, 2, "x"}}}, "mean: expected finite numbers"},
      {{{"std", {1, 0, 1}}}, "std: expected numbers above 0"},
      {{{"std", json::array()}}, "std: expected a number, found an empty list"},
      {{{"pad_value", 256}}, "pad_value: expected a whole number from 0 to 255"},
      {{{"pad_value", 0.5}}, "pad_value: expected a whole number"},
      {{{"dtype", "uint8"}}, "dtype: is uint8, but the model input is float32"},
  };
  for (const auto& [keys, text] : cases) {
    const Error error = refused(with(keys));
    EXPECT_EQ(error.code, Code::bundle) << keys;
    EXPECT_THAT(error.message, HasSubstr(text));
    EXPECT_THAT(error.message, HasSubstr("preprocess.image."));
  }
  EXPECT_THAT(refused(json::array()).message, HasSubstr("no input is described"));
  EXPECT_THAT(refused(json::object()).message, HasSubstr("nothing says what this model input is made of"));
  EXPECT_THAT(refused({{"image", 3}}).message, HasSubstr("expected a mapping"));
  json more = with(json::object());
  more["other"] = more["image"];
  EXPECT_THAT(refused(more).message, HasSubstr("preprocess.other: the model has no such input"));
}

TEST(PreprocessSettings, KnowsWhatATypeCanHold) {
  const auto typed = [](DType dtype) { return TensorSpec{"image", {1, 3, 4, 6}, dtype}; };
  const auto message = [&](DType dtype, json keys) {
    keys["dtype"] = name_of(dtype);
    return refused(with(keys), typed(dtype)).message;
  };
  EXPECT_EQ(message(DType::uint8, json::object()), "");
  EXPECT_THAT(message(DType::uint8, {{"scale", 0.5}}), HasSubstr("takes pixel values as they are"));
  EXPECT_THAT(message(DType::int64, {{"mean", 1.0}}), HasSubstr("takes pixel values as they are"));
  EXPECT_THAT(message(DType::int32, {{"std", 2.0}}), HasSubstr("takes pixel values as they are"));
  EXPECT_THAT(message(DType::uint8, {{"pixels", "uint16"}}), HasSubstr("uint16 values do not fit"));
  EXPECT_THAT(message(DType::float16, {{"pixels", "uint16"}}), HasSubstr("float16 can hold"));
  EXPECT_THAT(message(DType::boolean, json::object()), HasSubstr("the model input is bool"));
  EXPECT_THAT(message(DType::int8, json::object()), HasSubstr("a model input of int8 is not made"));
}

TEST(PreprocessSettings, OfAConstantFitItsType) {
  const auto message = [](const json& value, DType dtype) {
    const json section = {
        {"c", {{"kind", "constant"}, {"value", value}, {"dtype", name_of(dtype)}, {"shape", {1, 2}}}}};
    return refused(section, {"c", {1, 2}, dtype}).message;
  };
  EXPECT_EQ(message({{1, 2}}, DType::int64), "");
  EXPECT_EQ(message(true, DType::boolean), "");
  EXPECT_THAT(message({1, 2}, DType::int64), HasSubstr("nested lists of the input's shape [1, 2]"));
  EXPECT_THAT(message("x", DType::int64), HasSubstr("expected a number"));
  EXPECT_THAT(message(256, DType::uint8), HasSubstr("holds 256, which uint8 cannot hold"));
  EXPECT_THAT(message(0.5, DType::int32), HasSubstr("holds 0.5"));
  EXPECT_THAT(message(70000, DType::float16), HasSubstr("float16 cannot hold"));
  EXPECT_THAT(message(std::numeric_limits<std::uint64_t>::max(), DType::int64), HasSubstr("int64 cannot hold"));
  EXPECT_THAT(message(2, DType::boolean), HasSubstr("bool cannot hold"));
}

TEST(PreprocessSettings, OfAFrameSizeFitItsInput) {
  const auto message = [](const json& keys, const TensorSpec& input) {
    json section = {{"size", {{"kind", "frame_size"}, {"order", "width_height"}}}};
    section["size"].update(keys);
    section["size"]["dtype"] = name_of(input.dtype);
    return refused(section, input).message;
  };
  EXPECT_EQ(message(json::object(), {"size", {1, 2}, DType::int64}), "");
  EXPECT_THAT(message(json::object(), {"size", {1, 3}, DType::int64}), HasSubstr("a size is two numbers"));
  EXPECT_THAT(message(json::object(), {"size", {2}, DType::uint8}), HasSubstr("does not fit in uint8"));
  EXPECT_THAT(message({{"of", "ratio"}}, {"size", {2}, DType::int32}), HasSubstr("a ratio is no whole number"));
  EXPECT_THAT(message({{"order", "diagonal"}}, {"size", {2}, DType::int32}), HasSubstr("order: \"diagonal\""));
}

TEST(Half, IsRoundedOnceToTheNearest) {
  using preprocessing::double_of_half;
  using preprocessing::half_of;
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    ASSERT_EQ(half_of(double_of_half(half)), half);
    ASSERT_EQ(half_of(-double_of_half(half)), half | 0x8000);
    const double between =
        (double_of_half(half) + (bits == 0x7BFF ? 65536.0 : double_of_half(static_cast<std::uint16_t>(bits + 1)))) / 2;
    ASSERT_EQ(half_of(between), bits % 2 == 0 ? bits : bits + 1) << "ties go to the even one";
    ASSERT_EQ(half_of(std::nextafter(between, 0.0)), bits);
  }
  EXPECT_EQ(half_of(HUGE_VAL), 0x7C00);
  EXPECT_EQ(half_of(NAN) & 0x7E00, 0x7E00);
}

}  // namespace
}  // namespace edgekit
