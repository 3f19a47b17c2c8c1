// Non-maximum suppression: of boxes that show the same object, keep the surest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "postprocess/detection/codings.hpp"
#include "postprocess/detection/family.hpp"

namespace edgekit::detection {

/// One candidate: its box in pixels, and what it shows.
struct Candidate {
  Box box{};
  float score = 0;
  std::int64_t label = 0;
};

/// What is left: places among the candidates, the surest first, and their scores.
struct Kept {
  std::size_t place = 0;
  float score = 0;
};

/// Keeps its memory from frame to frame.
class Suppression {
 public:
  /// @param least score below which soft modes drop a candidate; @param most detections at which the search ends.
  Suppression(const Family& family, double least, std::size_t most)
      : mode_(family.nms), iou_(family.iou), sigma_(family.sigma), least_(least), most_(most) {}

  /// Room for that many candidates, so that no call with fewer allocates.
  void reserve(std::size_t candidates);
  /// Candidates with falling scores, whose boxes are finite and larger than nothing. The span is valid until the next
  /// call.
  std::span<const Kept> operator()(std::span<const Candidate> candidates);

 private:
  void place(std::span<const Candidate> candidates);
  void greedy(std::span<const Candidate> candidates);
  void soft(std::span<const Candidate> candidates);

  NmsMode mode_;
  double iou_;
  double sigma_;
  double least_;
  std::size_t most_;
  std::vector<Box> boxes_;  ///< classes side by side, where boxes of different ones never meet
  std::vector<double> areas_;
  std::vector<double> scores_;
  std::vector<Kept> kept_;
};

}  // namespace edgekit::detection
