// The whole of edgekit-run in this process, over the bundles that cases/golden.py made.
#include "run/program.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "ring_writer.hpp"
#include "schema.hpp"

namespace edgekit::run {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string case_path(const std::string& name) { return std::string(EDGEKIT_CASES) + "/" + name; }

/// What a run prints.
struct Printed {
  Status status;
  std::string text;
};

Printed printed(const Options& options) {
  std::FILE* file = std::tmpfile();
  Printed made{run(options, file), {}};
  made.text.resize(static_cast<std::size_t>(std::ftell(file)));
  std::rewind(file);
  EXPECT_EQ(std::fread(made.text.data(), 1, made.text.size(), file), made.text.size());
  std::fclose(file);
  return made;
}

Options over(const std::string& bundle, std::vector<std::string> inputs) {
  Options options;
  options.bundle = case_path("golden/" + bundle);
  options.inputs = std::move(inputs);
  options.warmup = 2;
  return options;
}

Options over_pictures(const std::string& bundle) { return over(bundle, {case_path("golden/" + bundle + "/golden")}); }

TEST(Run, DocumentHasTheFieldsOfEdgekitProfile) {
  Options options = over_pictures("segmentation");
  options.json = true;
  options.repeat = 3;
  const Printed made = printed(options);
  ASSERT_TRUE(made.status) << made.status.error().message;
  const json document = json::parse(made.text);
  std::ifstream stream(case_path("run/profile.schema.json"));
  ASSERT_TRUE(stream) << "write the cases first: make cpp-cases";
  EXPECT_EQ(Schema(json::parse(stream)).problem(document), "");
  EXPECT_EQ(document["latency_ms"]["samples"], 6);
  EXPECT_EQ(document["settings"]["queries"], 6);
  EXPECT_EQ(document["settings"]["frames"], 2);
  EXPECT_EQ(document["traffic"]["warmup"], 2);
  EXPECT_EQ(document["engine"], "engines/fp32.ort.onnx");
  EXPECT_EQ(document["times_ms"]["engines/fp32.ort.onnx"].size(), 6U);
  EXPECT_GT(document["memory_mib"]["peak_rss"], document["memory_mib"]["imports"]);
  EXPECT_GT(document["size_mib"], 0);
  EXPECT_FALSE(document.contains("frames"));
}

TEST(Run, SaysWhatEachFrameShows) {
  for (const char* bundle :
       {"segmentation", "detection", "classification", "embedding", "regression", "outputs", "multitask"}) {
    Options options = over_pictures(bundle);
    Printed made = printed(options);
    ASSERT_TRUE(made.status) << bundle << ": " << made.status.error().message;
    EXPECT_THAT(made.text, HasSubstr("0.image: ")) << bundle;
    EXPECT_THAT(made.text, HasSubstr("2 frames, milliseconds: total p50 ")) << bundle;
    options.json = options.frames = true;
    made = printed(options);
    ASSERT_TRUE(made.status) << bundle << ": " << made.status.error().message;
    const json frames = json::parse(made.text)["frames"];
    ASSERT_EQ(frames.size(), 2U) << bundle;
    EXPECT_EQ(frames[1]["id"], "1.image");
    EXPECT_FALSE(frames[1]["found"]["text"].get<std::string>().empty()) << bundle;
    EXPECT_FALSE(frames[1]["result"].is_null()) << bundle;
  }
}

TEST(Run, StopsAtItsLimit) {
  Options options = over_pictures("classification");
  options.limit = 1;
  EXPECT_THAT(printed(options).text, HasSubstr("1 frames"));
}

TEST(Run, ReadsSharedMemory) {
  RingWriter writer(2, 48 * 64 * 3);
  const std::vector<std::uint8_t> pixels(48 * 64 * 3, 99);
  writer.write({pixels.data(), pixels.size(), 48, 64, 0, Encoding::bgr8, 0});
  writer.close();
  const Printed made = printed(over("segmentation", {"shm:" + writer.name()}));
  ASSERT_TRUE(made.status) << made.status.error().message;
  EXPECT_THAT(made.text, HasSubstr("1: "));
}

TEST(Run, NamesWhatIsWrong) {
  EXPECT_EQ(printed(over("no-such-bundle", {"x.png"})).status.error().code, Code::bundle);
  EXPECT_EQ(printed(over("segmentation", {"no-such.png"})).status.error().code, Code::invalid_argument);
  const Printed grey = printed(over("segmentation", {case_path("golden/segmentation/bundle.json")}));
  ASSERT_FALSE(grey.status);
  EXPECT_EQ(exit_code(grey.status.error().code), 2);
  Options signed_by = over_pictures("segmentation");
  signed_by.key = case_path("golden/segmentation/bundle.json");
  EXPECT_FALSE(printed(signed_by).status) << "that is no key";
  RingWriter empty(2, 12);
  empty.close();
  EXPECT_THAT(printed(over("segmentation", {"shm:" + empty.name()})).status.error().message,
              HasSubstr("no frame came"));
}

}  // namespace
}  // namespace edgekit::run
