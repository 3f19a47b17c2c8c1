// Percentiles, words and numbers of edgekit-run beside those of edgekit's Python (cases/run.py).
#include <gtest/gtest.h>

#include <fstream>

#include "run/latency.hpp"
#include "run/summary.hpp"

namespace edgekit::run {
namespace {

using nlohmann::json;

json case_of(const std::string& name) {
  std::ifstream stream(std::string(EDGEKIT_CASES) + "/run/" + name);
  EXPECT_TRUE(stream) << "write the cases first: make cpp-cases";
  return stream ? json::parse(stream) : json::array();
}

void expect_equal(const std::optional<double>& have, const json& want, const std::string& what) {
  ASSERT_EQ(have.has_value(), !want.is_null()) << what;
  if (have) {
    EXPECT_NEAR(*have, want.get<double>(), 1e-9 * want.get<double>()) << what;
  }
}

TEST(Latency, IsThatOfEdgekitProfile) {
  const json cases = case_of("latency.json");
  ASSERT_FALSE(cases.empty());
  for (const json& one : cases) {
    const Latency have = summarise(one["times"]);
    const json& want = one["latency"];
    EXPECT_EQ(have.samples, want["samples"]);
    expect_equal(have.p50, want["p50"], "p50");
    expect_equal(have.p90, want["p90"], "p90");
    expect_equal(have.p99, want["p99"], "p99");
    expect_equal(have.mean, want["mean"], "mean");
    expect_equal(have.p999, want["p999"], "p999");
    ASSERT_EQ(have.intervals.size(), want["intervals"].size());
    for (const auto& [name, ends] : have.intervals) {
      const std::string what = name + " of " + std::to_string(have.samples);
      expect_equal(ends.first, want["intervals"][name]["low"], what + " low");
      expect_equal(ends.second, want["intervals"][name]["high"], what + " high");
    }
    ASSERT_EQ(have.bounds.size(), want["bounds"].size());
    for (const auto& [name, bound] : have.bounds) expect_equal(bound, want["bounds"][name], "bound " + name);
  }
}

Result result_of(const json& given) {
  Result made;
  if (given.contains("labels")) {
    made.reuse<LabelMap>() = {given["height"], given["width"], given["labels"]};
  } else if (given.contains("boxes")) {
    made.reuse<Detections>() = {given["boxes"], given["scores"], given["ids"]};
  } else if (given.contains("probabilities")) {
    made.reuse<ClassScores>() = {given["probabilities"]};
  } else if (given.contains("vector")) {
    made.reuse<Embedding>() = {given["vector"]};
  } else if (given.contains("names")) {
    made.reuse<Values>() = {given["names"], given["values"]};
  } else if (given.contains("shapes")) {
    for (const auto& [name, sizes] : given["shapes"].items()) {
      made.reuse<Tensors>().names.push_back(name);
      const auto shape = sizes.get<std::vector<std::int64_t>>();
      EXPECT_TRUE(made.reuse<Tensors>().tensors.emplace_back().resize(Shape(shape), DType::float32));
    }
  } else {
    for (const json& part : given["parts"]) made.reuse<Several>().parts.push_back({part[0], result_of(part[1])});
  }
  return made;
}

TEST(Found, IsThatOfEdgekitRun) {
  const json cases = case_of("found.json");
  ASSERT_FALSE(cases.empty());
  for (const json& one : cases) {
    const Found have = found_of(one["task"], result_of(one["result"]));
    EXPECT_EQ(have.what, one["found"]["what"]);
    EXPECT_EQ(have.text, one["found"]["text"]);
    const json& want = one["found"]["numbers"];
    ASSERT_EQ(have.numbers.size(), want.size()) << have.text;
    for (const auto& [name, number] : have.numbers.items()) {
      ASSERT_TRUE(want.contains(name)) << name;
      EXPECT_NEAR(number.get<double>(), want[name].get<double>(), 1e-6) << name;
    }
  }
}

TEST(Found, OfAClassWithoutANameIsItsNumber) {
  Result result;
  result.reuse<LabelMap>() = {1, 2, {7, 7}};
  EXPECT_EQ(found_of(json::object(), result).text, "class 7 100.0%");
  EXPECT_EQ(found_of(json::object(), Result{}).what, "unknown");
}

}  // namespace
}  // namespace edgekit::run
