// Pillow's resampling, as docs/preprocess.md writes it down: a pass along the rows, rounded to the pixels' type, and
// one along the columns; Pillow 13 turns them round where that is less work.
#include <vector>

#include "preprocess/resize.hpp"
#include "preprocess/values.hpp"

namespace edgekit::preprocessing {
namespace {

constexpr int fraction_bits = 22;

template <class T>
class Antialiased final : public Resizer<T> {
  static constexpr bool whole = std::is_same_v<T, std::uint8_t>;
  using Sum = std::conditional_t<whole, std::int64_t, double>;

 public:
  explicit Antialiased(const ResizePlan& plan)
      : plan_(plan),
        columns_first_(plan.antialias == Antialias::pillow_13 && plan.rows.made < plan.rows.source &&
                       plan.rows.source - plan.rows.made > 2 * (plan.columns.source - plan.columns.made)),
        rows_(antialias_spans(plan.rows, plan.interpolation)),
        columns_(antialias_spans(plan.columns, plan.interpolation)) {
    const auto size = [](std::int32_t count, std::int32_t channels) {
      return static_cast<std::size_t>(count) * static_cast<std::size_t>(channels);
    };
    if (columns_first_) {
      between_.resize(size(plan.columns.source, plan.channels));
    } else {
      find_rows();
      between_.resize(static_cast<std::size_t>(kept_) * size(plan.columns.count, plan.channels));
      held_.resize(static_cast<std::size_t>(kept_));
    }
    sums_.resize(std::max(size(plan.columns.source, plan.channels), size(plan.columns.count, plan.channels)));
    made_.resize(size(plan.columns.count, plan.channels));
  }

  void run(RowSource<T>& source, RowSink<T>& sink) override {
    std::fill(held_.begin(), held_.end(), -1);
    for (std::int32_t y = 0; y < plan_.rows.count; ++y) {
      if (columns_first_) {
        average_rows(
            y, plan_.columns.source * plan_.channels, [&](std::int32_t row) { return source.row(row); },
            between_.data());
        average_columns(between_.data(), made_.data());
      } else {
        average_rows(
            y, plan_.columns.count * plan_.channels, [&](std::int32_t row) { return line(row, source); }, made_.data());
      }
      sink.take(y, made_.data(), plan_.channels);
    }
  }

 private:
  static Sum weight_of(const Spans& spans, std::int32_t at) {
    if constexpr (whole) {
      return spans.fixed[at];
    } else {
      return spans.weight[at];
    }
  }

  static T rounded(Sum sum) {
    if constexpr (whole) {
      return saturated<T>((sum + (1 << (fraction_bits - 1))) >> fraction_bits);
    } else if constexpr (std::is_same_v<T, float>) {
      return static_cast<float>(sum);
    } else {
      return static_cast<T>(std::clamp(std::floor(sum + 0.5), 0.0, 65535.0));
    }
  }

  // How many rows one result reads at most: so many are kept.
  void find_rows() {
    kept_ = 1;
    if (plan_.rows.source == plan_.rows.made) return;
    for (std::size_t y = 0; y + 1 < rows_.begin.size(); ++y) {
      kept_ = std::max(kept_, rows_.begin[y + 1] - rows_.begin[y]);
    }
  }

  const T* line(std::int32_t row, RowSource<T>& source) {
    const std::int32_t place = row % kept_;
    T* kept = between_.data() + std::ptrdiff_t{place} * plan_.columns.count * plan_.channels;
    if (held_[place] != row) {
      average_columns(source.row(row), kept);
      held_[place] = row;
    }
    return kept;
  }

  void average_columns(const T* row, T* out) const {
    if (plan_.columns.source == plan_.columns.made) {
      const T* from = row + std::ptrdiff_t{plan_.columns.first} * plan_.channels;
      std::copy(from, from + std::ptrdiff_t{plan_.columns.count} * plan_.channels, out);
      return;
    }
    for (std::size_t x = 0; x + 1 < columns_.begin.size(); ++x) {
      const T* first = row + std::ptrdiff_t{columns_.start[x]} * plan_.channels;
      for (std::int32_t channel = 0; channel < plan_.channels; ++channel) {
        Sum sum = 0;
        const T* pixel = first + channel;
        for (std::int32_t at = columns_.begin[x]; at < columns_.begin[x + 1]; ++at, pixel += plan_.channels) {
          sum += static_cast<Sum>(*pixel) * weight_of(columns_, at);
        }
        *out++ = rounded(sum);
      }
    }
  }

  template <class Line>
  void average_rows(std::int32_t y, std::int32_t values, Line&& line, T* out) {
    if (plan_.rows.source == plan_.rows.made) {
      const T* row = line(plan_.rows.first + y);
      std::copy(row, row + values, out);
      return;
    }
    std::fill(sums_.begin(), sums_.begin() + values, Sum{0});
    for (std::int32_t at = rows_.begin[y], row = rows_.start[y]; at < rows_.begin[y + 1]; ++at, ++row) {
      const T* pixels = line(row);
      const Sum weight = weight_of(rows_, at);
      for (std::int32_t x = 0; x < values; ++x) sums_[x] += static_cast<Sum>(pixels[x]) * weight;
    }
    for (std::int32_t x = 0; x < values; ++x) out[x] = rounded(sums_[x]);
  }

  ResizePlan plan_;
  bool columns_first_;
  Spans rows_;
  Spans columns_;
  std::int32_t kept_ = 1;
  std::vector<T> between_;
  std::vector<std::int32_t> held_;
  std::vector<Sum> sums_;
  std::vector<T> made_;
};

}  // namespace

template <class T>
std::unique_ptr<Resizer<T>> make_antialias(const ResizePlan& plan) {
  return std::make_unique<Antialiased<T>>(plan);
}

template std::unique_ptr<Resizer<std::uint8_t>> make_antialias(const ResizePlan&);
template std::unique_ptr<Resizer<std::uint16_t>> make_antialias(const ResizePlan&);
template std::unique_ptr<Resizer<float>> make_antialias(const ResizePlan&);

}  // namespace edgekit::preprocessing
