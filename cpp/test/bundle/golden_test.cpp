#include "bundle/golden.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "bundle/cases.hpp"
#include "files/npz.hpp"

namespace edgekit {
namespace {

using test::case_folder;
using testing::HasSubstr;

std::filesystem::path golden_folder() { return std::filesystem::path(EDGEKIT_CASES) / "thinned"; }

bool equal(const TensorView& first, const TensorView& second) {
  return first.dtype == second.dtype && first.shape == second.shape &&
         std::memcmp(first.data, second.data, first.bytes()) == 0;
}

TEST(Golden, KeepsThoseValuesOfALargeOutputThatPythonKeeps) {
  const Expected<Golden> golden = Golden::read(golden_folder() / "golden.npz");
  ASSERT_TRUE(golden) << golden.error().message;
  const auto whole = read_npz(golden_folder() / "whole.npz");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(golden->frames(), 2U);
  EXPECT_THAT(golden->references(), testing::ElementsAre("fp32", "int8"));
  for (const char* reference : {"fp32", "int8"}) {
    for (std::size_t frame = 0; frame < 2; ++frame) {
      const TensorView output = whole->at(std::string(reference) + "." + std::to_string(frame)).view();
      const Expected<Tensor> kept = golden->kept(frame, "large", output);
      ASSERT_TRUE(kept);
      EXPECT_EQ(kept->shape(), Shape{32768});
      const Expected<TensorView> held = golden->output(frame, "large", reference);
      ASSERT_TRUE(held) << held.error().message;
      EXPECT_TRUE(equal(kept->view(), *held));
      EXPECT_FALSE(golden->whole(frame, "large"));
    }
  }
}

TEST(Golden, GivesBackWhatIsKeptWhole) {
  const Expected<Golden> golden = Golden::read(golden_folder() / "golden.npz");
  ASSERT_TRUE(golden) << golden.error().message;
  const Expected<TensorView> small = golden->output(1, "small.part");
  ASSERT_TRUE(small) << "a dot in a tensor's name is no separator";
  EXPECT_TRUE(golden->whole(1, "small.part"));
  EXPECT_TRUE(equal(golden->kept(1, "small.part", *small)->view(), *small));
  Tensor other;  // of another shape than the reference
  ASSERT_TRUE(other.resize({3}, DType::float32));
  EXPECT_TRUE(equal(golden->kept(0, "large", other.view())->view(), other.view()));
}

TEST(Golden, SaysWhatIsMissing) {
  const Expected<Golden> golden = Golden::read(golden_folder() / "golden.npz");
  ASSERT_TRUE(golden);
  EXPECT_THAT(golden->output(0, "large", "fp16").error().message,
              HasSubstr("lacks output 'large' of fp16 on frame 0 (it has those of: fp32, int8)"));
  EXPECT_FALSE(golden->output(2, "large"));
  EXPECT_FALSE(golden->output(0, "large", "shape"));
  EXPECT_THAT(golden->input(0, "points").error().message, HasSubstr("lacks input 'points' of frame 0"));
  const std::vector<TensorSpec> inputs{{"image", {1, 3, 2, 2}, DType::float32}};
  EXPECT_TRUE(golden->feeds(1, inputs));
  EXPECT_FALSE(golden->feeds(2, inputs));
}

TEST(Golden, RefusesOtherNames) {
  for (const char* name : {"other-names.npz", "far-frame.npz"}) {
    const Expected<Golden> golden = Golden::read(golden_folder() / name);
    ASSERT_FALSE(golden) << name;
    EXPECT_THAT(golden.error().message, HasSubstr("expected <role>.<frame>.<tensor>"));
  }
  EXPECT_EQ(Golden::read(golden_folder() / "no-array.json").error().code, Code::bundle);
}

TEST(Golden, OfABundleIsThatOfItsRole) {
  const Expected<Bundle> bundle = Bundle::open(case_folder() / "good.edgekit");
  ASSERT_TRUE(bundle);
  const Expected<Golden> golden = Golden::of(*bundle);
  ASSERT_TRUE(golden) << golden.error().message;
  EXPECT_EQ(golden->frames(), 2U);
  EXPECT_TRUE(golden->feeds(1, bundle->inputs()));
  EXPECT_TRUE(Golden::of(*bundle, "control"));
  EXPECT_FALSE(Golden::of(*bundle, "driver"));
}

class Frames : public testing::Test {
 protected:
  void SetUp() override {
    Expected<Bundle> opened = Bundle::open(case_folder() / "good.edgekit");
    ASSERT_TRUE(opened) << opened.error().message;
    Expected<std::optional<GoldenFrames>> read = GoldenFrames::read(*opened);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_TRUE(*read);
    golden = std::move(**read);
    auto written = read_npz(case_folder() / "frames.npz");
    ASSERT_TRUE(written) << written.error().message;
    arrays = std::move(*written);
  }

  /// The pixels of an image as an array.
  static TensorView pixels(const Frame& image) {
    const bool wide = image.encoding == Encoding::rgb16;
    return {image.data, {image.height, image.width, 3}, wide ? DType::uint16 : DType::uint8};
  }

  const Result& prediction(std::size_t frame) const { return golden.frames[frame].prediction; }

  GoldenFrames golden;
  std::map<std::string, Tensor> arrays;
};

TEST_F(Frames, ComeBackAsTheyWereRead) {
  EXPECT_EQ(golden.task, "segmentation");
  EXPECT_EQ(golden.reference, "int8");
  ASSERT_EQ(golden.frames.size(), 7U);
  std::size_t compared = 0;
  for (std::size_t number = 0; number < golden.frames.size(); ++number) {
    EXPECT_EQ(golden.frames[number].id, "frame " + std::to_string(number));
    for (const Source& source : golden.frames[number].sources()) {
      const std::string name = std::to_string(number) + "." + std::string(source.name);
      SCOPED_TRACE(name);
      const bool image = source.array.data == nullptr;
      if (image) {
        EXPECT_TRUE(source.image.check()) << source.image.check().error().message;
      }
      EXPECT_TRUE(equal(image ? pixels(source.image) : source.array, arrays.at(name).view()));
      EXPECT_EQ(image, name.ends_with(".image") || name.ends_with("far"));
      ++compared;
    }
  }
  EXPECT_EQ(compared, 9U);
  EXPECT_TRUE(golden.frames[5].sources().empty()) << "the bundle keeps no raw frame";
}

TEST_F(Frames, HaveAGeometry) { EXPECT_EQ(golden.frames[0].geometry, (Geometry{{6, 8}, {8, 12}, {1, -2, 6, 8}})); }

TEST_F(Frames, HaveAPredictionOfEachKind) {
  const TensorView labels = arrays.at("labels").view();
  const auto* map = prediction(0).get<LabelMap>();
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(map->height, 6);
  EXPECT_EQ(map->width, 8);
  EXPECT_TRUE(std::equal(map->labels.begin(), map->labels.end(), labels.as<std::uint8_t>().begin()));
  const auto* found = prediction(1).get<Detections>();
  ASSERT_NE(found, nullptr);
  ASSERT_EQ(found->boxes.size(), 3U);
  EXPECT_EQ(found->boxes[2][3], arrays.at("boxes").as<float>()[11]);
  EXPECT_THAT(found->labels, testing::ElementsAre(2, 0, 1));
  EXPECT_EQ(found->scores.size(), 3U);
  ASSERT_NE(prediction(2).get<ClassScores>(), nullptr);
  EXPECT_THAT(prediction(2).get<ClassScores>()->probabilities, testing::ElementsAre(0.25F, 0.5F, 0.25F));
  ASSERT_NE(prediction(3).get<Embedding>(), nullptr);
  EXPECT_EQ(prediction(3).get<Embedding>()->vector.size(), 5U);
  const auto* values = prediction(4).get<Values>();
  ASSERT_NE(values, nullptr);
  EXPECT_THAT(values->names, testing::ElementsAre("zeta", "alpha")) << "in the order of the document";
  EXPECT_THAT(values->values, testing::ElementsAre(1.5, -2e-30));
  const auto* several = prediction(5).get<Several>();
  ASSERT_NE(several, nullptr);
  ASSERT_EQ(several->parts.size(), 3U);
  EXPECT_EQ(several->parts[0].name, "wet");
  EXPECT_NE(several->parts[1].result.get<LabelMap>(), nullptr);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(several->parts[2].result.value));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(prediction(6).value));
}

TEST_F(Frames, StayValidWhenTheyAreMoved) {
  const Source before = golden.frames[0].sources()[0];
  const GoldenFrames moved = std::move(golden);
  EXPECT_EQ(moved.frames[0].sources()[0].image.data, before.image.data);
  EXPECT_EQ(moved.frames[0].sources()[0].name, "image");
}

TEST(GoldenFramesOfABundle, AreNotThereInVersion1) {
  const Expected<Bundle> bundle = Bundle::open(case_folder() / "old.edgekit");
  ASSERT_TRUE(bundle);
  const Expected<std::optional<GoldenFrames>> read = GoldenFrames::read(*bundle);
  ASSERT_TRUE(read);
  EXPECT_FALSE(*read);
}

/// What is said of a document with one part replaced, in an unpacked bundle: hashes are of no help against its maker.
std::string said_of(const std::string& pointer, const nlohmann::json& value) {
  const Expected<Bundle> bundle = Bundle::open(case_folder() / "good.edgekit");
  const std::filesystem::path file = bundle->path() / "golden" / "predictions.json";
  auto document = nlohmann::json::parse(test::content_of(file));
  document[nlohmann::json::json_pointer(pointer)] = value;
  test::write_file(file, document.dump());
  const Expected<std::optional<GoldenFrames>> read = GoldenFrames::read(*bundle);
  if (read) return "it is read";
  EXPECT_EQ(read.error().code, Code::bundle);
  return read.error().message;
}

TEST(GoldenFramesOfABundle, AreRefusedWhenTheDocumentIsNotWhatItShouldBe) {
  EXPECT_THAT(said_of("/more", 1), HasSubstr("more: unknown key"));
  EXPECT_THAT(said_of("/version", 2), HasSubstr("expected edgekit-predictions, version 1"));
  EXPECT_THAT(said_of("/frames", 2), HasSubstr("frames: expected a list"));
  EXPECT_THAT(said_of("/frames/0", nlohmann::json::object()), HasSubstr("'id' not found"));
  EXPECT_THAT(said_of("/frames/0/prediction/runs", {1, 2}),
              HasSubstr("the runs of a label map give 2 pixels, not 6 x 8"));
  EXPECT_THAT(said_of("/frames/0/prediction/runs", {256, 48}), HasSubstr("expected 255 or less"));
  EXPECT_THAT(said_of("/frames/0/prediction/runs", {1, -1}), HasSubstr("expected a number from 0"));
  EXPECT_THAT(said_of("/frames/0/prediction/height", 4000000000), HasSubstr("expected 1048576 or less"));
  EXPECT_THAT(said_of("/frames/1/prediction/scores", {1}), HasSubstr("expected one score and one label a box"));
  EXPECT_THAT(said_of("/frames/1/prediction/boxes/0", {1, 2}), HasSubstr("expected four numbers"));
  EXPECT_THAT(said_of("/frames/2/prediction/kind", "dream"), HasSubstr("of the kind 'dream'"));
  EXPECT_THAT(said_of("/frames/2/prediction/probabilities/0", "x"), HasSubstr("expected a number"));
  EXPECT_EQ(said_of("/frames/2/prediction/probabilities/0", "Infinity"), "it is read");
  EXPECT_THAT(said_of("/frames/0/geometry/original", {1}), HasSubstr("original: expected 2 numbers"));
  EXPECT_THAT(said_of("/frames/0/sources", 5), HasSubstr("sources: expected a mapping"));
  EXPECT_THAT(said_of("/frames/0/sources/image/kind", "gif"), HasSubstr("expected 'png' or 'npz'"));
  EXPECT_THAT(said_of("/frames/0/sources/image/file", "../x.png"), HasSubstr("points outside the bundle"));
  EXPECT_THAT(said_of("/frames/0/sources/image/file", "golden/9.png"),
              HasSubstr("golden/9.png: 'image' is nothing, golden/predictions.json says uint8[6, 8, 3]"));
  EXPECT_THAT(said_of("/frames/0/sources/image/shape", {5, 8, 3}),
              HasSubstr("'image' is uint8[6, 8, 3], golden/predictions.json says uint8[5, 8, 3]"));
  EXPECT_THAT(said_of("/frames/3/sources/points/dtype", "float64"), HasSubstr("'points' is float32[5, 4]"));
}

}  // namespace
}  // namespace edgekit
