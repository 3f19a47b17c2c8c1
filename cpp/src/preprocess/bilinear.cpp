// Bilinear of uint8: what nearly every camera and network need, and so in vectors.
#include <vector>

#include "preprocess/fixed_point.hpp"
#include "preprocess/kernels.hpp"
#include "preprocess/resize.hpp"

namespace edgekit::preprocessing {
namespace {

class BilinearOfBytes final : public Resizer<std::uint8_t> {
 public:
  explicit BilinearOfBytes(const ResizePlan& plan)
      : channels_(plan.channels),
        stride_(plan.channels == 3 ? 4 : 1),  // three become a group of four, so that one is a 32-bit lane
        row_bytes_(static_cast<std::size_t>(plan.columns.source) * static_cast<std::size_t>(channels_)),
        count_(plan.rows.count),
        rows_(filter_taps(plan.rows, plan.interpolation, Along::column)),
        values_(static_cast<std::size_t>(plan.columns.count) * static_cast<std::size_t>(stride_)),
        made_(values_ + kernel_padding) {
    const Taps columns = filter_taps(plan.columns, plan.interpolation, Along::row);
    for (std::int32_t x = 0; x < plan.columns.count; ++x) add_column(columns, x, plan.columns.source);
    for (auto& line : lines_) line.resize(values_ + kernel_padding);
  }

  void run(RowSource<std::uint8_t>& source, RowSink<std::uint8_t>& sink) override {
    held_[0] = held_[1] = -1;
    for (std::int32_t y = 0; y < count_; ++y) {
      const std::size_t at = static_cast<std::size_t>(y) * 2;
      const std::int16_t* upper = line(rows_.index[at], source);
      const std::int16_t* lower = line(rows_.index[at + 1], source);
      interpolate_rows(upper, lower, rows_.fixed[at], rows_.fixed[at + 1], values_, made_.data());
      sink.take(y, made_.data(), stride_);
    }
  }

 private:
  // Both pixels lie in the row: at its end the left one moves in, and the weights move with it.
  void add_column(const Taps& columns, std::int32_t x, std::int32_t source) {
    const std::size_t at = static_cast<std::size_t>(x) * 2;
    std::int32_t left = columns.index[at];
    std::uint32_t weights = static_cast<std::uint16_t>(columns.fixed[at]) |
                            static_cast<std::uint32_t>(static_cast<std::uint16_t>(columns.fixed[at + 1])) << 16;
    if (left == source - 1) {
      left = source - 2;
      weights = static_cast<std::uint32_t>(weight_one) << 16;
    }
    offsets_.push_back(channels_ * left);
    weights_.push_back(static_cast<std::int32_t>(weights));
  }

  const std::int16_t* line(std::int32_t row, RowSource<std::uint8_t>& source) {
    auto& sums = lines_[row % 2];
    if (held_[row % 2] != row) {
      const auto interpolate = channels_ == 3 ? interpolate_columns : interpolate_columns_of_one;
      interpolate(source.row(row), row_bytes_, offsets_.data(), weights_.data(), offsets_.size(), sums.data());
      held_[row % 2] = row;
    }
    return sums.data();
  }

  std::int32_t channels_;
  std::int32_t stride_;
  std::size_t row_bytes_;
  std::int32_t count_;
  Taps rows_;
  std::size_t values_;
  std::vector<std::int32_t> offsets_;
  std::vector<std::int32_t> weights_;
  std::vector<std::int16_t> lines_[2];
  std::int32_t held_[2] = {-1, -1};
  std::vector<std::uint8_t> made_;
};

}  // namespace

std::unique_ptr<Resizer<std::uint8_t>> make_bilinear_of_bytes(const ResizePlan& plan) {
  return std::make_unique<BilinearOfBytes>(plan);
}

}  // namespace edgekit::preprocessing
