// The surest of many candidates, in an order that does not depend on how they are sorted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace edgekit::detection {

struct Chosen {
  float score = 0;
  std::int64_t row = 0;
  std::int64_t label = 0;
};

/// Keeps the `most` highest scores; of equal ones those that come first in the model's order (row, then label), in
/// which they have to be added. Scores must not be NaN.
class Best {
 public:
  explicit Best(std::size_t most) : most_(most) {}

  /// Forgets all; then room for as many as can be needed of `possible`, so that add() does not allocate.
  void start(std::size_t possible);

  void add(float score, std::int64_t row, std::int64_t label) {
    if (!(score > bar_)) return;  // as many are at least as sure, and come first
    chosen_.push_back({score, row, label});
    if (chosen_.size() >= room_) prune();
  }

  /// In their order, the surest first; valid until the next start().
  std::span<const Chosen> sorted();

 private:
  void prune();

  std::size_t most_;
  std::size_t room_ = 0;
  float bar_ = 0;
  std::vector<Chosen> chosen_;
};

}  // namespace edgekit::detection
