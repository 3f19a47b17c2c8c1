#include "postprocess/sure_rows.hpp"

#include "core/vectors.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "postprocess/sure_rows.cpp"  // NOLINT
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef EDGEKIT_SURE_ROWS_ONCE
#define EDGEKIT_SURE_ROWS_ONCE
namespace edgekit {
namespace {
constexpr float tame = 1e37F;
constexpr float wild = 2e37F;  ///< instead of a magnitude that is NaN, infinite, or so large that differences overflow
}  // namespace
}  // namespace edgekit
#endif

HWY_BEFORE_NAMESPACE();
namespace edgekit {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Ids and gaps of `whole` pixels, a multiple of the vector; the largest magnitude of all their scores, or wild.
float rank(const ScoreRow& row, std::size_t first, std::size_t whole, std::int32_t* ids, float* gaps) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  const float least = -hwy::HighestValue<float>();
  auto most = hn::Zero(d);
  auto calm = hn::Eq(most, most);
  for (std::size_t x = first; x < first + whole; x += hn::Lanes(d)) {
    auto best = hn::Set(d, row.above > least ? row.above : least);
    auto second = hn::Set(d, least);
    auto id = hn::Zero(di);
    for (std::size_t label = 0; label < row.classes; ++label) {
      const auto score = hn::LoadU(d, row.data + label * row.class_step + x);
      const auto higher = hn::Gt(score, best);
      second = hn::Max(second, hn::Min(best, score));
      best = hn::Max(best, score);
      id = hn::IfThenElse(hn::RebindMask(di, higher), hn::Set(di, static_cast<std::int32_t>(label) + row.first_id), id);
      const auto size = hn::Abs(score);
      calm = hn::And(calm, hn::Le(size, hn::Set(d, tame)));  // false of NaN
      most = hn::Max(most, size);
    }
    hn::StoreU(id, di, ids + x);
    hn::StoreU(hn::Sub(best, second), d, gaps + x);
  }
  return hn::AllTrue(d, calm) ? hn::GetLane(hn::MaxOfLanes(d, most)) : wild;
}

std::size_t ranked_at_once() { return hn::Lanes(hn::CappedTag<float, 16>()); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace edgekit
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <cmath>

namespace edgekit {

HWY_EXPORT(rank);
HWY_EXPORT(ranked_at_once);

namespace {

/// Of the largest magnitude. Two steps of resizing, each a difference and a product, round a score by less than 10
/// units of 2^-24; two scores, and a neighbouring row twice as large: 40 of them are 2.4e-6.
constexpr float margin = 1e-5F;

}  // namespace

void SureRow::resize(std::size_t width) {
  ids_.assign(width, -1);
  until_.assign(width, -1);
  gaps_.assign(width, 0);
}

void SureRow::set(const ScoreRow& row) {
  const std::size_t step = HWY_DYNAMIC_DISPATCH(ranked_at_once)();
  const std::size_t whole = row.width / step * step;
  most_ = std::isfinite(row.above) ? std::abs(row.above) : 0;
  if (whole > 0) most_ = std::max(most_, HWY_DYNAMIC_DISPATCH(rank)(row, 0, whole, ids_.data(), gaps_.data()));
  if (whole < row.width) {  // the last vector, some pixels again; or a row that is none
    if (row.width < step) {
      most_ = wild;
    } else {
      const std::size_t last = row.width - step;
      most_ = std::max(most_, HWY_DYNAMIC_DISPATCH(rank)(row, last, step, ids_.data(), gaps_.data()));
    }
  }
  const bool calm = most_ <= tame;
  const float least = margin * most_;
  std::int32_t end = static_cast<std::int32_t>(row.width) - 1;
  for (std::size_t x = row.width; x-- > 0;) {
    if (!calm || !(gaps_[x] > least)) ids_[x] = -1;
    if (x + 1 < row.width && ids_[x] != ids_[x + 1]) end = static_cast<std::int32_t>(x);
    until_[x] = end;
  }
}

}  // namespace edgekit
#endif
