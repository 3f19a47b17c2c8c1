#include "postprocess/detection/nms.hpp"

#include <algorithm>
#include <cmath>

namespace edgekit::detection {
namespace {

double area(const Box& box) { return (box[2] - box[0]) * (box[3] - box[1]); }

double shared(const Box& a, const Box& b) {
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]);
  const double height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  return std::max(width, 0.0) * std::max(height, 0.0);
}

}  // namespace

void Suppression::reserve(std::size_t candidates) {
  boxes_.reserve(candidates);
  areas_.reserve(candidates);
  scores_.reserve(candidates);
  kept_.reserve(std::min(candidates, most_));
}

void Suppression::place(std::span<const Candidate> candidates) {
  boxes_.clear();
  areas_.clear();
  double step = 0;
  if (mode_ != NmsMode::class_agnostic && !candidates.empty()) {
    double least = candidates[0].box[0];
    double most = least;
    for (const Candidate& candidate : candidates) {
      for (const double side : candidate.box) least = std::min(least, side), most = std::max(most, side);
    }
    step = most - least + 1;
  }
  for (const Candidate& candidate : candidates) {
    Box box = candidate.box;
    if (mode_ != NmsMode::class_agnostic) {
      for (double& side : box) side += static_cast<double>(candidate.label) * step;
    }
    boxes_.push_back(box);
    areas_.push_back(area(box));
  }
}

void Suppression::greedy(std::span<const Candidate> candidates) {
  for (std::size_t i = 0; i < candidates.size() && kept_.size() < most_; ++i) {
    const auto drops = [this, i](const Kept& surer) {
      // The quotient shared / union > iou without its division.
      return shared(boxes_[surer.place], boxes_[i]) * (1 + iou_) > iou_ * (areas_[surer.place] + areas_[i]);
    };
    if (std::none_of(kept_.begin(), kept_.end(), drops)) kept_.push_back({i, candidates[i].score});
  }
}

void Suppression::soft(std::span<const Candidate> candidates) {
  scores_.clear();
  for (const Candidate& candidate : candidates) scores_.push_back(candidate.score);
  const std::size_t most = std::min(most_, candidates.size());
  while (kept_.size() < most) {
    const auto best = static_cast<std::size_t>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
    if (scores_[best] < least_) break;
    kept_.push_back({best, static_cast<float>(scores_[best])});
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      const double common = shared(boxes_[best], boxes_[i]);
      const double overlap = common / (areas_[best] + areas_[i] - common);
      if (overlap == 0) continue;
      if (mode_ == NmsMode::soft_gaussian) {
        scores_[i] *= std::exp(-overlap * overlap / sigma_);
      } else if (overlap > iou_) {
        scores_[i] *= 1 - overlap;
      }
    }
    for (const Kept& kept : kept_) scores_[kept.place] = -1;
  }
}

std::span<const Kept> Suppression::operator()(std::span<const Candidate> candidates) {
  kept_.clear();
  if (mode_ == NmsMode::none) {
    const std::size_t count = std::min(candidates.size(), most_);
    for (std::size_t i = 0; i < count; ++i) kept_.push_back({i, candidates[i].score});
    return kept_;
  }
  place(candidates);
  if (mode_ == NmsMode::class_aware || mode_ == NmsMode::class_agnostic) {
    greedy(candidates);
  } else {
    soft(candidates);
  }
  return kept_;
}

}  // namespace edgekit::detection
