// Where one class is so far above the others that resizing cannot change it.
//
// A resized score lies between those of its four neighbours. Where one class is the highest at all four, by more than
// all that rounding can do, it is the highest between them: nothing has to be resized there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgekit {

/// The scores of all classes in one row of the network's output.
struct ScoreRow {
  const float* data = nullptr;  ///< of the first class
  std::size_t class_step = 0;   ///< numbers from one class to the next
  std::size_t classes = 0;
  std::size_t width = 0;
  float above = 0;            ///< as Scored
  std::int32_t first_id = 0;  ///< as Scored
};

/// Of each pixel of a row: the class that is surely the highest.
class SureRow {
 public:
  /// Room for that many pixels.
  void resize(std::size_t width);
  void set(const ScoreRow& row);

  /// The class of all pixels from `low` to `high`, or -1.
  std::int32_t id(std::size_t low, std::size_t high) const {
    return until_[low] >= static_cast<std::int32_t>(high) ? ids_[low] : -1;
  }
  /// Whether rounding between this row and the other is no more than each of them allows for.
  bool beside(const SureRow& other) const { return most_ <= 2 * other.most_ && other.most_ <= 2 * most_; }

 private:
  std::vector<std::int32_t> ids_;    ///< -1: two classes are too close
  std::vector<std::int32_t> until_;  ///< the last pixel up to which the class stays
  std::vector<float> gaps_;          ///< between the highest class and the next
  float most_ = 0;                   ///< the largest magnitude in the row
};

}  // namespace edgekit
