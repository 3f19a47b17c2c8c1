#include "preprocess/resize.hpp"

#include <vector>

#include "preprocess/fixed_point.hpp"
#include "preprocess/values.hpp"

namespace edgekit::preprocessing {
namespace {

/// The image as it is, or a part of it.
template <class T>
class Copy final : public Resizer<T> {
 public:
  explicit Copy(const ResizePlan& plan) : plan_(plan) {}
  void run(RowSource<T>& source, RowSink<T>& sink) override {
    for (std::int32_t y = 0; y < plan_.rows.count; ++y) {
      sink.take(y, source.row(plan_.rows.first + y) + std::ptrdiff_t{plan_.columns.first} * plan_.channels,
                plan_.channels);
    }
  }

 private:
  ResizePlan plan_;
};

template <class T>
class Nearest final : public Resizer<T> {
 public:
  explicit Nearest(const ResizePlan& plan)
      : channels_(plan.channels),
        rows_(nearest_pixels(plan.rows, plan.interpolation)),
        columns_(nearest_pixels(plan.columns, plan.interpolation)),
        made_(columns_.size() * static_cast<std::size_t>(channels_)) {}
  void run(RowSource<T>& source, RowSink<T>& sink) override {
    std::int32_t held = -1;
    for (std::size_t y = 0; y < rows_.size(); ++y) {
      if (rows_[y] != held) pick(source.row(held = rows_[y]));
      sink.take(static_cast<std::int32_t>(y), made_.data(), channels_);
    }
  }

 private:
  void pick(const T* row) {
    T* out = made_.data();
    for (const std::int32_t column : columns_) {
      const T* pixel = row + std::ptrdiff_t{column} * channels_;
      for (std::int32_t channel = 0; channel < channels_; ++channel) *out++ = pixel[channel];
    }
  }

  std::int32_t channels_;
  std::vector<std::int32_t> rows_;
  std::vector<std::int32_t> columns_;
  std::vector<T> made_;
};

/// A filter of a fixed number of pixels: first along the rows, whose sums are kept, then along the columns.
template <class T>
class Filter final : public Resizer<T> {
  static constexpr bool whole = std::is_same_v<T, std::uint8_t>;
  using Sum = std::conditional_t<whole, std::int32_t, float>;
  using Weight = std::conditional_t<whole, std::int16_t, float>;

 public:
  explicit Filter(const ResizePlan& plan)
      : channels_(plan.channels),
        count_(plan.rows.count),
        rows_(filter_taps(plan.rows, plan.interpolation, Along::column)),
        columns_(filter_taps(plan.columns, plan.interpolation, Along::row)),
        values_(static_cast<std::size_t>(plan.columns.count) * static_cast<std::size_t>(channels_)),
        sums_(static_cast<std::size_t>(rows_.taps), std::vector<Sum>(values_)),
        held_(static_cast<std::size_t>(rows_.taps)),
        made_(values_) {}

  void run(RowSource<T>& source, RowSink<T>& sink) override {
    std::fill(held_.begin(), held_.end(), -1);
    for (std::int32_t y = 0; y < count_; ++y) {
      const std::ptrdiff_t first = std::ptrdiff_t{y} * rows_.taps;
      const Sum* lines[8];
      for (std::int32_t k = 0; k < rows_.taps; ++k) lines[k] = line(rows_.index[first + k], source);
      combine(lines, weights_of(rows_) + first);
      sink.take(y, made_.data(), channels_);
    }
  }

 private:
  static const Weight* weights_of(const Taps& taps) {
    if constexpr (whole) {
      return taps.fixed.data();
    } else {
      return taps.weights.data();
    }
  }

  // Rows that one result reads follow each other, so that each has a place of its own.
  const Sum* line(std::int32_t row, RowSource<T>& source) {
    const auto place = static_cast<std::size_t>(row % rows_.taps);
    if (held_[place] != row) {
      sum_columns(source.row(row), sums_[place].data());
      held_[place] = row;
    }
    return sums_[place].data();
  }

  void sum_columns(const T* row, Sum* out) const {
    const std::int32_t* index = columns_.index.data();
    const Weight* weight = weights_of(columns_);
    for (const std::int32_t* end = index + columns_.index.size(); index != end;
         index += columns_.taps, weight += columns_.taps) {
      for (std::int32_t channel = 0; channel < channels_; ++channel) {
        Sum sum = 0;
        for (std::int32_t k = 0; k < columns_.taps; ++k) {
          sum += static_cast<Sum>(row[std::ptrdiff_t{index[k]} * channels_ + channel]) * weight[k];
        }
        *out++ = sum;
      }
    }
  }

  void combine(const Sum* const* lines, const Weight* weight) {
    for (std::size_t x = 0; x < values_; ++x) {
      if constexpr (whole) {
        if (rows_.taps == 2) {
          made_[x] = static_cast<T>(clipped(down(lines[0][x] >> 4, lines[1][x] >> 4, weight[0], weight[1])));
          continue;
        }
        std::int64_t sum = 1 << 21;
        for (std::int32_t k = 0; k < rows_.taps; ++k) sum += std::int64_t{lines[k][x]} * weight[k];
        made_[x] = saturated<T>(sum >> 22);
      } else {
        float sum = 0;
        for (std::int32_t k = 0; k < rows_.taps; ++k) sum += lines[k][x] * weight[k];
        made_[x] = saturated<T>(sum);
      }
    }
  }

  std::int32_t channels_;
  std::int32_t count_;
  Taps rows_;
  Taps columns_;
  std::size_t values_;
  std::vector<std::vector<Sum>> sums_;
  std::vector<std::int32_t> held_;
  std::vector<T> made_;
};

// OpenCV takes the mean of four for a bilinear reduction to exactly half.
bool is_half(const ResizePlan& plan) {
  return plan.rows.source == 2 * plan.rows.made && plan.columns.source == 2 * plan.columns.made;
}

}  // namespace

template <class T>
std::unique_ptr<Resizer<T>> make_resizer(const ResizePlan& plan) {
  const bool same = plan.rows.source == plan.rows.made && plan.columns.source == plan.columns.made;
  if (same) return std::make_unique<Copy<T>>(plan);
  if (plan.antialias != Antialias::off) return make_antialias<T>(plan);
  const bool shrinks = plan.rows.source >= plan.rows.made && plan.columns.source >= plan.columns.made;
  switch (plan.interpolation) {
    case Interpolation::nearest:
    case Interpolation::nearest_exact:
      return std::make_unique<Nearest<T>>(plan);
    case Interpolation::area:
      if (shrinks) return make_area<T>(plan);
      break;
    case Interpolation::bilinear:
      if (is_half(plan)) return make_area<T>(plan);
      if constexpr (std::is_same_v<T, std::uint8_t>) {
        if (plan.columns.source > 1) return make_bilinear_of_bytes(plan);
      }
      break;
    default:
      break;
  }
  return std::make_unique<Filter<T>>(plan);
}

template std::unique_ptr<Resizer<std::uint8_t>> make_resizer(const ResizePlan&);
template std::unique_ptr<Resizer<std::uint16_t>> make_resizer(const ResizePlan&);
template std::unique_ptr<Resizer<float>> make_resizer(const ResizePlan&);

}  // namespace edgekit::preprocessing
