// OpenCV's area: the mean of the pixels that a result covers.
#include <vector>

#include "preprocess/resize.hpp"
#include "preprocess/values.hpp"

namespace edgekit::preprocessing {
namespace {

/// A reduction by whole numbers: sums of pixels without weights.
template <class T>
class WholeArea final : public Resizer<T> {
  using Sum = std::conditional_t<std::is_same_v<T, std::uint8_t>, std::int32_t, float>;

 public:
  explicit WholeArea(const ResizePlan& plan)
      : plan_(plan),
        across_(plan.columns.source / plan.columns.made),
        down_(plan.rows.source / plan.rows.made),
        sums_(static_cast<std::size_t>(plan.columns.count) * static_cast<std::size_t>(plan.channels)),
        made_(sums_.size()) {}

  void run(RowSource<T>& source, RowSink<T>& sink) override {
    for (std::int32_t y = 0; y < plan_.rows.count; ++y) {
      std::fill(sums_.begin(), sums_.end(), Sum{0});
      for (std::int32_t k = 0; k < down_; ++k) add(source.row((plan_.rows.first + y) * down_ + k));
      finish();
      sink.take(y, made_.data(), plan_.channels);
    }
  }

 private:
  void add(const T* row) {
    const T* pixel = row + std::ptrdiff_t{plan_.columns.first} * across_ * plan_.channels;
    for (auto sum = sums_.begin(); sum != sums_.end(); sum += plan_.channels) {
      for (std::int32_t k = 0; k < across_; ++k) {
        for (std::int32_t channel = 0; channel < plan_.channels; ++channel) sum[channel] += *pixel++;
      }
    }
  }

  void finish() {
    const bool four = !std::is_same_v<T, float> && across_ == 2 && down_ == 2;
    const float share = 1.0F / static_cast<float>(across_ * down_);
    for (std::size_t x = 0; x < made_.size(); ++x) {
      if (four) {  // halves up here, to even elsewhere: OpenCV's way
        made_[x] = static_cast<T>((static_cast<std::int32_t>(sums_[x]) + 2) >> 2);
      } else {
        made_[x] = saturated<T>(static_cast<float>(sums_[x]) * share);
      }
    }
  }

  ResizePlan plan_;
  std::int32_t across_;
  std::int32_t down_;
  std::vector<Sum> sums_;
  std::vector<T> made_;
};

/// Any reduction: pixels at the rim of a result count in part.
template <class T>
class Area final : public Resizer<T> {
 public:
  explicit Area(const ResizePlan& plan)
      : channels_(plan.channels),
        rows_(area_cells(plan.rows)),
        columns_(area_cells(plan.columns)),
        line_(static_cast<std::size_t>(plan.columns.count) * static_cast<std::size_t>(plan.channels)),
        sums_(line_.size()),
        made_(line_.size()) {}

  void run(RowSource<T>& source, RowSink<T>& sink) override {
    std::int32_t held = -1;
    for (std::size_t y = 0; y + 1 < rows_.begin.size(); ++y) {
      std::fill(sums_.begin(), sums_.end(), 0.0F);
      for (std::int32_t at = rows_.begin[y]; at < rows_.begin[y + 1]; ++at) {
        if (rows_.pixel[at] != held) average(source.row(held = rows_.pixel[at]));
        for (std::size_t x = 0; x < sums_.size(); ++x) sums_[x] += rows_.weight[at] * line_[x];
      }
      for (std::size_t x = 0; x < made_.size(); ++x) made_[x] = saturated<T>(sums_[x]);
      sink.take(static_cast<std::int32_t>(y), made_.data(), channels_);
    }
  }

 private:
  void average(const T* row) {
    float* out = line_.data();
    for (std::size_t x = 0; x + 1 < columns_.begin.size(); ++x) {
      for (std::int32_t channel = 0; channel < channels_; ++channel) {
        float sum = 0;
        for (std::int32_t at = columns_.begin[x]; at < columns_.begin[x + 1]; ++at) {
          sum +=
              static_cast<float>(row[std::ptrdiff_t{columns_.pixel[at]} * channels_ + channel]) * columns_.weight[at];
        }
        *out++ = sum;
      }
    }
  }

  std::int32_t channels_;
  Cells rows_;
  Cells columns_;
  std::vector<float> line_;
  std::vector<float> sums_;
  std::vector<T> made_;
};

}  // namespace

template <class T>
std::unique_ptr<Resizer<T>> make_area(const ResizePlan& plan) {
  const bool whole = plan.rows.source % plan.rows.made == 0 && plan.columns.source % plan.columns.made == 0;
  if (whole) return std::make_unique<WholeArea<T>>(plan);
  return std::make_unique<Area<T>>(plan);
}

template std::unique_ptr<Resizer<std::uint8_t>> make_area(const ResizePlan&);
template std::unique_ptr<Resizer<std::uint16_t>> make_area(const ResizePlan&);
template std::unique_ptr<Resizer<float>> make_area(const ResizePlan&);

}  // namespace edgekit::preprocessing
