#include "postprocess/detection/best.hpp"

#include <algorithm>
#include <tuple>

namespace edgekit::detection {
namespace {

/// A total order, so that any algorithm gives the same.
bool surer(const Chosen& a, const Chosen& b) {
  return std::tie(b.score, a.row, a.label) < std::tie(a.score, b.row, b.label);
}

}  // namespace

void Best::start(std::size_t possible) {
  chosen_.clear();
  bar_ = -std::numeric_limits<float>::infinity();
  room_ = std::max<std::size_t>(most_ > possible / 2 ? possible + 1 : 2 * most_, 1);
  chosen_.reserve(room_);
}

void Best::prune() {
  if (chosen_.size() <= most_) return;
  const auto last = chosen_.begin() + static_cast<std::ptrdiff_t>(most_ - 1);
  std::nth_element(chosen_.begin(), last, chosen_.end(), surer);
  bar_ = last->score;
  chosen_.resize(most_);
}

std::span<const Chosen> Best::sorted() {
  prune();
  std::sort(chosen_.begin(), chosen_.end(), surer);
  return chosen_;
}

}  // namespace edgekit::detection
