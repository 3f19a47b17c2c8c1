// What has to hold of any suppression, whatever the boxes.
#include "postprocess/detection/nms.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "postprocess/detection/best.hpp"

namespace edgekit::detection {
namespace {

constexpr double limit = 0.5;

Family family(NmsMode mode) { return {.nms = mode, .iou = limit}; }

/// Boxes with whole corners on a small field, so that many overlap and some are equal; scores all different, falling.
std::vector<Candidate> boxes(std::uint32_t seed, std::size_t count) {
  std::mt19937 random(seed);
  std::vector<Candidate> made;
  for (std::size_t i = 0; i < count; ++i) {
    const auto pick = [&random](std::uint32_t most) { return static_cast<double>(random() % most); };
    const double left = pick(30);
    const double top = pick(30);
    const Box box{left, top, left + 1 + pick(20), top + 1 + pick(20)};
    const auto score = 1 - static_cast<float>(i) / static_cast<float>(count + 1);
    made.push_back({box, score, static_cast<std::int64_t>(random() % 3)});
  }
  return made;
}

std::vector<Candidate> kept(NmsMode mode, const std::vector<Candidate>& given, std::size_t most = 1000) {
  Suppression suppress(family(mode), 0.01, most);
  std::vector<Candidate> made;
  for (const Kept& one : suppress(given)) {
    made.push_back({given[one.place].box, one.score, given[one.place].label});
  }
  return made;
}

bool same(const std::vector<Candidate>& a, const std::vector<Candidate>& b) {
  const auto equal = [](const Candidate& x, const Candidate& y) {
    return std::tie(x.box, x.score, x.label) == std::tie(y.box, y.score, y.label);
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

double overlap(const Box& a, const Box& b) {
  const double width = std::max(0.0, std::min(a[2], b[2]) - std::max(a[0], b[0]));
  const double height = std::max(0.0, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  const auto area = [](const Box& box) { return (box[2] - box[0]) * (box[3] - box[1]); };
  return width * height / (area(a) + area(b) - width * height);
}

class EachMode : public ::testing::TestWithParam<NmsMode> {};

TEST_P(EachMode, WhatIsKeptIsKeptAgain) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<Candidate> once = kept(GetParam(), boxes(seed, 80));
    EXPECT_TRUE(same(once, kept(GetParam(), once))) << "seed " << seed;
  }
}

TEST_P(EachMode, NoTwoThatAreKeptShowOneObject) {
  const bool any_class = GetParam() == NmsMode::class_agnostic;
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<Candidate> given = boxes(seed, 80);
    const std::vector<Candidate> found = kept(GetParam(), given);
    const auto shows = [any_class](const Candidate& a, const Candidate& b) {
      return (any_class || a.label == b.label) && overlap(a.box, b.box) > limit + 1e-9;
    };
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) EXPECT_FALSE(shows(found[i], found[j])) << "seed " << seed;
    }
    for (const Candidate& candidate : given) {  // what fell, fell for a surer one
      const auto covers = [&](const Candidate& one) {
        return one.score >= candidate.score && (any_class || one.label == candidate.label) &&
               (one.box == candidate.box || overlap(one.box, candidate.box) > limit - 1e-9);
      };
      EXPECT_TRUE(std::any_of(found.begin(), found.end(), covers)) << "seed " << seed;
    }
  }
}

TEST_P(EachMode, FewerAreTheFirstOfMore) {
  const std::vector<Candidate> given = boxes(7, 200);
  std::vector<Candidate> all = kept(GetParam(), given);
  for (std::size_t most = 1; most < all.size(); ++most) {
    EXPECT_TRUE(same(kept(GetParam(), given, most), {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most)}));
  }
}

INSTANTIATE_TEST_SUITE_P(Nms, EachMode, ::testing::Values(NmsMode::class_aware, NmsMode::class_agnostic),
                         [](const auto& named) {
                           return named.param == NmsMode::class_aware ? "class_aware" : "class_agnostic";
                         });

TEST(Nms, OfOneClassAtATimeIsThatOfAllTogether) {
  for (const NmsMode mode : {NmsMode::class_aware, NmsMode::soft_linear, NmsMode::soft_gaussian}) {
    const std::vector<Candidate> given = boxes(3, 120);
    std::vector<Candidate> apart;
    for (std::int64_t label = 0; label < 3; ++label) {
      std::vector<Candidate> of_class;
      for (const Candidate& one : given) {
        if (one.label == label) of_class.push_back(one);
      }
      for (const Candidate& one : kept(mode, of_class)) apart.push_back(one);
    }
    std::sort(apart.begin(), apart.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    const std::vector<Candidate> together = kept(mode, given);
    ASSERT_EQ(apart.size(), together.size());
    for (std::size_t i = 0; i < apart.size(); ++i) EXPECT_NEAR(apart[i].score, together[i].score, 1e-6);
  }
}

TEST(Nms, SoftModesLowerScoresAndNeverRaiseThem) {
  for (const NmsMode mode : {NmsMode::soft_linear, NmsMode::soft_gaussian}) {
    const std::vector<Candidate> given = boxes(5, 100);
    Suppression suppress(family(mode), 0.01, 1000);
    float last = 1;
    for (const Kept& one : suppress(given)) {
      EXPECT_LE(one.score, given[one.place].score);
      EXPECT_LE(one.score, last);
      EXPECT_GE(one.score, 0.01F);
      last = one.score;
    }
  }
}

/// The order in which a model gives its rows decides nothing but ties.
TEST(Best, IsThatOfAnyOrderAndOfAFullSort) {
  std::mt19937 random(1);
  std::vector<Chosen> all;
  for (std::int64_t row = 0; row < 5000; ++row) {
    for (std::int64_t label = 0; label < 2; ++label) {
      all.push_back({static_cast<float>(random() % 64) / 64, row, label});
    }
  }
  for (const std::size_t most : {1U, 10U, 999U, 5000U, 9999U, 20000U}) {
    Best best(most);
    best.start(all.size());
    for (const Chosen& one : all) best.add(one.score, one.row, one.label);
    std::vector<Chosen> sorted = all;
    std::sort(sorted.begin(), sorted.end(), [](const Chosen& a, const Chosen& b) {
      return a.score != b.score ? a.score > b.score : std::tie(a.row, a.label) < std::tie(b.row, b.label);
    });
    sorted.resize(std::min(most, sorted.size()));
    const auto equal = [](const Chosen& a, const Chosen& b) {
      return std::tie(a.score, a.row, a.label) == std::tie(b.score, b.row, b.label);
    };
    const std::span<const Chosen> found = best.sorted();
    EXPECT_TRUE(std::equal(found.begin(), found.end(), sorted.begin(), sorted.end(), equal)) << most;
  }
}

}  // namespace
}  // namespace edgekit::detection
