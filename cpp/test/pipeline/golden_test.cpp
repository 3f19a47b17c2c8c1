// Golden parity: what Python made of a bundle's golden frames, this library makes of them too.
//
// EDGEKIT_BUNDLES names other bundles than those of the cases, with colons between them, and EDGEKIT_PREDICTIONS the
// folder of what Python's chain makes of their frames with the same engine, <bundle>.json: make cpp-golden.
#include "bundle/golden.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "bundle/contents.hpp"
#include "edgekit/engine.hpp"
#include "edgekit/pipeline.hpp"
#include "postprocess/compare.hpp"
#include "postprocess/decoder.hpp"
#include "preprocess/preprocess.hpp"

namespace edgekit {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> bundles() {
  std::vector<fs::path> found;
  if (const char* named = std::getenv("EDGEKIT_BUNDLES"); named != nullptr && *named != '\0') {
    const std::string all = named;
    for (std::size_t start = 0; start <= all.size();) {
      const std::size_t end = std::min(all.find(':', start), all.size());
      found.emplace_back(all.substr(start, end - start));
      start = end + 1;
    }
    return found;
  }
  std::error_code none;  // the cases may not be written yet: then there is no test, and ctest says so
  for (const fs::directory_entry& entry : fs::directory_iterator(EDGEKIT_CASES "/golden", none)) {
    const bool runs = entry.path().filename() != "openvino" || backend("ov");
    if (entry.is_directory() && runs) found.push_back(entry.path());
  }
  return found;
}

class GoldenParity : public ::testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    Expected<Bundle> opened = Bundle::open(GetParam());
    ASSERT_TRUE(opened) << opened.error().message;
    bundle_.emplace(std::move(*opened));
    auto frames = GoldenFrames::read(*bundle_);
    ASSERT_TRUE(frames) << frames.error().message;
    ASSERT_TRUE(frames->has_value()) << "a bundle of version 1 has no golden frames";
    frames_ = std::move(**frames);
    auto arrays = Golden::of(*bundle_);
    ASSERT_TRUE(arrays) << arrays.error().message;
    golden_ = std::move(*arrays);
    ASSERT_FALSE(frames_.frames.empty());
  }

  std::optional<Bundle> bundle_;
  GoldenFrames frames_;
  Golden golden_;
};

// What Python's chain made of a frame with the bundle's own engine. An engine that the runtime optimised differs by
// rounding from the typed model, of which the bundle's own predictions are.
Expected<Result> by_python(const fs::path& bundle, std::size_t frame) {
  const char* named = std::getenv("EDGEKIT_PREDICTIONS");
  const fs::path folder = named == nullptr ? EDGEKIT_CASES "/golden" : named;
  std::ifstream file(folder / (bundle.filename().string() + ".json"));
  const auto document = nlohmann::json::parse(file, nullptr, false);
  if (document.is_discarded()) return Error{Code::bundle, "no predictions of Python's chain in " + folder.string()};
  return recorded(document["frames"][frame]["prediction"]);
}

// The largest difference of two tensors, in units of the value that one step of uint8 makes.
double steps_apart(const TensorView& one, const TensorView& other, double step) {
  double most = 0;
  if (one.dtype == DType::uint8) {
    for (std::size_t i = 0; i < one.as<std::uint8_t>().size(); ++i) {
      most = std::max(most, std::abs(double(one.as<std::uint8_t>()[i]) - double(other.as<std::uint8_t>()[i])));
    }
    return most;
  }
  const std::span<const float> a = one.as<float>();
  const std::span<const float> b = other.as<float>();
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(double(a[i]) - double(b[i])) / step);
  return most;
}

// What one step of uint8 becomes by scale and std, the smallest of the channels.
double step_of(const nlohmann::json& section) {
  double largest = 1;
  if (section.contains("std") && section["std"].is_array()) {
    for (const auto& value : section["std"]) largest = std::max(largest, value.get<double>());
  }
  return section.value("scale", 1.0) / largest;
}

TEST_P(GoldenParity, PreprocessMakesTheGoldenInputs) {
  const Contents& contents = bundle_->contents();
  auto preprocess = Preprocess::create(contents.preprocess, bundle_->inputs());
  ASSERT_TRUE(preprocess) << preprocess.error().message;
  for (std::size_t frame = 0; frame < frames_.frames.size(); ++frame) {
    ASSERT_FALSE(frames_.frames[frame].sources().empty()) << "the bundle keeps no raw frames";
    const auto made = (*preprocess)(frames_.frames[frame].sources());
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(preprocess->geometry(), frames_.frames[frame].geometry);
    const auto wanted = golden_.feeds(frame, bundle_->inputs());
    ASSERT_TRUE(wanted) << wanted.error().message;
    for (std::size_t input = 0; input < wanted->size(); ++input) {
      const std::string& name = bundle_->inputs()[input].name;
      ASSERT_EQ((*made)[input].shape, (*wanted)[input].shape) << name;
      ASSERT_EQ((*made)[input].dtype, (*wanted)[input].dtype) << name;
      const double apart = steps_apart((*made)[input], (*wanted)[input], step_of(contents.preprocess[name]));
      std::cout << "  " << name << ", frame " << frame << ": " << apart << " steps of uint8 apart\n";
      EXPECT_LE(apart, 1.001) << name;
    }
  }
}

TEST_P(GoldenParity, DecodingTheGoldenOutputsGivesTheGoldenPredictions) {
  auto decoder = Decoder::create(bundle_->contents().task, bundle_->outputs());
  ASSERT_TRUE(decoder) << decoder.error().message;
  std::size_t compared = 0;
  for (std::size_t frame = 0; frame < frames_.frames.size(); ++frame) {
    const GoldenFrame& golden = frames_.frames[frame];
    std::vector<TensorView> outputs;
    for (const TensorSpec& spec : bundle_->outputs()) {
      if (!golden_.whole(frame, spec.name)) break;
      auto output = golden_.output(frame, spec.name, frames_.reference);
      ASSERT_TRUE(output) << output.error().message;
      outputs.push_back(*output);
    }
    if (outputs.size() < bundle_->outputs().size() || golden.prediction.get<std::monostate>() != nullptr) continue;
    Result result;
    const Status decoded = (*decoder)->decode(outputs, golden.geometry, result);
    ASSERT_TRUE(decoded) << decoded.error().message;
    const Agreement agreed = compare(result, golden.prediction);
    std::cout << "  frame " << frame << ": " << agreed.text << '\n';
    EXPECT_TRUE(agreed.holds) << agreed.text;
    ++compared;
  }
  if (compared == 0) GTEST_SKIP() << "the bundle keeps parts of its golden outputs, or no predictions of them";
}

TEST_P(GoldenParity, ThePipelineGivesWhatPythonsDoes) {
  auto pipeline = Pipeline::of(*bundle_);
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  for (std::size_t frame = 0; frame < frames_.frames.size(); ++frame) {
    const GoldenFrame& golden = frames_.frames[frame];
    Result result;
    const Status done = pipeline->process(golden.sources(), result);
    ASSERT_TRUE(done) << done.error().message;
    if (golden.prediction.get<std::monostate>() == nullptr) {
      const Expected<Result> wanted = by_python(GetParam(), frame);
      ASSERT_TRUE(wanted) << wanted.error().message;
      const Agreement agreed = compare(result, *wanted);
      std::cout << "  frame " << frame << ": " << agreed.text
                << "; the typed model: " << compare(result, golden.prediction).text << '\n';
      EXPECT_TRUE(agreed.holds) << agreed.text;
      continue;
    }
    const Tensors* tensors = result.get<Tensors>();
    ASSERT_NE(tensors, nullptr);
    for (std::size_t output = 0; output < tensors->names.size(); ++output) {
      const auto kept = golden_.kept(frame, tensors->names[output], tensors->tensors[output].view());
      const auto wanted = golden_.output(frame, tensors->names[output], frames_.reference);
      ASSERT_TRUE(kept && wanted);
      EXPECT_LE(steps_apart(kept->view(), *wanted, 1), 1e-3) << tensors->names[output];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bundles, GoldenParity, ::testing::ValuesIn(bundles()), [](const auto& info) {
  std::string name = info.param.filename().string();
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return std::to_string(info.index) + "_" + name;
});

}  // namespace
}  // namespace edgekit
