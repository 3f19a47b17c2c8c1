#include "postprocess/detection/select.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "postprocess/detection/codings.hpp"
#include "postprocess/text.hpp"

namespace edgekit::detection {
namespace {

constexpr double rounding = 1e-6;  // of a probability in float32

/// A probability to a power; one that rounding made negative is 0.
float raised(float value, float power) { return power == 1 ? value : std::pow(std::max(value, 0.0F), power); }

/// The logit below which no sigmoid reaches a probability; -inf where there is none, or it is raised to a power.
float least_logit(const Family& family, double power, double least) {
  constexpr double rounding_of_logits = 1e-3;
  if (family.score_coding != ScoreCoding::sigmoid || power != 1 || least <= 0) {
    return -std::numeric_limits<float>::infinity();
  }
  return static_cast<float>(std::log(least / (1 - least)) - rounding_of_logits);
}

Status check_all(const std::vector<float>& values) {
  if (values.empty()) return {};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return check_probabilities(*low, *high);
}

}  // namespace

Status check_probabilities(float low, float high) {
  // Quantized probabilities may leave 0..1 by a step.
  if (low >= -0.01F && high <= 1.01F) return {};
  return Error{Code::tensor, "scores reach from " + short_number(low) + " to " + short_number(high) +
                                 "; expected probabilities, 0..1: set task.score_coding to sigmoid or softmax"};
}

Selector::Selector(const Family& family, std::int64_t classes, double least)
    : coding_(family.score_coding),
      background_(family.background),
      multi_label_(family.multi_label),
      object_power_(static_cast<float>(family.score_powers[0])),
      class_power_(static_cast<float>(family.score_powers[1])),
      classes_(classes),
      first_class_(family.background == Background::first ? 1 : 0),
      least_(static_cast<float>(least)),
      bound_(static_cast<float>(least - rounding)),
      least_object_(least_logit(family, family.score_powers[0], least)),
      least_class_(least_logit(family, family.score_powers[1], least)),
      shares_(static_cast<std::size_t>(classes)) {
  if (multi_label_) least_ = std::max(least_, std::numeric_limits<float>::min());
}

float Selector::activated(float value) const { return coding_ == ScoreCoding::sigmoid ? sigmoid(value) : value; }

Status Selector::find_objects(const Block& objectness) {
  objects_.resize(static_cast<std::size_t>(objectness.rows));
  for (std::int64_t row = 0; row < objectness.rows; ++row) {
    objects_[static_cast<std::size_t>(row)] = objectness.at(row, 0);
  }
  if (Status fits = coding_ == ScoreCoding::sigmoid ? Status{} : check_all(objects_); !fits) return fits;
  std::size_t sure = 0;  // no class is surer than its object
  for (std::size_t row = 0; row < objects_.size(); ++row) {
    if (objects_[row] < least_object_) continue;  // without its exponential
    const float object = raised(activated(objects_[row]), object_power_);
    if (!(object >= bound_)) continue;
    rows_.push_back(static_cast<std::int64_t>(row));
    objects_[sure++] = object;
  }
  objects_.resize(sure);
  return {};
}

void Selector::find_top(const Block& scores) {
  top_.resize(rows_.size());
  const Block real = scores.from_column(first_class_);
  if (real.row_step == 1 && rows_.size() == static_cast<std::size_t>(real.rows)) {  // whole columns at once
    std::copy_n(real.data, real.rows, top_.begin());
    for (std::int64_t label = 1; label < classes_; ++label) {
      const float* column = real.data + label * real.column_step;
      for (std::size_t row = 0; row < top_.size(); ++row) top_[row] = column[row] > top_[row] ? column[row] : top_[row];
    }
    return;
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    float most = real.at(rows_[i], 0);
    for (std::int64_t label = 1; label < classes_; ++label) most = std::max(most, real.at(rows_[i], label));
    top_[i] = most;
  }
}

/// What the surest class of the i-th row may have at most.
float Selector::bound_of(const Block& scores, std::size_t i) const {
  if (coding_ != ScoreCoding::softmax) return activated(top_[i]);
  if (background_ == Background::none) return 1;
  // The share among the best class and the background alone.
  return sigmoid(top_[i] - scores.at(rows_[i], background_ == Background::first ? 0 : classes_));
}

/// The probability of each class of a row; 0 of one that the threshold is out of reach for.
void Selector::find_shares(const Block& scores, std::int64_t row) {
  const Block real = scores.from_column(first_class_);
  for (std::int64_t label = 0; label < classes_; ++label) {
    shares_[static_cast<std::size_t>(label)] = real.at(row, label);
  }
  if (coding_ != ScoreCoding::softmax) {
    for (float& share : shares_) {
      share = share < least_class_ ? 0 : raised(std::min(activated(share), 1.0F), class_power_);
    }
    return;
  }
  float most = *std::max_element(shares_.begin(), shares_.end());
  const bool beside = background_ != Background::none;
  const float other = beside ? scores.at(row, background_ == Background::first ? 0 : classes_) : 0;
  if (beside) most = std::max(most, other);
  float sum = beside ? std::exp(other - most) : 0;
  for (float& share : shares_) sum += share = std::exp(share - most);
  for (float& share : shares_) share = raised(std::min(share / sum, 1.0F), class_power_);
}

void Selector::add(std::int64_t row, Best& best) const {
  if (multi_label_) {
    for (std::size_t label = 0; label < shares_.size(); ++label) {
      if (shares_[label] >= least_) best.add(shares_[label], row, static_cast<std::int64_t>(label));
    }
    return;
  }
  const auto surest = std::max_element(shares_.begin(), shares_.end());
  if (*surest >= least_) best.add(*surest, row, surest - shares_.begin());
}

Status Selector::operator()(const Block& scores, const Block* objectness, std::int64_t first, Best& best) {
  const auto all = static_cast<std::size_t>(scores.rows);
  rows_.clear();
  for (std::vector<float>* values : {&objects_, &top_}) values->reserve(all);
  rows_.reserve(all);
  if (objectness != nullptr) {
    if (Status fits = find_objects(*objectness); !fits) return fits;
  } else {
    for (std::int64_t row = 0; row < scores.rows; ++row) rows_.push_back(row);
  }
  find_top(scores);
  if (Status fits = coding_ == ScoreCoding::probability ? check_all(top_) : Status{}; !fits) return fits;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (top_[i] < least_class_) continue;  // without its exponential
    float bound = raised(bound_of(scores, i), class_power_);
    if (objectness != nullptr) bound *= objects_[i];
    if (!(bound >= bound_)) continue;
    find_shares(scores, rows_[i]);
    if (objectness != nullptr) {
      const float object = std::min(objects_[i], 1.0F);
      for (float& share : shares_) share *= object;
    }
    add(first + rows_[i], best);
  }
  return {};
}

}  // namespace edgekit::detection
