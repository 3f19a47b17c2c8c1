// From the scores of a head to the candidates that reach the threshold.
#pragma once

#include <cstdint>
#include <vector>

#include "edgekit/status.hpp"
#include "postprocess/detection/best.hpp"
#include "postprocess/detection/family.hpp"

namespace edgekit::detection {

/// Numbers of candidates, one row each, wherever they lie in an output.
struct Block {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t row_step = 0;
  std::int64_t column_step = 0;

  float at(std::int64_t row, std::int64_t column) const { return data[row * row_step + column * column_step]; }
  Block from_column(std::int64_t column) const { return {data + column * column_step, rows, row_step, column_step}; }
};

/// Code::tensor: a value that is no probability, but for rounding.
Status check_probabilities(float low, float high);

/// Adds what reaches the threshold; keeps its memory from frame to frame.
class Selector {
 public:
  Selector(const Family& family, std::int64_t classes, double least);

  /// @param scores the family's score columns, that of the background among them.
  /// @param objectness one column of as many rows, or null.
  /// @param first the row of the first candidate among all.
  /// Code::tensor: scores are no probabilities.
  Status operator()(const Block& scores, const Block* objectness, std::int64_t first, Best& best);

 private:
  Status find_objects(const Block& objectness);
  void find_top(const Block& scores);
  void find_shares(const Block& scores, std::int64_t row);
  void add(std::int64_t row, Best& best) const;
  float bound_of(const Block& scores, std::size_t i) const;
  float activated(float value) const;

  ScoreCoding coding_;
  Background background_;
  bool multi_label_;
  float object_power_;
  float class_power_;
  std::int64_t classes_;
  std::int64_t first_class_;  ///< column of class 0
  float least_;
  float bound_;         ///< below which no score can reach the threshold
  float least_object_;  ///< below which no logit can, of objects and of classes: -inf if nothing is known
  float least_class_;
  std::vector<std::int64_t> rows_;  ///< whose object is sure enough
  std::vector<float> objects_;      ///< of those rows
  std::vector<float> top_;          ///< of those rows: the highest score, then its bound
  std::vector<float> shares_;       ///< of one row, by class
};

}  // namespace edgekit::detection
